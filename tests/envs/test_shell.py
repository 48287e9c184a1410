from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from llmgym.envs.files.jobs import JOBS
from llmgym.envs.shell import Shell
from llmgym.messages import assistant, tool_call
from tests.envs.checks import oracle_rewards, play


@pytest.mark.parametrize("arguments", [{}, {"jobs": 3, "size": 6}, {"sorts": ["copy", "rename", "append", "count"]}])
@pytest.mark.parametrize("split", ["train", "test"])
def test_the_oracle_earns_the_maximum(arguments: dict[str, Any], split: str) -> None:
    assert oracle_rewards(Shell(**arguments, split=split), 6) == [1.0] * 6


def test_every_job_can_be_done() -> None:
    for sort in JOBS:
        assert oracle_rewards(Shell(sorts=[sort]), 1) == [1.0], sort


def shell(command: str) -> Any:
    return assistant("", tool_call("shell", command=command))


def test_an_episode(tmp_path: Path) -> None:
    row = {"prompt": "Put yes in b.", "files": {"a": "x\n"}, "goal": {"a": "x\n", "b": "yes\n"}, "answer": "yes"}
    path = tmp_path / "rows.jsonl"
    path.write_bytes(orjson.dumps(row))
    env = Shell(tasks=path)
    env.reset(seed=0)
    for command, said in {
        "cat a; export NAME=yes": "x",
        "ls no; exit 3": "[exit code 3]",
        "true": "[no output]",
        "\0": "no NUL character",
    }.items():
        (answer,), _, terminated, *_ = env.step(shell(command))
        assert said in answer["content"]
        assert not terminated
    assert play(env, [shell("echo $NAME > b"), "Answer: yes"]) == 1
    for spoilt in ("ln -s a c", "mkdir e; touch e/f", "rm a", "rm a; ln -s b a", "mkfifo p", "touch -- -x '*'"):
        env.reset(seed=0)
        assert play(env, [shell(f"echo yes > b; {spoilt}"), "Answer: yes"]) == 0, spoilt
    env.reset(seed=0)
    assert play(env, [shell("echo yes > b; mkdir -p empty/empty; echo 1 > /tmp/n; PATH=/"), "Answer: yes"]) == 1
    assert oracle_rewards(env, 1) == [1.0]
    env.close()
