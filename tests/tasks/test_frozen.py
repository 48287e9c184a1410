"""The data of tasks as their sets hold it."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest
import yaml
from hypothesis import given

from llmgym.tasks import RowTasks, TaskSet, frozen
from llmgym.tasks.copies import lazy_value
from tests.tasks.files import write
from tests.tasks.test_copies import TREES, setting
from tests.tasks.values import OBJECTS

DICT: list[Callable[[Any], Any]] = [
    lambda x: setting(x, "a", 1), lambda x: x.pop("a"), lambda x: x.popitem(), lambda x: x.clear(),
    lambda x: x.update(a=1), lambda x: x.setdefault("b", 1), lambda x: x.__delitem__("a"), lambda x: x.__ior__({}),
]  # fmt: skip
LIST: list[Callable[[Any], Any]] = [
    lambda x: setting(x, 0, 1), lambda x: x.pop(), lambda x: x.append(1), lambda x: x.clear(), lambda x: x.extend([1]),
    lambda x: x.insert(0, 1), lambda x: x.remove(1), lambda x: x.sort(), lambda x: x.reverse(),
    lambda x: x.__delitem__(0), lambda x: x.__iadd__([1]), lambda x: x.__imul__(2), lambda x: setting(x, slice(0), [1]),
]  # fmt: skip


@pytest.mark.parametrize(("value", "changes"), [({"a": 1}, DICT), ([1], LIST)], ids=["dict", "list"])
def test_every_change_is_refused(value: Any, changes: list[Callable[[Any], Any]]) -> None:
    for change in changes:
        made = frozen(value)
        kind = type(value).__name__
        with pytest.raises(TypeError, match=f"this {kind} belongs to all episodes of its task: change a copy.deepcopy"):
            change(made)
        assert made == value


@given(TREES)
def test_it_is_the_same_to_all_that_reads(value: Any) -> None:
    made = frozen(value)
    assert made == value
    assert json.dumps(made) == json.dumps(value)
    assert orjson.loads(orjson.dumps(made)) == orjson.loads(orjson.dumps(value))
    assert msgspec.json.encode(made) == msgspec.json.encode(value)
    assert yaml.safe_dump(made) == yaml.safe_dump(value)


@given(OBJECTS)
def test_copies_of_it_are_plain(value: dict[str, Any]) -> None:
    def types(value: Any) -> set[type]:
        inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        return {type(value)}.union(*map(types, inside))

    made = frozen(value)
    for found in (copy.deepcopy(made), pickle.loads(pickle.dumps(made)), copy.deepcopy(lazy_value(made))):
        assert types(found) == types(value)


def test_a_set_of_rows_holds_its_tasks_so(tmp_path: Path) -> None:
    path = write(
        tmp_path / "t.jsonl", {"prompt": [{"role": "user", "content": "u"}], "answer": [1], "jobs": [{"n": 1}]}
    )
    (task,) = TaskSet.jsonl(path)._table.splits["train"]
    assert {type(part) for part in (task.prompt, task.answer, task.metadata)} == {type(frozen([])), type(frozen({}))}
    given = RowTasks(TaskSet.jsonl(path)._source).plan("train", 0, 0)
    given.metadata["jobs"][0]["n"] = 2
    given.prompt[0]["content"] = "changed"  # type: ignore[index, typeddict-item]
    assert task.metadata == {"jobs": [{"n": 1}]}
