"""Keys and values that outlive their request, for the next turn of the episode and for others with its opening."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from llmgym.policies.transformers.request import Ids, Request
from llmgym.policies.transformers.store import Rows, Store


@dataclass(frozen=True, eq=False, slots=True)
class Entry:
    """Keys and values of one finished request, the ids that they belong to, and their size in bytes."""

    ids: Ids
    cells: Rows
    size: int


#: Where known keys and values are: in a row of the store, or kept.
Source = int | Entry


class Kept:
    """Keys and values of finished requests, one entry a session, the least recently finished dropped first."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._size = 0
        self._sessions: OrderedDict[str, Entry] = OrderedDict()

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._sessions.values())

    def keep(self, request: Request, store: Store, row: int) -> None:
        """Copy a row, unless it alone is too large."""
        self.drop(request.session_id)
        size = store.bytes_per_cell * request.filled
        if not 0 < size <= self._capacity:
            return
        while self._size + size > self._capacity:
            self.drop(next(iter(self._sessions)))
        self._sessions[request.session_id] = Entry(request.filled_ids(), store.get(row, request.filled), size)
        self._size += size

    def drop(self, session_id: str) -> None:
        """Forget a session."""
        entry = self._sessions.pop(session_id, None)
        self._size -= entry.size if entry else 0

    def clear(self) -> None:
        """Forget everything."""
        self._sessions.clear()
        self._size = 0


def longest_prefix(prompt: Ids, sources: Iterable[tuple[Ids, Source]]) -> tuple[int, Source | None]:
    """Find who shares the longest opening with a prompt, and how long that is."""
    best, found = 0, None
    for ids, source in sources:
        # To share more than the best, it must at least have the next token: one look spares most comparisons.
        if best < min(len(prompt), len(ids)) and prompt[best] == ids[best]:
            shared = common(prompt, ids)
            if shared > best:
                best, found = shared, source
    return best, found


def common(one: Ids, other: Ids) -> int:
    """Return how many ids two sequences share from their start."""
    length = min(len(one), len(other))
    differs = one[:length] != other[:length]
    return int(differs.argmax()) if differs.any() else length
