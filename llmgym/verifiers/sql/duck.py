"""DuckDB in a worker process: what runs there, and how its values come back as JSON."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from llmgym.loading import expect_modules

_KEPT = 8  # databases of a worker
_MAX_CHARACTERS = 16_000_000
_SETTINGS = (  # in this order: what comes after would be refused
    "set temp_directory = ''",  # what does not fit the memory fails, and fills no disk
    "set memory_limit = '200MB'",
    "set threads = 1",
    "set autoload_known_extensions = false",
    "set autoinstall_known_extensions = false",
    "set allow_community_extensions = false",
    "set enable_external_access = false",
    "set lock_configuration = true",
)
_made: dict[str, Any] = {}


def check_installed() -> None:
    """See that DuckDB is there.

    Raises:
        MissingExtraError: It is not.
    """
    expect_modules("a database of DuckDB's", "verifiers", "duckdb")


def answer(name: str, script: str, query: str, max_rows: int, seconds: float) -> dict[str, Any]:
    """Run a query; called in a worker.

    Args:
        name: Of the database.
        script: The statements that make it.
        query: One query that reads.
        max_rows: How many rows to fetch.
        seconds: How long it may take, as far as it can be interrupted.

    Returns:
        `columns`, `rows` and `complete`; or `error` and `reason`.
    """
    import duckdb

    try:
        cursor = _database(name, script).cursor()
    except duckdb.Error as error:
        return {"reason": "unparsable", "error": f"the script of the database does not run: {error}"}
    late = threading.Timer(seconds, cursor.interrupt)
    late.start()
    try:
        statements = duckdb.extract_statements(query)
        if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
            return {"reason": "unparsable", "error": "it is not one query that reads"}
        cursor.execute("begin transaction read only")
        cursor.execute(statements[0])
        return _fetch(cursor, max_rows)
    except duckdb.InterruptException:
        return {"reason": "timeout", "error": f"it ran past {seconds} s"}
    except (duckdb.OutOfMemoryException, MemoryError) as error:
        return {"reason": "too_long", "error": str(error)}
    except duckdb.FatalException:
        _made.pop(name, None)  # it has shut itself
        raise
    except (duckdb.Error, UnicodeError, ValueError, OverflowError, RuntimeError) as error:
        return {"reason": "unparsable", "error": str(error)[:500]}
    finally:
        late.cancel()
        late.join()
        cursor.close()


def _database(name: str, script: str) -> Any:
    """The database, made where it is not there; those longest unused go."""
    import duckdb

    database = _made.pop(name, None)
    if database is None:
        database = duckdb.connect(":memory:")
        for setting in _SETTINGS:
            database.execute(setting)
        database.execute(script)
    _made[name] = database
    while len(_made) > _KEPT:
        _made.pop(next(iter(_made))).close()
    return database


def _fetch(cursor: Any, max_rows: int) -> dict[str, Any]:
    columns = len(cursor.description or ())
    rows: list[list[Any]] = []
    room = _MAX_CHARACTERS
    while len(rows) <= max_rows and (chunk := cursor.fetchmany(256)):
        found = [list(map(_encode, row)) for row in chunk]
        room -= len(json.dumps(found))
        if room < 0:
            return {"reason": "too_long", "error": f"its result has more than {_MAX_CHARACTERS:,} characters"}
        rows += found
    return {"columns": columns, "rows": rows[:max_rows], "complete": len(rows) <= max_rows}


def _encode(value: Any) -> Any:
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, bytes | bytearray | memoryview):
        return {"bytes": bytes(value).hex()}
    if isinstance(value, Decimal):
        return {"decimal": str(value)}
    if isinstance(value, Mapping):
        return {"map": [[str(key), _encode(part)] for key, part in value.items()]}
    if isinstance(value, list | tuple):
        return {"list": list(map(_encode, value))}
    return str(value)


def decode(value: Any) -> Any:
    """A value as the worker had it, but that dates and the like are text."""
    if not isinstance(value, dict):
        return value
    ((kind, data),) = value.items()
    if kind == "bytes":
        return bytes.fromhex(data)
    if kind == "decimal":
        return Decimal(data)
    if kind == "map":
        return {key: decode(part) for key, part in data}
    return list(map(decode, data))
