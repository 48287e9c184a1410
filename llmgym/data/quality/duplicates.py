"""What is there more than once: answers to a task, which tells how diverse a policy is, and tasks, a defect."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from llmgym.data.dataset import Dataset, Selection
from llmgym.data.lines import Span
from llmgym.data.quality.excerpts import excerpt
from llmgym.data.quality.shingles import NEAR, WIDTH, clusters, rare_limit, shingles, signatures, similarity

_EXAMPLES = 5
_BATCH = 2048  # texts
_FEW = 64  # rows of a group, up to which each is compared with each
_BUCKETS = 1 << 22
_SHOWN = 80  # characters of a text

#: What a task is equal by.
_TASK = "case when task_hash = '' then prompt_hash::text else task_hash end"


class Common:
    """How many texts of a set have each shingle: what many have does not tell them apart."""

    def __init__(self, texts: int) -> None:
        """Nothing is counted yet.

        Args:
            texts: How many there will be.
        """
        self._counts = np.zeros(_BUCKETS, np.uint32)
        self._most = rare_limit(texts)

    def count(self, one: set[str]) -> None:
        """Count a text's shingles."""
        self._counts[_buckets(one)] += 1

    def rare(self, one: set[str]) -> set[str]:
        """Those that few of the texts have; see `rare_limit`."""
        few = self._counts[_buckets(one)] <= self._most
        return {text for text, kept in zip(one, few.tolist(), strict=True) if kept}


def _buckets(one: set[str]) -> NDArray[np.int64]:
    return np.fromiter((zlib.crc32(text.encode()) % _BUCKETS for text in one), np.int64, len(one))


# --- answers -------------------------------------------------------------------------------------


def repeated_answers(data: Dataset) -> dict[str, Any]:
    """How many rows say what an earlier one of their group says, word for word or nearly so."""
    ((rows, groups, equal),) = data.query(
        "select coalesce(sum(size), 0), count(*), coalesce(sum(size - texts), 0) from (select count(*) as size, "
        "count(distinct reply_hash) as texts from rows where reply_hash is not null "
        "group by source, group_id, agent having size > 1)"
    )
    near = sum(int(_near(marks).sum()) for marks, _ in _by_group(data, "rows"))
    rows, equal = int(rows), int(equal)
    share = {name: count / rows if rows else None for name, count in (("equal", equal), ("near", near))}
    return {
        "rows": rows, "groups": groups, "equal": {"rows": equal, "share": share["equal"]},
        "near": {"rows": near, "share": share["near"]},
    }  # fmt: skip


def near_answers(data: Dataset) -> Iterator[tuple[int, int]]:
    """The chosen rows that say nearly what an earlier one of their group says, by file and position."""
    for marks, places in _by_group(data, "chosen"):
        yield from map(tuple, places[_near(marks)].tolist())


def _by_group(data: Dataset, table: str) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.int64]]]:
    """The signatures of each group's rows, and where these stand: file and position."""
    key = "hash(source, group_id, agent)"  # in a sort, texts would take most of the memory
    order = "key, source, byte_position"
    query = f"select {key} as key, signature, source, byte_position from {table} where signature is not null"
    # Of a group that goes on in the next batch.
    before, left, places = np.uint64(0), np.zeros((0, WIDTH), np.uint8), np.zeros((0, 2), np.int64)
    for keys, marks, *found in data.batches(f"{query} order by {order}"):
        marks = np.concatenate([left, np.frombuffer(b"".join(marks), np.uint8).reshape(-1, WIDTH)])
        places = np.concatenate([places, np.stack(found, axis=1).astype(np.int64)])
        keys = np.concatenate([np.full(len(left), before, np.uint64), keys])
        ends = np.flatnonzero(keys[1:] != keys[:-1]) + 1
        *whole, left = np.split(marks, ends)
        *stand, places = np.split(places, ends)
        before = keys[-1]
        yield from zip(whole, stand, strict=True)
    yield left, places


def _near(marks: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Which are near to an earlier one."""
    if len(marks) > _FEW:
        return clusters(marks) != np.arange(len(marks))
    alike = similarity(marks[:, None], marks[None]) >= NEAR
    return np.any(np.tril(alike, -1), axis=1)


# --- tasks ---------------------------------------------------------------------------------------


def repeated_tasks(data: Dataset) -> dict[str, Any]:
    """Which tasks another one of their environment repeats: in all of their content, or nearly in what they ask.

    Equal prompts are no equal tasks, as in games whose secret the prompt does not tell.
    """
    equal = data.query(
        "select env_id, count(distinct group_id) as number, min(group_id), max(group_id) from rows "
        f"where {_TASK} is not null group by env_id, {_TASK} having number > 1 order by number desc, 3"
    )
    ((tasks,),) = data.query("select count(distinct group_id) from rows")
    near: list[tuple[str, str, str, str]] = []
    for env_id in _environments(data, "rows"):
        near += _near_tasks(data, env_id)
    return {
        "number": tasks,
        "equal": {"tasks": sum(number - 1 for _, number, _, _ in equal), "examples": [
            {"tasks": [first, last], "number": number} for _, number, first, last in equal[:_EXAMPLES]
        ]},
        "near": {"tasks": len(near), "examples": [
            {"tasks": [one, other], "texts": [text, second]} for one, other, text, second in near[:_EXAMPLES]
        ]},
    }  # fmt: skip


def later_tasks(data: Dataset) -> Iterator[tuple[int, int]]:
    """The chosen rows whose task repeats one of which a row stands before all of its own; by file and position."""
    yield from data.query(
        f"select source, byte_position from chosen where {_TASK} is not null qualify group_id <> first_value(group_id) "
        f"over (partition by env_id, {_TASK} order by source, byte_position)"
    )
    for env_id in _environments(data, "chosen"):
        found = _prompts(data, env_id, "chosen")
        yield from data.query(
            "select source, byte_position from chosen where env_id = $env_id and list_contains($hashes, prompt_hash)",
            env_id=env_id,
            hashes=[found.hashes[at] for at in found.later.tolist()],
        )


def _near_tasks(data: Dataset, env_id: str) -> list[tuple[str, str, str, str]]:
    """Tasks of an environment that are near to an earlier one: that one, and this, and the starts of their texts."""
    names, _, chosen, first = found = _prompts(data, env_id, "rows")
    shown = found.later[:_EXAMPLES]
    wanted = {*shown.tolist(), *first[shown].tolist()}
    texts = {at: _start(text) for at, text in enumerate(prompts(data, chosen)) if at in wanted} if wanted else {}
    return [
        (names[one], names[other], texts.get(one, ""), texts.get(other, ""))
        for one, other in zip(first[found.later].tolist(), found.later.tolist(), strict=True)
    ]


class _Prompts(NamedTuple):
    """The prompts of an environment, each once.

    Attributes:
        names: Of the groups that have them first.
        hashes: Of the prompts.
        rows: Where they stand.
        first: Of each, the first that is near to it, or itself.
    """

    names: list[str]
    hashes: list[int]
    rows: Selection
    first: NDArray[np.int64]

    @property
    def later(self) -> NDArray[np.int64]:
        """Those that are near to an earlier one."""
        return np.flatnonzero(self.first != np.arange(len(self.first)))


def _environments(data: Dataset, table: str) -> list[str]:
    return [name for (name,) in data.query(f"select distinct env_id from {table} order by 1")]


def _prompts(data: Dataset, env_id: str, table: str) -> _Prompts:
    found = data.query(
        f"select source, byte_position, byte_length, group_id, prompt_hash from {table} "
        "where env_id = $env_id and prompt_hash is not null "
        "qualify row_number() over (partition by prompt_hash order by source, byte_position) = 1 "
        "order by source, byte_position",
        env_id=env_id,
    )
    spans: list[list[Span]] = [[] for _ in data.indexes]
    for source, position, length, *_ in found:
        spans[source].append(Span(position, length))
    chosen = Selection(tuple(map(tuple, spans)))
    common = Common(len(found))
    for text in prompts(data, chosen):
        common.count(shingles(text))
    marks = np.concatenate(
        [_signed(batch) for batch in _batches(common.rare(shingles(t)) for t in prompts(data, chosen))]
    )
    first = np.where(_empty(marks), np.arange(len(marks)), clusters(marks))
    return _Prompts([row[3] for row in found], [row[4] for row in found], chosen, first)


def prompts(data: Dataset, chosen: Selection) -> Iterator[str]:
    """What the openings of rows ask."""
    for index, spans in zip(data.indexes, chosen.spans, strict=True):
        for span, line in zip(spans, index.fetch(spans), strict=True):
            yield excerpt(index.shape, line, index.place(span)).prompt


def _batches(sets: Iterable[set[str]]) -> Iterator[list[set[str]]]:
    batch: list[set[str]] = []
    for one in sets:
        batch.append(one)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    yield batch


def _signed(batch: list[set[str]]) -> NDArray[np.uint8]:
    return signatures(batch) if batch else np.zeros((0, WIDTH), np.uint8)


def _empty(marks: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Signatures of sets without a shingle."""
    return np.all(marks == 255, axis=1)


def _start(text: str) -> str:
    return " ".join(text.split())[:_SHOWN]
