"""Text-to-SQL tasks: a schema, two databases, and a question whose query is told from near ones on them."""

from __future__ import annotations

import sqlite3
from collections import Counter
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from llmgym.envs.text_to_sql.databases import Contents, Row, Schema, connect, draw_schema, insertions
from llmgym.envs.text_to_sql.hard_questions import HARD
from llmgym.envs.text_to_sql.phrases import NoDraft, Scene
from llmgym.envs.text_to_sql.questions import EASY, MEDIUM, Draft, Kind
from llmgym.envs.text_to_sql.selects import mistaken
from llmgym.errors import ConfigError
from llmgym.tasks import Task

Level = Literal["easy", "medium", "hard"]

_LEVELS: dict[str, tuple[tuple[int, int], tuple[Kind, ...]]] = {
    "easy": ((1, 1), EASY),
    "medium": ((3, 5), (*EASY, *MEDIUM, *MEDIUM)),
    "hard": ((4, 6), HARD),
}
_DRAFTS = 10  # of one database
_DATABASES = 4  # for one kind of questions
_KINDS = 20
_MOST_ROWS = 30


@dataclass(frozen=True)
class Problems:
    """Makes tasks.

    Attributes:
        level: How hard the questions are.
    """

    level: Level

    def __post_init__(self) -> None:
        """Check the field."""
        if self.level not in get_args(Level):
            raise ConfigError(f"level is {self.level!r}; there is {', '.join(get_args(Level))}")

    def __call__(self, rng: np.random.Generator) -> Task:
        """Make a task."""
        (least, most), kinds = _LEVELS[self.level]
        kind = kinds[0]
        for attempt in range(_DATABASES * _KINDS):
            if attempt % _DATABASES == 0:
                kind = kinds[int(rng.integers(len(kinds)))]
            schema = draw_schema(rng, least, most)
            contents = Contents.draw(rng, schema)
            rows = [contents.rows(rng) for _ in range(2)]
            scene = Scene(rng, schema, rows[0])
            with ExitStack() as stack:
                databases = [stack.enter_context(closing(connect(schema, each))) for each in rows]
                for _ in range(_DRAFTS):
                    try:
                        draft = kind(scene)
                    except NoDraft:
                        continue
                    if _tells(draft, databases):
                        return _task(draft, schema, rows, kind.__name__)
        raise ConfigError(f"found no question of level {self.level!r}")


def _task(draft: Draft, schema: Schema, rows: list[dict[str, list[Row]]], kind: str) -> Task:
    filled = [insertions({schema.named(table): each[table.name] for table in schema.tables}) for each in rows]
    metadata = {
        "schema": schema.statements(), "databases": filled, "ordered": bool(draft.query.order), "kind": kind,
    }  # fmt: skip
    return Task(prompt=draft.text, answer=draft.query.sql(), metadata=metadata)


def _tells(draft: Draft, databases: list[sqlite3.Connection]) -> bool:
    """Whether the query gives something on both databases, not the same, and each mistake gives something else."""
    query, gold = draft.query.sql(), list[list[Any]]()
    for database in databases:
        rows = database.execute(query).fetchall()
        if not rows or len(rows) > _MOST_ROWS or all(cell is None for row in rows for cell in row):
            return False
        gold.append(rows)
    if Counter(gold[0]) == Counter(gold[1]):
        return False
    ordered = bool(draft.query.order)
    return not any(
        all(
            _same(database.execute(wrong).fetchall(), right, ordered)
            for database, right in zip(databases, gold, strict=True)
        )
        for wrong in (*(wrong.sql() for wrong in draft.wrong), *mistaken(draft.query))
    )


def _same(found: list[tuple[Any, ...]], right: list[tuple[Any, ...]], ordered: bool) -> bool:
    return found == right if ordered else len(found) == len(right) and Counter(found) == Counter(right)
