"""Stored episodes are scored again: what is the same stays byte for byte, and all that is not is named."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gymnasium
import pytest

from llmgym.data import Dataset
from llmgym.data.verification import Difference, Report, verify
from llmgym.data.verification.writing import REPORT, rescored_run
from llmgym.env import Episode, ToolEnv
from llmgym.errors import ConfigError
from llmgym.messages import Message, assistant, tool_call
from llmgym.records import load_row
from llmgym.registry import make_core, register_envs
from llmgym.rewards import Part, Reward
from llmgym.rollout import Collector, open_records, read_rollouts
from llmgym.tasks import Task, TaskSet
from llmgym.tools import tool
from tests.judging import JUDGED
from tests.rollouts import ROOT, Script, WordPolicy, Words, letters, shout_first
from tests.walled import no_wall

WORLD: dict[str, Any] = {}
_AS_IT_WAS = {"answer": "sunny", "worth": 1.0, "closes": False, "bonus": 0.0, "asked": 0}


@pytest.fixture(autouse=True)
def world() -> None:
    WORLD.clear()
    WORLD.update(_AS_IT_WAS)


class Weather(ToolEnv):
    """Ask for the weather and say it; the world can be another one later."""

    tasks = TaskSet.generated(lambda rng: Task(prompt=f"Weather of town {rng.integers(99)}?", answer="sunny"))

    @tool
    def look(self) -> str:
        """See the weather."""
        WORLD["asked"] += 1
        self.reward(WORLD["bonus"])
        if WORLD["closes"]:
            self.finish()
        return str(WORLD["answer"])

    def verify(self, episode: Episode) -> Any:
        worth = WORLD["worth"]
        if isinstance(worth, Exception):
            raise worth
        return Reward(said=worth, style=Part(0.5, weight=0.0), metrics={"length": len(episode.final_text)})


class Declared(Weather):
    """The same, whose transcript is enough."""

    verify_from = "transcript"


class Race(Weather):
    """The longest answer of a task wins."""

    def group_verify(self, episodes: Sequence[Episode | None]) -> list[Reward | None]:
        longest = max(len(episode.final_text) for episode in episodes if episode is not None)
        won = [episode is not None and len(episode.final_text) == longest for episode in episodes]
        return [Reward(won=WORLD["worth"] * one) for one in won]


class Forecast(Weather):
    """Asks on and on."""

    def respond(self, message: Message) -> str:
        return "And tomorrow?"


for cls in (Weather, Declared, Race, Forecast):
    gymnasium.register(f"test/{cls.__name__}-v0", entry_point=cls)


def look(messages: Sequence[Message], tools: object) -> Message:
    if messages[-1]["role"] == "tool":
        return assistant(messages[-1]["content"])
    return assistant("", tool_call("look"))


async def collected(folder: Path, env: str = "Weather", **settings: Any) -> Path:
    settings = {"num_tasks": 2, "num_repeats": 2, **settings}
    await Collector([f"test/{env}-v0"], Script(look), output=folder, **settings).collect()
    return folder


async def verified(folder: Path, **options: Any) -> tuple[Report, list[bytes]]:
    rows: list[bytes] = []
    return await verify(Dataset.open([folder]), keep=rows.append, **options), rows


def kinds(found: Sequence[Difference]) -> set[str]:
    return {difference.kind for difference in found}


@pytest.mark.parametrize(
    ("reply", "settings"),
    [
        (shout_first, {}),
        (shout_first, {"max_turns": 1}),
        (shout_first, {"max_completion_length": 12}),
        (lambda prompt: "a b c d e f", {"responses_create_params": {"max_output_tokens": 3}}),
        (lambda prompt: '<tool_call>{"name": "shout", "arguments": {bad}}</tool_call>', {}),
    ],
)
async def test_what_is_the_same_stays_byte_for_byte(tmp_path: Path, reply: Any, settings: dict[str, Any]) -> None:
    codec = Words()
    faults = {"b": "verify unscored"}
    run = letters(num_tasks=26, faults=faults, codec=codec, output=tmp_path / "run", **settings)
    await run(policy=WordPolicy(codec, reply)).collect()
    report, rows = await verified(tmp_path / "run", parallel=3)
    assert (report.total.verified, report.total.same, report.differences) == (26, 26, [])
    assert report.total.unscored == 1
    assert b"".join(rows) == (tmp_path / "run" / "rollouts.jsonl").read_bytes()


async def test_an_observation_that_changed_is_named(tmp_path: Path) -> None:
    run = await collected(tmp_path / "run")
    WORLD["answer"] = "rain"
    report, _ = await verified(run)
    assert report.total.same == 0
    assert kinds(report.differences) == {"observation"}
    first = report.differences[0]
    assert (first.id, first.turn) == (next(read_rollouts(run)).id, 0)
    assert (first.was["content"], first.now["content"]) == ("sunny", "rain")


async def test_only_scores_change_in_rows(tmp_path: Path) -> None:
    run = await collected(tmp_path / "run")
    WORLD["worth"], WORLD["bonus"] = 0.25, 0.5
    report, rows = await verified(run)
    assert report.kinds == {"reward": 4, "part": 4}
    assert report.differences[0].was == 1.0
    assert report.differences[0].now == 0.75
    for was, now in zip((run / "rollouts.jsonl").read_bytes().splitlines(), rows, strict=True):
        before, after = json.loads(was), json.loads(now)
        assert after["reward_parts"]["said"] == {"value": 0.25, "weight": 1.0}
        assert [turn["reward"] for turn in after["turns"]] == [0.5, 0.25]
        for name in ("reward", "reward_parts", "turns"):
            del before[name], after[name]
        assert (before, list(before)) == (after, list(after))


@pytest.mark.parametrize(("was", "now", "kind"), [(0.0, None, "unscored"), (None, 0.0, "scored")])
async def test_unscored_is_not_zero(tmp_path: Path, was: Any, now: Any, kind: str) -> None:
    WORLD["worth"] = was
    run = await collected(tmp_path / "run")
    WORLD["worth"] = now
    report, rows = await verified(run)
    assert report.kinds == {kind: 4, "part": 4}
    assert (report.total.reward, report.total.compared) == (4, 0)
    assert {json.loads(row)["reward"] for row in rows} == {now}


@pytest.mark.parametrize(("was", "ended"), [(False, "completed after 1 of 2 turns"), (True, "it goes on")])
async def test_another_end_is_named(tmp_path: Path, was: bool, ended: str) -> None:
    WORLD["closes"] = was
    run = await collected(tmp_path / "run")
    WORLD["closes"] = not was
    report, _ = await verified(run)
    assert {(d.turn, d.was, d.now) for d in report.differences if d.kind == "ending"} == {(0, "completed", ended)}


async def test_an_environment_that_fails_says_nothing_of_rewards(tmp_path: Path) -> None:
    run = await collected(tmp_path / "run")
    WORLD["worth"] = RuntimeError("broken")
    report, rows = await verified(run)
    assert (report.total.failed, report.total.verified, rows) == (4, 0, [])
    assert "broken" in next(iter(report.failures))


async def test_a_declared_transcript_is_enough(tmp_path: Path) -> None:
    run = await collected(tmp_path / "run", "Declared")
    WORLD.update(asked=0, answer="rain")
    report, rows = await verified(run)
    assert (report.total.same, WORLD["asked"]) == (4, 0)
    assert b"".join(rows) == (run / "rollouts.jsonl").read_bytes()
    WORLD["worth"] = 0.5
    report, rows = await verified(run)
    assert report.kinds == {"reward": 4, "part": 4}
    assert [[turn.get("reward", 0) for turn in json.loads(row)["turns"]] for row in rows] == [[0, 0.5]] * 4
    report, _ = await verified(run, always_replay=True)
    assert "observation" in report.kinds
    assert WORLD["asked"] == 4


async def test_wrappers_are_replayed(tmp_path: Path) -> None:
    env: Any = {"id": "test/Declared-v0", "wrappers": [{"name": "ScaleReward", "kwargs": {"shift": 1}}]}
    await Collector([env], Script(look), output=tmp_path / "run", num_tasks=1).collect()
    report, _ = await verified(tmp_path / "run")
    assert (report.total.same, report.total.reward_now) == (1, 3.0)


async def test_the_repeats_of_a_task_are_scored_beside_each_other(tmp_path: Path) -> None:
    run = await collected(tmp_path / "run", "Race")
    report, rows = await verified(run)
    assert (report.total.same, report.total.reward_now) == (4, 8.0)
    assert sorted(rows) == sorted((run / "rollouts.jsonl").read_bytes().splitlines(keepends=True))
    WORLD["worth"] = 2.0
    report, _ = await verified(run)
    assert report.total.reward_now == 16.0


async def test_a_judge_says_again_what_it_said(tmp_path: Path) -> None:
    said = iter(["yes", "no", "yes", "no"])
    asked: list[object] = []

    def judge(messages: Sequence[Message], tools: object) -> str:
        asked.append(messages)
        return next(said)

    policy = Script(lambda messages, tools: "an apple")
    models = {"judge": Script(judge)}
    await Collector([JUDGED], policy, models=models, num_tasks=2, num_repeats=2, output=tmp_path / "run").collect()
    report, _ = await verified(tmp_path / "run")
    assert (report.total.same, report.total.reward_now, len(asked)) == (4, 2.0, 4)
    report, _ = await verified(tmp_path / "run", models={"judge": Script(lambda messages, tools: "yes")})
    assert (report.total.reward_now, report.kinds["reward"]) == (4.0, 2)
    rows = (tmp_path / "run" / "rollouts.jsonl").read_text()
    (tmp_path / "run" / "rollouts.jsonl").write_text(rows.replace("Is that good?", "Is that bad?"))
    report, _ = await verified(tmp_path / "run")
    assert (report.total.skipped, report.total.failed) == (4, 0)
    assert "no recorded reply of the judge" in next(iter(report.skipped))


async def test_rows_without_their_run_are_of_the_registry(tmp_path: Path) -> None:
    run = await collected(tmp_path / "run")
    rows = (run / "rollouts.jsonl").read_text()
    (tmp_path / "some.jsonl").write_text(rows + rows.replace("test/Weather", "test/Gone").replace('"id":', '"id":', 1))
    report, _ = await verified(tmp_path / "some.jsonl")
    assert (report.total.same, report.total.skipped) == (4, 4)
    assert "test/Gone-v0" in next(iter(report.skipped))


async def test_a_new_run_folder_has_what_episodes_earn_now(tmp_path: Path) -> None:
    run = await collected(tmp_path / "run")
    WORLD["worth"] = 0.5
    with rescored_run(run, tmp_path / "new") as (keep, tell):
        report = await verify(Dataset.open([run]), keep=keep)
        tell(report.as_json())
    made = open_records(tmp_path / "new")
    assert made.summary is not None
    assert (made.summary["reward"]["mean"], made.summary["finished"]) == (0.5, 4)
    assert json.loads((tmp_path / "new" / REPORT).read_bytes())["mean_was"] == 1.0
    assert {record.reward for record in open_records(run).records.values()} == {1.0}
    for source, target in ((run, run), (run, tmp_path / "new"), (run / "rollouts.jsonl", tmp_path / "other")):
        with pytest.raises(ConfigError), rescored_run(source, target):
            raise AssertionError
    with pytest.raises(KeyError), rescored_run(run, tmp_path / "half"):
        raise KeyError
    assert sorted(os.listdir(tmp_path)) == ["new", "run"]


@pytest.mark.skipif(bool(no_wall()), reason=no_wall())
async def test_a_registered_environment_that_declares_it_is_scored_by_its_transcript(tmp_path: Path) -> None:
    register_envs()
    env_id = "llmgym/MathPython-easy-v0"
    assert make_core(env_id).verify_from == "transcript"
    await Collector([env_id], "oracle", num_tasks=2, output=tmp_path / "run").collect()
    report, _ = await verified(tmp_path / "run")
    assert (report.total.same, report.total.reward_now) == (2, 2.0)


# --- episodes of agent programs -------------------------------------------------------------------

AGENT = shlex.join([sys.executable, str(ROOT / "tests/serve/branching.py")])


def look_first(prompt: str) -> str:
    """Use the tool, then say what it said."""
    _, called, result = prompt.rpartition("<tool> ")
    return result.split(" ")[0] if called else '<tool_call>{"name": "look", "arguments": {}}</tool_call>'


async def played(folder: Path, env: str, **settings: Any) -> Path:
    pytest.importorskip("uvicorn")
    pytest.importorskip("mcp")
    codec: Any = Words()
    policy: Any = WordPolicy(codec, look_first)
    settings = {"num_tasks": 2, "num_repeats": 2, "max_attempts": 1, **settings}
    await Collector([env], policy, codec=codec, output=folder, agent_command=AGENT, **settings).collect()
    return folder


@pytest.mark.parametrize("env", ["Weather", "Declared", "Race", "Forecast"])
async def test_what_a_program_did_in_an_environment_is_scored_again(tmp_path: Path, env: str) -> None:
    WORLD["bonus"] = 0.0 if env == "Declared" else 0.25
    run = await played(tmp_path / "run", f"test/{env}-v0")
    report, rows = await verified(run)
    assert (report.total.verified, report.total.same, report.differences) == (4, 4, [])
    assert b"".join(rows) == (run / "rollouts.jsonl").read_bytes()
    WORLD["worth"] = 0.5
    report, rows = await verified(run)
    assert (report.total.same, report.kinds["reward"]) == (0, 4)
    for was, line in zip(read_rollouts(run), rows, strict=True):
        now = load_row(line)
        assert [turn.reward for turn in now.turns] == [0.0] * (len(was.turns) - 1) + [now.reward]
        assert now.reward != was.reward


async def test_repeats_that_a_program_played_see_what_the_environment_saw(tmp_path: Path) -> None:
    run = await played(tmp_path / "run", "test/Race-v0")
    for row in read_rollouts(run):
        assert row.messages[0]["content"] == "You are an agent."
        assert [message["role"] for message in row.environment.messages] == ["user", "assistant", "tool", "assistant"]
        assert row.reward == 2.0
