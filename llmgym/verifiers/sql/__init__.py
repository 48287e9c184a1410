"""SQL by execution: a query is right where it gives what the right one gives, on each of several databases.

One database lets constants pass: a query that says `select 3` is right wherever the answer happens to be 3.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from functools import partial
from typing import Literal

from llmgym.verifiers.base import MAX_ANSWER, Verdict, correct, unscored, wrong
from llmgym.verifiers.sql.databases import Database, DuckDB, QueryError, SQLite
from llmgym.verifiers.sql.results import Result, difference
from llmgym.verifiers.sql.rules import MAX_ROWS, InvalidQuery, is_ordered, prove
from llmgym.verifiers.text import fenced_blocks, without_thoughts

__all__ = ["Database", "DuckDB", "QueryError", "Result", "SQLite", "check", "is_ordered", "prove", "query_of"]

_BEGINS = re.compile(r"\s*(?:select|with|values|explain)\b", re.IGNORECASE)
_PROSE = re.compile(  # marks that no query follows are a match, too, lest their run is tried from each of them
    r"(?:^|:|`)[ \t*`]*+(?:"
    r"(?P<query>(?:select\b|values\s*\(|with\s+(?:recursive\s+)?\w+\s*(?:\([^()]*\)\s*)?as\b)"
    r"(?:'[^']*+'|\"[^\"]*+\"|[^;`'\"\n]++|\n(?![ \t]*\n))*+)(?:[;`]|\n[ \t]*\n|\Z))?",
    re.MULTILINE | re.IGNORECASE,
)


def query_of(answer: str) -> str:
    """The query in an answer: its last fenced block, one of `sql` first; else the last one that stands in its prose.

    In prose a query begins a line, or stands behind a colon or a backtick, and ends at a semicolon, a backtick or an
    empty line. Where there is none, it is all that is no thought.
    """
    answer = without_thoughts(answer)
    blocks = [block for block in fenced_blocks(answer).blocks if block.is_closed]
    named = [block.content for block in blocks if block.name.lower() in ("sql", "sqlite", "duckdb")]
    found = named or [block.content for block in blocks]
    if not found and not _BEGINS.match(answer):
        found = [query for match in _PROSE.finditer(answer) if (query := match["query"])]
    return (found or [answer])[-1].strip().rstrip(";").rstrip()


def check(
    answer: str,
    reference: str,
    *,
    databases: Sequence[Database],
    ordered: bool | None = None,
    columns: Literal["strict", "any"] = "strict",
    rows: Literal["counted", "set"] = "counted",
    tolerance: float = 1e-6,
    seconds: float = 1.0,
) -> Verdict:
    """Run a query beside the right one, and compare what they give.

    Values are equal as `llmgym.verifiers.values` says: NULL is NULL and not the empty text, 1 is 1.0, text is exact.
    Names of columns do not count. A query is blocking work: `verify_in = "thread"` in an environment.

    Args:
        answer: A query, alone or in a fenced block.
        reference: The right query.
        databases: Where both run; all must agree.
        ordered: Whether the order of rows counts; None asks sqlglot whether the right query has one.
        columns: Whether columns must be in the right order, or may be in any where they are at most six.
        rows: Whether the number of equal rows counts; "set" is BIRD's rule, in which neither that nor the order does.
        tolerance: Relative, for numbers that are not both whole.
        seconds: For each run of the query.

    Returns:
        1 or 0, with the share of the databases that agree as `databases_matched`; None where the right query does not
        run, or the machine is at fault.
    """
    deadline = time.monotonic() + len(databases) * (seconds + 1.0)
    if len(answer) > MAX_ANSWER:
        return wrong(f"it has {len(answer):,} characters, more than {MAX_ANSWER:,}", "too_long")
    query = query_of(answer)
    if not query:
        return wrong("there is no query", "no_answer")
    try:
        if ordered is None:
            ordered = is_ordered(reference, databases[0].dialect)
        gold = [database.run(reference, max_rows=MAX_ROWS, seconds=5 * seconds) for database in databases]
    except (InvalidQuery, QueryError) as error:
        reason = "infrastructure" if getattr(error, "reason", "") == "infrastructure" else "invalid_reference"
        return unscored(reason, f"the right query: {error}")
    if not gold or not all(right.complete for right in gold):
        return unscored("invalid_reference", f"there is no database, or there are more than {MAX_ROWS:,} right rows")
    differs = partial(
        difference, ordered=ordered, any_columns=columns == "any", as_sets=rows == "set", tolerance=tolerance,
        deadline=deadline,
    )  # fmt: skip
    try:
        differences = [
            differs(database.run(query, max_rows=len(right.rows), seconds=seconds), right)
            for database, right in zip(databases, gold, strict=True)
        ]
    except QueryError as error:
        if error.reason == "infrastructure":
            return unscored("infrastructure", str(error))
        return wrong(str(error), error.reason)
    except TimeoutError:
        return wrong("its result takes too long to compare", "timeout")
    return _verdict(differences)


def _verdict(differences: Sequence[str | None]) -> Verdict:
    """What comes of how the result differs on each database."""
    matched = sum(found is None for found in differences) / len(differences)
    if matched == 1:
        return correct(databases_matched=matched)
    first = next(index for index, found in enumerate(differences) if found is not None)
    said = f"on database {first + 1} of {len(differences)}: {differences[first]}"
    return wrong(said, databases_matched=matched)
