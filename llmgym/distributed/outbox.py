"""A worker's side of the run folder: takes what its collector stores, as lines, until the driver fetches them."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from llmgym.distributed.wire import Delivery, Ended, Grant
from llmgym.errors import StoreError
from llmgym.records import EpisodeRecord, dump_with_record, load_row, read_record
from llmgym.rollout.groups import counted
from llmgym.trajectory import Trajectory

Key = tuple[str, str, int]


class Outbox:
    """What a `Session` needs of a `RunStore`.

    Attributes:
        records: Episodes of granted tasks that are there already, by id.
        waiting: The same as this; it also takes what waits for its group.
        identity: What makes two runs the same, as known once the policy runs.
        news: Is set when there is something to fetch.
    """

    has_history = False
    retired_keys: frozenset[Any] = frozenset()

    def __init__(self, per_group: int) -> None:
        """Begin with nothing.

        Args:
            per_group: Episodes of a task that are started.
        """
        self.records: dict[str, EpisodeRecord] = {}
        self.waiting = self
        self.identity: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self.news = asyncio.Event()
        self._per_group = per_group
        self._grants: dict[Key, Grant] = {}
        self._held: defaultdict[str, list[bytes]] = defaultdict(list)
        self._lines: dict[str, bytes] = {}
        self._episodes: list[Ended] = []
        self._out: list[bytes] = []
        self._whole: list[int] = []
        self._scored: list[int] = []

    # --- what the driver grants and fetches -------------------------------------------------------

    def open(self, env_id: str, task_id: str, grant: Grant) -> None:
        """Note for which grant a task is run."""
        self._grants[env_id, task_id, grant.before] = grant
        for line in grant.lines:
            record = read_record(line, "a granted row")
            self.records[record.id], self._lines[record.id] = record, line
        if grant.waiting:
            self._held[self._name(env_id, task_id, grant)] = list(grant.waiting)

    def end(self, member: Trajectory) -> None:
        """Note that the group of an episode is whole; nothing happens where that is known."""
        grant = self._grants.pop(self._key(member), None)
        if grant is None:
            return
        for line in grant.lines:
            row = read_record(line, "a granted row").id
            self.records.pop(row, None)
            self._lines.pop(row, None)
        self._held.pop(self._name(member.env_id, member.task_id, grant), None)
        self._whole.append(grant.number)
        self.news.set()

    @property
    def size(self) -> int:
        """Episodes that can be fetched."""
        return len(self._episodes)

    def fetch(self) -> tuple[Delivery, bytes]:
        """All that there is, which is forgotten here."""
        delivery, lines = Delivery(self._episodes, self._whole, self._scored), b"".join(self._out)
        self._episodes, self._whole, self._scored, self._out = [], [], [], []
        self.news.clear()
        return delivery, lines

    def _key(self, trajectory: Trajectory) -> Key:
        return trajectory.env_id, trajectory.task_id, trajectory.repeat // self._per_group

    def _name(self, env_id: str, task_id: str, grant: Grant) -> str:
        """As `Session` names a visit to a task."""
        return f"{env_id}/{task_id}/{grant.before * self._per_group}"

    # --- what the session stores --------------------------------------------------------------------

    def confirm(self, identity: dict[str, Any] | None, planned: int | None = None) -> None:
        """See `RunStore.confirm`."""
        if not self.identity.done():
            self.identity.set_result(identity or {})

    def append(self, *trajectories: Trajectory) -> None:
        """See `RunStore.append`."""
        self._put("finished" if trajectories[0].finished else "failed", trajectories)

    def add(self, group: str, trajectory: Trajectory) -> None:
        """See `Waiting.add`."""
        self._put("waiting", [trajectory])

    def _put(self, how: Any, trajectories: Sequence[Trajectory]) -> None:
        rows = [dump_with_record(trajectory) for trajectory in trajectories]
        which = next(place for place, one in enumerate(trajectories) if one is counted(trajectories))
        records, sizes = [record for _, record in rows], [len(line) for line, _ in rows]
        self._episodes.append(Ended(self._grants[self._key(trajectories[0])].number, how, records, sizes, which))
        self._out += [line for line, _ in rows]
        self.news.set()

    def read(self, group: str) -> list[Trajectory]:
        """See `Waiting.read`."""
        return [load_row(line, "a granted row") for line in self._held.get(group, ())]

    def drop(self, group: str) -> None:
        """See `Waiting.drop`."""
        self._scored += [
            grant.number for (env, task, _), grant in self._grants.items() if self._name(env, task, grant) == group
        ]

    def load(self, row_id: str) -> Trajectory:
        """See `RunStore.load`."""
        return load_row(self._lines[row_id], "a granted row")

    def retire(self, ids: Iterable[str], why: str) -> None:
        """See `RunStore.retire`: here the task is another one than the driver has.

        Raises:
            StoreError: Always.
        """
        raise StoreError(f"{', '.join(ids)}: {why} on this machine; give all machines the same tasks")

    restore = retire

    def close(self) -> None:
        """Nothing to close."""

    def forget(self) -> None:
        """Nothing to forget."""
