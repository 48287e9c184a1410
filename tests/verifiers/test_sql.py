"""SQL by execution: what is right, what is refused, and what a task must be."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgym.errors import TaskError
from llmgym.verifiers import sql
from llmgym.verifiers.sql.databases import MAX_QUERY
from llmgym.verifiers.sql.results import difference
from llmgym.verifiers.sql.rules import problems

pytest.importorskip("sqlglot")

FIRST = """create table t(name text, n integer, v real);
insert into t values ('a', 1, 1.5), ('b', 2, 2.5), ('a', 3, 2.5), ('c', null, 0.3);"""
SECOND = """create table t(name text, n integer, v real);
insert into t values ('x', 5, 1.25), ('y', 2, 7.5), ('z', 9, 4.5);"""
LITE = [sql.SQLite.of_script(FIRST), sql.SQLite.of_script(SECOND)]
DUCK = [sql.DuckDB(FIRST), sql.DuckDB(SECOND)]
ENDLESS = "with recursive c(x) as (select 1 union all select x + 1 from c) "


@pytest.fixture(params=["sqlite", "duckdb"])
def databases(request: pytest.FixtureRequest) -> list[sql.Database]:
    if request.param == "duckdb":
        pytest.importorskip("duckdb")
        return list(DUCK)
    return list(LITE)


RIGHT = [
    ("select name from t", "select name from t order by n desc"),
    ("select name from t", "```sql\nselect name from t;\n```"),
    (
        "select name from t",
        "First I thought\n```\nselect 1\n```\nbut then\n```sql\nSELECT t.name AS who FROM t\n```\ndone.",
    ),
    ("select name from t", "<think>```sql\nselect n from t\n```</think>select name from t"),
    ("select name from t", "-- names\nselect name from t -- all of them"),
    ("select count(*) from t", "select count(*) * 1.0 from t"),
    ("select sum(v) from t", "select sum(v) * 1.00000001 from t"),
    ("select n from t", "select n from t where n is not null union all select n from t where n is null"),
    ("select name from t where n > 1 order by v desc, n", "select name from t where n > 1 order by v desc, n"),
    ("select name from (select * from t order by n) as x", "select name from t order by n desc"),
]
WRONG = [
    ("select name from t", "select distinct name from t"),
    ("select name from t order by v, n", "select name from t order by v desc, n desc"),
    ("select count(*) from t", "select 4"),  # a constant, which is right on the first database
    ("select name, n from t", "select n, name from t"),
    ("select name from t", "select name, name from t"),
    ("select name from t", "select upper(name) from t"),
    ("select name from t", "select name || ' ' from t"),
    ("select n from t", "select coalesce(n, 0) from t"),
    ("select count(*) from t", "select cast(count(*) as varchar(9)) from t"),
    ("select sum(v) from t", "select sum(v) * 1.00001 from t"),
    ("select count(*) + 1000000000 from t", "select count(*) + 1000000001 from t"),  # whole numbers are exact
    ("select name from t", "select name from t where 0 = 1"),
]


@pytest.mark.parametrize(("gold", "answer"), RIGHT)
def test_what_gives_the_same_is_right(gold: str, answer: str, databases: list[sql.Database]) -> None:
    verdict = sql.check(answer, gold, databases=databases, seconds=5)
    assert (verdict.score, verdict.reason, verdict.metrics) == (1, "correct", {"databases_matched": 1}), verdict


@pytest.mark.parametrize(("gold", "answer"), WRONG)
def test_what_gives_something_else_is_wrong(gold: str, answer: str, databases: list[sql.Database]) -> None:
    verdict = sql.check(answer, gold, databases=databases, seconds=5)
    assert (verdict.score, verdict.reason) == (0, "wrong"), verdict
    assert gold not in verdict.detail


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("", "no_answer"),
        ("```sql\n```", "no_answer"),
        (";", "no_answer"),
        ("-- nothing", "unparsable"),
        ("I do not know", "unparsable"),
        ("select nope from t", "unparsable"),
        ("select 1; select 2", "unparsable"),
        ("drop table t", "unparsable"),
        ("insert into t values ('d', 4, 4.0)", "unparsable"),
        ("update t set n = 1", "unparsable"),
        ("delete from t", "unparsable"),
        ("create temp table x as select 1", "unparsable"),
        ("begin", "unparsable"),
        ("vacuum into 'x'", "unparsable"),
        ("attach 'x' as y", "unparsable"),
        ("pragma threads = 4", "unparsable"),
        ("select name from t\x00", "unparsable"),
        ("select '\ud800'", "unparsable"),
        (f"select {'(' * 5000}1{')' * 5000}", "unparsable"),
        (f"select {'1 + ' * 4000}1", "unparsable"),
        ("select 1 -- " + "x" * MAX_QUERY, "too_long"),
        ("x" * 70_000, "too_long"),
        (ENDLESS + "select count(*) from c", "timeout"),
    ],
)
def test_what_cannot_be_run_earns_nothing(answer: str, reason: str, databases: list[sql.Database]) -> None:
    verdict = sql.check(answer, "select name from t", databases=databases, seconds=0.5)
    assert (verdict.score, verdict.reason) == (0, reason), verdict
    after = sql.check("select name from t", "select name from t", databases=databases, seconds=5)
    assert after, "the database is as it was"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("select load_extension('x')", "unparsable"),
        ("select name from t order by random()", "unparsable"),
        ("select * from pragma_table_info('t')", "unparsable"),
        ("select hex(zeroblob(100000000))", "too_long"),
        ("select replace(hex(zeroblob(400000)), '0', 'abcdefghij')", "too_long"),
        (" union all ".join(["select name from t"] * 60), "unparsable"),
        (ENDLESS + "select x, hex(zeroblob(400000)) as y from c order by y", "timeout"),
        ("select count(*) from t a, t b, t c, t d, t e, t f, t g, t h, t i, t j, t k, t l, t m, t n, t o", "timeout"),
    ],
)
def test_sqlite_is_bounded(answer: str, reason: str) -> None:
    verdict = sql.check(answer, "select name from t", databases=LITE, seconds=0.5)
    assert (verdict.score, verdict.reason) == (0, reason), verdict


@pytest.mark.slow
@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("select length(repeat('ab', 1000000000))", "timeout"),  # which no interrupt ends
        ("select * from range(100000000) order by hash(range)", "too_long"),
        ("copy t to 'x.csv'", "unparsable"),
        ("install httpfs", "unparsable"),
        ("set threads = 4", "unparsable"),
        ("select * from read_csv('/etc/passwd')", "unparsable"),
        ("select * from '/etc/passwd'", "unparsable"),
    ],
)
def test_duckdb_is_bounded(answer: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("duckdb")
    monkeypatch.chdir(tmp_path)
    verdict = sql.check(answer, "select name from t", databases=DUCK, seconds=2)
    assert (verdict.score, verdict.reason) == (0, reason), verdict
    assert not list(tmp_path.iterdir())
    assert sql.check("select name from t", "select name from t", databases=DUCK, seconds=5)


def test_columns_may_be_in_any_order_where_that_is_asked_for() -> None:
    gold = "select name, n, v from t"
    assert not sql.check("select v, name, n from t", gold, databases=LITE)
    assert sql.check("select v, name, n from t", gold, databases=LITE, columns="any")
    assert not sql.check("select v, n, n from t", gold, databases=LITE, columns="any")
    mixed = "select a.name, b.n, a.v from t a join t b on a.n = b.n + 1"
    assert not sql.check(mixed, gold, databases=LITE, columns="any")


def test_the_rule_of_bird_counts_neither_duplicates_nor_order() -> None:
    gold = "select name from t order by n desc"
    assert not sql.check("select distinct name from t", gold, databases=LITE)
    assert sql.check("select distinct name from t", gold, databases=LITE, rows="set")
    assert not sql.check("select 'a'", gold, databases=LITE, rows="set")


def test_the_share_of_databases_is_a_metric() -> None:
    verdict = sql.check("select 4", "select count(*) from t", databases=LITE)
    assert verdict.metrics == {"databases_matched": 0.5}
    assert verdict.detail == "on database 2 of 2: its rows differ"


@pytest.mark.parametrize("gold", ["delete from t", "select nope from t", "select", "(" * 400, "select 1; select 2"])
def test_a_right_query_that_does_not_run_leaves_answers_unscored(gold: str, databases: list[sql.Database]) -> None:
    verdict = sql.check("select name from t", gold, databases=databases)
    assert (verdict.score, verdict.reason) == (None, "invalid_reference")


def test_a_machine_without_room_leaves_answers_unscored(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr("llmgym.verifiers.sql.databases._fetch", full)
    verdict = sql.check("select name from t", "select name from t", databases=LITE)
    assert (verdict.score, verdict.reason) == (None, "infrastructure")


@pytest.mark.parametrize(
    ("query", "ordered"),
    [
        ("select name from t order by n", True),
        ("select name from t order by 1", True),
        ("select name from t order by n limit 3", True),
        ("select name from t union select name from t order by name", True),
        ("with x as (select 1 as a) select a from x order by a", True),
        ("select name from t", False),
        ("select name from t order by null", False),
        ("select name from t order by 'n'", False),
        ("select name from (select name from t order by n)", False),
        ("with x as (select name from t order by n) select name from x", False),
        ("select name, row_number() over (order by n) from t", False),
        ("select group_concat(name order by n) from t", False),
        ("select 'order by n' from t", False),
        ("select name from t -- order by n", False),
        ("select name from t where n in (select n from t order by n limit 2)", False),
    ],
)
def test_only_an_order_at_the_top_is_one(query: str, ordered: bool) -> None:
    assert sql.is_ordered(query, "sqlite") is ordered


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("select sum(v), avg(n) from t where n > 1", None),
        ("select n from t where n < 9 order by n limit 2", None),
        ("select max(v) from t", None),
        ("select nope from t", "does not run"),
        ("select 4", "same on all databases"),
        ("select name from t where n > 100", "empty"),
        ("select name from t limit 2", "LIMIT without ORDER BY"),
        ("select name from t where n in (select n from t limit 2)", "LIMIT without ORDER BY"),
        ("select n from t order by v", "could stand in another order"),
        ("select date('now'), name from t", "changes with time"),
        ("select current_date, name from t", "changes with time"),
        ("select name from t where v > 0", "without its WHERE it gives the same result"),
        ("select name from t where v > 1 and name < 'zz'", "without \"name < 'zz'\" it gives the same result"),
        ("select name, max(v) from t group by name, n", "with MIN for MAX it gives the same result"),
    ],
)
def test_tasks_that_say_nothing_are_found_when_they_are_built(query: str, said: str | None) -> None:
    found = problems(query, databases=LITE)
    assert found == [] if said is None else any(said in problem for problem in found), found


def test_tasks_are_checked_against_wrong_queries_and_on_two_databases() -> None:
    assert "a constant passes" in problems("select count(*) from t", databases=LITE[:1])[0]
    gold = "select name from t where n > 1"
    assert problems(gold, databases=LITE, wrong=["select name from t where n > 2"]) == []
    (problem,) = problems(gold, databases=LITE, wrong=["select name from t where n >= 2"])
    assert problem == "'select name from t where n >= 2' gives the same result"
    sql.prove(gold, databases=LITE)
    with pytest.raises(TaskError, match="the right query 'select 4': its result is the same on all databases"):
        sql.prove("select 4", databases=LITE)


def test_tables_make_a_database() -> None:
    made = sql.SQLite.of_tables({"t": [{"a": 1, "b c": "x"}, {"a": None, "b c": "y"}], "u": [{"r": 1.5, "k": b"\x00"}]})
    assert made.run('select a, "b c" from t order by a', max_rows=9, seconds=5).rows == [(None, "y"), (1, "x")]
    assert made.run("select * from u", max_rows=9, seconds=5).rows == [(1.5, b"\x00")]
    assert repr(made) == "SQLite()"
    with pytest.raises(TaskError, match="KeyError: 'b'"):
        sql.SQLite.of_tables({"t": [{"a": 1, "b": 2}, {"a": 1}]})
    with pytest.raises(TaskError, match="does not run"):
        sql.SQLite.of_script("create tabel t(a)")


def test_rows_that_are_nearly_equal_are_paired_in_bounded_time() -> None:
    numbers = [1.5 + i / 7 for i in range(3000)]
    gold = sql.Result.of(3, [(0.5, number, -number) for number in numbers])
    near = sql.Result.of(3, [(0.5, number * (1 + 1e-7), -number) for number in numbers])
    assert _apart(near, gold) is None
    rows = [(0.5, 9.5 + i * 1e-8, i + 0.5) for i in range(900)]  # all of them near, in the first two columns
    crossed = [(0.5, 9.5 + (899 - i) * 1e-8, i + 0.5) for i in range(900)]
    with pytest.raises(TimeoutError):
        _apart(sql.Result.of(3, rows), sql.Result.of(3, crossed))


CELLS = st.one_of(st.none(), st.integers(-3, 3), st.floats(), st.sampled_from(["", "1", "a"]), st.binary(max_size=1))
ROWS = st.integers(1, 3).flatmap(lambda width: st.lists(st.tuples(*[CELLS] * width), max_size=8))


def _apart(found: sql.Result, gold: sql.Result, *, ordered: bool = False, any_columns: bool = False) -> str | None:
    return difference(
        found, gold, ordered=ordered, any_columns=any_columns, as_sets=False, tolerance=1e-6, deadline=float("inf")
    )


@given(ROWS, st.randoms(use_true_random=False))
def test_the_order_of_rows_and_columns_makes_no_difference(rows: list[tuple[object, ...]], rng: random.Random) -> None:
    width = len(rows[0]) if rows else 1
    gold = sql.Result.of(width, rows)
    assert _apart(gold, gold, ordered=True) is None
    order = rng.sample(range(width), width)
    mixed = [tuple(row[i] for i in order) for row in rng.sample(rows, len(rows))]
    assert _apart(sql.Result.of(width, mixed), gold, any_columns=True) is None
    if rows:
        assert _apart(sql.Result.of(width, rows[:-1]), gold) is not None
        assert _apart(sql.Result.of(width, [*rows, rows[-1]]), gold) is not None


@given(ROWS, ROWS)
def test_the_comparison_is_symmetric(one: list[tuple[object, ...]], other: list[tuple[object, ...]]) -> None:
    left, right = (sql.Result.of(len(rows[0]) if rows else 1, rows) for rows in (one, other))
    assert (_apart(left, right) is None) == (_apart(right, left) is None)


@given(st.lists(st.tuples(st.floats(1e-3, 1e6), st.sampled_from("ab")), min_size=1, max_size=20), st.randoms())
def test_numbers_are_equal_within_the_tolerance(rows: list[tuple[float, str]], rng: random.Random) -> None:
    near = [(value * (1 + rng.uniform(-3e-7, 3e-7)), name) for value, name in rows]
    rng.shuffle(near)
    off = [(rows[0][0] * 1.00001 + 1e-5, rows[0][1]), *rows[1:]]
    if all(value != int(value) for value, _ in rows):
        assert _apart(sql.Result.of(2, near), sql.Result.of(2, rows)) is None
    if sorted(value for value, _ in rows)[-1] == rows[0][0]:
        assert _apart(sql.Result.of(2, off), sql.Result.of(2, rows)) is not None


@given(st.one_of(st.text(max_size=80), st.sampled_from(RIGHT + WRONG).map(lambda pair: pair[1][::-1])))
def test_no_answer_raises(answer: str) -> None:
    verdict = sql.check(answer, "select name from t", databases=LITE, seconds=0.2)
    assert verdict.score == 0


def test_what_the_engine_does_not_tell_apart_is_no_threat(databases: list[sql.Database]) -> None:
    """A query may say what it wants of the schema, but not what is outside."""
    schema: Callable[[sql.Database], str] = lambda d: (  # noqa: E731 -- a name for each dialect
        "select name from sqlite_master" if d.dialect == "sqlite" else "select table_name from duckdb_tables()"
    )
    assert databases[0].run(schema(databases[0]), max_rows=9, seconds=5).rows == [("t",)]


@pytest.mark.parametrize(
    "text",
    [
        "```" + " " * 120_000 + "`",
        "```json\n" * 20_000,
        "x" + "` " * 30_000,
        "x:select" + " " * 60_000 + "'",
        ":select " * 4_000 + "'",
    ],
)
@pytest.mark.timeout(10)
def test_hostile_text_is_no_query_in_no_time(text: str) -> None:
    assert sql.query_of(text) == text.strip()
