"""Who has which tasks: each is granted to one worker at a time, and again when that one is lost."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field

from llmgym.rollout.order import Visit
from llmgym.trajectory import Status

_SUSPECT, _ALONE = 3, 2


@dataclass(slots=True)
class Lease:
    """A task that is to be run, or that a worker runs.

    Attributes:
        visit: The task.
        number: Names the grant; another one each time that it is granted.
        rows: Its finished episodes that are there: ids and, where no store has them, lines.
        failed: How those ended that failed since it was granted, and their lines.
        waiting: Lines of episodes that wait for the others to be scored.
        name: Under which they wait.
        losses: How many workers were lost that had it.
    """

    visit: Visit
    number: int = -1
    rows: dict[str, bytes | None] = field(default_factory=dict)
    failed: list[tuple[Status, bytes]] = field(default_factory=list)
    waiting: list[bytes] = field(default_factory=list)
    name: str = ""
    losses: int = 0

    @property
    def is_suspect(self) -> bool:
        """Whether its task may be what ends the workers that have it: it is run alone from now on."""
        return self.losses >= _SUSPECT

    @property
    def is_hopeless(self) -> bool:
        """Whether it has ended workers that had nothing else."""
        return self.losses >= _SUSPECT + _ALONE


class LeaseBook:
    """The leases of a run.

    Attributes:
        held: Those that each worker has, by the number of the grant.
    """

    def __init__(self, visits: Iterator[Visit], size: int | None, most: int) -> None:
        """Begin with none.

        Args:
            visits: The tasks of the run.
            size: How many they are; None for no end.
            most: Leases that a worker may have.
        """
        self.held: dict[Hashable, dict[int, Lease]] = {}
        self._visits, self._left, self._most = visits, size, most
        self._lost: deque[Lease] = deque()
        self._suspects: deque[Lease] = deque()
        self._granted = 0
        self._closed = False
        self._exhausted = size == 0

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to do."""
        return self._exhausted and not (self._lost or self._suspects or any(self.held.values()))

    def close(self) -> None:
        """Grant no more tasks."""
        self._exhausted = self._closed = True
        self._lost.clear()
        self._suspects.clear()

    def room(self, worker: Hashable, workers: int) -> int:
        """How many more leases a worker should have.

        Args:
            worker: Which.
            workers: How many there are; towards the end, each gets its share of what is left.
        """
        has, most = self.held.get(worker, {}), self._most
        if any(lease.is_suspect for lease in has.values()):
            return 0
        if self._left is not None:
            unfinished = self._left + len(self._lost) + len(self._suspects) + sum(map(len, self.held.values()))
            most = min(most, math.ceil(unfinished / workers))
        return max(0, most - len(has))

    def draw(self, worker: Hashable) -> Lease | None:
        """The next task for a worker; None where there is none."""
        if self._lost:
            return self._lost.popleft()
        visit = None if self._exhausted else next(self._visits, None)
        if visit is None:
            self._exhausted = True
            return self._suspects.popleft() if self._suspects and not self.held.get(worker) else None
        if self._left is not None:
            self._left -= 1
            self._exhausted = self._left == 0
        return Lease(visit)

    def grant(self, worker: Hashable, lease: Lease) -> Lease:
        """Give a task to a worker."""
        lease.number, self._granted = self._granted, self._granted + 1
        self.held.setdefault(worker, {})[lease.number] = lease
        return lease

    def lose(self, worker: Hashable) -> list[Lease]:
        """Take all leases from a worker and give them; all but the hopeless are to be granted again."""
        lost = list(self.held.pop(worker, {}).values())
        for lease in lost:
            lease.losses += 1
        if not self._closed:
            self._suspects.extend(lease for lease in lost if lease.is_suspect and not lease.is_hopeless)
            self._lost.extendleft(lease for lease in reversed(lost) if not lease.is_suspect)
        return lost
