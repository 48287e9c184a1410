"""Copies of databases that share what nobody has asked for."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgym.adapters.tau2.tables import changes, copied

BaseModel = pytest.importorskip("pydantic").BaseModel


class Row(BaseModel):
    numbers: list[float]


class Database(BaseModel):
    rows: dict[str, Row]
    day: list[int]


def text(database: Database) -> str:
    return json.dumps(database.model_dump(), sort_keys=True)


def made() -> Database:
    return Database(rows={key: Row(numbers=[1.0]) for key in "abc"}, day=[1])


KEYS = st.sampled_from("abcd")
ACTS = st.lists(
    st.tuples(st.sampled_from(["read", "append", "undo", "put", "delete", "day", "look"]), KEYS), max_size=8
)


def act(database: Database, name: str, key: str) -> Any:
    rows: Any = database.rows
    if name == "day":
        database.day.append(2)
    elif name == "look":
        return [row.numbers[0] for row in rows.values() if row.numbers]
    elif name == "put":
        rows[key] = Row(numbers=[5])
    elif key in rows:
        if name == "append":
            rows[key].numbers.append(2.0)
        elif name == "undo":
            rows[key].numbers[:] = [1.0]
        elif name == "delete":
            del rows[key]
        else:
            return rows[key].model_dump()
    return None


@given(ACTS, ACTS)
def test_a_copy_is_like_a_whole_one_and_leaves_its_origin_alone(first: list[Any], second: list[Any]) -> None:
    origin = made()
    copies, wholes = [copied(origin), copied(origin)], [made(), made()]
    for copy, whole, acts in zip(copies, wholes, (first, second), strict=True):
        for name, key in acts:
            assert act(copy, name, key) == act(whole, name, key)
        assert text(copy) == text(whole)
    assert text(origin) == text(made())
    told = [changes(copy, origin) for copy in copies]
    assert (told[0] == told[1]) == (text(wholes[0]) == text(wholes[1]))
