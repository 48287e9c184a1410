"""Where rows come from."""

from __future__ import annotations

import datetime
import importlib.util
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgym.errors import TaskError
from llmgym.messages import tool_call, user
from llmgym.tasks import HuggingFaceSource, JSONLSource, RowTasks, Task, TaskSet
from tests.tasks.files import all_tasks, write
from tests.tasks.values import OBJECTS

needs_datasets = pytest.mark.skipif(importlib.util.find_spec("datasets") is None, reason="needs datasets")


def deep(levels: int) -> str:
    return '{"prompt": "p", "x": ' + "[" * levels + "]" * levels + "}"


@given(st.lists(OBJECTS))
def test_rows_of_a_file_are_its_lines(tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]]) -> None:
    path = write(tmp_path_factory.mktemp("rows") / "t.jsonl", *rows)
    assert list(JSONLSource(path).rows()) == [(f"{path}:{n}", row) for n, row in enumerate(rows, 1)]


@pytest.mark.parametrize(
    ("line", "row"),
    [
        ('{"answer": 123456789012345678901234567890}', {"answer": 123456789012345678901234567890}),
        ('{"prompt": "cut \\ud83d"}', {"prompt": "cut \ufffd"}),
        ('\ufeff{"prompt": "p"}', {"prompt": "p"}),
        (' \t{"prompt": "p"} \r', {"prompt": "p"}),
        (deep(99), json.loads(deep(99))),
    ],
)
def test_odd_lines_are_read(tmp_path: Path, line: str, row: dict[str, Any]) -> None:
    assert [found for _, found in JSONLSource(write(tmp_path / "t.jsonl", line)).rows()] == [row]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "not JSON: Expecting property name enclosed in double quotes at column 2; each line is a row"),
        ('{"é": "é", x}', "not JSON: .* at column 12"),
        ('{"prompt": "p"', "not JSON: Expecting ',' delimiter at column 15"),
        ('{"prompt": "p"} x', "not JSON: Extra data at column 17"),
        ('{"é": NaN}', "not JSON: NaN at column 7; give a number, or null where there is none"),
        ('{"a": "NaN", "b": -Infinity}', "not JSON: -Infinity at column 19"),
        ('{"a": 1e400}', "the row has inf at a, which JSON cannot hold"),
        ('{"a": "\\ud800", "b": "\\"NaN", "c": NaN}', "not JSON: NaN at column 36; give"),
        ('{"a": "b', "not JSON: Unterminated string starting at column 7; each line is a row"),
        ("[1]", "a row is a JSON object, this is a list"),
        ('"text"', "a row is a JSON object, this is a str"),
        (deep(100), "the row has more than 100 levels: make it flatter, or give parts as text"),
        (deep(900), "the row has more than 100 levels"),
        (deep(20_000), "the row has more than 100 levels"),
        ("[" * 20_000, "the row has more than 100 levels"),
    ],
)
def test_bad_lines_are_named_and_the_others_read(tmp_path: Path, line: str, said: str) -> None:
    path = write(tmp_path / "t.jsonl", {"prompt": "a"}, "", line, {"prompt": "b"})
    (_, first), (place, bad), (_, last) = JSONLSource(path).rows()
    assert (first, last) == ({"prompt": "a"}, {"prompt": "b"})
    assert isinstance(bad, TaskError)
    assert str(bad).startswith(said.partition(".*")[0])
    assert place == f"{path}:3"
    with pytest.raises(TaskError, match=f"^{path}:3: {said}"):
        TaskSet.jsonl(path).size("train")


def test_a_line_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_bytes('{"prompt": "é"}'.encode("latin-1"))
    with pytest.raises(TaskError, match=r"t.jsonl:1: not JSON: no UTF-8 at column 13; save the file as UTF-8"):
        TaskSet.jsonl(path).size("train")


# --- Hugging Face -------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    if importlib.util.find_spec("datasets") is not None:
        import datasets

        datasets.disable_progress_bars()


def from_parquet(tmp_path: Path, rows: list[dict[str, Any]], **options: Any) -> RowTasks:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "rows.parquet"
    columns = {name for row in rows for name in row}
    rows = [{name: row.get(name) for name in columns} for row in rows]
    pq.write_table(pa.Table.from_pylist(rows), path)
    return TaskSet.huggingface(
        "parquet", data_files=str(path), splits=("train",), cache_dir=str(tmp_path / "cache"), **options
    )


TALK = [
    user("What is 2 + 2?"),
    {"role": "assistant", "content": None, "tool_calls": [tool_call("add", None, "c1", a=2, b=2)]},
    {"role": "tool", "content": "4", "tool_call_id": "c1"},
    user("And 3 more?"),
]
ARROW: dict[str, list[dict[str, Any]]] = {
    "ids that some rows lack": [{"id": "a", "prompt": "x"}, {"prompt": "y"}],
    "metadata that some rows lack": [{"prompt": "x", "metadata": {"a": 1}}, {"prompt": "y"}],
    "fields of metadata that some rows lack": [
        {"prompt": "x", "metadata": {"a": 1, "deep": [{"b": 1}]}}, {"prompt": "y", "metadata": {"deep": [{"c": 2}]}},
    ],
    "columns that some rows lack": [{"prompt": "x", "level": 1}, {"prompt": "y", "answer": "b"}],
    "messages in one, a prompt in the other": [{"prompt": "x"}, {"messages": TALK}],
    "messages with and without calls": [{"messages": TALK, "answer": "7"}, {"messages": TALK[:1], "answer": "4"}],
    "the same in `prompt`": [{"prompt": TALK, "answer": "7"}, {"prompt": TALK[:1], "answer": "4"}],
    "arguments as objects of different fields": [
        {"messages": [*TALK[:1], {"role": "assistant", "tool_calls": [
            {"function": {"name": "f", "arguments": arguments}}]}, user("u")]}
        for arguments in ({"a": 1}, {"b": "x"})
    ],
    "rows of NeMo Gym": [
        {"responses_create_params": {"input": TALK[:1], "tools": [
            {"type": "function", "name": "f", "parameters": {"properties": {name: {"type": "string"}}}}
        ]}, "expected_answer": "7", "verifier_metadata": {name: 1}}
        for name in ("city", "country")
    ],
}  # fmt: skip


@needs_datasets
@pytest.mark.parametrize("title", ARROW)
def test_parquet_gives_the_tasks_of_the_json_that_it_was_made_of(tmp_path: Path, title: str) -> None:
    rows = ARROW[title]
    expected = all_tasks(TaskSet.jsonl(write(tmp_path / "t.jsonl", *rows)))
    assert all_tasks(from_parquet(tmp_path, rows)) == expected


@needs_datasets
def test_a_column_that_is_null_is_there_for_a_function(tmp_path: Path) -> None:
    tasks = from_parquet(
        tmp_path,
        [{"question": "q", "hint": None}, {"question": "r", "hint": "h"}],
        row=lambda row: Task(prompt=row["question"], metadata={"hint": row["hint"]}),
    )
    assert {task.prompt: task.metadata["hint"] for task in all_tasks(tasks)["train"]} == {"q": None, "r": "h"}


@needs_datasets
def test_values_that_only_arrow_has_are_text_or_null(tmp_path: Path) -> None:
    row = {
        "prompt": "p",
        "day": datetime.date(2024, 1, 2),
        "when": datetime.datetime(2024, 1, 2, 3, 4, 5, tzinfo=datetime.UTC),
        "at": datetime.time(3, 4),
        "price": Decimal("1.50"),
        "score": float("nan"),
        "inside": {"days": [datetime.date(2024, 1, 2)]},
    }
    (task,) = all_tasks(from_parquet(tmp_path, [row]))["train"]
    assert task.metadata == {
        "day": "2024-01-02",
        "when": "2024-01-02T03:04:05+00:00",
        "at": "03:04:00",
        "price": "1.50",
        "inside": {"days": ["2024-01-02"]},
    }


@needs_datasets
def test_a_value_that_is_no_json_is_named_with_its_row(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match=r"^parquet/train:0: the metadata of a task has a bytes at image, .*give text"):
        from_parquet(tmp_path, [{"prompt": "p", "image": b"\x00"}]).size("train")


@needs_datasets
def test_splits_and_options_are_those_of_the_library(tmp_path: Path) -> None:
    train = write(tmp_path / "train.jsonl", {"id": 1, "prompt": "u", "answer": 1, "level": "x"})
    test = write(tmp_path / "test.jsonl", {"id": 2, "prompt": "v", "answer": 2, "level": "y"})
    options = {"data_files": {"train": str(train), "test": str(test)}, "cache_dir": str(tmp_path / "cache")}
    tasks = TaskSet.huggingface("json", **options)
    assert tasks.splits == ("train", "test")
    assert tasks.get("2") == Task(id="2", prompt="v", answer=2, metadata={"level": "y"})
    with pytest.raises(TaskError, match="cannot load split 'dev'"):
        TaskSet.huggingface("json", splits=["dev"], **options).size("dev")
    assert str(HuggingFaceSource("json", None, ("train",), options)) == "json"
