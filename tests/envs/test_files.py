from __future__ import annotations

import io
import tarfile
from collections import Counter
from pathlib import Path
from typing import Any

import orjson
import pytest

from llmgym.envs.files import Files
from llmgym.envs.files.folders import compare
from llmgym.envs.files.jobs import JOBS
from llmgym.envs.files.machine import SECONDS, Machine
from llmgym.envs.files.problems import problem
from llmgym.errors import ConfigError, TaskError
from llmgym.messages import assistant, tool_call
from tests.envs.checks import DEGENERATE, oracle_rewards, play, policy_reward

pytest.importorskip("shellsim")

VARIANTS: dict[str, dict[str, Any]] = {
    "base": {},
    "easy": {"sorts": ["copy", "rename", "append", "count"], "size": 2},
    "hard": {"jobs": 3, "size": 6, "max_turns": 24},
}
ROW = {"prompt": "Make b.txt of a.txt.", "files": {"a.txt": "it's\n"}, "goal": {"a.txt": "it's\n", "d/b.txt": "it's\n"}}


@pytest.fixture(params=VARIANTS)
def arguments(request: pytest.FixtureRequest) -> dict[str, Any]:
    return VARIANTS[request.param]


@pytest.mark.parametrize("split", ["train", "test"])
def test_the_oracle_earns_the_maximum(arguments: dict[str, Any], split: str) -> None:
    assert oracle_rewards(Files(**arguments, split=split), 15) == [1.0] * 15


@pytest.mark.parametrize("sort", [sort for sort in JOBS if sort != "totals"])
def test_every_job_can_be_done_and_takes_the_folder_and_the_answer(sort: str) -> None:
    env = Files(sorts=[sort])
    assert oracle_rewards(env, 3) == [1.0] * 3

    def earned(*actions: Any, work: bool = True) -> float:
        env.reset(seed=0)
        assert env.task is not None
        done = problem(env.task.metadata["seed"], (sort,), 1, 3).commands if work else []
        return play(env, [*map(shell, done), *actions, f"It is done.\n\n**Answer:** `{env.task.answer}`."])

    assert earned() == 1
    assert earned(work=False) == (sort in ("count", "count_level", "sum_column", "top_client"))
    assert earned("Answer: 0.5") == 0
    assert earned(shell("echo > left.txt")) == 0
    assert earned(shell("rm -rf notes config src data")) == 0


def shell(command: str) -> Any:
    return assistant("", tool_call("shell", command=command))


@pytest.mark.parametrize("policy", [n for n in DEGENERATE if n != "random"])
def test_blind_policies_earn_little(policy: str) -> None:
    assert policy_reward(Files(), DEGENERATE[policy], 10) <= 0.1


def test_tasks_are_many_and_answers_spread(arguments: dict[str, Any]) -> None:
    env = Files(**arguments)
    tasks = [env.tasks.draw("train", seed, 0) for seed in range(200)]
    assert len({task.content_hash for task in tasks}) == 200
    ((_, most),) = Counter(task.answer for task in tasks).most_common(1)
    assert most <= 16
    assert {env.tasks.draw("test", seed, 0).metadata["seed"] % 2 for seed in range(20)} == {1}


def test_problems_leave_something_to_do() -> None:
    for seed in range(100):
        made = problem(seed, tuple(JOBS), 2, 3)
        assert made.goal != made.tree
        assert made == problem.__wrapped__(seed, tuple(JOBS), 2, 3)


def packed(**files: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(f"./{name}")
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    return buffer.getvalue()


def bomb() -> bytes:
    return packed(a="x" * 30_000_000)


@pytest.mark.parametrize(
    ("found", "right"),
    [
        ({"a": b"x\n"}, True),
        ({"a": b"x"}, True),
        ({"a": b"x\n\n"}, True),
        ({"a": b"x "}, False),
        ({"a": b"\xff"}, False),
        ({"a": None}, False),
        ({"a": b"x", "b": b""}, False),
        ({}, False),
    ],
)
def test_folders_are_compared(found: dict[str, bytes | None], right: bool) -> None:
    assert bool(compare(found, {"a": "x\n"}, {"a": "y\n"})) == right


@pytest.mark.parametrize(
    ("content", "right"),
    [(packed(a="x\n"), True), (packed(a="y"), False), (packed(a="x", b=""), False), (packed(), False), (b"", False),
     (b"x\n", False), (packed(a="x")[:-9], False), (bomb(), False), (None, False)],
    ids=["right", "other", "more", "nothing", "empty", "text", "torn", "bomb", "missing"],  # an archive knows its time
)  # fmt: skip
def test_archives_are_compared_by_their_files(content: bytes | None, right: bool) -> None:
    assert bool(compare({"a.tar.gz": content}, {"a.tar.gz": {"a": "x\n"}}, {"a": "x\n"})) == right


def test_a_machine_tells_the_truth_of_its_files() -> None:
    machine = Machine({"a/x": "1", ".hid/y z": "2"})
    machine.run(
        "ln -s /etc link; ln -s / a/root; printf(){ echo no; }; export -f printf; echo 'echo no' > /bin/printf; "
        "chmod +x /bin/printf; cp /bin/printf '/bin/['; export PATH=/; exit 3"
    )
    assert machine.files() == {"a/x": b"1", ".hid/y z": b"2", "link": None, "a/root": None}
    assert machine.run("pwd").stdout_text == "/work\n"


@pytest.mark.slow
@pytest.mark.timeout(30)
def test_what_never_ends_is_stopped() -> None:
    env = Files()
    env.reset(seed=0)
    (answer,), _, terminated, *_ = env.step(shell("f(){ f|f& f; }; f"))
    assert f"[stopped after {SECONDS:g} seconds]" in answer["content"]
    assert len(answer["content"]) < 25_000
    assert not terminated
    (answer,), reward, terminated, _, info = env.step(shell("while :; do :; done"))
    assert "stopped for good: cpu_exhausted" in answer["content"]
    assert (reward, terminated, info["metrics"]["folder_lost"]) == (0, True, 1)


@pytest.mark.parametrize(
    "command", ["", "\x00", "echo 'a", "python3 -c 1", "x" * 100_000, "\u202e(" * 1000, "cat /etc/shadow"]
)
def test_hostile_commands_are_answered(command: str) -> None:
    env = Files()
    env.reset(seed=0)
    (answer,), reward, terminated, *_ = env.step(shell(command))
    assert answer["content"]
    assert (reward, terminated) == (0, False)


def test_rows_have_files_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(orjson.dumps(ROW) + b"\n" + orjson.dumps({**ROW, "goal": None, "answer": 5, "prompt": "2 + 3?"}))
    env = Files(tasks=path)
    assert oracle_rewards(env, 2) == [1.0, 1.0]
    env.reset(seed=0)
    assert play(env, ["Answer: 6"]) == 0


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"files": None}, "files must be an object"),
        ({"files": {"a": 1}}, "files must be an object"),
        ({"goal": {"../a": "x"}}, "goal has the path '../a'"),
        ({"goal": {"/a": "x"}}, "goal has the path '/a'"),
        ({"goal": None}, "asks for nothing"),
    ],
)
def test_malformed_rows(tmp_path: Path, change: dict[str, Any], problem: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(orjson.dumps({**ROW, **change}))
    with pytest.raises(TaskError, match=problem):
        Files(tasks=path).reset(seed=0)


@pytest.mark.parametrize(
    "arguments",
    [
        {"sorts": []},
        {"sorts": ["fly"]},
        {"jobs": 9},
        {"size": 1},
        {"sorts": ["copy"], "jobs": 2},
        {"sorts": ["totals"]},
    ],
)
def test_arguments_out_of_range(arguments: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Files(**arguments)
