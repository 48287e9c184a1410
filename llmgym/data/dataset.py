"""Files of rows as one set that can be asked, filtered and copied."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple

from llmgym.data.engine import ROLLOUTS, answering, connect, count_of, define, listed, require_engine
from llmgym.data.index import Index, Progress
from llmgym.data.lines import Span
from llmgym.data.memory import steady
from llmgym.data.problems import BadRowsError, Problem, UnreadableError
from llmgym.data.scalars import PLACES
from llmgym.errors import ConfigError
from llmgym.trajectory import Trajectory

_FETCHED = 4096  # rows at once


@dataclass(frozen=True)
class Group:
    """The repeats of a task in a file, of one agent, as numbers; None where no reward is known.

    Attributes:
        source: Which of the files.
        group_id: Environment and task.
        agent: Whose episodes; agents that earn apart are compared apart.
        env_id: Environment.
        size: How many rows.
        scored: How many of them have a reward.
        pass_rate: Share of these whose reward reaches the threshold.
        reward_mean: Mean of the rewards.
        reward_std: Their standard deviation, of all of them and not of a sample.
        reward_min: Their least.
        reward_max: Their greatest.
        reward_gap: What these two are apart.
    """

    source: int
    group_id: str
    agent: str
    env_id: str
    size: int
    scored: int
    pass_rate: float | None
    reward_mean: float | None
    reward_std: float | None
    reward_min: float | None
    reward_max: float | None
    reward_gap: float | None


@dataclass(frozen=True)
class Condition:
    """What rows, or the groups that they are in, have to fulfil.

    Attributes:
        name: What a manifest calls it.
        text: In SQL.
        of: What it is about.
    """

    name: str
    text: str
    of: Literal["rows", "groups"] = "rows"


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


class Repeat(NamedTuple):
    """One of the repeats of a task.

    Attributes:
        source: Which of the files.
        id: Of the row.
        reward: None where unscored.
        span: Where it stands.
    """

    source: int
    id: str
    reward: float | None
    span: Span


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
        self._connection = connect([index.folder for index in self.indexes])
        define(self._connection, self.indexes, threshold)
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
        require_engine()
        files = [path / ROLLOUTS if path.is_dir() else path for path in map(Path, paths)]
        named = dict[Path, Path]()
        for path in files:
            if not path.is_file():
                raise UnreadableError(path, "there is no such file")
            if (before := named.setdefault(path.resolve(), path)) is not path:
                raise ConfigError(f"{path} is named twice" + f", {before} before" * (before != path))
        indexes = [Index.of(path, progress) for path in files]
        return cls(indexes, skip_bad=skip_bad, threshold=threshold)

    def attach(self, files: Sequence[Sequence[str]]) -> None:
        """Give the rows the columns of more Parquet files, which name them by `line`.

        Args:
            files: Of each index, in its folder.
        """
        parts = [
            f"select *, {number} as source from read_parquet([{listed(paths)}])"
            for number, paths in enumerate(files)
            if paths
        ]
        if parts:
            self._connection.execute(f"create or replace view attached as {' union all '.join(parts)}")
            joined = "found left join attached using (source, line)"
            text = f"select * exclude (llmgym_nth) from {joined} where llmgym_nth = 1"
            self._connection.execute(f"create or replace view rows as {text}")

    @property
    def retired(self) -> int:
        """How many rows are of episodes that their run has retired."""
        return sum(index.meta.rows for index in self.indexes) - self.query("select count(*) from found")[0][0]

    @property
    def columns(self) -> list[str]:
        """What `where` may ask for."""
        return [name for name, *_ in self.query("describe rows")]

    def query(self, text: str, **parameters: Any) -> list[tuple[Any, ...]]:
        """Ask in SQL of DuckDB: the tables are `rows` and `groups`.

        Raises:
            ConfigError: It cannot be answered; says why, in DuckDB's words.
        """
        with answering():
            return self._connection.execute(text, parameters).fetchall()

    def batches(self, text: str, **parameters: Any) -> Iterator[tuple[Any, ...]]:
        """Ask for much: the columns of so many rows at a time, as arrays.

        Raises:
            ConfigError: It cannot be answered.
        """
        with answering():
            reader = self._connection.sql(text, params=parameters).to_arrow_reader(1 << 16)
            for batch in reader:
                yield tuple(column.to_numpy(zero_copy_only=False) for column in batch.columns)

    def share(self, *, where: str | None = None, group_where: str | None = None) -> float | None:
        """The share of rows that fulfil a condition, or of groups; None where there are none.

        Raises:
            ConfigError: The condition is none, or names a column that there is not.
        """
        table, condition = ("groups", group_where) if where is None else ("rows", where)
        with answering():
            relation = self._connection.table(table)
            total = count_of(relation)
            return count_of(relation.filter(condition)) / total if total else None

    def select(self, where: str | None = None, group_where: str | None = None) -> Selection:
        """The rows that fulfil conditions.

        Args:
            where: Of a row, in SQL, such as "reward >= 0.8 and num_turns < 10".
            group_where: Of the group that it is in, such as "pass_rate between 0.2 and 0.8".

        Raises:
            ConfigError: A condition is none, or names a column that there is not.
        """
        conditions = [Condition("where", where)] if where is not None else []
        conditions += [Condition("group_where", group_where, of="groups")] if group_where is not None else []
        return self.narrow(conditions)[0]

    def narrow(self, conditions: Sequence[Condition]) -> tuple[Selection, list[int]]:
        """The rows that fulfil conditions, and how many each of these left out of those that the ones before it kept.

        Groups are those of all rows, whatever the conditions before leave of them.

        Raises:
            ConfigError: A condition is none, or names a column that there is not.
        """
        with answering():
            *steps, rows = self._steps(conditions)
            counts = list(map(count_of, steps))
            found = rows.project("source, byte_position, byte_length").order("source, byte_position").fetchnumpy()
        selection = self._selection(*found.values())
        counts += [len(selection)] if conditions else []
        return selection, [before - after for before, after in itertools.pairwise(counts)]

    def count(self, conditions: Sequence[Condition]) -> list[int]:
        """How many rows each condition leaves out, as `narrow` says it, without choosing any.

        Raises:
            ConfigError: A condition is none, or names a column that there is not.
        """
        with answering():
            return [before - after for before, after in itertools.pairwise(map(count_of, self._steps(conditions)))]

    def repeats(self, conditions: Sequence[Condition] = ()) -> Iterator[list[Repeat]]:
        """The rows that fulfil conditions by task and agent, wherever they stand; one group at a time is in memory.

        Raises:
            ConfigError: A condition is none, or names a column that there is not.
        """
        import pyarrow as pa

        names = "source, group_id, agent, id, reward, byte_position, byte_length"
        with answering():
            rows = self._steps(conditions)[-1].project(names).order("source, group_id, agent, byte_position")
            table = pa.table(rows)  # numbers and names in columns, some 100 bytes a row: a reader would hold the engine
        key, group = None, list[Repeat]()
        for batch in table.to_batches(_FETCHED):
            for source, group_id, agent, *row in zip(*(column.to_pylist() for column in batch), strict=True):
                if key != (source, group_id, agent) and group:
                    yield group
                    group = []
                key = source, group_id, agent
                name, reward, position, length = row
                group.append(Repeat(source, name, reward, Span(position, length)))
        if group:
            yield group

    def trajectory(self, repeat: Repeat) -> Trajectory:
        """One of these rows whole.

        Raises:
            LLMGymError: It has scalars and is otherwise none. Or its file is another one by now.
        """
        index = self.indexes[repeat.source]
        (data,) = index.fetch([repeat.span])
        return index.shape.trajectory(data, index.place(repeat.span))

    def _steps(self, conditions: Sequence[Condition]) -> list[Any]:
        """All rows, and what is left of them behind each condition."""
        return list(itertools.accumulate(conditions, self._narrowed, initial=self._connection.table("rows")))

    def _narrowed(self, rows: Any, condition: Condition) -> Any:
        try:
            with answering():
                return self._fulfilling(rows, condition)
        except ConfigError as error:
            option = "--where" if condition.of == "rows" else "--group-where"
            raise ConfigError(f"{option} {condition.text!r}: {error}") from None

    def _fulfilling(self, rows: Any, condition: Condition) -> Any:
        if condition.of == "rows":
            return rows.filter(condition.text)
        keys = "source as llmgym_source, group_id as llmgym_group, agent as llmgym_agent"
        groups = self._connection.table("groups").filter(condition.text).project(keys)
        same = "source = llmgym_source and group_id = llmgym_group and agent = llmgym_agent"
        joined = rows.join(groups, same, how="semi")
        return joined.set_alias("rows")

    def choose(self, selection: Selection) -> None:
        """Make the table `chosen`, until the next one is: the rows of a selection."""
        import pyarrow as pa

        sources = [source for source, spans in enumerate(selection.spans) for _ in spans]
        positions = [span.position for spans in selection.spans for span in spans]
        chosen = pa.table({"source": pa.array(sources, pa.int32()), "byte_position": pa.array(positions, pa.int64())})
        self._connection.register("picked", chosen)
        text = "from rows semi join picked using (source, byte_position)"
        self._connection.execute(f"create or replace view chosen as {text}")

    def among(self, selection: Selection, query: str) -> Selection:
        """The rows that a query names by `source` and `line`, which asks the table `chosen`: the rows of a selection.

        Raises:
            ConfigError: It cannot be answered.
        """
        self.choose(selection)
        text = f"""
            select source, byte_position, byte_length from rows semi join ({query}) using (source, line)
            order by source, byte_position
        """
        with answering():
            return self._selection(*self._connection.execute(text).fetchnumpy().values())

    def _selection(self, sources: Any, positions: Any, lengths: Any) -> Selection:
        with steady():
            owned = [sources == source for source in range(len(self.indexes))]
            return Selection(tuple(tuple(map(Span, positions[own].tolist(), lengths[own].tolist())) for own in owned))

    def tables(self, rows: int) -> Iterator[Any]:
        """What the indexes know of the rows, as Arrow tables of at most so many, in the order of the files."""
        import pyarrow as pa

        text = f"select * exclude (source, {', '.join(PLACES)}) from rows order by source, byte_position"
        for batch in self._connection.sql(text).to_arrow_reader(rows):
            yield pa.Table.from_batches([batch])

    def groups(self) -> Iterator[Group]:
        """The groups, by file and id."""
        for row in self.query("select * from groups order by source, group_id, agent"):
            yield Group(*row)

    def lines(self, selection: Selection) -> Iterator[bytes]:
        """Rows as they stand in their files.

        Raises:
            UnreadableError: A file is another one by now.
        """
        for index, spans in zip(self.indexes, selection.spans, strict=True):
            yield from index.fetch(spans)

    def trajectories(self, selection: Selection) -> Iterator[Trajectory]:
        """Rows whole.

        Raises:
            LLMGymError: A row has scalars and is otherwise none; names its line. Or a file is another one by now.
        """
        for index, spans in zip(self.indexes, selection.spans, strict=True):
            for span, data in zip(spans, index.fetch(spans), strict=True):
                yield index.shape.trajectory(data, index.place(span))

    def copy(self, selection: Selection, target: IO[bytes]) -> None:
        """Write rows as they stand in their files, each with one line end.

        Raises:
            UnreadableError: A file is another one by now.
        """
        for index, spans in zip(self.indexes, selection.spans, strict=True):
            index.copy(spans, target)

    def _duplicates(self) -> list[Problem]:
        if all(index.meta.unique for index in self.indexes):
            return []
        found = self.query("select source, line, id from found where llmgym_nth > 1 order by source, line")
        return [
            Problem(str(self.indexes[source].path), line, "duplicate", f"a row before it has the id {name!r}")
            for source, line, name in found
        ]
