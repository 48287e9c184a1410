"""Databases that run one query of a stranger's: it reads, ends in time, and takes little memory."""

from __future__ import annotations

import hashlib
import sqlite3
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Protocol

from llmgym.concurrency import PastDeadline, WorkerError, drive_apart, in_process
from llmgym.errors import EnvironmentFailure, TaskError
from llmgym.verifiers.base import Reason
from llmgym.verifiers.sql.results import Result

#: Characters of a query.
MAX_QUERY = 20_000
_MAX_CELLS = 16_000_000  # characters of a result in all
_MAX_CELL = 1_000_000


class QueryError(Exception):
    """A query has no result.

    Attributes:
        reason: Why, as a verdict says it.
    """

    def __init__(self, reason: Reason, message: str) -> None:
        """Say what a person should know."""
        super().__init__(message)
        self.reason: Reason = reason


class Database(Protocol):
    """A database that queries leave as it is.

    Attributes:
        dialect: Its language, as sqlglot calls it.
    """

    dialect: ClassVar[str]

    def run(self, query: str, *, max_rows: int, seconds: float) -> Result:
        """Run one query that reads.

        Args:
            query: The query.
            max_rows: How many rows to fetch; where there are more, the result is not complete.
            seconds: How long it may take.

        Raises:
            QueryError: It has no result.
        """
        ...


@dataclass(frozen=True)
class SQLite:
    """A database of SQLite's, as the image that `sqlite3.Connection.serialize` gives: each query has a fresh copy.

    Attributes:
        image: The image, or the bytes of a database file.
    """

    image: bytes = field(repr=False)

    dialect: ClassVar[str] = "sqlite"

    @classmethod
    def of_script(cls, script: str) -> SQLite:
        """The database that statements make.

        Raises:
            TaskError: They do not run.
        """
        connection = sqlite3.connect(":memory:")
        try:
            connection.executescript(script)
            connection.commit()
            return cls(connection.serialize())
        except sqlite3.Error as error:
            raise TaskError(f"the script of a database does not run: {error}") from error
        finally:
            connection.close()

    @classmethod
    def of_tables(cls, tables: Mapping[str, Sequence[Mapping[str, Any]]]) -> SQLite:
        """A database of rows; columns are those of a table's first row, and have the types of what is in them.

        Raises:
            TaskError: A table has no row, or a row does not fit.
        """
        connection = sqlite3.connect(":memory:")
        try:
            for table, rows in tables.items():
                names = list(rows[0]) if rows else []
                listed = ", ".join(f"{_quoted(name)} {_type_of(rows, name)}" for name in names)
                connection.execute(f"create table {_quoted(table)} ({listed})")
                values = ", ".join("?" * len(names))
                connection.executemany(
                    f"insert into {_quoted(table)} values ({values})", [[row[name] for name in names] for row in rows]
                )
            connection.commit()
            return cls(connection.serialize())
        except (sqlite3.Error, KeyError, OverflowError) as error:
            raise TaskError(f"the tables make no database: {type(error).__name__}: {error}") from error
        finally:
            connection.close()

    def run(self, query: str, *, max_rows: int, seconds: float) -> Result:
        """See `Database.run`."""
        _check_text(query)
        connection = sqlite3.connect(":memory:")
        try:
            connection.deserialize(self.image)
            _guard(connection, time.monotonic() + seconds)
            cursor = connection.execute(query)
            if cursor.description is None:
                raise QueryError("unparsable", "there is no query")
            return _fetch(len(cursor.description), cursor, max_rows)
        except (sqlite3.Error, sqlite3.Warning, MemoryError, ValueError, OverflowError) as error:
            raise _told(error, seconds) from None
        finally:
            connection.close()


# SELECT, READ, FUNCTION and RECURSIVE; Python names the last from 3.11 on some platforms only.
_READING = frozenset({sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, 33})
# What leaves the database, and what would make a verdict a matter of luck.
_FORBIDDEN = frozenset({"load_extension", "fts3_tokenizer", "random", "randomblob"})
_LIMITS = {
    sqlite3.SQLITE_LIMIT_LENGTH: _MAX_CELL,
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: 4 * MAX_QUERY,  # in bytes
    sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 200,
    sqlite3.SQLITE_LIMIT_COMPOUND_SELECT: 50,
    sqlite3.SQLITE_LIMIT_ATTACHED: 0,
}


def _guard(connection: sqlite3.Connection, deadline: float) -> None:
    """Let a connection read, and not for long; one long call of a function in C is bounded by what it may handle."""
    connection.execute("pragma temp_store = file")  # a sort that spills takes little memory, and is gone with it
    for limit, value in _LIMITS.items():
        connection.setlimit(limit, value)
    connection.set_progress_handler(lambda: time.monotonic() > deadline, 1000)
    connection.text_factory = lambda text: text.decode(errors="replace")

    def allow(action: int, _: str | None, name: str | None, *__: str | None) -> int:
        reads = action in _READING and not (action == sqlite3.SQLITE_FUNCTION and (name or "").lower() in _FORBIDDEN)
        return sqlite3.SQLITE_OK if reads else sqlite3.SQLITE_DENY

    connection.set_authorizer(allow)


def _told(error: Exception, seconds: float) -> QueryError:
    text = str(error)
    if text == "interrupted":
        return QueryError("timeout", f"it ran past {seconds} s")
    if isinstance(error, MemoryError) or "too big" in text:
        return QueryError("too_long", text or "it takes too much memory")
    if "disk is full" in text or "unable to open database" in text:
        return QueryError("infrastructure", f"there is no room for what it sorts: {text}")
    return QueryError("unparsable", text)


@dataclass(frozen=True)
class DuckDB:
    """A database of DuckDB's, as the statements that make it.

    Queries run in a worker process that is killed past their time, since DuckDB's functions cannot be interrupted. A
    worker keeps the databases that it has made.

    Attributes:
        script: The statements.
    """

    script: str = field(repr=False)

    dialect: ClassVar[str] = "duckdb"

    @cached_property
    def _name(self) -> str:
        return hashlib.sha256(self.script.encode()).hexdigest()

    def run(self, query: str, *, max_rows: int, seconds: float) -> Result:
        """See `Database.run`."""
        from llmgym.verifiers.sql import duck

        _check_text(query)
        duck.check_installed()
        try:
            # The worker ends a query that can be interrupted, and is killed with one that cannot.
            job = in_process(duck.answer, self._name, self.script, query, max_rows, seconds, seconds=seconds + 1.0)
            found = drive_apart(job)
        except PastDeadline:
            raise QueryError("timeout", f"it ran past {seconds} s") from None
        except (WorkerError, EnvironmentFailure) as error:
            raise QueryError("infrastructure", str(error)) from None
        if "error" in found:
            raise QueryError(found["reason"], found["error"])
        rows = [list(map(duck.decode, row)) for row in found["rows"]]
        return Result.of(found["columns"], rows, found["complete"])


def _check_text(query: str) -> None:
    if len(query) > MAX_QUERY:
        raise QueryError("too_long", f"it has {len(query):,} characters, more than {MAX_QUERY:,}")
    try:
        query.encode()
    except UnicodeEncodeError as error:
        raise QueryError("unparsable", f"it has what is no text: {error.reason}") from None


def _fetch(columns: int, rows: Iterable[Sequence[Any]], max_rows: int) -> Result:
    found: list[Sequence[Any]] = []
    room = _MAX_CELLS
    for row in rows:
        if len(found) == max_rows:
            return Result.of(columns, found, complete=False)
        room -= sum(len(cell) for cell in row if isinstance(cell, str | bytes))
        if room < 0:
            raise QueryError("too_long", f"its result has more than {_MAX_CELLS:,} characters")
        found.append(row)
    return Result.of(columns, found)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _type_of(rows: Sequence[Mapping[str, Any]], name: str) -> str:
    kinds = {type(row.get(name)) for row in rows} - {type(None)}
    if kinds <= {int, bool}:
        return "integer"
    return "real" if kinds <= {int, bool, float} else "blob" if kinds == {bytes} else "text" if kinds == {str} else ""
