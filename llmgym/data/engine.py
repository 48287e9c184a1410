"""DuckDB over indexes: the tables that conditions are about, and a database that reads nothing else."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from llmgym.data.index import Index
from llmgym.data.scalars import FIXED, PLACES, column_of
from llmgym.errors import ConfigError
from llmgym.loading import expect_modules
from llmgym.rollout.retired import read_retired
from llmgym.rollout.thresholds import TOLERANCE

ROLLOUTS, FAILURES = "rollouts.jsonl", "failures.jsonl"

#: Of the repeats of a task, for `--group-where`. A reward that reaches the threshold passes.
_GROUPS = f"""
    select source, group_id, agent, any_value(env_id) as env_id, count(*) as size, count(reward) as scored,
        avg((reward >= $threshold - {TOLERANCE})::int) filter (reward is not null) as pass_rate,
        avg(reward) as reward_mean, stddev_pop(reward) as reward_std,
        min(reward) as reward_min, max(reward) as reward_max, max(reward) - min(reward) as reward_gap
    from rows group by source, group_id, agent
"""

#: Rows of a file without those of an episode and a task that were retired: the first so many of them.
_KEPT = """
    (select * exclude (llmgym_times, llmgym_place) from (
        select found.*, gone.times as llmgym_times,
            row_number() over (partition by found.id, found.task_hash order by found.line) as llmgym_place
        from {table} as found left join retired_{number} as gone
        on found.episode_id = gone.name and found.task_hash = gone.hash
    ) where llmgym_place > coalesce(llmgym_times, 0))
"""

_TYPES = {str: "text", int: "bigint", float: "double"}


def require_engine() -> None:
    """See that what reads indexes is installed.

    Raises:
        MissingExtraError: It is not.
    """
    expect_modules("llmgym.data", "data", "duckdb", "pyarrow")


def connect(folders: Sequence[Path]) -> Any:
    """A database in memory that can read the indexes, and nothing else of this machine or of others."""
    import duckdb

    connection = duckdb.connect(":memory:", config={"autoinstall_known_extensions": "false"})
    connection.execute("set enable_progress_bar = false")
    allowed = listed({str(folder) for folder in folders})
    connection.execute(f"set allowed_directories = [{allowed}]")
    connection.execute("set enable_external_access = false")
    connection.execute("set lock_configuration = true")
    return connection


def define(connection: Any, indexes: Sequence[Index], threshold: float) -> None:
    """Make the tables. A row that a run has retired, or that is there twice, is in none."""
    merged = _merged(indexes)
    metrics = "".join(f", null::double as {quoted(name)}" for name in merged.values())
    columns = ", ".join(f"null::{_TYPES[kind]} as {name}" for name, kind in FIXED.items())
    places = ", ".join(f"0::bigint as {name}" for name in PLACES)
    parts = [f"select * from (select {columns}, {places}, 0 as source, 1::bigint as llmgym_nth{metrics}) where false"]
    for number, index in enumerate(indexes):
        if not index.files:
            continue
        found = f"read_parquet([{listed(index.files)}], union_by_name = true)"
        table = f"(select {_named(index, merged)}, {number} as source from {found})"
        retired = read_retired(index.path.parent) if index.path.name == ROLLOUTS else {}
        if retired:
            connection.execute(f"create table retired_{number} (name text, hash text, times int)")
            values = [(name, task_hash, times) for (name, task_hash), times in retired.items()]
            connection.executemany(f"insert into retired_{number} values (?, ?, ?)", values)
            table = _KEPT.format(table=table, number=number)
        simple = index.meta.unique or index.path.name == FAILURES  # an episode can fail in several sessions
        nth = "1::bigint" if simple else "row_number() over (partition by id order by line)"
        parts.append(f"select *, {nth} as llmgym_nth from {table}")
    connection.execute(f"create view found as {' union all by name '.join(parts)}")
    connection.execute("create view rows as select * exclude (llmgym_nth) from found where llmgym_nth = 1")
    connection.execute(f"create view groups as {_GROUPS.replace('$threshold', repr(float(threshold)))}")


def _merged(indexes: Sequence[Index]) -> dict[str, str]:
    """The column of each metric of several indexes: two that differ in case are two, whichever came first where."""
    merged: dict[str, str] = {}
    for index in indexes:
        for metric in index.meta.metrics:
            column_of(metric, merged)
    return merged


def _named(index: Index, merged: Mapping[str, str]) -> str:
    """The columns of an index, those of metrics by the names that they have in all indexes."""
    others = {own: merged[metric] for metric, own in index.meta.metrics.items() if own != merged[metric]}
    if not others:
        return "*"
    return f"* exclude ({', '.join(map(quoted, others))}), " + ", ".join(
        f"{quoted(own)} as {quoted(name)}" for own, name in others.items()
    )


@contextmanager
def answering() -> Generator[None]:
    """Say in DuckDB's words what cannot be answered, without its picture of the query, which is not all of the user's.

    Raises:
        ConfigError: Something cannot.
    """
    import duckdb

    try:
        yield
    except duckdb.Error as error:
        raise ConfigError(" ".join(str(error).partition("\n\nLINE ")[0].split())) from None


def listed(paths: Iterable[str]) -> str:
    """Texts as a list of SQL's."""
    return ", ".join("'" + path.replace("'", "''") + "'" for path in paths)


def quoted(name: str) -> str:
    """A name as SQL has it."""
    return '"' + name.replace('"', '""') + '"'


def count_of(relation: Any) -> int:
    """How many rows it has."""
    return relation.aggregate("count(*)").fetchall()[0][0]
