"""The running part of a collection: workers that take episodes, store them, and pass on groups that are whole."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass

from llmgym.chat import Policy
from llmgym.errors import ConfigError, PolicyError, PolicyUnavailable
from llmgym.failures import Failure
from llmgym.messages import scrub
from llmgym.policies.base import gives_load
from llmgym.records import EpisodeRecord, FailureRecord, UnstorableError, failure_of, record_of
from llmgym.rollout.budget import Budget
from llmgym.rollout.config import RolloutConfig
from llmgym.rollout.group_rewards import verify_group
from llmgym.rollout.groups import Group, OpenGroup, counted
from llmgym.rollout.handover import Handover
from llmgym.rollout.instances import Instances
from llmgym.rollout.order import TaskOrder, Visit
from llmgym.rollout.parallelism import AdaptiveLimit
from llmgym.rollout.progress import Progress
from llmgym.rollout.runner import Runner, episode_seed
from llmgym.rollout.stock import by_budget, row_id, settle
from llmgym.rollout.stop import Stop
from llmgym.rollout.store import RunStore
from llmgym.rollout.table import GameRunner
from llmgym.tasks import Task
from llmgym.trajectory import Trajectory

_LOOK_S = 1.0  # between two looks at the engine's load
_UNREAD = 256  # episodes that may wait for their reader before others do, where their number is not fixed


@dataclass(frozen=True, slots=True)
class _Job:
    """One episode to run."""

    env: Instances
    task: Task
    first: int
    repeat: int

    @property
    def group_id(self) -> str:
        """As `Trajectory.group_id`."""
        return f"{self.env.id}/{self.task.id}"

    @property
    def name(self) -> str:
        """The group, and which visit to its task."""
        return f"{self.group_id}/{self.first}"

    @property
    def key(self) -> tuple[str, int]:
        """Names the group; with an endless order, a task has one for each time that it comes."""
        return self.group_id, self.first


class Session:
    """Runs the episodes of a configuration.

    Attributes:
        records: Finished episodes, where no store has them and the order ends.
        failed: Episodes without a result, where no store has them and the order ends.
    """

    def __init__(
        self,
        config: RolloutConfig,
        policy: Policy,
        runner: Runner,
        games: Mapping[str, GameRunner],
        store: RunStore | None,
        progress: Progress,
        *,
        keep: bool,
        notes: Sequence[Callable[[list[Trajectory]], None]] = (),
    ) -> None:
        """Take what a run has.

        Args:
            config: The configuration.
            policy: A started policy.
            runner: Runs the episodes of one agent.
            games: What runs the environments in which several agents play, by the environment.
            store: Where episodes are kept, if anywhere.
            progress: Is kept up to date.
            keep: Whether groups are given with their trajectories, or not at all.
            notes: Told each episode that ended for good, as its agents have it.
        """
        self._config, self._policy, self._store = config, policy, store
        self._progress, self._keep, self._notes = progress, keep, notes
        self._runner = runner
        self._games = games
        self._per_group = config.groups.num_started
        self._keep_stragglers = config.groups.stragglers == "keep"
        self._open: dict[tuple[str, int], OpenGroup] = {}
        self._workers = 0
        self._over = asyncio.Event()
        self._drawing = asyncio.Lock()
        parallel = config.session.num_samples_in_parallel
        self._adaptive = AdaptiveLimit() if parallel == "auto" else None
        progress.limit = self._adaptive.value if self._adaptive else int(parallel)
        unread = _UNREAD if self._adaptive else progress.limit
        self._handover = Handover(unread // config.groups.num_repeats)
        self._failed_in_a_row = 0
        self._budget = Budget(config.session.time_budget, store.records.values() if store else ())
        self.records: list[EpisodeRecord] = []
        self.failed: list[FailureRecord] = []

    async def groups(self, order: TaskOrder, environments: list[Instances]) -> AsyncGenerator[Group]:
        """Run the tasks of an order and give each group once it is whole."""
        self._order = order
        async with aclosing(self._handover.groups(self._work(self._jobs(environments)))) as groups:
            async for group in groups:
                yield group

    async def _jobs(self, environments: list[Instances]) -> AsyncIterator[_Job]:
        """All episodes in order; those of a task come together, so that an open group goes on before another starts."""
        instances = {env.id: env for env in environments}
        visits = self._order.visits([env.source for env in environments], self._config)
        visits = by_budget(visits, self._config, self._store, self._progress.planned)
        tasks = self._config.tasks
        stored = set[str]()
        if self._store is not None and self._config.session.time_budget is not None:  # which alone ends this early
            stored = {record.group_id for record in self._store.records.values()}
        held = any(env.verifies_groups for env in environments)
        async for source, index, before in _one_by_one(visits):
            if not stored and not held and self._budget.is_spent():
                return  # what is there already has been passed on
            task = source.plan(tasks.split, tasks.seed, index)
            stored.discard(f"{source.id}/{task.id}")
            first = before * self._per_group
            for repeat in range(first, first + self._per_group):
                yield _Job(instances[source.id], task, first, repeat)

    async def _work(self, jobs: AsyncIterator[_Job]) -> None:
        """Keep as many episodes running as may run, until the jobs are done."""
        try:
            async with asyncio.TaskGroup() as workers:
                self._hire(workers, jobs)
                if self._adaptive is not None:
                    workers.create_task(self._adapt(self._adaptive, workers, jobs))
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
        finally:
            self._handover.end()

    def _hire(self, workers: asyncio.TaskGroup, jobs: AsyncIterator[_Job]) -> None:
        wanted = self._progress.limit
        if self._progress.planned is not None:
            wanted = min(wanted, self._progress.planned // self._config.groups.num_repeats * self._per_group)
        for _ in range(wanted - self._workers):
            self._workers += 1
            workers.create_task(self._worker(jobs))
        if not self._workers:
            self._over.set()

    async def _adapt(self, limit: AdaptiveLimit, workers: asyncio.TaskGroup, jobs: AsyncIterator[_Job]) -> None:
        """Look at the engine from time to time, and let more or fewer episodes run."""
        policy = self._policy
        if not gives_load(policy):
            raise ConfigError(
                f'num_samples_in_parallel is "auto", but {policy.name} does not know how busy it is; give a number'
            )
        while not self._over.is_set():
            with suppress(PolicyUnavailable):  # the episodes will say so, if it stays away
                limit.update(await policy.load(), self._progress.live)
            self._progress.limit = limit.value
            self._hire(workers, jobs)
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_S):
                    await self._over.wait()

    async def _worker(self, jobs: AsyncIterator[_Job]) -> None:
        """Run jobs until there are none, or too many workers."""
        try:
            while self._workers <= self._progress.limit:
                await asyncio.sleep(0)  # what never waits must not keep signals and the progress out of the loop
                async with self._drawing:  # nobody may be asked for two at once
                    job = await anext(jobs, None)
                if job is None or not await self._take(job):
                    break
        finally:
            self._workers -= 1
        if not self._workers:
            self._over.set()

    async def _take(self, job: _Job) -> bool:
        """Run an episode that is not there yet, if there is time; whether to go on with others."""
        group = self._open.get(job.key) or self._begin(job)
        if group.whole or job.repeat in group.ended:
            await self._pass_on(job, group)
            return True
        if self._budget.is_spent():
            return self._progress.planned is not None  # of a run that ends, what is there already is passed on
        stop = group.running[job.repeat] = Stop(verify=self._keep_stragglers)
        self._progress.live += 1
        try:
            trajectories = await self._play(job, stop)
        finally:
            self._progress.live -= 1
            del group.running[job.repeat]
        if group.whole and not self._keep_stragglers:
            self._progress.stragglers += 1
        elif job.env.verifies_groups and trajectories[0].finished:
            trajectory = self._hold(job, trajectories[0])
            group.add(job.repeat, [trajectory], finished=trajectory.finished)
        else:
            trajectories = self._settle(trajectories)
            kept = self._keep or job.env.verifies_groups  # the store has no failures, and a group looks at all of it
            group.add(job.repeat, trajectories if kept else None, finished=trajectories[0].finished)
        await self._pass_on(job, group)
        return True

    async def _play(self, job: _Job, stop: Stop) -> list[Trajectory]:
        """Run an episode; gives a trajectory for each agent. All of them have finished, or none has."""
        seed = episode_seed(self._config.tasks.seed, job.env.source.scope, job.task.id)
        game = self._games.get(job.env.id)
        if game is not None:
            return await game.run(job.env, job.task, job.repeat, seed=seed, stop=stop)
        return [await self._runner.run(job.env, job.task, job.repeat, seed=seed, stop=stop)]

    def _begin(self, job: _Job) -> OpenGroup:
        """Open a group, with what the store has of it."""
        group = self._open[job.key] = OpenGroup(self._per_group, self._config.groups.num_repeats)
        if self._store is not None:
            names = [f"{job.group_id}/{repeat}" for repeat in range(job.first, job.first + self._per_group)]
            for name in settle(self._store, names, job.task.content_hash, job.env.source.agents):
                group.add(int(name.rpartition("/")[2]), None, finished=True)
            self._progress.resumed += min(group.finished, group.wanted)
            if job.env.verifies_groups:
                for trajectory in self._store.waiting.read(job.name):
                    same = trajectory.task is not None and trajectory.task.content_hash == job.task.content_hash
                    if same and trajectory.repeat not in group.ended:
                        group.add(trajectory.repeat, [trajectory], finished=True)
        return group

    def _hold(self, job: _Job, trajectory: Trajectory) -> Trajectory:
        """Keep an episode that its group has yet to score."""
        if self._store is not None:
            try:
                self._store.waiting.add(job.name, trajectory)
            except UnstorableError as error:
                return self._settle([_unstorable(trajectory, error)])[0]
        return trajectory

    async def _verify_group(self, job: _Job, group: OpenGroup) -> None:
        """Have the episodes of a group score each other, and store them; those that cannot be scored wait on."""
        settled = [repeat for repeat, trajectories in group.ended.items() if trajectories is None]
        if len(settled) == len(group.ended):
            return
        members = [self._load(job, repeat, group.ended[repeat])[0] for repeat in sorted(group.ended)]
        scored = await verify_group(job.env, members, settled, self._config.limits.max_attempts)
        for trajectory in scored:
            given = self._settle([trajectory])
            group.ended[trajectory.repeat] = given if self._keep else None
        if self._store is not None and all(trajectory.finished for trajectory in scored):
            self._store.waiting.drop(job.name)

    def _settle(self, trajectories: list[Trajectory]) -> list[Trajectory]:
        """Store and count an episode that ended for good."""
        if self._store is not None:
            trajectories = _append(self._store, trajectories)
        elif self._progress.planned is not None and trajectories[0].finished:
            self.records += map(record_of, trajectories)
        elif self._progress.planned is not None:
            self.failed += map(failure_of, trajectories)
        trajectory = counted(trajectories)
        self._progress.count_episode(trajectory.status, trajectory.reward, trajectory.error)
        for note in self._notes:
            note(trajectories)
        self._budget.note(trajectory.timings.get("wall_s", 0.0))
        self._failed_in_a_row = 0 if trajectory.finished else self._failed_in_a_row + 1
        if self._failed_in_a_row >= max(16, self._progress.limit):
            raise PolicyError(
                f"{self._failed_in_a_row} episodes in a row failed; the last: {trajectory.error}; "
                "those that finished are kept: mend it and start the same command again"
            )
        return trajectories

    async def _pass_on(self, job: _Job, group: OpenGroup) -> None:
        """Count an episode off, and give the group if this was the one that it waited for."""
        group.ahead -= 1
        if group.ahead == 0:
            del self._open[job.key]
        complete = group.whole and not (self._keep_stragglers and group.running)
        if group.given or not (complete or group.ahead == 0):
            return
        group.given = True
        if job.env.verifies_groups:
            await self._verify_group(job, group)
        if self._keep:
            await self._give(job, group)

    async def _give(self, job: _Job, group: OpenGroup) -> None:
        """Give a group; of a game one for each agent, since what their agents earn cannot be compared."""
        ended = [self._load(job, repeat, group.ended[repeat]) for repeat in sorted(group.ended)]
        for place, agent in enumerate(job.env.source.agents):
            whole = Group(job.group_id, [trajectories[place] for trajectories in ended], agent)
            await self._handover.give(whole, self._order, self._config)

    def _load(self, job: _Job, repeat: int, trajectories: list[Trajectory] | None) -> list[Trajectory]:
        if trajectories is not None:
            return trajectories
        assert self._store is not None
        agents = job.env.source.agents
        return [self._store.load(row_id(f"{job.group_id}/{repeat}", agents, agent)) for agent in agents]


async def _one_by_one(visits: Iterator[Visit] | AsyncIterator[Visit]) -> AsyncIterator[Visit]:
    if isinstance(visits, AsyncIterator):
        async for visit in visits:
            yield visit
    else:
        for visit in visits:
            yield visit


def _append(store: RunStore, trajectories: list[Trajectory]) -> list[Trajectory]:
    """Store an episode; one that JSON cannot hold, such as a metric that is no number, failed in its environment."""
    try:
        store.append(*trajectories)
    except UnstorableError as error:
        trajectories = [_unstorable(trajectory, error) for trajectory in trajectories]
        store.append(*trajectories)
    return trajectories


def _unstorable(trajectory: Trajectory, error: UnstorableError) -> Trajectory:
    t = trajectory
    said = scrub(f"{error}" + (f"; {t.error}" if t.error else ""))
    outside = "done" if t.metrics.get("tool_calls") else "none"
    return Trajectory(
        t.env_id, t.task_id, t.repeat, t.seed, "env_error", sampling=t.sampling, error=said, attempts=t.attempts,
        failure=Failure("unstorable", "store", outside, type(error.__cause__ or error).__name__),
        agent=t.agent, agents=t.agents, policy=t.policy, trainable=t.trainable,
    )  # fmt: skip
