"""The conformance kit fails each broken environment by the check that it breaks, and passes sound ones."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium
import pytest

from llmgym.env import ToolEnv
from llmgym.errors import AuthorError, ConformanceError
from llmgym.registry import register_envs
from llmgym.testing import CHECKS, CheckResult, check_text_env, run_checks
from tests.testing.environments import BROKEN, SOUND


def outcomes(env_id: str, **kwargs: Any) -> dict[str, CheckResult]:
    return {result.name: result for result in run_checks(env_id, **kwargs)}


@pytest.mark.parametrize("name", ["Adder", "SuspendingAdder", "BlockingAdder", "ProcessAdder", "Chat"])
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_good_environment_passes(name: str) -> None:
    report = check_text_env(f"test/{name}-v0", num_tasks=10)
    assert [result.name for result in report.results] == [check.name for check in CHECKS]
    assert {result.name for result in report.results if result.status != "passed"} == {
        "lifecycle",
        "transcripts",
    }  # nothing to free, and nothing that is scored later
    assert "0 of" in str(report)


@pytest.mark.parametrize("cls", SOUND, ids=lambda cls: cls.__name__)
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_an_environment_that_frees_what_it_opens_passes(cls: type[ToolEnv]) -> None:
    report = check_text_env(f"test/{cls.__name__}-v0", num_tasks=5)
    skipped = {result.name for result in report.results if result.status != "passed"}
    assert ("lifecycle" in skipped) == (cls.teardown is ToolEnv.teardown)
    assert ("transcripts" in skipped) == (cls.verify_from == "replay")
    assert skipped <= {"lifecycle", "transcripts"}


@pytest.mark.slow
@pytest.mark.parametrize(("cls", "checks"), BROKEN, ids=[cls.__name__ for cls, _ in BROKEN])
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning", "ignore:do not add")
def test_a_broken_environment_fails_the_check_that_it_breaks(cls: type[ToolEnv], checks: set[str]) -> None:
    results = list(run_checks(f"test/{cls.__name__}-v0", num_tasks=12))
    failed = {result.name: result.detail for result in results if result.status == "failed"}
    assert checks <= failed.keys()
    assert all(failed.values())


def test_what_the_registry_allows_a_constant_is_skipped_with_its_reason(tmp_path: Path) -> None:
    file = tmp_path / "registry.yaml"
    file.write_text(
        "environments:\n- {id: mine/Answers-v0, entry_point: 'tests.testing.environments:RewardsOneAnswer',"
        " summary: one, domains: [test], max_turns: 6, tasks: {licence: CC0-1.0, origin: none},"
        " allow: {blind/constants: one answer is all there is}}\n"
    )
    register_envs(file)
    result = outcomes("mine/Answers-v0", num_tasks=12)["constant"]
    assert (result.status, result.detail) == ("skipped", "the registry allows it: one answer is all there is")


def test_each_check_fails_for_some_environment() -> None:
    assert set(itertools.chain.from_iterable(checks for _, checks in BROKEN)) == {check.name for check in CHECKS}


def test_the_error_lists_every_failure_and_what_to_do() -> None:
    with pytest.raises(ConformanceError) as caught:
        check_text_env("test/RewardsEveryone-v0", num_tasks=5)
    text = str(caught.value)
    assert text.startswith("test/RewardsEveryone-v0 fails 6 of")
    assert "silent: it earned 1 on average, as much as the oracle; make the verifier look" in text


def test_a_transcript_that_earns_something_else_is_told_with_both() -> None:
    counts, paid = (outcomes(f"test/{name}-v0", num_tasks=2)["transcripts"] for name in ("Counts", "PaysAtOnce"))
    assert "the oracle: its transcript cannot be scored" in counts.detail
    assert "lookups" in counts.detail
    assert "the oracle: it earned 1.25, and its transcript earns 1.0" in paid.detail


def test_a_nondeterministic_environment_may_skip() -> None:
    gymnasium.register(
        "test/SaidToDiffer-v0",
        entry_point="tests.testing.environments:Clock",
        nondeterministic=True,
        kwargs={"max_turns": 6},
    )
    report = check_text_env("test/SaidToDiffer-v0", num_tasks=5)
    skipped = {result.name for result in report.results if result.status == "skipped"}
    assert skipped == {
        "determinism",
        "isolation",
        "reuse",
        "mutation",
        "vectors",
        "pickling",
        "lifecycle",
        "transcripts",
    }


def test_arguments_reach_the_environment() -> None:
    with pytest.raises(ConformanceError, match=r"cannot be made.*no_such_argument"):
        check_text_env("test/Adder-v0", no_such_argument=1)
    with pytest.raises(ConformanceError, match="unknown split 'dev'"):
        check_text_env("test/Adder-v0", split="dev", num_tasks=5)


def test_what_is_no_text_environment_is_refused() -> None:
    with pytest.raises(ConformanceError, match="cannot be made"):
        check_text_env("test/NoSuchThing-v0")
    with pytest.raises(ConformanceError, match="CartPoleEnv"):
        check_text_env("CartPole-v1")


def test_an_id_may_name_the_module_that_registers_it_and_needs_no_test_framework() -> None:
    script = (
        "import sys\n"
        "from llmgym.testing import check_text_env\n"
        "print(check_text_env('tests.environments:test/Adder-v0', num_tasks=5))\n"
        "assert 'pytest' not in sys.modules\n"
    )
    root = Path(__file__).parents[2]
    result = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert f"0 of {len(CHECKS)} checks failed" in result.stdout


def test_what_cannot_be_pickled_is_named_and_matters_where_something_pickles_it() -> None:
    held, sent = (outcomes(f"test/{name}-v0", num_tasks=2)["pickling"] for name in ("Locked", "Unpicklable"))
    assert (held.status, sent.status) == ("skipped", "failed")
    assert "self.lock (lock)" in held.detail
    assert "self.lock (lock)" in sent.detail
    assert "__getstate__" in sent.detail


@pytest.mark.slow
def test_a_set_that_is_small_is_no_fault(tmp_path: Path) -> None:
    few = outcomes("test/FewTasks-v0", num_tasks=5)
    assert {name for name, result in few.items() if result.status != "passed"} == {
        "variety",
        "lifecycle",
        "transcripts",
    }
    assert few["variety"].status == "skipped"
    assert "about" in few["variety"].detail
    rows = tmp_path / "rows.jsonl"
    for count in (1, 2, 3, 4, 5, 6, 7, 10, 12, 30, 200, 1000):
        lines = ({"prompt": f"What is {n} + 1?", "answer": n + 1, "numbers": [n, 1]} for n in range(count))
        rows.write_text("".join(json.dumps(line) + "\n" for line in lines))
        results = outcomes("test/Rows-v0", num_tasks=5, rows=str(rows))
        assert {name for name, result in results.items() if not result.passed} == set()
        assert (results["constant"].status == "skipped") == (count == 1)


def test_an_environment_without_an_oracle_says_why(tmp_path: Path) -> None:
    silent = outcomes("test/NoOracle-v0", num_tasks=3)
    assert silent["oracle"].status == "failed"
    assert "write" in silent["oracle"].detail or "no_oracle" in silent["oracle"].detail
    rows = tmp_path / "registry.yaml"
    rows.write_text(
        "environments:\n"
        "  - id: test/Unsolved-v0\n"
        "    entry_point: tests.testing.environments:NoOracle\n"
        "    summary: A problem that nobody has solved.\n"
        "    domains: [math]\n"
        "    max_turns: 6\n"
        "    no_oracle: nobody knows the answers\n"
        "    tasks: {licence: CC0-1.0, origin: generated}\n"
    )
    register_envs(rows)
    told = outcomes("test/Unsolved-v0", num_tasks=3)
    assert [result for result in told.values() if not result.passed] == []
    for name in ("oracle", "silent", "echo", "constant", "random", "malformed", "injection"):
        assert told[name].status == "skipped"
        assert "nobody knows the answers" in told[name].detail


def test_a_kind_of_oracle_that_there_is_not_is_refused() -> None:
    with pytest.raises(AuthorError, match=r"'optimal'.*'reference'.*it is 'best'"):
        type("Odd", (ToolEnv,), {"oracle_kind": "best"})


@pytest.mark.slow
def test_tasks_that_take_long_to_make_are_drawn_in_less_depth() -> None:
    results = outcomes("test/SlowTasks-v0", num_tasks=50, seconds=0.1)
    assert {name for name, result in results.items() if not result.passed} == set()
    for name in ("tasks", "variety", "oracle"):
        assert "cut at 0.1 s" in results[name].detail
    assert "6 of 32 slots" in results["variety"].detail


@pytest.mark.slow
def test_a_slow_environment_is_checked_in_less_depth_and_says_so() -> None:
    results = outcomes("test/Slow-v0", num_tasks=50, seconds=0.1)
    assert {name for name, result in results.items() if not result.passed} == set()
    for name in ("determinism", "isolation", "reuse", "vectors", "oracle", "random"):
        assert "cut at 0.1 s" in results[name].detail
