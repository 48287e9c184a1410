"""Text-to-SQL rows of other people's: a question, its query, and the statements that make the database.

One database lets constants pass, so a second one is made of the first: its rows with their values dealt out anew.
"""

from __future__ import annotations

import random
import sqlite3
import time
from typing import Any

from llmgym.envs.text_to_sql.databases import Row, insertions
from llmgym.errors import TaskError
from llmgym.tasks import Task, schema_of_row, task_from_row
from llmgym.verifiers.sql import QueryError, SQLite, is_ordered

_QUESTION = ("question", "sql_prompt")
_QUERY = ("gt_sql", "sql")
_DIALECTS = ("sqlite", "sqlite3")
_TRIES = 12  # second databases
_SECONDS = 2.0
_MAX_ROWS = 2_000

_Tables = dict[str, list[Row]]


def read_row(row: dict[str, Any]) -> Task:
    """Make the task of a row with a question, its query and its database; see `TextToSQL` for the shapes.

    Raises:
        KeyError, ValueError, TypeError: The row is malformed, or its database cannot be had.
    """
    columns = {name: value for name, value in row.items() if value is not None}
    question, query = _take(columns, _QUESTION), _take(columns, _QUERY)
    dialect = columns.pop("sql_dialect", "sqlite")
    if dialect not in _DIALECTS:
        raise ValueError(f"sql_dialect is {dialect!r:.40}; only queries for sqlite can be run")
    context = columns.pop("sql_context", None)
    if not isinstance(context, str) or "create" not in context.lower() or "insert" not in context.lower():
        raise ValueError("sql_context must hold the CREATE and INSERT statements of the database, which is not fetched")
    schema, tables = _load(context)
    made = "\n".join(statement["sql"] for statement in schema)
    databases = [insertions(tables), _twin(made, tables, query)]
    metadata = {"schema": schema, "databases": databases, "ordered": is_ordered(query, "sqlite")}
    if "responses_create_params" in columns:
        task = task_from_row(columns)
        return Task(id=task.id, prompt=task.prompt, answer=query, metadata={**task.metadata, **metadata})
    task = task_from_row({**columns, "prompt": question})
    return Task(id=task.id, prompt=question, answer=query, metadata={**task.metadata, **metadata})


def row_schema() -> dict[str, Any]:
    """The JSON Schema of a row with a question, its query and its database."""
    text = {"type": "string", "minLength": 1}
    return schema_of_row(
        "A question of TextToSQL",
        {
            "question": {**text, "description": "The question; or `sql_prompt`."},
            "sql_prompt": text,
            "gt_sql": {**text, "description": "The right query, for SQLite; or `sql`."},
            "sql": text,
            "sql_context": {**text, "description": "The CREATE and INSERT statements of the database."},
            "sql_dialect": {"enum": [*_DIALECTS, None], "description": "No other can be run."},
            "responses_create_params": {
                "type": ["object", "null"],
                "description": "A request of the Responses API, as rows of NeMo Gym have it: the opening of the task.",
            },
        },
        required=["sql_context"],
        allOf=[
            {"anyOf": [{"required": ["question"]}, {"required": ["sql_prompt"]}]},
            {"anyOf": [{"required": ["gt_sql"]}, {"required": ["sql"]}]},
        ],
    )


def _take(columns: dict[str, Any], names: tuple[str, ...]) -> str:
    found = [columns.pop(name) for name in names if name in columns]
    if not found:
        raise KeyError(names[0])
    if not isinstance(found[0], str) or not found[0].strip():
        raise TypeError(f"{names[0]} is text, this is {found[0]!r:.100}")
    return found[0]


def _load(context: str) -> tuple[list[dict[str, str]], _Tables]:
    """The statements of the tables, and their rows."""
    connection = sqlite3.connect(":memory:")
    deadline = time.monotonic() + _SECONDS
    connection.set_progress_handler(lambda: time.monotonic() > deadline, 1000)
    outside = (sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH)
    connection.set_authorizer(lambda action, *_: sqlite3.SQLITE_DENY if action in outside else sqlite3.SQLITE_OK)
    try:
        connection.executescript(context)
        made = connection.execute(
            "select type, name, sql from sqlite_master where sql is not null and name not like 'sqlite\\_%' escape '\\'"
        ).fetchall()
        names = ['"' + name.replace('"', '""') + '"' for kind, name, _ in made if kind == "table"]
        tables = {name: connection.execute(f"select * from {name}").fetchall() for name in names}
    except (sqlite3.Error, sqlite3.Warning, ValueError) as error:
        raise ValueError(f"sql_context does not run in SQLite: {error}") from None
    finally:
        connection.close()
    if sum(map(len, tables.values())) > _MAX_ROWS:
        raise ValueError(f"sql_context makes more than {_MAX_ROWS:,} rows")
    return [{"name": name, "sql": f"{sql};"} for kind, name, sql in made if kind != "trigger"], tables


def _twin(schema: str, tables: _Tables, query: str) -> str:
    """Statements of another database with these tables, on which the query gives something else.

    Raises:
        ValueError: The query does not run, or gives nothing; or there is no such database.
    """
    try:
        first = SQLite.of_script(f"{schema}\n{insertions(tables)}").run(query, max_rows=_MAX_ROWS, seconds=_SECONDS)
    except (QueryError, TaskError) as error:
        raise ValueError(f"the right query does not run on the database of sql_context: {error}") from None
    if not _says_something(first.rows):
        raise ValueError("the right query gives nothing on the database of sql_context, as many wrong ones do")
    for seed in range(_TRIES):
        filled = insertions(_dealt(schema, tables, random.Random(seed)))
        try:
            other = SQLite.of_script(f"{schema}\n{filled}").run(query, max_rows=_MAX_ROWS, seconds=_SECONDS)
        except (QueryError, TaskError):  # what constraints forbid
            continue
        if _says_something(other.rows) and sorted(map(repr, other.rows)) != sorted(map(repr, first.rows)):
            return filled
    raise ValueError("the right query gives the same on every other database that was tried, so that a constant passes")


def _says_something(rows: list[Any]) -> bool:
    return any(cell is not None for row in rows for cell in row)


def _dealt(schema: str, tables: _Tables, rng: random.Random) -> _Tables:
    """The tables with the values of each column dealt to other rows, keys apart, and without some of the rows."""
    connection = sqlite3.connect(":memory:")
    connection.executescript(schema)
    found: _Tables = {}
    for name, rows in tables.items():
        columns = [list(column) for column in zip(*rows, strict=True)]
        for column, (_, _, _, _, _, key) in zip(
            columns, connection.execute(f"pragma table_info({name})"), strict=False
        ):
            if not key:
                rng.shuffle(column)
        kept = [row for row in zip(*columns, strict=True) if rng.random() < 0.8]
        found[name] = kept or list(zip(*columns, strict=True))
    connection.close()
    return found
