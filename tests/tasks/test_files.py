"""Files of rows, told apart by their names."""

from __future__ import annotations

import csv
import importlib.util
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llmgym.errors import MissingExtraError, TaskError
from llmgym.messages import tool_call, user
from llmgym.tasks import RowTasks, Task, file_source, validate_rows
from tests.environments import Adder
from tests.tasks.files import all_tasks, write

needs_arrow = pytest.mark.skipif(importlib.util.find_spec("pyarrow") is None, reason="needs pyarrow")
TALK = [user("2 + 2?"), {"role": "assistant", "tool_calls": [tool_call("add", None, "c1", a=2)]}, user("And 3 more?")]
ROWS: list[dict[str, Any]] = [
    {"id": "a", "prompt": "x", "answer": "1", "metadata": {"level": 1}},
    {"messages": TALK, "answer": "7", "split": "test"},
    {"prompt": "x", "answer": "1"},
    {"prompt": "x", "answer": "1"},
]


def tasks_of(path: Path) -> dict[str, list[Task]]:
    tasks = RowTasks(pickle.loads(pickle.dumps(file_source(path))))
    assert tasks.duplicates == (1 if path.suffix != ".csv" else 0)
    return all_tasks(tasks)


def as_json(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text(json.dumps(rows, indent=1))


def as_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    write(path, *rows)


def as_parquet(path: Path, rows: list[dict[str, Any]]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pylist(filled(rows)), path)


def as_arrow_file(path: Path, rows: list[dict[str, Any]]) -> None:
    import pyarrow as pa

    table = pa.Table.from_pylist(filled(rows))
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=2)


def as_arrow_stream(path: Path, rows: list[dict[str, Any]]) -> None:
    import pyarrow as pa

    table = pa.Table.from_pylist(filled(rows))
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)


def filled(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    columns = {name for row in rows for name in row}
    return [{name: row.get(name) for name in columns} for row in rows]


FORMS: list[Any] = [
    pytest.param("t.json", as_json, id="a JSON list"),
    pytest.param("t.json", as_lines, id="JSON lines by the name of JSON"),
    pytest.param("t.ndjson", as_lines, id="JSON lines"),
    pytest.param("t.Parquet", as_parquet, id="Parquet", marks=needs_arrow),
    pytest.param("t.arrow", as_arrow_file, id="an Arrow file", marks=needs_arrow),
    pytest.param("t.arrow", as_arrow_stream, id="an Arrow stream", marks=needs_arrow),
]


@pytest.mark.parametrize(("name", "keep"), FORMS)
def test_all_forms_of_the_same_rows_are_the_same_tasks(
    tmp_path: Path, name: str, keep: Callable[[Path, list[dict[str, Any]]], None]
) -> None:
    keep(tmp_path / name, ROWS)
    expected = tasks_of(write(tmp_path / "t.jsonl", *ROWS))
    assert tasks_of(tmp_path / name) == expected
    env = Adder(tasks=str(tmp_path / name))
    assert {task.id for task in all_tasks(env.tasks)["train"]} == {task.id for task in expected["train"]}  # type: ignore[arg-type]


@pytest.mark.parametrize(("name", "keep"), FORMS)
def test_a_bad_row_is_named_by_its_number(
    tmp_path: Path, name: str, keep: Callable[[Path, list[dict[str, Any]]], None]
) -> None:
    path = tmp_path / name
    keep(path, [{"prompt": "a"}, {"answer": "b"}, {"prompt": "c"}, {"prompt": "d", "split": "test", "id": ""}])
    (problem,) = validate_rows(path)
    assert problem.place == (f"{path}:2" if keep is as_lines else f"{path}, row 2")
    assert problem.reason.startswith("a row needs either `prompt` or `messages`")
    with pytest.raises(TaskError) as caught:
        RowTasks(file_source(path)).size("train")
    assert str(caught.value) == str(problem)


def test_a_json_file_that_is_no_list_of_objects(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    path.write_text('[{"prompt": "a"}, 3]')
    assert [str(problem) for problem in validate_rows(path)] == [f"{path}, row 2: a row is a JSON object, this is 3"]
    path.write_text('{\n "data": []\n}')
    (problem,) = validate_rows(path)
    assert str(problem).startswith(f"{path}, row 1: a row needs either `prompt`")
    path.write_text("[]")
    assert [str(problem) for problem in validate_rows(path)] == [f"{path}: there are no rows"]
    for text, said in (
        ('[{"prompt": "a"}, {', "not JSON: Expecting property name enclosed in double quotes at column 20"),
        ('[{"prompt": NaN}]', "not JSON: NaN at column 13; give a number, or null where there is none"),
        ('[\n {"prompt": "NaN"},\n {"é": -Infinity}\n]', "not JSON: -Infinity at line 3, column 8; give a number"),
        ("[\n {]", "not JSON: Expecting property name enclosed in double quotes at line 2, column 3"),
        ("[" * 20_000, "the file has more than 100 levels"),
    ):
        path.write_text(text)
        with pytest.raises(TaskError, match=rf"^{path}: {said}"):
            list(validate_rows(path))
    path.write_text('[{"prompt": "cut \\ud83d"}]')
    assert [row for _, row in file_source(path).rows()] == [{"prompt": "cut \ufffd"}]


def test_cells_of_csv_are_text_and_empty_ones_null(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    with path.open("w", newline="", encoding="utf-8-sig") as file:
        csv.writer(file).writerows(
            [["id", "prompt", "answer", "split"], ["7", "two\nlines, é", "007", ""], ["", "x" * 200_000, "", "test"]]
        )
    assert tasks_of(path) == {
        "train": [Task(id="7", prompt="two\nlines, é", answer="007")],
        "test": [Task(id=Task(prompt="x" * 200_000).content_hash, prompt="x" * 200_000)],
    }
    path.write_text("prompt,answer\na,1\nb,1,2\nc\n")
    assert [str(problem) for problem in validate_rows(path)] == [
        f"{path}:3: it has more cells than there are columns: 2; quote commas"
    ]
    path.write_text("prompt,answer,answer\na,1,2\n")
    with pytest.raises(TaskError, match=rf"^{path}:1: the column 'answer' comes twice"):
        list(validate_rows(path))
    path.write_text('prompt\n"a\n')
    with pytest.raises(TaskError, match=rf"^{path}:1: not CSV: unexpected end of data"):
        list(validate_rows(path))
    path.write_bytes(b"prompt\n\xff\n")
    with pytest.raises(TaskError, match=r"t.csv is not UTF-8, .*: save the file as UTF-8"):
        list(validate_rows(path))


@pytest.mark.parametrize("name", ["t.json", "t.csv", "t.jsonl", pytest.param("t.parquet", marks=needs_arrow)])
def test_a_file_that_is_not_there_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(TaskError, match=rf"cannot read tasks.*{name}"):
        list(validate_rows(tmp_path / name))


@needs_arrow
@pytest.mark.parametrize("name", ["t.parquet", "t.arrow"])
def test_a_file_of_another_kind_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text('{"prompt": "p"}\n')
    with pytest.raises(TaskError, match=rf"^cannot read tasks of .*{name}: "):
        list(validate_rows(tmp_path / name))


def test_what_arrow_needs_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r"the file .*t.parquet needs .*llmgym\[data\]"):
        list(validate_rows(tmp_path / "t.parquet"))
