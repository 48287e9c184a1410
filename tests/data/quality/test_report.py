from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("duckdb")
pytest.importorskip("rensa")

from llmgym.data import Dataset
from llmgym.data.quality.duplicates import repeated_answers
from llmgym.data.quality.report import BANDS, measure, quality
from llmgym.messages import assistant, user
from llmgym.rollout import GroupSettings, open_records, pass_at_k, summarize
from llmgym.tasks import Task
from llmgym.trajectory import Turn, segment_of
from tests.data import rows

REWARDS: dict[str, list[float | None]] = {
    "solved": [1.0, 0.9999999, 1.0, 1.2 - 0.2],
    "failed": [0.0, 0.0, -0.0, None],
    "mixed": [1.0, 0.0, 0.0, 0.0],
    "graded": [0.1, 0.2, 0.1, 0.2],
    "between": [0.5, 0.5, 0.5000001, 0.5],
    "single": [1.0, None],
    "unscored": [None, None],
}


def opened(folder: Path, *lines: bytes, **options: Any) -> Dataset:
    data = Dataset.open([rows.run_of(folder / "run", lines)], **options)
    measure(data)
    return data


def test_groups_are_told_apart_by_what_they_teach(tmp_path: Path) -> None:
    found = quality(opened(tmp_path, *rows.groups(REWARDS)))
    groups = found["groups"]
    assert {name: one["groups"] for name, one in groups.items() if isinstance(one, dict) and "groups" in one} == {
        "solved": 1, "failed": 1, "mixed": 2, "constant between": 1, "single": 1, "unscored": 1,
    }  # fmt: skip
    assert groups["mixed"]["share"] == pytest.approx(2 / 7)
    assert groups["number"] == 7
    assert groups["reward_std"]["max"] == pytest.approx(0.433, abs=1e-3)
    assert [found["pass_rates"][band]["groups"] for band in BANDS] == [3, 0, 1, 0, 2]
    assert (found["rows"], found["scored"], found["unscored"]) == (24, 20, 4)
    assert found["statuses"] == {"completed": 24}
    assert found["environments"]["test/Say-v0"]["groups"] == groups


def test_pass_at_k_is_that_of_the_summary_with_its_interval(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    data = opened(tmp_path, *rows.groups(REWARDS), *rows.groups({"again": [1.0, 0.0]}))
    found = quality(data)["pass_at_k"]
    assert [one["k"] for one in found] == [1, 2, 4]
    assert found[0]["value"] == pytest.approx((1 + 0 + 0.25 + 0 + 0 + 1 + 0.5) / 7)
    assert found[1]["value"] == pytest.approx((1 + 0 + pass_at_k(4, 1, 2) + 0 + 0 + 1) / 6)
    assert (found[2]["tasks"], found[2]["tasks_with_fewer"]) == (4, 3)
    (tmp_path / "run" / "run.json").write_text('{"format": 1, "config": {}, "identity": {}}')
    records = open_records(tmp_path / "run").records.values()
    summary = summarize(records, [], None, GroupSettings(num_repeats=4), None)
    assert found == summary["pass_at_k"]


def test_rows_are_flagged_with_examples(tmp_path: Path) -> None:
    loop = "again " * 40
    lines = [
        rows.line("a"),
        rows.line("b", status="max_turns", tool_errors={"ToolError": 2, "KeyError": 1}),
        rows.line("c", tool_errors={"ToolError": 1}, attempts=2),
        rows.line_with("d", messages=[user("hi"), assistant(loop)], turns=[Turn(0.0, "length", 0, 0)], segments=[]),
        rows.line_with("e", messages=[user("hi"), assistant("")], turns=[Turn(0.0, "stop", 0, 0)], segments=[]),
    ]
    found = quality(opened(tmp_path, *lines))
    texts = {name: one["rows"] for name, one in found["texts"].items()}
    assert texts == {
        "looping": 1, "refusing": 0, "empty": 1, "cut_off": 1, "truncated": 1, "malformed_calls": 0, "tool_errors": 2,
    }  # fmt: skip
    assert found["texts"]["looping"]["examples"] == [f"{tmp_path / 'run' / 'rollouts.jsonl'}:4"]
    assert found["tool_errors"] == {"ToolError": {"count": 3, "rows": 2}, "KeyError": {"count": 1, "rows": 1}}
    health = {name: one.get("rows") for name, one in found["health"].items()}
    assert health == {
        "hollow_turns": 1, "failed_calls": 1, "runaway": 1, "no_counts": 2, "capture_mismatch": 0,
        "tasks_never_healthy": None,
    }  # fmt: skip
    assert found["health"]["tasks_never_healthy"] == {"tasks": 3, "share": 0.6}


def test_entropy_is_called_so_where_it_is(tmp_path: Path) -> None:
    def line(task: str, sampling: dict[str, Any]) -> bytes:
        return rows.line(task, turns=2, sampling=sampling)

    found = quality(opened(tmp_path, line("a", {"temperature": 1.0}), line("b", {"temperature": 0.5})))["entropy"]
    assert found["entropy"]["mean"] == pytest.approx(0.1)
    assert found["entropy"]["by_turn"] == {"1": pytest.approx(0.1), "2": pytest.approx(0.1)}
    assert found["cross_entropy"]["tokens"] == 6
    alone = quality(opened(tmp_path / "..", line("a", {"temperature": 0.5})))["entropy"]
    assert alone["entropy"] is None


def test_answers_repeat_within_a_task_and_tasks_across(tmp_path: Path) -> None:
    words = [f"word{number}" for number in range(60)]

    def line(task: str, repeat: int, answer: str, prompt: str, right: str = "x") -> bytes:
        content = Task(id=task, prompt=prompt, answer=right)
        turns = [Turn(1.0, "stop", 0, 0, 0, 1, 2)]
        return rows.line_with(
            task, repeat, messages=[user(prompt), assistant(answer)], turns=turns, task=content,
            segments=[segment_of([1, 2], [(1, 2)], [-1.0])],
        )  # fmt: skip

    told = "Solve the task below and give the answer in a box at the end of the reply, please."
    long = " ".join(words)
    near = long.replace("word59", "other")
    lines = [
        *(line(f"t{number}", 0, f"answer {number}", f"{told} {number} times {number + 7}") for number in range(30)),
        line("u", 0, long, f"{told} {long}"),
        line("u", 1, long.upper(), f"{told} {long}"),
        line("u", 2, near, f"{told} {long}"),
        line("u", 3, "wholly different", f"{told} {long}"),
        line("v", 0, "a", f"{told} {near}"),
        line("game1", 0, "b", "Guess the word!", "crane"),
        line("game2", 0, "b", "Guess the word!", "slate"),
        line("copy", 0, "c", f"{told} 3 times 10"),
    ]
    found = quality(opened(tmp_path, *lines))
    assert found["answers"]["equal"]["rows"] == 1
    assert found["answers"]["near"]["rows"] == 2
    assert (found["answers"]["rows"], found["answers"]["groups"]) == (4, 1)
    tasks = found["tasks"]
    assert tasks["equal"]["tasks"] == 1
    assert sorted(tasks["equal"]["examples"][0]["tasks"]) == ["test/Say-v0/copy", "test/Say-v0/t3"]
    assert [example["tasks"] for example in tasks["near"]["examples"]] == [["test/Say-v0/u", "test/Say-v0/v"]]


def test_answers_are_counted_in_groups_of_any_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = [f"word{number}" for number in range(400)]
    answers = [" ".join(words[at % 50 * 8 : at % 50 * 8 + 8]) for at in range(100)]

    def line(task: str, repeat: int) -> bytes:
        return rows.line_with(task, repeat, messages=[user("say"), assistant(answers[repeat])])

    lines = [line(task, repeat) for task, size in (("a", 100), ("b", 60), ("c", 1)) for repeat in range(size)]
    data = opened(tmp_path, *lines)
    whole = repeated_answers(data)
    assert (whole["rows"], whole["equal"]["rows"], whole["near"]["rows"]) == (160, 60, 60)
    batches = data.batches
    monkeypatch.setattr(data, "batches", lambda query: (
        tuple(column[at : at + 7] for column in batch) for batch in batches(query) for at in range(0, len(batch[0]), 7)
    ))  # fmt: skip
    assert repeated_answers(data) == whole


def test_environments_are_told_apart(tmp_path: Path) -> None:
    found = quality(opened(tmp_path, rows.line("a"), rows.line_with("z", 0, 0.0, env_id="test/Other-v0")))
    assert {name: one["reward"]["mean"] for name, one in found["environments"].items()} == {
        "test/Other-v0": 0.0, "test/Say-v0": 1.0,
    }  # fmt: skip


def test_no_rows_are_no_error(tmp_path: Path) -> None:
    found = quality(opened(tmp_path))
    assert (found["rows"], found["pass_at_k"], found["reward"]["mean"]) == (0, [], None)
    assert found["groups"]["mixed"]["share"] is None


def test_rows_of_others_are_measured_too(tmp_path: Path) -> None:
    call = {"type": "function_call", "call_id": "1", "name": "", "arguments": "{bad"}
    said = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "no " * 30}]}
    row = {
        "responses_create_params": {"input": "2 + 2?"},
        "response": {"output": [call, said], "usage": {"input_tokens": 5, "output_tokens": 40}},
        "reward": 0.0, "_ng_task_index": 3, "_ng_rollout_index": 0, "agent_ref": {"name": "sums"},
    }  # fmt: skip
    path = tmp_path / "gym.jsonl"
    path.write_text(json.dumps(row) + "\n" + json.dumps({**row, "_ng_rollout_index": 1, "reward": 1.0}) + "\n")
    data = Dataset.open([path])
    measure(data)
    found = quality(data)
    assert (found["groups"]["mixed"]["groups"], found["answers"]["equal"]["rows"]) == (1, 1)
    assert (found["texts"]["malformed_calls"]["rows"], found["texts"]["looping"]["rows"]) == (2, 2)
    assert found["health"]["no_counts"]["rows"] == 0
