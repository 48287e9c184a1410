"""Rows come back from Parquet equal by value, keys and float bits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("pyarrow")

from llmgym.data.forms import parquet
from llmgym.data.problems import UnreadableError
from llmgym.records import dump_row, load_row
from llmgym.records.row import ROW_FIELDS
from llmgym.trajectory import Trajectory
from tests import records
from tests.data import rows

METRICS = ["accuracy", "num_turns", "strange"]


def back(path: Path, *lines: bytes) -> list[bytes]:
    assert parquet.write([line.rstrip(b"\n") for line in lines], path, METRICS) == len(lines)
    return list(parquet.read(path))


def identical(one: Any, other: Any) -> bool:
    """Equal to the type and the bit."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


@pytest.mark.slow
@given(st.lists(records.trajectories(), min_size=1, max_size=4))
def test_rows_come_back_as_they_were(tmp_path_factory: pytest.TempPathFactory, made: list[Trajectory]) -> None:
    lines = [dump_row(trajectory) for trajectory in made]
    found = back(tmp_path_factory.mktemp("parquet") / "x.parquet", *lines)
    for line, other, trajectory in zip(lines, found, made, strict=True):
        assert identical(json.loads(line), json.loads(other))
        records.check_equal(load_row(other), trajectory)


anything = records.json | st.floats() | st.sampled_from([1, 1.0, -0.0, 2**64, True, None, "NaN", [], {}])
fields = st.sampled_from(
    [
        "format",
        "reward",
        "seed",
        "id",
        "error",
        "segments",
        "accuracy",
        "num_turns",
        "output",
        "counts",
        "rest",
        "other",
    ]
)


@given(st.dictionaries(fields, anything | st.just(...), max_size=5))
def test_a_row_with_other_fields_comes_back_too(
    tmp_path_factory: pytest.TempPathFactory, other: dict[str, Any]
) -> None:
    line = rows.changed(rows.line("a", turns=2), **other)
    line = line.replace(b"NaN", b"null").replace(b"-Infinity", b"null").replace(b"Infinity", b"null")
    (found,) = back(tmp_path_factory.mktemp("parquet") / "x.parquet", line)
    assert identical(json.loads(line), json.loads(found))


ODD_SEGMENTS = [
    [],
    [{"ids": [], "sampled": [], "logprobs": ""}],
    [{"ids": [2**31], "sampled": [], "logprobs": ""}],
    [{"ids": [1], "sampled": [[0, 1]], "logprobs": "AADAfw=="}],  # NaN with a payload
    [{"ids": [1], "sampled": [[0, 1]], "logprobs": "AADAf=x"}],
    [{"ids": [1], "sampled": [[0, 1]], "logprobs": "AAA="}],
    [{"ids": [1], "sampled": [[0, 1]], "logprobs": "AADAfw==", "role": "title"}],
    [{"ids": [1.0], "sampled": [], "logprobs": ""}],
    None,
    "text",
]


def test_tokens_that_are_odd_come_back_as_they_were(tmp_path: Path) -> None:
    lines = [rows.changed(rows.line("a"), segments=segments) for segments in ODD_SEGMENTS]
    found = back(tmp_path / "x.parquet", *lines, rows.changed(rows.line("a"), segments=...))
    assert [json.loads(line).get("segments", ...) for line in found] == [*ODD_SEGMENTS, ...]


def test_columns_are_what_people_ask_for(tmp_path: Path) -> None:
    duckdb, datasets = pytest.importorskip("duckdb"), pytest.importorskip("datasets")
    path = tmp_path / "x.parquet"
    back(path, rows.line("a", turns=2), rows.line("b", 0, None), rows.line("c", metrics={"strange": float("nan")}))
    answer = duckdb.sql(
        f"select reward, accuracy, segments[1].ids[1:3], segments[1].sampled, segments[1].logprobs[1], "
        f"task->>'$.answer' from '{path}'"
    ).fetchall()
    assert answer[0] == (1.0, 1.0, [0, 1, 2], [[10, 13], [14, 17]], pytest.approx(-0.1), "a")
    assert [row[0] for row in answer] == [1.0, None, 1.0]
    loaded = datasets.load_dataset("parquet", data_files=str(path), split="train", cache_dir=str(tmp_path / "cache"))
    assert loaded[0]["output"][0]["type"] == "function_call"
    assert loaded[0]["segments"][0]["sampled"] == [[10, 13], [14, 17]]


def test_rows_as_our_writer_has_them_need_no_rest(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    back(tmp_path / "x.parquet", rows.line("a", turns=2), rows.line("b", policy="other", trainable=False))
    table = pq.read_table(tmp_path / "x.parquet")
    assert table["fields"].null_count == table["rest"].null_count == 2
    assert table["policy"].to_pylist() == ["", "other"]
    assert table["trainable"].to_pylist() == [True, False]


OPTIONAL = sorted(ROW_FIELDS - parquet.NEEDED)


def test_rows_that_lack_a_field_need_no_rest_either(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    lines = [rows.changed(rows.line("a", turns=2), **{name: ...}) for name in OPTIONAL]
    lines += [rows.changed(rows.line("b"), **dict.fromkeys(OPTIONAL, ...)), rows.line("c")]
    found = back(tmp_path / "x.parquet", *lines)
    assert [*map(json.loads, found)] == [*map(json.loads, lines)]
    table = pq.read_table(tmp_path / "x.parquet")
    assert table["fields"].null_count == table["rest"].null_count == len(lines)


def test_fields_that_are_null_come_back_as_null(tmp_path: Path) -> None:
    lines = [rows.changed(rows.line("a", turns=2), **{name: None}) for name in sorted(ROW_FIELDS)]
    assert [*map(json.loads, back(tmp_path / "x.parquet", *lines))] == [*map(json.loads, lines)]


def test_files_of_earlier_versions_lack_columns(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    row = rows.changed(rows.line("a"), played=..., branches=...)
    back(tmp_path / "x.parquet", row)
    pq.write_table(pq.read_table(tmp_path / "x.parquet").drop_columns(["played", "branches"]), tmp_path / "x.parquet")
    (found,) = parquet.read(tmp_path / "x.parquet")
    assert json.loads(found) == json.loads(row)


def test_whole_numbers_of_any_size_come_back(tmp_path: Path) -> None:
    lines = [rows.changed(rows.line("a"), **{name: 2**64}) for name in parquet.INTEGERS]
    found = back(tmp_path / "x.parquet", *lines)
    assert list(map(json.loads, found)) == list(map(json.loads, lines))


def test_files_of_others_are_refused(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"a": [1]}), tmp_path / "x.parquet")
    with pytest.raises(UnreadableError, match="it was not written by"):
        list(parquet.read(tmp_path / "x.parquet"))
    (tmp_path / "y.parquet").write_bytes(b"PAR1")
    with pytest.raises(UnreadableError, match=r"y\.parquet: "):
        list(parquet.read(tmp_path / "y.parquet"))


@pytest.mark.slow
def test_long_rows_are_held_few_at_once(tmp_path: Path) -> None:
    long = rows.changed(rows.line("a"), error="x" * 20_000_000)
    lines = [long if number % 3 else rows.line(f"t{number}") for number in range(12)]
    assert parquet.write([line.rstrip() for line in lines], tmp_path / "x.parquet", METRICS) == 12
    for line, found in zip(lines, parquet.read(tmp_path / "x.parquet"), strict=True):
        assert json.loads(line) == json.loads(found)
