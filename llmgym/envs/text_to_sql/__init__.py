"""Text-to-SQL: a question in English, and the query that answers it."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from llmgym.env import Episode, ToolEnv
from llmgym.envs.text_to_sql.problems import Level, Problems
from llmgym.envs.text_to_sql.rows import read_row, row_schema
from llmgym.errors import ConfigError, EnvironmentFailure, ToolError
from llmgym.messages import Message, assistant, tool_call
from llmgym.rewards import Reward
from llmgym.tasks import Task, TaskSet
from llmgym.tools import tool
from llmgym.verifiers.sql import QueryError, SQLite, check, query_of

_RULES = (
    "Write one SQLite query that answers the question, and reply with it in a block:\n```sql\nSELECT ...\n```\n"
    "It has the columns that are asked for, in that order, and nothing else; their names do not matter. Do not round. "
    "Rows may be in any order unless one is asked for. The query is checked on another database with the "
    "same tables and other rows."
)
_WITH_TOOLS = (
    "Look at the tables with `describe` and try queries with `query` as often as you need, then reply without a tool "
    "call. "
)
_SHOWN = 50  # rows that a tool gives
_SECONDS = 1.0


class TextToSQL(ToolEnv):
    """Write the SQL query that answers a question.

    ## Description

    A database of one to six tables (shops, libraries, clinics, schools, freight, festivals, firms), with keys, missing
    values and equal names in several tables, and a question in English. Tables, rows and questions are generated. Each
    query gives something on two databases, not the same on both, and differs there from queries with one
    mistake: a condition dropped or turned, the next comparison, another aggregate, another join, order or limit.

    ## Actions

    Text that holds the query: in the last fenced block, or else without one, alone or after a sentence. With
    `mode="tools"` there are tools first: `describe(table)` gives the statement that made a table, and `query(sql)` the
    rows of a query on one of the two databases; then a message without a call has the query.

    ## Observations

    The question, and the statements that made the tables; with tools their names alone, then results or the error
    of the database. A result has up to 50 rows.

    ## Rewards

    1 where the query gives the rows of the right one on both databases, else 0. Rows are in any order unless the
    question asks for one, columns in any order, their names do not count, 1 is 1.0, and numbers that are not whole may
    be off by a millionth. A query that takes over a second, or does anything but read, earns 0.

    Metrics: `databases_matched` (share of the two), `tool_calls`, `tool_errors`; `unparsable`, `no_answer`, `timeout`
    or `too_long` where that is why.

    ## Episode End

    Terminates with the first message that calls no tool; truncates after `max_turns` messages.

    ## Arguments

    - `level` ("medium"): "easy" has one table; "medium" three to five, and joins, groups and orders too; "hard" four to
      six, and rows without partners, groups with conditions, queries in queries and windows.
    - `mode` ("text"): "tools" offers `describe` and `query`, and does not show the tables.
    - `tasks`: a file of rows with `question`, `gt_sql` and `sql_context` (also as `sql_prompt` and `sql`), as those of
      NeMo Gym, with `responses_create_params` or without. `sql_context` has the CREATE and INSERT statements of a
      SQLite database; a second one is made of it by dealing its values to other rows. Rows without
      such statements, of another dialect, or whose query gives nothing are refused. It needs the extra `verifiers`.

    ## Registered Variants

    - `llmgym/TextToSQL-v0`: up to five tables, joins and groups.
    - `llmgym/TextToSQL-easy-v0`: one table, conditions and aggregates.
    - `llmgym/TextToSQL-tools-v0`: the questions of the first, with tools and without the schema.
    - `llmgym/TextToSQL-hard-v0`: hard questions, with tools and without the schema.

    ## Version History

    - v0: first version.
    """

    verify_in = "thread"
    max_turns = 1

    def __init__(
        self,
        *,
        level: Level = "medium",
        mode: Literal["text", "tools"] = "text",
        tasks: TaskSet | str | Path | None = None,
        **options: Any,
    ) -> None:
        """Make the environment.

        Args:
            level: How hard the questions are.
            mode: Whether there are tools that look at the database.
            tasks: Other questions.
            **options: Passed to `ToolEnv`.

        Raises:
            ConfigError: An argument is unknown.
        """
        if mode not in ("text", "tools"):
            raise ConfigError(f"mode is {mode!r}; there is text, tools")
        self.mode = mode
        self.system_prompt = _WITH_TOOLS + _RULES if mode == "tools" else _RULES
        names = None if mode == "tools" else ()
        problems = TaskSet.generated(Problems(level))
        super().__init__(tasks=problems if tasks is None else tasks, tools=names, **options)

    read_row = staticmethod(read_row)
    row_schema = staticmethod(row_schema)

    def setup(self, task: Task) -> None:
        """Keep what tools look at."""
        self.statements: dict[str, str] = {made["name"]: made["sql"] for made in task.metadata["schema"]}
        self.scripts = [f"{' '.join(self.statements.values())}\n{filled}" for filled in task.metadata["databases"]]

    def opening(self, task: Task) -> list[Message]:
        """The question, with the tables that there are where the row does not ask by itself."""
        messages = super().opening(task)
        if isinstance(task.prompt, str):
            by_tools = f"Tables: {', '.join(self.statements)}"
            there = by_tools if self.mode == "tools" else "\n".join(self.statements.values())
            messages[-1]["content"] = f"{there}\n\n{task.prompt}"
        return messages

    @tool
    def describe(self, table: str) -> str:
        """Show the statement that made a table: its columns, their types and keys.

        Args:
            table: Name of the table.
        """
        wanted = table.strip().strip('"`[];').lower()
        for name, statement in self.statements.items():
            if name.lower() == wanted:
                return statement
        raise ToolError(f"there is no table {table[:60]!r}; there is {', '.join(self.statements)}")

    @tool(blocking=True)
    def query(self, sql: str) -> dict[str, Any]:
        """Run a SELECT query on the database and show its rows, at most 50.

        Args:
            sql: One SQLite query.
        """
        try:
            result = database(self.scripts[0]).run(query_of(sql), max_rows=_SHOWN, seconds=_SECONDS)
        except QueryError as error:
            if error.reason == "infrastructure":
                raise EnvironmentFailure(str(error), kind="infrastructure") from None
            raise ToolError(f"{error}; write another query, or `describe` a table") from None
        more = {} if result.complete else {"more": f"only the first {_SHOWN} rows are shown"}
        return {"rows": [[_shown(cell) for cell in row] for row in result.rows], **more}

    def verify(self, episode: Episode) -> Reward:
        """Compare what the query gives on both databases with what the right one gives."""
        task = episode.task
        return check(
            episode.final_text,
            task.answer,
            databases=[database(script) for script in self.scripts],
            ordered=task.metadata["ordered"],
            columns="any",
            seconds=_SECONDS,
        ).reward

    def oracle(self, task: Task) -> Iterator[Message | str]:
        """Look at the tables and at what the query gives, where there are tools, and reply with it."""
        if self.mode == "tools":
            used = [name for name in self.statements if name in task.answer]
            yield assistant("", *(tool_call("describe", table=name) for name in used))
            yield assistant("", tool_call("query", sql=task.answer))
        yield f"```sql\n{task.answer}\n```"


@lru_cache(256)
def database(script: str) -> SQLite:
    """The database that statements make; those of the last tasks are kept."""
    return SQLite.of_script(script)


def _shown(cell: Any) -> Any:
    return cell if isinstance(cell, str | int | float) or cell is None else str(cell)
