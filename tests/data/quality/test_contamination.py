from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("duckdb")
pytest.importorskip("rensa")

from llmgym.data import Dataset
from llmgym.data.quality.contamination import Hit, Reference, contamination
from llmgym.data.quality.report import measure
from llmgym.errors import ConfigError, TaskError
from llmgym.messages import assistant, user
from tests.data import rows

TOLD = "Solve the task below, and give only the final answer in a box at the end."
SECRET = "A train leaves Ulm at nine and meets a slower one near Augsburg at noon; how fast is it?"


def reference(folder: Path, *found: Any) -> Reference:
    path = folder / "test.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in found))
    return Reference(path)


def line(task: str, repeat: int, prompt: str, answer: str) -> bytes:
    return rows.line_with(task, repeat, messages=[user(f"{TOLD} {prompt}"), assistant(answer)])


def hits(folder: Path, against: Reference, *lines: bytes) -> list[Hit]:
    data = Dataset.open([rows.run_of(folder / "run", lines)])
    measure(data)
    return contamination(data, against)


def others(number: int) -> list[bytes]:
    return [line(f"t{at}", 0, f"What is {at} plus {at + 3}?", f"It is {2 * at + 3}.") for at in range(number)]


def test_what_tasks_share_with_a_set_is_found_with_its_text(tmp_path: Path) -> None:
    against = reference(
        tmp_path, {"question": f"{TOLD} What is one plus one?"}, {"turns": [{"content": SECRET.upper()}]}
    )
    bad = [line("bad", repeat, SECRET, "It is 80 km/h.") for repeat in range(2)]
    found = hits(tmp_path, against, *others(30), *bad)
    assert [(hit.row, hit.task, hit.where, hit.reference) for hit in found] == [
        (f"{tmp_path / 'run' / 'rollouts.jsonl'}:31", "test/Say-v0/bad", "prompt", f"{tmp_path / 'test.jsonl'}:2"),
    ]
    assert found[0].text == "a train leaves ulm at nine and meets"
    assert found[0].runs == 14


def test_an_answer_that_knows_the_set_is_found(tmp_path: Path) -> None:
    against = reference(tmp_path, {"prompt": "Which?", "answer": SECRET})
    told = line("told", 0, SECRET, f"You ask: {SECRET}")
    knows = [line("knows", 0, "Which?", "No."), line("knows", 1, "Which?", f"I know: {SECRET}")]
    found = hits(tmp_path, against, *others(30), told, *knows)
    assert [(hit.task, hit.where) for hit in found] == [
        ("test/Say-v0/told", "prompt"), ("test/Say-v0/knows", "answer"),
    ]  # fmt: skip
    assert found[1].row.endswith(":33")


def test_what_many_tasks_are_worded_with_does_not_count(tmp_path: Path) -> None:
    against = reference(tmp_path, {"prompt": f"{TOLD} What is 700 plus 9?", "note": "so the final answer of all is it"})
    answered = [line(f"t{at}", 0, f"{at}?", f"So the final answer of all is it {at}") for at in range(30)]
    assert hits(tmp_path, against, *answered) == []
    assert [hit.where for hit in hits(tmp_path / "..", against, answered[0])] == ["prompt", "answer"]


def test_a_set_that_says_nothing_or_is_none_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no text of 8 words or more; --run-length takes a shorter run"):
        reference(tmp_path, {"prompt": "too short"})
    (tmp_path / "bad.jsonl").write_text("{\n")
    with pytest.raises(TaskError, match=r"bad.jsonl:1: not JSON"):
        Reference(tmp_path / "bad.jsonl")
    with pytest.raises(TaskError, match="cannot read tasks"):
        Reference(tmp_path / "none.jsonl")
