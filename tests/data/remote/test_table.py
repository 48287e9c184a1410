from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("pyarrow")

import pyarrow.parquet as pq

from llmgym.data.remote.table import as_parquet
from llmgym.errors import ConfigError

texts = st.text(st.characters(blacklist_categories=["Cs"]))
scalars = (
    st.none() | st.booleans() | st.integers(-(2**80), 2**80) | st.floats(allow_nan=False, allow_infinity=False) | texts
)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3))


def back(rows: list[dict[str, Any]], folder: Path) -> list[dict[str, Any]]:
    (folder / "x.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    as_parquet(folder / "x.jsonl", folder / "x.parquet")
    table = pq.read_table(folder / "x.parquet")
    columns = {}
    for field, column in zip(table.schema, table.columns, strict=True):
        found = column.to_pylist()
        nested = getattr(field.type, "extension_name", "") == "arrow.json"
        columns[field.name] = [json.loads(v) if nested and v is not None else v for v in found]
    return [{name: column[at] for name, column in columns.items()} for at in range(table.num_rows)]


@given(st.lists(st.dictionaries(st.sampled_from(["a", "b", "A", "c d"]), values, min_size=1), min_size=1, max_size=5))
def test_values_come_back(rows: list[dict[str, Any]]) -> None:
    names = {name for row in rows for name in row}
    with TemporaryDirectory() as folder:
        assert back(rows, Path(folder)) == [{name: row.get(name) for name in names} for row in rows]


def test_lines_that_are_no_rows_are_named(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text('{"a": 1}\n[]\n')
    with pytest.raises(ConfigError, match=r"x\.jsonl:2: no JSON object"):
        as_parquet(tmp_path / "x.jsonl", tmp_path / "x.parquet")
