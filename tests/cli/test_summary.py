"""`llmgym summary`: a run is summarised again without its policy, whatever became of it."""

from __future__ import annotations

import json
from pathlib import Path

import orjson
import pytest

from llmgym.failures import Failure
from llmgym.rollout import RunStore
from llmgym.trajectory import Trajectory
from tests.command import llmgym
from tests.rollouts import PLAIN

CONFIG = {"num_repeats": 2, "success_threshold": 0.5, "min_reward_threshold": 0.5}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run that was killed: it has no summary."""
    store = RunStore(tmp_path / "run", {"environments": [{"id": "x/Y-v0"}]}, CONFIG, 0.0)
    store.confirm({}, planned=9)
    for task, rewards in {"a": (1.0, 0.0), "b": (1.0, 1.0)}.items():
        for repeat, reward in enumerate(rewards):
            made = Trajectory("x/Y-v0", task, repeat, 1, reward=reward, tool_errors={"KeyError": 2})
            store.append(made)
    lost = Failure("timeout", "tool", "possible", "TimeoutError")
    store.append(Trajectory("x/Y-v0", "c", 0, 1, "env_error", error="too slow", failure=lost))
    store.retire(["x/Y-v0/a/1"], "changed")
    store.close()
    return tmp_path / "run"


def test_a_killed_run_is_summarised(run: Path) -> None:
    done = llmgym("summary", run)
    assert (done.returncode, done.stderr) == (0, "")
    for part in (
        "3 of 9 episodes finished", "tasks  pass@1  pass@2", "2      1.000   1.000 (1)", "completed 3",
        "failed  timeout in tool 1", "KeyError 6 in 3 episodes", "too slow",
    ):  # fmt: skip
        assert part in done.stdout
    summary = orjson.loads((run / "summary.json").read_bytes())
    assert (summary["finished"], summary["planned"], summary["failed"]) == (3, 9, {"timeout": 1})
    assert summary["min_reward_threshold"] == {"threshold": 0.5, "episodes": 3}
    assert json.loads(llmgym("summary", run, "--json").stdout) == summary


def test_a_finished_run_has_the_same_summary_again(tmp_path: Path) -> None:
    run = tmp_path / "run"
    args = ("--num-tasks", 3, "--num-repeats", 2, "--output", run)
    first = llmgym("rollout", "--env", PLAIN, "--policy", "script:tests.rollouts.answer", *args)
    assert first.returncode == 0, first.stderr
    written = orjson.loads((run / "summary.json").read_bytes())
    again = llmgym("summary", run)
    assert again.stdout == first.stdout
    assert orjson.loads((run / "summary.json").read_bytes()) == written


def test_a_run_that_goes_on_keeps_its_summary(run: Path) -> None:
    store = RunStore(run, {"environments": [{"id": "x/Y-v0"}]}, CONFIG, 0.0)
    with (run / "rollouts.jsonl").open("ab") as file:
        file.write(b'{"format":1,"id":')
    done = llmgym("summary", run)
    store.close()
    assert "3 of 9 episodes finished" in done.stdout
    assert done.stderr == "the run goes on, and writes its own summary.json when it ends\n"
    assert not (run / "summary.json").exists()


def test_a_run_that_may_only_be_read_is_summarised(run: Path) -> None:
    (run / "lock").unlink()
    (run / "lock").mkdir()  # nobody can open it to write, root neither
    done = llmgym("summary", run)
    assert (done.returncode, done.stdout.startswith("3 of 9 episodes finished")) == (0, True)
    assert done.stderr == f"summary.json stays as it is: cannot write to the run folder {run}: Is a directory\n"


@pytest.mark.parametrize("name", ["nothing", ".", "run.json"])
def test_what_is_no_run_folder_is_one_line(name: str, run: Path) -> None:
    done = llmgym("summary", run.parent / name if name != "run.json" else run / name)
    assert done.returncode == (3 if name == "run.json" else 2)
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1


def test_a_broken_line_is_named(run: Path) -> None:
    with (run / "rollouts.jsonl").open("ab") as file:
        file.write(b"{}\n")
    done = llmgym("summary", run)
    assert (done.returncode, done.stdout) == (2, "")
    assert "rollouts.jsonl:5: not a rollout" in done.stderr


def test_a_configuration_that_makes_no_sense_is_named(run: Path) -> None:
    description = orjson.loads((run / "run.json").read_bytes())
    description["config"]["num_repeats"] = 0
    (run / "run.json").write_bytes(orjson.dumps(description))
    done = llmgym("summary", run)
    assert done.returncode == 2
    assert "run.json: its configuration was damaged: Expected `int` >= 1 - at `$.num_repeats`" in done.stderr
