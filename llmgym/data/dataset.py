"""Files of rows as one set that can be asked, filtered and copied."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from llmgym.data import lines
from llmgym.data.index import Index, Progress, merged_metrics
from llmgym.data.lines import Span
from llmgym.data.problems import BadRowsError, Problem, UnreadableError
from llmgym.errors import ConfigError, MissingExtraError
from llmgym.rollout.retired import read_retired
from llmgym.rollout.thresholds import TOLERANCE
from llmgym.trajectory import Trajectory

ROLLOUTS = "rollouts.jsonl"

#: Of the repeats of a task, for `--group-where`. A reward that reaches the threshold passes.
_GROUPS = f"""
    select group_id, any_value(env_id) as env_id, count(*) as size, count(reward) as scored,
        avg((reward >= $threshold - {TOLERANCE})::int) filter (reward is not null) as pass_rate,
        avg(reward) as reward_mean, coalesce(stddev_pop(reward), 0) as reward_std,
        min(reward) as reward_min, max(reward) as reward_max, max(reward) - min(reward) as reward_gap
    from rows group by group_id
"""


@dataclass(frozen=True)
class Group:
    """The repeats of a task, as numbers; see the columns of `--group-where`."""

    group_id: str
    env_id: str
    size: int
    scored: int
    pass_rate: float | None
    reward_mean: float | None
    reward_std: float
    reward_min: float | None
    reward_max: float | None
    reward_gap: float | None


@dataclass(frozen=True)
class Selection:
    """Rows of a set, in the order of their files.

    Attributes:
        spans: For each file, where its rows stand.
    """

    spans: tuple[tuple[Span, ...], ...]

    def __len__(self) -> int:
        """How many rows there are."""
        return sum(map(len, self.spans))


class Dataset:
    """Rows of one or several files, each known by its index.

    Attributes:
        indexes: Of each file.
        problems: Rows that are left out.
        threshold: Reward from which an episode counts as passed.
    """

    def __init__(self, indexes: Sequence[Index], *, skip_bad: bool = False, threshold: float = 1.0) -> None:
        """Ask the indexes of files together.

        Args:
            indexes: Of each file.
            skip_bad: Leave out rows that cannot be used; otherwise they are an error.
            threshold: Reward from which an episode counts as passed.

        Raises:
            BadRowsError: There are such rows.
        """
        self.indexes = list(indexes)
        self.threshold = threshold
        self.problems = [problem for index in self.indexes for problem in index.problems]
        self._connection = _connect([index.folder for index in self.indexes])
        self._define()
        self.problems += self._duplicates()
        if self.problems and not skip_bad:
            raise BadRowsError(self.problems)

    @classmethod
    def open(
        cls,
        paths: Sequence[Path | str],
        *,
        skip_bad: bool = False,
        threshold: float = 1.0,
        progress: Progress | None = None,
    ) -> Dataset:
        """Open files, or run folders, which are the files in them.

        Args:
            paths: Where they are.
            skip_bad: Leave out rows that cannot be used; otherwise they are an error.
            threshold: Reward from which an episode counts as passed.
            progress: Told how far an index is.

        Raises:
            UnreadableError: A file cannot be read, or holds rows of no shape that is known.
            BadRowsError: There are rows that cannot be used.
        """
        files = [path / ROLLOUTS if path.is_dir() else path for path in map(Path, paths)]
        for number, path in enumerate(files):
            if not path.is_file():
                raise UnreadableError(path, "there is no such file")
            if path in files[:number]:
                raise ConfigError(f"{path} is named twice")
        indexes = [Index.of(path, progress) for path in files]
        return cls(indexes, skip_bad=skip_bad, threshold=threshold)

    @property
    def columns(self) -> list[str]:
        """What `where` may ask for."""
        return [name for name, *_ in self.query("describe rows")]

    def query(self, text: str, **parameters: Any) -> list[tuple[Any, ...]]:
        """Ask in SQL of DuckDB: the tables are `rows` and `groups`.

        Raises:
            ConfigError: It cannot be answered; says why, in DuckDB's words.
        """
        import duckdb

        try:
            return self._connection.execute(text, parameters).fetchall()
        except duckdb.Error as error:
            raise ConfigError(_plain(error)) from None

    def select(self, where: str | None = None, group_where: str | None = None) -> Selection:
        """The rows that fulfil conditions.

        Args:
            where: Of a row, in SQL, such as "reward >= 0.8 and num_turns < 10".
            group_where: Of the group that it is in, such as "pass_rate between 0.2 and 0.8".

        Raises:
            ConfigError: A condition is none, or names a column that there is not.
        """
        import duckdb

        try:
            rows = self._connection.table("rows")
            if where is not None:
                rows = rows.filter(where)
            if group_where is not None:
                groups = self._connection.table("groups").filter(group_where).project("group_id as chosen")
                rows = rows.join(groups, "group_id = chosen", how="inner")
            found = rows.project("source, byte_position, byte_length").order("source, byte_position").fetchall()
        except duckdb.Error as error:
            raise ConfigError(_plain(error)) from None
        spans: list[list[Span]] = [[] for _ in self.indexes]
        for source, position, length in found:
            spans[source].append(Span(position, length))
        return Selection(tuple(map(tuple, spans)))

    def groups(self) -> Iterator[Group]:
        """The groups, by their ids."""
        for row in self.query("select * from groups order by group_id"):
            yield Group(*row)

    def lines(self, selection: Selection) -> Iterator[bytes]:
        """Rows as they stand in their files."""
        for index, spans in zip(self.indexes, selection.spans, strict=True):
            yield from lines.fetch(index.path, spans)

    def trajectories(self, selection: Selection) -> Iterator[Trajectory]:
        """Rows whole.

        Raises:
            LLMGymError: A row has scalars and is otherwise none; names its byte.
        """
        for index, spans in zip(self.indexes, selection.spans, strict=True):
            for span, data in zip(spans, lines.fetch(index.path, spans), strict=True):
                yield index.shape.trajectory(data, f"{index.path}, byte {span.position}")

    def copy(self, selection: Selection, target: IO[bytes]) -> None:
        """Write rows as they stand in their files, byte for byte."""
        for index, spans in zip(self.indexes, selection.spans, strict=True):
            lines.copy(index.path, spans, target)

    def _define(self) -> None:
        """Make the tables. A row that a run has retired, or that is there twice, is in none."""
        parts: list[str] = []
        metrics = ", ".join(f"null::double as {_quoted(name)}" for name in merged_metrics(self.indexes))
        for number, index in enumerate(self.indexes):
            retired = read_retired(index.path.parent) if index.path.name == ROLLOUTS else {}
            self._connection.execute(f"create table retired_{number} (id text, task_hash text, times int)")
            for (name, task_hash), times in retired.items():
                self._connection.execute(f"insert into retired_{number} values (?, ?, ?)", [name, task_hash, times])
            if index.files:
                files = ", ".join("'" + file.replace("'", "''") + "'" for file in index.files)
                parts.append(_LIVE.format(number=number, files=files))
        empty = f"select * from ({_EMPTY}{', ' + metrics if metrics else ''}) where false"
        self._connection.execute(f"create view found as {' union all by name '.join([empty, *parts])}")
        self._connection.execute("create view rows as select * exclude (nth) from found where nth = 1")
        self._connection.execute(f"create view groups as {_GROUPS.replace('$threshold', repr(float(self.threshold)))}")

    def _duplicates(self) -> list[Problem]:
        found = self.query("select source, line, id from found where nth > 1 order by source, line")
        return [
            Problem(str(self.indexes[source].path), line, "duplicate", f"a row before it has the id {name!r}")
            for source, line, name in found
        ]


#: Rows of a file that count: those of an id and a task that were retired come first.
_LIVE = """
    select * exclude (place, times), row_number() over (partition by id, agent order by line) as nth from (
        select row.*, {number} as source, coalesce(times, 0) as times,
            row_number() over (partition by row.id, row.agent, row.task_hash order by line) as place
        from read_parquet([{files}], union_by_name = true) as row
        left join retired_{number} as gone on row.id = gone.id and row.task_hash = gone.task_hash
    ) where place > times
"""

_EMPTY = """
    select ''::text as id, ''::text as env_id, ''::text as task_id, ''::text as group_id, ''::text as task_hash,
        0::bigint as repeat, ''::text as agent, ''::text as status, 0::double as reward, 0::bigint as attempts,
        0::bigint as num_turns, 0::bigint as num_sampled_tokens, 0::bigint as num_context_tokens,
        0::bigint as num_tool_errors, 0::double as wall_s, ''::text as failure, 0::bigint as line,
        0::bigint as byte_position, 0::bigint as byte_length, 0 as source, 0::bigint as nth
"""


def _connect(folders: Sequence[Path]) -> Any:
    """A database in memory that can read the indexes, and nothing else of this machine or of others."""
    try:
        import duckdb
    except ImportError:
        raise MissingExtraError("data", "data") from None
    connection = duckdb.connect(":memory:", config={"autoinstall_known_extensions": "false"})
    allowed = ", ".join("'" + str(folder).replace("'", "''") + "'" for folder in {*folders})
    connection.execute(f"set allowed_directories = [{allowed}]")
    connection.execute("set enable_external_access = false")
    connection.execute("set lock_configuration = true")
    return connection


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _plain(error: Exception) -> str:
    """DuckDB's message without the picture of the query, which is not all of the user's."""
    return " ".join(str(error).partition("\n\nLINE ")[0].split())
