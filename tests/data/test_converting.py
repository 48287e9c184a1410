from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

pytest.importorskip("duckdb")

from llmgym.data import Dataset
from llmgym.data.converting import convert, form_of, restore
from llmgym.data.shapes import atif
from llmgym.errors import ConfigError
from llmgym.records import dump_row, load_row
from llmgym.trajectory import Trajectory
from tests import records
from tests.data import rows
from tests.data.forms.test_parquet import identical
from tests.data.shapes.test_shapes import V1, chat


@given(records.trajectories())
def test_atif_gives_a_row_back_as_it_was(made: Trajectory) -> None:
    line = dump_row(made).rstrip(b"\n")
    other = atif.row_of(atif.dump(line))
    assert other is not None
    assert identical(json.loads(line), json.loads(other))
    records.check_equal(load_row(other), made)


FORMS = ["x.parquet", "x.jsonl.zst", "x.jsonl.gz", "x.atif.jsonl", "x.atif.jsonl.gz", "x.jsonl"]


@pytest.mark.parametrize("name", FORMS)
def test_rows_come_back_from_every_form(tmp_path: Path, name: str) -> None:
    made = [
        rows.line(task, repeat, reward, turns=3) for task in "abc" for repeat, reward in enumerate([1.0, None, 0.5])
    ]
    run = rows.run_of(tmp_path / "run", [rows.changed(row, later={"x": [1, 2**70]}) for row in made])
    assert convert(Dataset.open([run]), tmp_path / name) == 9
    back = tmp_path / "back.jsonl"
    if name == "x.parquet":
        assert restore([tmp_path / name], back) == 9
    else:
        assert convert(Dataset.open([tmp_path / name]), back) == 9
    before, after = ((path).read_bytes().splitlines() for path in (run / "rollouts.jsonl", back))
    assert list(map(json.loads, before)) == list(map(json.loads, after))


def test_rows_of_others_become_rows_of_ours(tmp_path: Path) -> None:
    chat: dict[str, Any] = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}
    path = tmp_path / "chats.jsonl"
    path.write_text("\n".join(json.dumps(chat | {"reward": reward}) for reward in (1, 0.5, None)))
    convert(Dataset.open([path]), tmp_path / "x.jsonl")
    data = Dataset.open([tmp_path / "x.jsonl"])
    found = list(data.trajectories(data.select()))
    assert [t.reward for t in found] == [1.0, 0.5, None]
    assert [t.repeat for t in found] == [0, 1, 2]
    assert found[0].messages == chat["messages"]
    assert len({t.group_id for t in found}) == 1
    convert(Dataset.open([path]), tmp_path / "x.parquet")
    restore([tmp_path / "x.parquet"], tmp_path / "back.jsonl")
    assert (tmp_path / "back.jsonl").read_text() == path.read_text() + "\n"


NAMES = ['matches "quoted"', "a\\b", "a\nb", "a\0b", "row", "ROW", "rest", "fields", "line", "a.b", "é", ""]


@pytest.mark.parametrize("name", NAMES)
def test_metrics_of_any_name_come_back_from_parquet(tmp_path: Path, name: str) -> None:
    of_others = tmp_path / "chats.jsonl"
    of_others.write_text(
        "".join(json.dumps(chat("a", **{name: value}, z=at)) + "\n" for at, value in enumerate([1.5, 2]))
    )
    made = [{name: 1.5}, {name: 2, "other": 1.0}, {"other": float("nan")}, {}]
    run = rows.run_of(tmp_path / "run", [rows.line_with(str(at), metrics=each) for at, each in enumerate(made)])
    for path, lines in ((of_others, of_others), (run, run / "rollouts.jsonl")):
        convert(Dataset.open([path]), tmp_path / "x.parquet", force=True)
        restore([tmp_path / "x.parquet"], tmp_path / "x.jsonl", force=True)
        before, after = ([*map(json.loads, file.read_bytes().splitlines())] for file in (lines, tmp_path / "x.jsonl"))
        assert identical(before, after)
        assert [list(row) for row in before] == [list(row) for row in after]


def test_a_metric_with_quotes_has_a_column_too(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    made = [{'a "b"': 1.5}, {"other": 2.0}]
    run = rows.run_of(tmp_path / "run", [rows.line_with(str(at), metrics=each) for at, each in enumerate(made)])
    convert(Dataset.open([run]), tmp_path / "x.parquet")
    table = pq.read_table(tmp_path / "x.parquet")
    assert table['a "b"'].to_pylist() == [1.5, None]
    assert table["other"].to_pylist() == [None, 2.0]


@pytest.mark.parametrize("name", ["x.jsonl", "x.atif.jsonl"])
def test_groups_of_others_stay_groups(tmp_path: Path, name: str) -> None:
    made = [
        chat("a", group_id="g", id="r7", reward=1), chat("b", group_id="g", id="r8", reward=0),
        chat("a", group_id=0, reward=1), chat("b", group_id=0, reward=1), chat("a", reward=0),
    ]  # fmt: skip
    path = tmp_path / "chats.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in made))
    before = Dataset.open([path])
    convert(before, tmp_path / name)
    after = Dataset.open([tmp_path / name])
    assert partition(after) == partition(before) == [[1, 2], [3, 4], [5]]
    found = list(after.trajectories(after.select()))
    assert [t.id for t in found[:4]] == ["/g/0", "/g/1", "/0/0", "/0/1"]
    assert [group.pass_rate for group in after.groups()] == [1.0, 0.0, 0.5]
    convert(after, tmp_path / "back.jsonl")
    back = Dataset.open([tmp_path / "back.jsonl"])
    assert back.query("select id, group_id from rows") == after.query("select id, group_id from rows")


def test_traces_of_a_group_stay_in_it(tmp_path: Path) -> None:
    traces = [V1 | {"id": name, "group": {"id": group}, "task": {"key": name}} for name, group in ("ag", "bg", "ch")]
    path = tmp_path / "traces.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in traces))
    convert(Dataset.open([path]), tmp_path / "x.jsonl")
    assert partition(Dataset.open([tmp_path / "x.jsonl"])) == partition(Dataset.open([path])) == [[1, 2], [3]]


def test_chats_keep_ids_that_rows_of_ours_can_have(tmp_path: Path) -> None:
    run = rows.run_of(tmp_path / "run", [rows.line("a", 3), rows.line("b", 0), rows.line("a", 1)])
    ours = Dataset.open([run])
    about = ours.query("select id, env_id, group_id from rows order by line")
    made = [chat(name, id=name, env_id=env_id, group_id=group_id) for name, env_id, group_id in about]
    made += [chat("x", group_id="g", repeat=5)]
    path = tmp_path / "chats.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in made))
    convert(Dataset.open([path]), tmp_path / "x.jsonl")
    found = Dataset.open([tmp_path / "x.jsonl"]).query("select id, env_id, group_id from rows order by line")
    assert found == [*about, ("/g/5", "", "/g")]


def partition(data: Dataset) -> list[list[int]]:
    """The lines of each group."""
    return [
        lines for (lines,) in data.query("select list(line order by line) as l from rows group by group_id order by l")
    ]


def test_nothing_is_replaced_and_nothing_half_is_left(tmp_path: Path) -> None:
    run = rows.run_of(tmp_path / "run", [rows.line("a"), rows.changed(rows.line("b"), output=3)])
    target = tmp_path / "x.atif.jsonl"
    target.write_text("mine")
    with pytest.raises(ConfigError, match="is there already; --force replaces it"):
        convert(Dataset.open([run]), target)
    with pytest.raises(Exception, match="output"):
        convert(Dataset.open([run]), target, force=True)
    assert target.read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run", "x.atif.jsonl"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is full")
@pytest.mark.parametrize("name", ["x.jsonl", "x.jsonl.zst", "x.parquet"])
def test_a_full_disk_is_an_error_of_one_line(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    run = rows.run_of(tmp_path / "run", [rows.line("a")])
    monkeypatch.setattr("secrets.token_hex", lambda size: "full")
    (tmp_path / f".{name}.full").symlink_to("/dev/full")
    with pytest.raises(ConfigError, match=f"cannot write .*{name}: "):
        convert(Dataset.open([run]), tmp_path / name)
    assert not (tmp_path / name).exists()


@pytest.mark.parametrize("name", ["x", "x.json", "x.parquet.gz", "x.zst", "x.csv"])
def test_a_name_that_says_no_form_is_an_error(name: str) -> None:
    with pytest.raises(ConfigError, match="says no form"):
        form_of(Path(name))
