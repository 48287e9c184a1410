from __future__ import annotations

import io
import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("duckdb")

from llmgym.data import BadRowsError, Dataset, Selection
from llmgym.data.curation import balanced, sampled
from llmgym.data.filtering import manifest
from llmgym.errors import ConfigError, LLMGymError
from llmgym.rollout import read_rollouts
from llmgym.rollout.retired import retired_lines
from tests.data import rows

REWARDS = {"solved": [1.0, 1.0], "mixed": [1.0, 0.0, None], "failed": [0.0, 0.2], "blank": [None]}


@pytest.fixture(name="run")
def made_run(tmp_path: Path) -> Path:
    return rows.run_of(tmp_path / "run", rows.groups(REWARDS))


def copied(data: Dataset, selection: Selection) -> bytes:
    target = io.BytesIO()
    data.copy(selection, target)
    return target.getvalue()


def test_rows_are_chosen_by_what_they_are(run: Path) -> None:
    data = Dataset.open([run])
    chosen = data.select("reward >= 0.5 and num_turns < 10")
    assert [t.id for t in data.trajectories(chosen)] == [
        "test/Say-v0/solved/0", "test/Say-v0/solved/1", "test/Say-v0/mixed/0",
    ]  # fmt: skip
    assert copied(data, chosen) == b"".join(data.lines(chosen)).replace(b"}{", b"}\n{") + b"\n"
    assert copied(data, data.select()) == (run / "rollouts.jsonl").read_bytes()
    assert len(data.select("reward is null")) == 2


def test_groups_are_the_repeats_of_a_task(run: Path) -> None:
    groups = {group.group_id.rpartition("/")[2]: group for group in Dataset.open([run], threshold=0.2).groups()}
    assert {name: (g.size, g.scored, g.pass_rate, g.reward_std, g.reward_gap) for name, g in groups.items()} == {
        "solved": (2, 2, 1.0, 0.0, 0.0),
        "mixed": (3, 2, 0.5, 0.5, 1.0),
        "failed": (2, 2, 0.5, pytest.approx(0.1), 0.2),
        "blank": (1, 0, None, None, None),
    }
    data = Dataset.open([run])
    assert len(data.select(group_where="pass_rate between 0.2 and 0.8")) == 3
    assert len(data.select("reward > 0", "size = 3 and reward_gap > 0.5")) == 1
    assert len(data.select(None, "pass_rate is null")) == 1


def test_several_files_are_one_set_whose_groups_stay_apart(run: Path, tmp_path: Path) -> None:
    other = rows.run_of(tmp_path / "other", rows.groups({"solved": [0.0], "new": [1.0]}))
    data = Dataset.open([run, other / "rollouts.jsonl"])
    assert len(data.select()) == 10
    assert data.problems == []  # the same id in another file is another episode
    assert data.query("select source, count(*) from rows group by source order by source") == [(0, 8), (1, 2)]
    assert [g.pass_rate for g in data.groups() if g.group_id == "test/Say-v0/solved"] == [1.0, 0.0]
    assert [t.task_id for t in data.trajectories(data.select(None, "pass_rate = 1"))] == ["solved", "solved", "new"]
    with pytest.raises(ConfigError, match="is named twice"):
        Dataset.open([run, run])


def test_an_id_that_is_there_twice_counts_once(tmp_path: Path) -> None:
    run = rows.run_of(tmp_path / "run", [rows.line("a"), rows.line("b"), rows.line("a", 0, 0.0)])
    with pytest.raises(
        BadRowsError, match=r"1 bad rows \(1 duplicate\): .*rollouts.jsonl:3: a row before it has the id"
    ):
        Dataset.open([run])
    data = Dataset.open([run], skip_bad=True)
    assert data.query("select id, reward from rows order by line") == [
        ("test/Say-v0/a/0", 1.0), ("test/Say-v0/b/0", 1.0),
    ]  # fmt: skip
    assert [problem.kind for problem in data.problems] == ["duplicate"]


def test_bad_rows_are_an_error_that_names_the_first_of_them(tmp_path: Path) -> None:
    run = rows.run_of(tmp_path / "run", [rows.line("a"), *[b"bad\n"] * 7, b"{"])
    with pytest.raises(BadRowsError) as caught:
        Dataset.open([run])
    message = str(caught.value)
    assert message.startswith("8 bad rows (7 invalid, 1 torn): ")
    assert message.endswith("rollouts.jsonl:6: not JSON: Expecting value at column 1; each line is a row; and 3 more; "
                            "--skip-bad leaves them out")  # fmt: skip
    assert len(Dataset.open([run], skip_bad=True).select()) == 1


def test_retired_episodes_count_no_more(tmp_path: Path) -> None:
    first = [rows.line("a", 0, 0.0), rows.line("b")]
    run = rows.run_of(tmp_path / "run", [*first, rows.line("a", 0, 1.0)])
    key = "test/Say-v0/a/0", json.loads(first[0])["task_hash"]
    (run / "retired.jsonl").write_bytes(retired_lines([key], "gone"))
    data = Dataset.open([run])
    assert data.query("select task_id, reward, line from rows order by line") == [("b", 1.0, 2), ("a", 1.0, 3)]
    assert manifest(data, data.select(), {}, {})["dropped"] == {"retired": 1}
    (run / "retired.jsonl").write_bytes(retired_lines([key, key], "gone"))
    assert Dataset.open([run]).query("select task_id from rows") == [("b",)]
    (run / "retired.jsonl").write_bytes(retired_lines([key], "gone") + retired_lines([key], None))
    assert len(Dataset.open([run], skip_bad=True).select()) == 2


@pytest.mark.parametrize(
    "name",
    ["times", "place", "name", "hash", "gone", "found", "nth", "chosen", "chosen_source", "llmgym_nth", "picked"],
)
def test_a_metric_may_have_any_name(tmp_path: Path, name: str) -> None:
    made = [rows.line("ab"[at % 2], at // 2, at % 2, metrics={name: float(at)}) for at in range(6)]
    run = rows.run_of(tmp_path / "run", made)
    gone = "test/Say-v0/a/0", json.loads(made[0])["task_hash"]
    (run / "retired.jsonl").write_bytes(retired_lines([gone], "gone"))
    data = Dataset.open([run])
    column = name if name in data.columns else f"metric_{name}"
    assert data.query(f"select {column} from rows order by line") == [(float(at),) for at in range(1, 6)]
    assert len(data.select(f"{column} > 2", "size = 3")) == 2
    chosen = data.select(f"{column} > 1")
    assert len(sampled(data, chosen, 2, column)) == 2
    assert len(balanced(data, chosen, column)) == 4
    assert column == ("metric_llmgym_nth" if name == "llmgym_nth" else name)


def test_metrics_that_differ_in_case_are_two_in_every_file(tmp_path: Path) -> None:
    one = rows.run_of(tmp_path / "one", [rows.line("a", metrics={"Score": 10.0, "score": 1.0})])
    other = rows.run_of(tmp_path / "other", [rows.line("a", metrics={"score": 2.0, "Score": 20.0})])
    third = rows.run_of(tmp_path / "third", [rows.line("a", metrics={"SCORE": 100.0})])
    data = Dataset.open([one, other, third])
    assert data.columns[-3:] == ["Score", "metric_score", "metric_metric_SCORE"]
    found = data.query("select Score, metric_score, metric_metric_SCORE from rows order by source")
    assert found == [(10.0, 1.0, None), (20.0, 2.0, None), (None, None, 100.0)]


def test_each_agent_of_an_episode_has_a_row_and_a_group(tmp_path: Path) -> None:
    made = [
        rows.line("a", repeat, reward, agent=agent, agents=2)
        for repeat, rewards in enumerate([(1.0, 0.0), (0.0, 0.0)])
        for agent, reward in zip(("buyer", "seller"), rewards, strict=True)
    ]
    run = rows.run_of(tmp_path / "run", made)
    data = Dataset.open([run])
    assert data.query("select id, episode_id, agent from rows order by line")[1] == (
        "test/Say-v0/a/0/seller", "test/Say-v0/a/0", "seller",
    )  # fmt: skip
    assert {group.agent: group.pass_rate for group in data.groups()} == {"buyer": 0.5, "seller": 0.0}
    (run / "retired.jsonl").write_bytes(retired_lines([("test/Say-v0/a/0", json.loads(made[0])["task_hash"])], "gone"))
    assert data.problems == []
    assert Dataset.open([run]).query("select distinct episode_id from rows") == [("test/Say-v0/a/1",)]


def test_failures_lie_beside_and_are_read_where_they_are_named(run: Path) -> None:
    failed = rows.line("a", 0, None, status="env_error", error="lost")
    (run / "failures.jsonl").write_bytes(failed * 2)
    assert len(Dataset.open([run]).select()) == 8
    both = Dataset.open([run, run / "failures.jsonl"])
    assert both.query("select status, count(*) from rows group by status order by 2") == [
        ("env_error", 2), ("completed", 8),
    ]  # fmt: skip


def test_the_rows_are_those_that_a_summary_reads(run: Path) -> None:
    data = Dataset.open([run])
    assert [t.id for t in data.trajectories(data.select())] == [t.id for t in read_rollouts(run)]


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("rewrd > 1", 'Referenced column "rewrd" not found'),
        ("reward >", "syntax error"),
        ("true) or (true; drop table x", "syntax error"),
        ("true limit 1", "Cannot have any modifiers"),
        ("(select count(*) from read_csv('/etc/passwd')) > 0", "Permission"),
        ("(select count(*) from 'https://localhost/x.parquet') > 0", "disabled|Permission|httpfs"),
    ],
)
def test_a_condition_is_a_condition_and_nothing_else(run: Path, where: str, said: str) -> None:
    data = Dataset.open([run])
    with pytest.raises(ConfigError, match=said) as caught:
        data.select(where)
    assert "\n" not in str(caught.value)
    with pytest.raises(LLMGymError):
        data.select(None, where)


@pytest.mark.parametrize(
    "statement",
    [
        "copy (select 1) to '{folder}/x.csv'",
        "attach '{folder}/x.db'",
        "set enable_external_access = true",
        "install httpfs",
    ],
)
def test_a_query_cannot_reach_what_lies_outside(run: Path, tmp_path: Path, statement: str) -> None:
    with pytest.raises(ConfigError):
        Dataset.open([run]).query(statement.format(folder=tmp_path))


def test_what_is_not_there_is_an_error(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.jsonl"):
        with pytest.raises(LLMGymError, match="there is no such file"):
            Dataset.open([path])


def test_a_file_is_named_once(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "link").symlink_to(run)
    monkeypatch.chdir(tmp_path)
    for other in (Path("run"), tmp_path / "link", run / "rollouts.jsonl"):
        with pytest.raises(ConfigError, match="is named twice"):
            Dataset.open([run, other])


def test_a_path_may_be_relative_and_odd(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run.rename(tmp_path / "it's [a] run")
    monkeypatch.chdir(tmp_path)
    data = Dataset.open(["it's [a] run"])
    os.chdir("/")
    assert len(data.select("reward > 0")) == 4


values = st.none() | st.sampled_from([0.0, 0.5, 1.0]) | st.floats(-2, 2)
conditions = st.sampled_from(
    [
        ("reward >= 0.5", lambda r: r is not None and r >= 0.5),
        ("reward is null or num_turns > 1", lambda r: r is None),
        ("reward between -1 and 0", lambda r: r is not None and -1 <= r <= 0),
        ("not (reward < 1)", lambda r: r is not None and r >= 1),
        ("repeat % 2 = 0", None),
    ]
)


@pytest.mark.slow
@given(st.lists(values, max_size=12), conditions)
def test_what_is_chosen_is_what_a_loop_over_the_lines_chooses(
    tmp_path_factory: pytest.TempPathFactory, rewards: list[float | None], condition: tuple
) -> None:
    text, holds = condition
    run = rows.run_of(tmp_path_factory.mktemp("runs") / "run", rows.groups({"a": rewards}))
    data = Dataset.open([run])
    expected = b""
    for line in (run / "rollouts.jsonl").read_bytes().splitlines(keepends=True):
        row = json.loads(line)
        if holds(row["reward"]) if holds else row["repeat"] % 2 == 0:
            expected += line
    assert copied(data, data.select(text)) == expected
