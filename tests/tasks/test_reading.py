"""Rows against one another: ids, duplicates, splits, and all that is wrong with a file."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgym.errors import ConfigError, EnvironmentFailure, MissingExtraError, TaskError
from llmgym.tasks import Problem, RowTasks, Task, TaskSet, task_from_row, validate_rows
from tests.tasks.files import all_tasks, write
from tests.tasks.values import OBJECTS

HERE = "test_reading.py"


def ids(tasks: RowTasks) -> dict[str, list[str]]:
    return {split: [task.id for task in found] for split, found in all_tasks(tasks).items()}


# --- content and ids ----------------------------------------------------------------------------


def test_rows_that_differ_in_metadata_alone_are_different_tasks(tmp_path: Path) -> None:
    rows = [
        {"prompt": "Find the exit.", "maze": [1, 2]},
        {"prompt": "Find the exit.", "maze": [2, 1]},
        {"prompt": "Find the exit.", "maze": [2, 2], "split": "test"},
    ]
    tasks = TaskSet.jsonl(write(tmp_path / "t.jsonl", *rows), duplicates="refuse")
    assert {split: len(found) for split, found in all_tasks(tasks).items()} == {"train": 2, "test": 1}
    assert tasks.duplicates == 0


@given(st.lists(OBJECTS, min_size=1))
def test_every_row_is_a_task_with_an_id_of_its_own(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]]
) -> None:
    path = write(tmp_path_factory.mktemp("rows") / "t.jsonl", *({"prompt": "p", "metadata": row} for row in rows))
    tasks = TaskSet.jsonl(path)
    (found,) = all_tasks(tasks).values()
    assert len({task.id for task in found}) == len(rows)
    different = {json.dumps(row, sort_keys=True) for row in rows}
    assert tasks.duplicates == len(rows) - len(different)
    assert len({task.content_hash for task in found}) == len(different)
    assert len(all_tasks(TaskSet.jsonl(path, duplicates="drop"))["train"]) == len(different)


def test_plain_duplicates_are_kept_dropped_or_refused(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write(tmp_path / "t.jsonl", *({"prompt": p} for p in "abaa"))
    name = Task(prompt="a").content_hash
    kept = TaskSet.jsonl(path)
    with caplog.at_level(logging.WARNING):
        assert kept.size("train") == 4
        assert kept.size("train") == 4
    assert [record.message for record in caplog.records] == [
        f'{path}: 2 of 4 rows repeat another one, and are kept; duplicates="drop" leaves them out'
    ]
    assert kept.duplicates == 2
    assert set(ids(kept)["train"]) == {name, f"{name}-2", f"{name}-3", Task(prompt="b").content_hash}
    assert kept.get(f"{name}-3").prompt == "a"
    assert kept.get(f"{name}-3").content_hash == name
    dropped = TaskSet.jsonl(path, duplicates="drop")
    assert set(ids(dropped)["train"]) == {name, Task(prompt="b").content_hash}
    assert dropped.duplicates == 2
    with pytest.raises(TaskError, match=f"^{path}:3: the row repeats the one at {path}:1$"):
        TaskSet.jsonl(path, duplicates="refuse").size("train")
    with pytest.raises(ConfigError, match="duplicates must be one of keep, drop, refuse; it is 'yes'"):
        TaskSet.jsonl(path, duplicates="yes")  # type: ignore[arg-type]


def test_ids_that_rows_have_go_before_those_that_are_made(tmp_path: Path) -> None:
    name = Task(prompt="a").content_hash
    rows = [{"prompt": "a"}, {"prompt": "a"}, {"prompt": "b", "id": name}, {"prompt": "c", "id": f"{name}-2"}]
    tasks = TaskSet.jsonl(write(tmp_path / "t.jsonl", *rows))
    assert {task.id: task.prompt for task in all_tasks(tasks)["train"]} == {
        name: "b", f"{name}-2": "c", f"{name}-3": "a", f"{name}-4": "a",
    }  # fmt: skip


def test_equal_ids_that_rows_have_are_an_error_that_names_both(tmp_path: Path) -> None:
    path = write(tmp_path / "t.jsonl", {"prompt": "a", "id": 1}, {"prompt": "b"}, {"prompt": "c", "id": "1"})
    for duplicates in ("keep", "drop", "refuse"):
        with pytest.raises(TaskError, match=f"^{path}:3: the id '1' is that of {path}:1$"):
            TaskSet.jsonl(path, duplicates=duplicates).size("train")  # type: ignore[arg-type]


def test_a_whole_row_that_comes_twice_with_its_id_is_an_error_unless_dropped(tmp_path: Path) -> None:
    path = write(tmp_path / "t.jsonl", {"prompt": "a", "id": "x"}, {"prompt": "a", "id": "x"})
    with pytest.raises(TaskError, match="the id 'x' is that of"):
        TaskSet.jsonl(path).size("train")
    assert ids(TaskSet.jsonl(path, duplicates="drop")) == {"train": ["x"]}


def test_rows_of_one_content_with_ids_of_their_own_are_tasks_of_their_own(tmp_path: Path) -> None:
    path = write(tmp_path / "t.jsonl", {"prompt": "a", "id": "x"}, {"prompt": "a", "id": "y"}, {"prompt": "a"})
    kept = TaskSet.jsonl(path)
    assert set(ids(kept)["train"]) == {"x", "y", Task(prompt="a").content_hash}
    assert kept.duplicates == 2
    assert ids(TaskSet.jsonl(path, duplicates="drop")) == {"train": ["x"]}


def test_one_task_in_two_splits_is_an_error_unless_dropped_from_train(tmp_path: Path) -> None:
    rows = [{"prompt": p, "split": s} for p, s in [("a", "train"), ("b", "train"), ("a", "test"), ("a", "train")]]
    path = write(tmp_path / "t.jsonl", *rows)
    for duplicates in ("keep", "refuse"):
        said = f"^{path}:3: split 'test' repeats the task of split 'train' at {path}:1; .*leaves it out of 'train'$"
        with pytest.raises(TaskError, match=said):
            TaskSet.jsonl(path, duplicates=duplicates).size("train")  # type: ignore[arg-type]
    dropped = TaskSet.jsonl(path, duplicates="drop")
    assert {split: [task.prompt for task in found] for split, found in all_tasks(dropped).items()} == {
        "train": ["b"], "test": ["a"],
    }  # fmt: skip
    assert dropped.duplicates == 2
    late = write(tmp_path / "late.jsonl", *reversed(rows))
    found = all_tasks(TaskSet.jsonl(late, duplicates="drop"))
    assert {split: [task.prompt for task in tasks] for split, tasks in found.items()} == {"train": ["b"], "test": ["a"]}
    others = write(tmp_path / "o.jsonl", {"prompt": "a", "split": "dev"}, {"prompt": "a", "split": "test"})
    with pytest.raises(TaskError, match="leaves it out of 'test'"):
        TaskSet.jsonl(others).size("dev")
    assert list(all_tasks(TaskSet.jsonl(others, duplicates="drop"))) == ["dev"]


# --- readers of authors -------------------------------------------------------------------------


def read_broken(row: dict[str, Any]) -> Task:
    return Task(prompt=row["prompt"], answer=1 // 0)


def read_missing(row: dict[str, Any]) -> Task:
    return Task(prompt=row["question"])


def read_lookup(row: dict[str, Any]) -> Task:
    return Task(prompt={"x": 1}[row["prompt"] + "!"])  # type: ignore[arg-type]


def read_value(row: dict[str, Any]) -> Task:
    raise ValueError("level must be positive")


def read_dict(row: dict[str, Any]) -> Any:
    return row


def read_set(row: dict[str, Any]) -> Task:
    return Task(prompt=row["prompt"], answer={1})


def read_exit(row: dict[str, Any]) -> Task:
    raise SystemExit(7)


@pytest.mark.parametrize(
    ("reader", "said"),
    [
        (read_broken, rf"read_broken failed: ZeroDivisionError: .*, at .*{HERE}:\d+$"),
        (read_missing, rf"column 'question' is missing; there is prompt, at .*{HERE}:\d+ in read_missing$"),
        (read_lookup, rf"column 'p!' is missing; there is prompt, at .*{HERE}:\d+ in read_lookup$"),
        (read_value, rf"read_value failed: ValueError: level must be positive, at .*{HERE}:\d+$"),
        (read_dict, rf"read_dict: it gave {{'prompt': 'p'}}, which is not a Task, at .*{HERE}:\d+$"),
        (read_set, rf"read_set: the answer of a task is a set, which JSON cannot hold: .*, at .*{HERE}:\d+$"),
        (read_exit, rf"read_exit failed: it called sys.exit\(7\), at .*{HERE}:\d+$"),
    ],
)
def test_a_reader_that_fails_is_named_with_its_place(tmp_path: Path, reader: Any, said: str) -> None:
    path = write(tmp_path / "t.jsonl", {"prompt": "p"})
    with pytest.raises(TaskError, match=f"^{path}:1: {said}") as caught:
        TaskSet.jsonl(path, row=reader).size("train")
    assert "\n" not in str(caught.value)


def test_what_a_reader_needs_is_not_called_a_bad_row(tmp_path: Path) -> None:
    path = write(tmp_path / "t.jsonl", {"prompt": "p"})
    for error in (MissingExtraError("reading", "data"), EnvironmentFailure("the index is down")):

        def reader(row: dict[str, Any], error: Exception = error) -> Task:
            raise error

        with pytest.raises(type(error), match=r"^(reading needs|the index is down)"):
            TaskSet.jsonl(path, row=reader).size("train")


def test_a_source_that_fails_is_named() -> None:
    class Source:
        def rows(self) -> Iterator[tuple[str, dict[str, Any]]]:
            yield "first", {"prompt": "p"}
            raise OSError("the disk is gone")

        def __str__(self) -> str:
            return "my source"

    with pytest.raises(TaskError, match=rf"^my source cannot be read: OSError: the disk is gone, at .*{HERE}:\d+$"):
        RowTasks(Source()).size("train")


def test_a_row_is_not_changed() -> None:
    row = {"prompt": "p", "split": "test", "level": 1}

    class Source:
        def rows(self) -> Iterator[tuple[str, dict[str, Any]]]:
            yield "row", row

    def read(columns: dict[str, Any]) -> Task:
        assert "split" not in columns
        return task_from_row(columns)

    assert RowTasks(Source(), read).splits == ("test",)
    assert row == {"prompt": "p", "split": "test", "level": 1}


# --- all problems -------------------------------------------------------------------------------

BAD: list[tuple[Any, str]] = [
    ("{", "not JSON"),
    ("[1]", "a row is a JSON object"),
    ({"answer": 3}, "needs either `prompt` or `messages`"),
    ({"prompt": "p", "id": True}, "the id of a task is True"),
    ({"prompt": "p", "split": 3}, "a split is named by text, this one is 3"),
    ({"prompt": "p", "metadata": [1]}, r"`metadata` is an object"),
    ({"prompt": "p", "id": "first"}, "the id 'first' is that of .*:1"),
    ({"prompt": "first", "split": "test"}, "split 'test' repeats the task of split 'train' at .*:1"),
    ({"messages": [{"role": "robot"}]}, "message 0 has the role 'robot'"),
]


def test_every_bad_row_is_named(tmp_path: Path) -> None:
    good = [{"prompt": f"good {n}"} for n in range(len(BAD))]
    rows = [{"prompt": "first", "id": "first"}]
    for fine, (bad, _) in zip(good, BAD, strict=True):
        rows += [fine, bad]
    path = write(tmp_path / "t.jsonl", *rows)
    problems = list(validate_rows(path))
    assert [problem.place for problem in problems] == [f"{path}:{2 * n + 3}" for n in range(len(BAD))]
    for problem, (_, said) in zip(problems, BAD, strict=True):
        assert problem == Problem(problem.place, problem.reason)
        with pytest.raises(TaskError, match=said):
            raise TaskError(problem.reason)
    assert str(problems[0]).startswith(f"{path}:3: not JSON")
    # The first is what loading stops at.
    with pytest.raises(TaskError) as caught:
        TaskSet.jsonl(path).size("train")
    assert str(caught.value) == str(problems[0])


@given(
    st.lists(st.sampled_from([{"prompt": "a"}, {"prompt": "b", "split": "test"}, {"prompt": "a", "id": "x"}, "[]", {}]))
)
def test_a_file_without_problems_is_one_that_loads(tmp_path_factory: pytest.TempPathFactory, rows: list[Any]) -> None:
    path = write(tmp_path_factory.mktemp("rows") / "t.jsonl", *rows)
    problems = list(validate_rows(path))
    try:
        loaded = TaskSet.jsonl(path).splits != ()
    except TaskError:
        loaded = False
    assert loaded == (problems == [])


def test_readers_and_choices_count_for_problems(tmp_path: Path) -> None:
    path = write(tmp_path / "t.jsonl", {"question": "q"}, {"question": "q"}, {"question": 3})

    def read(row: dict[str, Any]) -> Task:
        return Task(prompt=row["question"])

    assert [problem.place for problem in validate_rows(path, read)] == [f"{path}:3"]
    assert [problem.place for problem in validate_rows(str(path), read, duplicates="refuse")] == [
        f"{path}:2",
        f"{path}:3",
    ]
    assert len(list(validate_rows(path))) == 3


def test_a_file_without_rows_or_absent_has_problems_too(tmp_path: Path) -> None:
    path = write(tmp_path / "t.jsonl", "", "  ")
    assert list(validate_rows(path)) == [Problem(str(path), "there are no rows")]
    with pytest.raises(TaskError, match=r"cannot read tasks: .*absent"):
        list(validate_rows(tmp_path / "absent.jsonl"))
