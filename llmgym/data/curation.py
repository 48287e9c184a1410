"""Which rows make a set: without copies, balanced, a sample to look at, or in parts that share no task.

What is picked goes by hashes of ids and a seed alone, so the same rows give the same set on every machine, and a row
that is added does not move the others.
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec

from llmgym.data.dataset import Dataset, Selection
from llmgym.data.engine import quoted
from llmgym.data.index import Index
from llmgym.data.quality.duplicates import later_tasks, near_answers
from llmgym.data.shapes import rollouts
from llmgym.errors import ConfigError

#: What two rows of one task have in common; of several files too.
TASK = "env_id || '/' || case when task_hash = '' then group_id else task_hash end"


class _Transcript(msgspec.Struct):
    responses_create_params: msgspec.Raw
    output: msgspec.Raw


_transcripts = msgspec.json.Decoder(_Transcript)


def deduplicated(data: Dataset, selection: Selection) -> tuple[Selection, int]:
    """The rows without those whose conversation another has had before, and how many these were."""
    seen: set[bytes] = set()
    spans: list[tuple[Any, ...]] = []
    for index, own in zip(data.indexes, selection.spans, strict=True):
        kept: list[Any] = []
        for span, line in zip(own, index.fetch(own), strict=True):
            name = _conversation(index, line, index.place(span))
            if name not in seen:
                seen.add(name)
                kept.append(span)
        spans.append(tuple(kept))
    found = Selection(tuple(spans))
    return found, len(selection) - len(found)


def distinct_answers(data: Dataset, selection: Selection) -> tuple[Selection, int]:
    """The rows without those that say nearly what another of their group has said before, and how many these were.

    Args:
        data: The rows, measured.
        selection: Those to pick from.
    """
    data.choose(selection)
    return _without(selection, set(near_answers(data)))


def distinct_tasks(data: Dataset, selection: Selection) -> tuple[Selection, int]:
    """The rows without those whose task another has before, quite or nearly, and how many these were.

    Args:
        data: The rows, measured.
        selection: Those to pick from.
    """
    data.choose(selection)
    return _without(selection, set(later_tasks(data)))


def _without(selection: Selection, places: set[tuple[int, int]]) -> tuple[Selection, int]:
    """All but the rows at these positions of files."""
    spans = [
        tuple(span for span in own if (source, span.position) not in places)
        for source, own in enumerate(selection.spans)
    ]
    return Selection(tuple(spans)), len(places)


def _conversation(index: Index, line: bytes, place: str) -> bytes:
    """A hash of what was said in a row."""
    if index.shape is rollouts:
        row = _transcripts.decode(line)
        said = bytes(row.responses_create_params) + bytes(row.output)
    else:
        said = msgspec.json.encode(index.shape.trajectory(line, place).messages)
    return hashlib.blake2b(said, digest_size=16).digest()


def balanced(data: Dataset, selection: Selection, column: str, most: int | None = None, seed: int = 0) -> Selection:
    """At most as many rows of each value of a column as the rarest value has.

    Args:
        data: The rows.
        selection: Those to pick from.
        column: The column.
        most: So many of each value instead.
        seed: Decides which.

    Raises:
        ConfigError: There is no such column.
    """
    name = _column(data, column)
    text = f"""
        with numbered as (
            select source, line, row_number() over (partition by {name} order by {_order(seed)}) as nth,
                count(*) over (partition by {name}) as size
            from chosen)
        select source, line from numbered where nth <= {"(select min(size) from numbered)" if most is None else most}
    """
    return data.among(selection, text)


def sampled(data: Dataset, selection: Selection, count: int, column: str | None = None, seed: int = 0) -> Selection:
    """A sample in which each value of a column has its share, and at least one row as long as there is room.

    Args:
        data: The rows.
        selection: Those to pick from.
        count: How many.
        column: The column; None for a plain sample.
        seed: Decides which.

    Raises:
        ConfigError: There is no such column.
    """
    name = "0" if column is None else _column(data, column)
    text = f"""
        with numbered as (
            select source, line, {_order(seed)} as hash,
                row_number() over (partition by {name} order by {_order(seed)}) as nth,
                count(*) over (partition by {name}) as size
            from chosen)
        select source, line from numbered
        order by case when nth = 1 then 0 else (nth - 0.5) / size end, hash limit {count}
    """
    return data.among(selection, text)


def split(data: Dataset, selection: Selection, shares: Mapping[str, float], seed: int = 0) -> dict[str, Selection]:
    """Parts that have no task in common, each of about its share of the tasks.

    Args:
        data: The rows.
        selection: Those to part.
        shares: The share of each part; they need not add up to 1.
        seed: Decides which task is where.

    Raises:
        ConfigError: A share is not above 0.
    """
    if not shares or any(not 0 < share < float("inf") for share in shares.values()):
        raise ConfigError(f"shares are numbers above 0, not {dict(shares)}")
    whole, before = sum(shares.values()), 0.0
    parts: dict[str, Selection] = {}
    for number, (name, share) in enumerate(shares.items(), 1):
        end = (before + share) / whole if number < len(shares) else 2.0
        place = f"(('0x' || left(md5('{seed}/' || {TASK}), 13))::bigint / 4503599627370496.0)"
        text = f"select source, line from chosen where {place} >= {before / whole!r} and {place} < {end!r}"
        parts[name] = data.among(selection, text)
        before += share
    return parts


def _order(seed: int) -> str:
    return f"md5('{int(seed)}/' || id || '/' || source::text)"


def _column(data: Dataset, name: str) -> str:
    if name not in data.columns:
        near = difflib.get_close_matches(name, data.columns, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there is {', '.join(data.columns)}"
        raise ConfigError(f"there is no column {name!r}; {hint}")
    return quoted(name)
