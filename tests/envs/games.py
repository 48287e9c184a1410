"""What every game owes beside `tests.envs.checks`: an end whatever is sent, and nothing for play that is blind."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson

from llmgym.env import ToolEnv
from llmgym.messages import Message, assistant, tool_call
from tests.envs.checks import DEGENERATE, Act, oracle_rewards, play

HOSTILE = (
    "\ud800",
    "<move>" * 10_000,
    "<move>\x00",
    "x" * 100_000,
    "[" * 50_000,
    " " * 60_000 + "x",
    "<move>" + " ," * 30_000 + "x</move>",
    "<move>" + "9" * 5_000 + "</move>",
)


def check_game(make: Any, variant: dict[str, Any], episodes: int = 15) -> None:
    """The oracle wins in both splits by tool and in text; blind policies and an oracle cut short do not."""
    for split in ("train", "test"):
        assert oracle_rewards(make(**variant, split=split), episodes) == [1.0] * episodes
    assert oracle_rewards(make(**variant, offer_tools=False), 3) == [1.0] * 3
    env = make(**variant)
    for policy in ({**DEGENERATE, "echo": _echo}).values():
        assert mean_reward(env, policy, episodes) <= 0.05
    assert _cut_short(env, episodes) == 0.0
    for text in HOSTILE:
        env.reset(seed=0)
        assert play(env, itertools.repeat(text)) == 0.0


def check_contents(env: ToolEnv, seeds: int = 300) -> None:
    """Of 300 drawn contents, 9 repeat an earlier one where there are 5,000; splits are apart."""
    train, test = (
        {env.tasks.draw(split, seed, 0).content_hash for seed in range(size)}
        for split, size in (("train", seeds), ("test", seeds // 8))
    )
    assert len(train) >= seeds - 9
    assert not train & test


def mean_reward(env: ToolEnv, act: Act, episodes: int = 20) -> float:
    """Mean reward of a policy that makes its message of the environment and the turn."""
    total = 0.0
    for seed in range(episodes):
        env.reset(seed=seed)
        env.action_space.seed(seed)
        total += play(env, (act(env, turn) for turn in itertools.count()))
    return total / episodes


def _echo(env: ToolEnv, turn: int) -> str:
    """The last message alone: all of them would double with each turn."""
    return env.transcript[-1]["content"]


def _cut_short(env: ToolEnv, episodes: int) -> float:
    """Mean reward of the oracle without its last message."""
    total = 0.0
    for seed in range(episodes):
        env.reset(seed=seed)
        assert env.task
        task_id, messages = env.task.id, list[Any]()
        for message in env.oracle(env.task):
            messages.append(message)
            env.step(message)
        env.reset(options={"task_id": task_id})
        total += sum(float(env.step(message)[1]) for message in messages[:-1])
        total += play(env, itertools.repeat("I am done."))
    return total


def start(env: ToolEnv, **row: Any) -> None:
    """Begin an episode of a row."""
    env.reset(options={"task": type(env).read_row(row)})


def answer(env: ToolEnv, name: str, **arguments: Any) -> str:
    """What a call is answered."""
    return env.step(assistant("", tool_call(name, **arguments)))[0][0]["content"]


def calls(name: str, each: Iterable[dict[str, Any]]) -> Message:
    """A message with many calls."""
    return assistant("", *(tool_call(name, **arguments) for arguments in each))


def written(path: Path, **row: Any) -> Path:
    """A file with one row."""
    (path / "rows.jsonl").write_bytes(orjson.dumps(row))
    return path / "rows.jsonl"
