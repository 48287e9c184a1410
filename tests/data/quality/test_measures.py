from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("duckdb")
pytest.importorskip("rensa")

from llmgym.chat import Usage
from llmgym.data import BadRowsError, Dataset
from llmgym.data.quality.excerpts import excerpt
from llmgym.data.quality.measures import is_entropy, measured_files
from llmgym.data.quality.report import asks_for_measures, measure
from llmgym.data.scalars import MEASURED
from llmgym.data.shapes import rollouts
from llmgym.messages import assistant, tool_call, user
from llmgym.records import dump_row
from llmgym.trajectory import Turn, segment_of
from tests.data import rows


def measured(path: Path, *lines: bytes) -> dict[str, Any]:
    """The measures of the first row."""
    run = rows.run_of(path / "run", lines)
    data = Dataset.open([run])
    measure(data)
    (found,) = data.query(f"select {', '.join(MEASURED)} from rows order by line limit 1")
    return dict(zip(MEASURED, found, strict=True))


def said(*texts: Any, finish: str = "stop", **more: Any) -> bytes:
    """A row of an episode in which the policy says so."""
    replies = [assistant(text) if isinstance(text, str) else text for text in texts]
    turns = [Turn(0.0, finish, 0.1, 0.1) for _ in replies]  # type: ignore[arg-type]
    fields = {"messages": [user("hi"), *replies], "opening": 1, "turns": turns, "segments": [], **more}
    return rows.line_with(**fields)


LOOP = "so " + "again and " * 30
CALL = assistant("", {**tool_call("look", at=1), "id": "1"})
BROKEN: Any = {"type": "function", "id": "2", "function": {"name": "", "arguments": "{bad"}}
LISTED: Any = {"type": "function", "id": "3", "function": {"name": "look", "arguments": "[1]"}}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (rows.line("a", turns=3), {"num_calls": 2, "num_malformed_calls": 0, "num_hollow": 0, "tail_repeat": 0,
                                   "no_counts": False, "capture_mismatch": None, "turn_tokens": [3, 3, 3],
                                   "is_entropy": True, "refusal": False, "unreadable": None}),
        (said("one", "three"), {"num_chars": 8, "no_counts": True, "mean_logprob": None, "is_entropy": None}),
        (said("x", usage={"agent": Usage(5, 5)}), {"no_counts": False}),
        (said("", " \n", CALL, "x"), {"num_hollow": 2, "num_calls": 1}),
        (said(assistant("", BROKEN, LISTED)), {"num_calls": 2, "num_malformed_calls": 2}),
        (said("no", LOOP), {"tail_repeat": 58, "runaway": False, "num_cut_off": 0}),
        (said("no", LOOP, finish="length"), {"runaway": True, "num_cut_off": 2}),
        (said("I'm sorry, but I can't help with that."), {"refusal": True}),
        (said("I can't help with that.", "Or so: 4."), {"refusal": False}),
        (said("x", tool_errors={"ToolError": 2}), {"tool_error_kinds": {"ToolError": 2}}),
        (said("x", turns=[]), {"capture_mismatch": None}),
        (said("x", turns=[Turn(0.0, "stop", 0.1, 0.1)] * 2), {"capture_mismatch": "2 turns, 1 assistant messages"}),
        (said("x", turns=[Turn(0.0, "stop", 0.1, 0.1, 0, 1, 4)], segments=[segment_of(range(4), [(2, 4)], [0, 0])]),
         {"capture_mismatch": "turn 0: its tokens are not those that segment 0 has as sampled"}),
    ],
)  # fmt: skip
def test_a_row_has_what_its_texts_and_tokens_say(tmp_path: Path, line: bytes, expected: dict[str, Any]) -> None:
    found = measured(tmp_path, line)
    assert {name: found[name] for name in expected} == expected


def test_log_probabilities_are_told_by_turn(tmp_path: Path) -> None:
    segment = segment_of(range(9), [(2, 5), (5, 6), (7, 9)], [-1, -2, -3, -4, -5, -6])
    turns = [Turn(0.0, "stop", 0.1, 0.1, 0, 2, 4), Turn(0.0, "stop", 0.1, 0.1, 0, 7, 9), Turn(0.0, "stop", 0.1, 0.1)]
    found = measured(tmp_path, said("a", "b", "", turns=turns, segments=[segment]))
    assert (found["mean_logprob"], found["min_logprob"]) == (-3.5, -6.0)
    assert (found["turn_tokens"], found["turn_logprobs"]) == ([2, 2, 0], [-3.0, -11.0, 0.0])


def test_log_probabilities_that_are_missing_are_told(tmp_path: Path) -> None:
    row = json.loads(rows.line("a"))
    row["segments"][0]["logprobs"] = ""
    found = measured(tmp_path, json.dumps(row).encode() + b"\n")
    assert found["capture_mismatch"] == "segment 0: 3 sampled tokens, 0 log-probabilities"
    assert found["mean_logprob"] is None


@pytest.mark.parametrize(
    ("sampling", "allowed"),
    [
        ({}, True),
        ({"temperature": 1, "top_p": 1.0, "logprobs_mode": "raw"}, True),
        ({"temperature": 0.7, "logprobs_mode": "raw"}, False),
        ({"top_p": 0.9}, False),
        ({"min_p": 0.1}, False),
        ({"temperature": 0.7, "logprobs_mode": "processed"}, True),
        ({"temperature": 0.7, "top_k": 5, "logprobs_mode": "processed_logprobs"}, True),
    ],
)
def test_entropy_is_a_word_for_what_was_sampled_from(sampling: dict[str, Any], allowed: bool) -> None:
    assert is_entropy(sampling) is allowed


def test_what_is_read_narrowly_is_what_the_trajectory_says() -> None:
    made = rows.episode("a", turns=3, tool_errors={"x": 1}, usage={"agent": Usage(1, 2)})
    found = excerpt(rollouts, dump_row(made), "a row")
    assert [*found.opening, *found.rest] == made.messages
    assert found.prompt == "say a"
    assert [(turn.start, turn.end) for turn in found.turns] == [(turn.start, turn.end) for turn in made.turns]
    assert np.array_equal(found.segments[0].logprobs, made.segments[0].logprobs[made.segments[0].sampled])
    assert (dict(found.tool_errors), dict(found.usage)) == ({"x": 1}, {"agent": Usage(1, 2)})


def test_measures_are_kept_and_made_for_what_is_new(tmp_path: Path) -> None:
    run = rows.run_of(tmp_path / "run", [rows.line("a"), rows.line("b")])
    (first,) = measured_files(Dataset.open([run]).indexes[0])
    made = Path(first).stat().st_mtime_ns
    with (run / "rollouts.jsonl").open("ab") as file:
        file.write(rows.line("c", turns=2))
    data = Dataset.open([run])
    measure(data)
    assert data.query("select task_id, num_calls from rows order by line") == [("a", 0), ("b", 0), ("c", 1)]
    assert Path(first).stat().st_mtime_ns == made
    rows.run_of(run, [rows.line("d", turns=3)])
    data = Dataset.open([run])
    measure(data)
    assert data.query("select task_id, num_calls from rows") == [("d", 2)]
    assert not Path(first).exists()


def test_a_row_whose_texts_are_none_is_an_error_or_left_unmeasured(tmp_path: Path) -> None:
    bad = rows.changed(rows.line("b"), output=[{"type": "message", "role": "assistant", "content": 3}])
    run = rows.run_of(tmp_path / "run", [rows.line("a"), bad])
    with pytest.raises(BadRowsError, match=r"rollouts.jsonl:2: .*not a rollout"):
        measure(Dataset.open([run]))
    data = Dataset.open([run])
    measure(data, skip_bad=True)
    assert data.query("select num_chars, unreadable is null from rows order by line") == [(3, True), (None, False)]
    assert [problem.line for problem in data.problems] == [2]


def test_conditions_that_need_measures_are_known() -> None:
    assert asks_for_measures("reward > 0 and TAIL_REPEAT < 20")
    assert asks_for_measures("refusal")
    assert not asks_for_measures("reward > 0 and my_refusals = 1")
