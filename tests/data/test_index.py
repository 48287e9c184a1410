"""Every trap of a line, by its number, kind and reason, and an index that stays true while its file changes."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("duckdb")

from llmgym.data import Dataset
from llmgym.data.index import Index
from llmgym.data.problems import UnreadableError
from tests.data import rows
from tests.rollouts import ROOT


def written(path: Path, *lines: bytes) -> Path:
    path.write_bytes(b"".join(lines))
    return path


def found(path: Path) -> list[tuple[int, str, str]]:
    return [(problem.line, problem.kind, problem.reason) for problem in Index.of(path).problems]


GOOD = rows.line("a")
NAN = GOOD.replace(b'"reward":1.0', b'"reward":NaN', 1)
TRAPS: dict[str, tuple[bytes, str]] = {
    "NaN": (NAN, f"not JSON: NaN at column {NAN.index(b'NaN') + 1}; give a number, or null where there is none"),
    "wrong type": (rows.changed(GOOD, reward="x"), "Expected `float | null`, got `str` - at `reward`"),
    "missing field": (rows.changed(GOOD, env_id=...), "missing required field `env_id`"),
    "no JSON": (GOOD[:100] + b"\n", "not JSON: Unterminated string starting at column 94; each"),
    "no object": (b"[1, 2]\n", "Expected `object`, got `array`"),
    "another format": (rows.changed(GOOD, format=2), "a row of format 2; this version of llmgym reads format 1"),
    "lone surrogate": (GOOD.replace(b"say a", b"say \\ud800"), "half of a character (a lone surrogate) at column"),
    "lone surrogate, the other half": (GOOD.replace(b"say a", b"say \\uDC00"), "half of a character"),
    "no UTF-8": (GOOD.replace(b"say a", b"say \xff"), "it is not UTF-8, at column"),
    "nested": (GOOD.replace(b'"metadata":{', b'"metadata":{"x":' + b"[" * 20000 + b"]" * 20000 + b",", 1), "recursion"),
    "two in a line": (GOOD.rstrip() + GOOD, "not JSON: Extra data at column"),
}


@pytest.mark.parametrize("name", TRAPS)
def test_a_line_that_is_no_row_is_named_with_its_reason(tmp_path: Path, name: str) -> None:
    bad, reason = TRAPS[name]
    path = written(tmp_path / "rollouts.jsonl", rows.line("b"), b"\n", bad, rows.line("c"))
    ((line, kind, said),) = found(path)
    assert (line, kind) == (3, "invalid")
    assert reason in said
    assert Index.of(path).meta.rows == 2


FINE: dict[str, bytes] = {
    "2^64": rows.changed(GOOD, seed=2**64, strange=2**70),
    "unknown field": rows.changed(GOOD, later={"a": None}),
    "pair of surrogates": GOOD.replace(b"say a", b"say \\ud83d\\ude00"),
    "escaped backslash": GOOD.replace(b"say a", b"say \\\\ud800"),
    "letters": GOOD.replace(b"say a", "say ü".encode()),
    "CRLF": GOOD.rstrip() + b"\r\n",
    "BOM": b"\xef\xbb\xbf" + GOOD,
    "no line end": GOOD.rstrip(),
    "20 MB": rows.changed(GOOD, error="x" * 20_000_000),
    "duplicate key": GOOD.replace(b'"reward":1.0', b'"reward":0.5,"reward":1.0', 1),
    "NUL": GOOD.replace(b"say a", b"say \\u0000"),
}


@pytest.mark.parametrize("name", FINE)
def test_a_line_that_is_odd_and_a_row_is_read(tmp_path: Path, name: str) -> None:
    path = written(tmp_path / "rollouts.jsonl", FINE[name])
    data = Dataset.open([path])
    assert data.query("select id, reward from rows") == [("test/Say-v0/a/0", 1.0)]
    assert [t.id for t in data.trajectories(data.select())] == ["test/Say-v0/a/0"]


def test_a_torn_line_is_told_and_read_when_it_is_whole(tmp_path: Path) -> None:
    one, two = rows.line("a"), rows.line("b")
    path = written(tmp_path / "rollouts.jsonl", one, two[:50])
    assert found(path) == [(2, "torn", "it ends without a line end: it is torn, or still being written")]
    assert Index.of(path).meta.rows == 1
    written(path, one, two)
    assert found(path) == []
    assert Index.of(path).meta.rows == 2


def test_blank_lines_count_as_lines_and_hold_no_row(tmp_path: Path) -> None:
    path = written(tmp_path / "rollouts.jsonl", b"\n", rows.line("a"), b"  \r\n\n")
    assert Dataset.open([path]).query("select id, line from rows") == [("test/Say-v0/a/0", 2)]
    with path.open("ab") as file:
        file.write(b"\n" + rows.line("b") + b"nothing\n")
    data = Dataset.open([path], skip_bad=True)
    assert data.query("select line from rows order by line") == [(2,), (6,)]
    assert [problem.line for problem in data.problems] == [7]


def test_a_metric_that_comes_late_or_is_no_number_has_its_column(tmp_path: Path) -> None:
    named = {
        "late": 0.5,
        "Reward": 2.0,
        "end": 1.0,
        'a"b': 3.0,
        "": 4.0,
        "x\x00": 5.0,
        "nan": float("nan"),
        "inf": 1e400,
    }
    path = written(tmp_path / "rollouts.jsonl", rows.line("a"), rows.line("b", metrics=named))
    data = Dataset.open([path])
    (first, second) = data.query(
        'select late, metric_Reward, "end", "a""b", metric_, x_, nan, inf from rows order by line'
    )
    assert first == (None,) * 8
    assert second == (0.5, 2.0, 1.0, 3.0, 4.0, 5.0, None, float("inf"))
    assert len(data.select('nan > 0 or "inf" > 5')) == 1  # SQL has NaN above every number


def test_an_index_is_extended_by_what_its_file_grows_by(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "rollouts.jsonl", rows.line("a"))
    shards = Index.of(path).meta.shards
    for task in "bcd":
        with path.open("ab") as file:
            file.write(rows.line(task))
        assert Index.of(path).meta.shards[: len(shards)] == shards
        shards = Index.of(path).meta.shards
    assert [shard.rows for shard in shards] == [1, 1, 1, 1]
    assert Dataset.open([path]).query("select task_id, line from rows order by line") == [
        ("a", 1), ("b", 2), ("c", 3), ("d", 4),
    ]  # fmt: skip
    read: list[Any] = []
    monkeypatch.setattr("llmgym.data.index.read_blocks", lambda *args: read.append(args) or iter(()))
    Index.of(path)
    assert not read  # what is known is not read again


def test_many_small_shards_become_one(tmp_path: Path) -> None:
    path = tmp_path / "rollouts.jsonl"
    for number in range(12):
        with path.open("ab") as file:
            file.write(rows.line(f"t{number}", metrics={f"m{number}": 1.0}))
        index = Index.of(path)
    assert [shard.rows for shard in index.meta.shards] == [9, 1, 1, 1]
    assert len(list(index.folder.glob("*.parquet"))) == 4
    data = Dataset.open([path])
    assert data.query("select count(*), sum(m0), sum(m11), min(m3) from rows") == [(12, 1.0, 1.0, 1.0)]


@pytest.mark.parametrize("last", [b"", rows.line("z"), rows.line("z").rstrip()])
def test_a_file_that_shrinks_or_is_replaced_is_indexed_anew(tmp_path: Path, last: bytes) -> None:
    path = written(tmp_path / "rollouts.jsonl", rows.line("a"), rows.line("b"), last)
    Index.of(path)
    written(path, rows.line("a"))
    assert Dataset.open([path]).query("select task_id from rows") == [("a",)]
    written(path, rows.line("x"), rows.line("y"), rows.line("z"))
    assert Dataset.open([path]).query("select task_id from rows order by line") == [("x",), ("y",), ("z",)]
    assert len(list(tmp_path.glob(".*/*.parquet"))) == 1


@pytest.mark.parametrize("end", [b"", rows.line("d").rstrip(b"}\n")])
def test_a_file_that_is_changed_in_place_is_indexed_anew(tmp_path: Path, end: bytes) -> None:
    lines = [rows.line(f"a{number}", 0, 0.0) for number in range(50)]
    path = written(tmp_path / "rollouts.jsonl", *lines, end)
    data = Dataset.open([path], skip_bad=True)
    lines[25] = lines[25].replace(b'"reward":0.0', b'"reward":1.0')  # neither at its start nor at its end, nor longer
    written(path, *lines, end)
    with pytest.raises(UnreadableError, match="it is not the file that was indexed"):
        list(data.lines(data.select()))
    again = Dataset.open([path], skip_bad=True)
    assert again.query("select task_id from rows where reward = 1") == [("a25",)]


def test_a_packed_file_that_is_changed_in_place_is_unpacked_anew(tmp_path: Path) -> None:
    lines = [rows.line(f"a{number}", 0, 0.0) for number in range(50)]
    path = tmp_path / "rollouts.jsonl.gz"
    for reward in (b"0.0", b"1.0"):
        lines[25] = lines[25].replace(b'"reward":0.0', b'"reward":' + reward)
        path.write_bytes(b"".join(gzip.compress(line, compresslevel=0, mtime=0) for line in lines))
        assert Dataset.open([path]).query("select reward from rows where task_id = 'a25'") == [(float(reward),)]


def test_a_last_line_without_its_end_may_grow(tmp_path: Path) -> None:
    path = written(tmp_path / "rollouts.jsonl", rows.line("a").rstrip())
    assert Index.of(path).meta.rows == 1
    with path.open("ab") as file:
        file.write(b"\n" + rows.line("b") + b"bad\n")
    assert [problem.line for problem in Index.of(path).problems] == [3]
    assert Index.of(path).meta.rows == 2


def test_a_file_that_changes_while_it_is_open_is_no_longer_read(tmp_path: Path) -> None:
    path = written(tmp_path / "rollouts.jsonl", rows.line("a"), rows.line("b"))
    data = Dataset.open([path])
    with path.open("ab") as file:
        file.write(rows.line("c"))
    assert len(list(data.lines(data.select()))) == 2  # more lines change nothing
    written(path, rows.line("x"), rows.line("y"))
    with pytest.raises(UnreadableError, match="it is not the file that was indexed"):
        list(data.lines(data.select()))
    path.unlink()
    with pytest.raises(UnreadableError, match="No such file"):
        list(data.trajectories(data.select()))


@pytest.mark.parametrize("damage", [b"", b"{}", b"\x00\x01", b'{"version": 0}'])
def test_an_index_that_is_damaged_is_made_anew(tmp_path: Path, damage: bytes) -> None:
    path = written(tmp_path / "rollouts.jsonl", rows.line("a"))
    written(Index.of(path).folder / "index.json", damage)
    assert Dataset.open([path]).query("select task_id from rows") == [("a",)]
    for shard in Index.of(path).files:
        os.unlink(shard)
    assert Dataset.open([path]).query("select task_id from rows") == [("a",)]


def test_an_index_is_kept_elsewhere_where_none_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLMGYM_CACHE", str(tmp_path / "cache"))
    path = written(tmp_path / "rollouts.jsonl", rows.line("a"))
    (tmp_path / ".rollouts.jsonl.index").write_text("in the way")
    first = Index.of(path)
    assert first.folder.parent == tmp_path / "cache" / "indexes"
    assert Index.of(path).meta.shards == first.meta.shards
    (tmp_path / "cache" / "indexes").rename(tmp_path / "gone")
    (tmp_path / "cache" / "indexes").write_text("in the way too")
    with pytest.raises(UnreadableError, match=r"rollouts\.jsonl: Not a directory"):
        Index.of(path)


_READ = """
import sys
from llmgym.data import Dataset
data = Dataset.open([sys.argv[1]])
print(len(data.select()), data.query("select count(distinct id) from rows")[0][0])
"""


def test_processes_that_build_one_index_at_once_agree(tmp_path: Path) -> None:
    path = written(tmp_path / "rollouts.jsonl", *(rows.line(f"t{number}") for number in range(3000)))
    command = [sys.executable, "-c", _READ, str(path)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) for _ in range(3)]
    assert [process.communicate()[0] for process in running] == [b"3000 3000\n"] * 3
    assert len(list(tmp_path.glob(".*/*.parquet"))) == 1


def zipped(data: bytes, path: Path) -> None:
    path.write_bytes(gzip.compress(data[: len(data) // 2]) + gzip.compress(data[len(data) // 2 :]))


def squeezed(data: bytes, path: Path) -> None:
    import pyarrow as pa

    codec = pa.Codec("zstd")
    with path.open("wb") as file:
        for start in range(0, len(data), 700):
            file.write(codec.compress(data[start : start + 700], asbytes=True))


def listed(data: bytes, path: Path) -> None:
    path.write_text(json.dumps([json.loads(line) for line in data.splitlines()], indent=2))


def pretty(data: bytes, path: Path) -> None:
    path.write_text("\n".join(json.dumps(json.loads(line), indent=2) for line in data.splitlines()))


@pytest.mark.parametrize("pack", [zipped, squeezed, listed, pretty])
def test_rows_that_are_not_in_lines_are_unpacked_once(tmp_path: Path, pack: Any) -> None:
    path, data = tmp_path / "rows", rows.line("a") + rows.line("b")
    pack(data, path)
    opened = Dataset.open([path])
    assert opened.query("select task_id from rows order by line") == [("a",), ("b",)]
    assert [json.loads(line) for line in opened.lines(opened.select())] == list(map(json.loads, data.splitlines()))
    pack(data + rows.line("c"), path)
    assert len(Dataset.open([path]).select()) == 3


@pytest.mark.parametrize("pack", [zipped, squeezed])
def test_a_compressed_file_that_is_cut_off_has_the_rows_that_are_there(tmp_path: Path, pack: Any) -> None:
    path = tmp_path / "rows"
    pack(b"".join(rows.line(f"{os.urandom(99).hex()}") for _ in range(20)), path)
    path.write_bytes(path.read_bytes()[:-200])
    data = Dataset.open([path], skip_bad=True)
    assert 5 < len(data.select()) < 20
    assert [problem.kind for problem in data.problems] == ["torn"]


@pytest.mark.parametrize("data", [b"\x1f\x8bnothing like it", b"\x28\xb5\x2f\xfdnothing like it", b'{\n"a": 1,\n'])
def test_what_cannot_be_unpacked_is_an_error(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(UnreadableError, match=r"rows: "):
        Index.of(written(tmp_path / "rows", data))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b'{"a": 1, "b": 2}\n', "its rows have a, b; what is read is llmgym's rollouts"),
        (b"one\ntwo\n", "none of its first lines is a row; line 1: not JSON: Expecting value at column 1; each"),
        (b"3\n[]\n", "its first lines are no JSON objects; what is read is"),
        (b'\n{"messages": [], "reward": NaN}\n', "line 2: not JSON: NaN at column 28; give a number, or null where"),
        (
            '{"a": "\\ud83d\\ude00\\\\ud83d", "é": "\\ud83d"}\n'.encode(),
            "line 1: a text has half of a character .a lone surrogate. at column 36; give the whole character",
        ),
        (b'{"a": ' + b"[" * 20_000 + b"\n", "line 1: it has too many levels"),
        (b'{"a": 1e400}\n', "line 1: it has too many levels, or a number beyond all range"),
    ],
)
def test_rows_of_no_shape_that_is_known_are_an_error(tmp_path: Path, data: bytes, said: str) -> None:
    with pytest.raises(UnreadableError, match=said):
        Index.of(written(tmp_path / "rows", data))


def test_a_file_without_rows_has_none_yet(tmp_path: Path) -> None:
    path = written(tmp_path / "rollouts.jsonl", b"\n")
    assert len(Dataset.open([path]).select("reward > 0")) == 0
    with path.open("ab") as file:
        file.write(rows.line("a"))
    assert len(Dataset.open([path]).select("reward > 0")) == 1


def test_a_line_with_two_rows_is_invalid_though_a_line_is_blank(tmp_path: Path) -> None:
    one, two, three, four = map(rows.line, "abcd")
    path = written(tmp_path / "rows.jsonl", one, two.rstrip(b"\n") + three, b"\n", four)
    assert [(line, kind) for line, kind, _ in found(path)] == [(2, "invalid")]
    assert Index.of(path).meta.rows == 2
