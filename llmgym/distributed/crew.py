"""The driver's part of a run: grants tasks to workers, stores what they give back, and passes on groups."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from typing import Any

from llmgym.distributed.engines import EnginePlace
from llmgym.distributed.hands import Hand
from llmgym.distributed.leases import Lease, LeaseBook
from llmgym.distributed.places import Lost
from llmgym.distributed.wire import Delivery, Ended, Grant, Hello
from llmgym.distributed.worker import error_of
from llmgym.errors import ConfigError, StoreError
from llmgym.failures import Failure
from llmgym.records import EpisodeRecord, FailureRecord, dump_with_record, load_row, read_failure
from llmgym.rollout.budget import Budget
from llmgym.rollout.config import RolloutConfig
from llmgym.rollout.description import differences
from llmgym.rollout.folder import add_failure
from llmgym.rollout.groups import Group
from llmgym.rollout.handover import Handover
from llmgym.rollout.instances import Instances
from llmgym.rollout.order import TaskOrder
from llmgym.rollout.progress import Progress
from llmgym.rollout.runner import episode_seed
from llmgym.rollout.stock import by_budget, row_id, settle
from llmgym.rollout.store import RunStore
from llmgym.rollout.tracking import Scoreboard
from llmgym.trajectory import Trajectory

_log = logging.getLogger("llmgym.distributed")
_LEAST = 64  # episodes that a worker has waiting, so that it seldom has to ask


class Crew:
    """Runs the episodes of a configuration on workers; a `Session` does it in this process.

    Attributes:
        records: Finished episodes, where no store has them and the order ends.
        failed: Episodes without a result, where no store has them and the order ends.
        lost: How often a worker was lost.
    """

    def __init__(
        self,
        config: RolloutConfig,
        hands: Sequence[Hand],
        coming: Sequence[asyncio.Task[Hello]],
        engines: Sequence[EnginePlace],
        identity: dict[str, Any],
        store: RunStore | None,
        progress: Progress,
        board: Scoreboard | None,
        *,
        keep: bool,
    ) -> None:
        """Take what a run has.

        Args:
            config: The configuration.
            hands: The workers.
            coming: Their first starts.
            engines: What they sample from, where the run has engines of its own.
            identity: What the first of them said to run.
            store: Where episodes are kept, if anywhere.
            progress: Is kept up to date.
            board: Is told of each episode.
            keep: Whether groups are given with their trajectories, or not at all.
        """
        self._config, self._store = config, store
        self._hands, self._coming, self._engines, self._identity = hands, coming, engines, identity
        self._progress, self._board, self._keep = progress, board, keep
        self._per_group = config.groups.num_started
        parallel = config.session.num_samples_in_parallel
        self._parallel = _LEAST * len(hands) if parallel == "auto" else parallel
        progress.limit = self._parallel
        self._has_history = store is not None and store.has_history
        self._budget = Budget(config.session.time_budget, store.records.values() if store else ())
        self._failures: dict[str, FailureRecord] = {}
        self._handover = Handover(self._parallel // config.groups.num_repeats)
        self._drawing, self._over = asyncio.Lock(), asyncio.Event()
        self.records: list[EpisodeRecord] = []
        self.failed: list[FailureRecord] = []
        self.lost = 0

    async def groups(self, order: TaskOrder, environments: list[Instances]) -> AsyncGenerator[Group]:
        """Run the tasks of an order and give each group once it is whole."""
        self._order, self._environments = order, environments
        self._places = {env.id: place for place, env in enumerate(environments)}
        sources = [env.source for env in environments]
        size = order.size(sources, self._config)
        visits = by_budget(order.visits(sources, self._config), self._config, self._store, size)
        assert isinstance(visits, Iterator)
        running = -(-self._parallel // max(1, len(self._hands)))
        most = -(-(running + max(running, _LEAST)) // self._per_group)  # a lease that runs, and one that waits
        self._book = LeaseBook(visits, size, max(2, most))
        try:
            async with aclosing(self._handover.groups(self._work())) as groups:
                async for group in groups:
                    yield group
        finally:
            self.failed = list(self._failures.values())

    async def _work(self) -> None:
        """Keep all workers busy until nothing is left to do."""
        try:
            async with asyncio.TaskGroup() as tending:
                tasks = [
                    tending.create_task(self._tend(hand, coming))
                    for hand, coming in zip(self._hands, self._coming, strict=True)
                ]
                if not tasks:  # all is there
                    await self._next(None)
                    return
                tasks += [tending.create_task(engine.tend()) for engine in self._engines]
                await self._over.wait()
                for task in tasks:
                    task.cancel()
        except BaseExceptionGroup as errors:
            await self._last_words()
            raise errors.exceptions[0] from None
        except asyncio.CancelledError:
            await self._last_words()
            raise
        finally:
            self._handover.end()

    async def _tend(self, hand: Hand, coming: asyncio.Task[Hello]) -> None:
        """Keep a worker busy, and start another one in its place whenever it is lost."""
        while True:
            try:
                self._check(hand, await coming)
                while True:
                    grants = await self._fill(hand)
                    if self._look():
                        return
                    delivery, lines = await hand.work(grants)
                    await self._take(hand, delivery, lines)
                    if delivery.refusal is not None:
                        raise error_of(delivery.refusal, hand.node)
            except Lost as error:
                self.lost += 1
                await self._lose(hand, error)
                coming = asyncio.create_task(hand.up())

    def _check(self, hand: Hand, hello: Hello) -> None:
        """See that all workers run the same."""
        if different := list(differences("", self._identity, hello.identity)):
            raise ConfigError(f"{hand.node} runs something else than the first worker: {'; '.join(different)}")

    def _look(self) -> bool:
        """Whether all is done, which is then said."""
        if self._book.is_over:
            self._over.set()
        return self._over.is_set()

    # --- granting -------------------------------------------------------------------------------------

    async def _fill(self, hand: Hand) -> list[Grant]:
        """More tasks for a worker."""
        grants: list[Grant] = []
        async with self._drawing:
            for _ in range(self._book.room(hand.number, len(self._hands))):
                lease = await self._next(hand)
                if lease is None:
                    break
                self._book.grant(hand.number, lease)
                source, index, before = lease.visit
                lines = [self._line(row, line) for row, line in lease.rows.items()]
                grants.append(Grant(lease.number, self._places[source.id], index, before, lines, lease.waiting))
        return grants

    async def _next(self, hand: Hand | None) -> Lease | None:
        """The next task of which not all is there, if there is time for it."""
        while (lease := self._book.draw(hand and hand.number)) is not None:
            if self._has_history and lease.number < 0 and self._take_stock(lease):
                await self._give(lease)
            elif not self._budget.is_spent():
                return lease
            elif self._progress.planned is None:
                self._book.close()
            await asyncio.sleep(0)
        return None

    def _take_stock(self, lease: Lease) -> bool:
        """Find what earlier sessions stored of a task; whether that is all."""
        assert self._store is not None
        (source, index, before), groups = lease.visit, self._config.groups
        task = source.plan(self._config.tasks.split, self._config.tasks.seed, index)
        first = before * self._per_group
        group = f"{source.id}/{task.id}"
        names = [f"{group}/{repeat}" for repeat in range(first, first + self._per_group)]
        have = settle(self._store, names, task.content_hash, source.agents)
        lease.rows = {row_id(name, source.agents, agent): None for name in have for agent in source.agents}
        lease.name = f"{group}/{first}"
        if self._environments[self._places[source.id]].verifies_groups:
            lease.waiting = self._store.waiting.lines(lease.name)
        self._progress.resumed += min(len(have), groups.num_repeats)
        return len(have) >= groups.num_repeats

    def _line(self, row: str, line: bytes | None) -> bytes:
        if line is not None:
            return line
        assert self._store is not None
        return self._store.line(row)

    async def _lose(self, hand: Hand, why: Lost) -> None:
        """Take back all that a worker was to do; what it had done stays."""
        leases = self._book.lose(hand.number)
        said = "worker %d on %s was lost: %s; its %d tasks are given out again"
        _log.warning(said, hand.number, hand.node or "no machine", why, len(leases))
        hand.live = 0
        for lease in leases:
            self._progress.failures.subtract(status for status, _ in lease.failed)
            lease.failed.clear()
            if lease.is_hopeless:
                self._give_up(lease, why)
                await self._give(lease)

    def _give_up(self, lease: Lease, why: Lost) -> None:
        """Note what is missing of a task as failed: it has ended every worker that had it."""
        source, index, before = lease.visit
        tasks, agents = self._config.tasks, source.agents
        task = source.plan(tasks.split, tasks.seed, index)
        seed, first = episode_seed(tasks.seed, source.scope, task.id), before * self._per_group
        error = f"each of {lease.losses} workers that ran it was lost; the last: {why}"
        for repeat in range(first, first + self._config.groups.num_repeats):
            if row_id(f"{source.id}/{task.id}/{repeat}", agents, agents[0]) in lease.rows:
                continue
            rows = [
                dump_with_record(
                    Trajectory(
                        source.id, task.id, repeat, seed, "env_error", error=error, task=task, agent=agent,
                        agents=len(agents), failure=Failure("infrastructure", "episode", "possible", "Lost"),
                    )
                )
                for agent in agents
            ]  # fmt: skip
            ended = Ended(-1, "failed", [record for _, record in rows], [len(line) for line, _ in rows])
            self._count(_Arrived(lease, ended, memoryview(b"".join(line for line, _ in rows))))

    # --- taking -----------------------------------------------------------------------------------------

    async def _take(self, hand: Hand, delivery: Delivery, lines: bytes) -> None:
        """Store what a worker gives."""
        leases = self._book.held.get(hand.number, {})
        arrived: list[_Arrived] = []
        offset, view = 0, memoryview(lines)
        for ended in delivery.episodes:
            start, offset = offset, offset + sum(ended.sizes)
            arrived.append(_Arrived(leases[ended.grant], ended, view[start:offset]))
        self._store_finished([one for one in arrived if one.ended.how == "finished"])
        for one in arrived:
            if one.ended.how == "waiting":
                self._keep_waiting(one)
            else:
                self._count(one)
        self._progress.live = sum(hand.live for hand in self._hands)
        for number in delivery.scored:
            if self._store is not None:
                self._store.waiting.drop(leases[number].name)
        for number in delivery.whole:
            await self._give(leases.pop(number))
        self._look()

    def _store_finished(self, arrived: Sequence[_Arrived]) -> None:
        if not arrived:
            return
        records = [record for one in arrived for record in one.ended.records]
        if self._store is not None:
            sizes = [size for one in arrived for size in one.ended.sizes]
            self._store.append_rows(records, sizes, b"".join(one.lines for one in arrived))
        elif self._progress.planned is not None:
            self.records += records
            for record in records:
                self._failures.pop(record.episode_id, None)
        for one in arrived:
            lines = [None] * len(one.ended.records) if self._store is not None else one.split()
            one.lease.rows.update(zip((record.id for record in one.ended.records), lines, strict=True))

    def _keep_waiting(self, one: _Arrived) -> None:
        """Keep an episode that its group has yet to score."""
        (record,), line = one.ended.records, bytes(one.lines)
        one.lease.waiting.append(line)
        one.lease.name = f"{record.group_id}/{one.lease.visit[2] * self._per_group}"
        if self._store is not None:
            self._store.waiting.add_line(one.lease.name, line)

    def _count(self, one: _Arrived) -> None:
        """Count an episode that ended for good."""
        record = one.ended.records[one.ended.counted]
        error, kind = None, ""
        if one.ended.how == "failed":
            error, kind = self._note_failure(one)
        progress = self._progress
        progress.count_episode(record.status, record.reward, error)
        progress.turns += sum(one.counts.turns for one in one.ended.records)
        progress.tokens += sum(one.counts.sampled_tokens for one in one.ended.records)
        self._budget.note(record.timings.wall_s)
        if self._board is not None:
            self._board.take_record(record, kind)

    def _note_failure(self, one: _Arrived) -> tuple[str | None, str]:
        """Note an episode that failed; gives what went wrong, and of what kind that is."""
        lines = one.split()
        one.lease.failed.extend((record.status, line) for record, line in zip(one.ended.records, lines, strict=True))
        failures = [read_failure(line, "a worker's line") for line in lines]
        if self._store is not None:
            self._store.append_failures(lines)
        elif self._progress.planned is not None:
            for failure in failures:
                add_failure(self._failures, failure)
        said = failures[one.ended.counted]
        return said.error, said.kind

    async def _give(self, lease: Lease) -> None:
        """Pass a group on; of a game one for each agent."""
        if not self._keep:
            return
        members = [self._load(row, line) for row, line in lease.rows.items()]
        members += [load_row(line, "a worker's line") for _, line in lease.failed]
        for agent in lease.visit[0].agents:
            share = sorted((one for one in members if one.agent == agent), key=lambda one: one.repeat)
            await self._handover.give(Group(share[0].group_id, share, agent), self._order, self._config)

    def _load(self, row: str, line: bytes | None) -> Trajectory:
        if line is not None:
            return load_row(line, "a worker's line")
        assert self._store is not None
        return self._store.load(row)

    async def _last_words(self) -> None:
        """Store what had ended when the run was stopped."""
        self._keep = False  # nobody is there to take groups
        replies = await asyncio.gather(*(hand.stop() for hand in self._hands))
        for hand, reply in zip(self._hands, replies, strict=True):
            if reply is not None:
                with suppress(StoreError):  # the error that ended the run says more
                    await self._take(hand, *reply)


@dataclass(frozen=True, slots=True)
class _Arrived:
    """An episode that a worker has given back, with its lines."""

    lease: Lease
    ended: Ended
    lines: memoryview = field(repr=False)

    def split(self) -> list[bytes]:
        """The line of each agent."""
        found: list[bytes] = []
        start = 0
        for size in self.ended.sizes:
            found.append(bytes(self.lines[start : start + size]))
            start += size
        return found
