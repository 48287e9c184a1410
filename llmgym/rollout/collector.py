"""The collector: many episodes at once, groups as they finish, every one stored exactly once."""

from __future__ import annotations

import asyncio
import gc
import time
from collections import Counter
from collections.abc import AsyncGenerator, Iterator
from contextlib import AsyncExitStack, aclosing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from llmgym.codec.base import ChatCodec
from llmgym.errors import ConfigError, PolicyError, StoreError
from llmgym.messages import scrub
from llmgym.policies import Policy, TokenPolicy, make_policy
from llmgym.rollout.config import EnvConfig, RolloutConfig, parse_config
from llmgym.rollout.runner import EnvPool, EpisodeRunner, num_tasks, planned_tasks
from llmgym.rollout.store import EpisodeRecord, RunStore
from llmgym.rollout.summary import summarize
from llmgym.tasks import Task
from llmgym.trajectory import Trajectory, Turn

# With Python's defaults, thousands of live episodes spend a third of their time in the cycle collector, which goes
# through all of them again and again and finds next to nothing.
_GC_THRESHOLD = (50_000, 20, 20)


@dataclass(frozen=True, slots=True)
class Group:
    """The episodes of one task.

    Attributes:
        id: `env_id/task_id`.
        trajectories: By repeat; failures are among them, unscored.
    """

    id: str
    trajectories: list[Trajectory]

    @property
    def rewards(self) -> list[float | None]:
        """Reward of each episode; None where unscored."""
        return [trajectory.reward for trajectory in self.trajectories]


@dataclass(slots=True)
class Progress:
    """How far a run is; read it at any time.

    Attributes:
        planned: Episodes that the run is to hold.
        resumed: Episodes that were there already.
        finished: Episodes that ended in this session.
        failures: Episodes without a result, by status.
        last_error: What went wrong with the last of them.
        live: Episodes that are running.
        turns: Turns taken in this session.
        tokens: Tokens sampled in this session.
        scored: Scored episodes of this session.
        reward_sum: Sum of their rewards.
        started: `time.monotonic()` at the start.
    """

    planned: int = 0
    resumed: int = 0
    finished: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    last_error: str | None = None
    live: int = 0
    turns: int = 0
    tokens: int = 0
    scored: int = 0
    reward_sum: float = 0.0
    started: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.started

    @property
    def failed(self) -> int:
        """Episodes without a result."""
        return self.failures.total()

    @property
    def mean_reward(self) -> float | None:
        """Mean reward of this session's scored episodes."""
        return self.reward_sum / self.scored if self.scored else None

    @property
    def eta_s(self) -> float | None:
        """Seconds that the rest will take at the present rate; None before the first episode."""
        ended = self.finished + self.failed
        return self.seconds / ended * (self.planned - self.resumed - ended) if ended else None

    def count_turn(self, turn: Turn) -> None:
        """Count a turn."""
        self.turns += 1
        self.tokens += turn.end - turn.start

    def count_episode(self, trajectory: Trajectory) -> None:
        """Count an episode that ended for good."""
        if not trajectory.finished:
            self.failures[trajectory.status] += 1
            self.last_error = trajectory.error
            return
        self.finished += 1
        if trajectory.reward is not None:
            self.scored += 1
            self.reward_sum += trajectory.reward


@dataclass(frozen=True, slots=True)
class _Job:
    """One episode to run."""

    env: EnvPool
    task: Task
    repeat: int

    @property
    def group_id(self) -> str:
        """As `Trajectory.group_id`."""
        return f"{self.env.id}/{self.task.id}"

    @property
    def id(self) -> str:
        """As `Trajectory.id`."""
        return f"{self.group_id}/{self.repeat}"


class Collector:
    """Runs episodes of environments with a policy.

    ```python
    collector = Collector(["llmgym/Calculator-v0"], "smollm2", num_tasks=8, num_repeats=4, output="runs/first")
    async for group in collector.stream():
        print(group.id, group.rewards)
    ```

    Attributes:
        config: The configuration.
        progress: How far the run is.
        summary: What the run amounted to, once it has ended.
    """

    def __init__(
        self,
        env_ids: list[str | EnvConfig] | None = None,
        policy: Policy | str = "smollm2",
        *,
        output: str | Path | None = None,
        codec: ChatCodec | str = "auto",
        **settings: Any,
    ) -> None:
        """Configure a run; nothing is loaded yet.

        Args:
            env_ids: Environments.
            policy: A policy, or its short form.
            output: Run folder, to start or to resume; None keeps nothing.
            codec: Codec for the policy's tokens, or the kind of it.
            **settings: Other fields of `RolloutConfig`.

        Raises:
            ConfigError: A setting is unknown or makes no sense.
        """
        name = policy if isinstance(policy, str) else policy.name
        data = {"env_ids": msgspec.to_builtins(env_ids or []), "policy": name, **settings}
        if isinstance(codec, str):
            data["codec"] = codec
        self.config: RolloutConfig = parse_config(data).check()
        if not self.config.env_ids:
            raise ConfigError("env_ids is empty; name an environment, such as llmgym/Calculator-v0")
        self._policy = policy
        self._codec = None if isinstance(codec, str) else codec
        self._output = Path(output) if output is not None else None
        self.progress = Progress()
        self.summary: dict[str, Any] | None = None

    @classmethod
    def from_config(cls, config: RolloutConfig, output: str | Path | None = None) -> Collector:
        """Configure a run from a whole configuration."""
        fields = {name: getattr(config, name) for name in config.__struct_fields__}
        env_ids, policy = fields.pop("env_ids"), fields.pop("policy")
        fields["responses_create_params"] = msgspec.to_builtins(fields["responses_create_params"])
        return cls(env_ids, policy, output=output, **fields)

    async def collect(self) -> dict[str, Any]:
        """Run it all and give the summary; groups that earlier sessions finished are not read again.

        Raises:
            ConfigError: An environment or a setting does not fit; `RegistryError` is one.
            TaskError: The tasks cannot be read.
            PolicyError: The policy cannot be started, or too many episodes in a row failed.
            StoreError: The run folder cannot be used, or is full.
        """
        async with aclosing(self._run(keep=False)) as groups:
            async for _ in groups:
                pass
        assert self.summary is not None
        return self.summary

    async def stream(self) -> AsyncGenerator[Group]:
        """Give each group once its last episode has ended; episodes of earlier sessions included.

        Raises as `collect` does. Stopping early cancels the episodes that are running; close the
        iterator (`contextlib.aclosing`) to have that done at once.
        """
        async with aclosing(self._run(keep=True)) as groups:
            async for group in groups:
                yield group

    async def _run(self, *, keep: bool) -> AsyncGenerator[Group]:
        config = self.config
        async with AsyncExitStack() as stack:
            stack.callback(gc.set_threshold, *gc.get_threshold())
            gc.set_threshold(*_GC_THRESHOLD)
            pools: list[EnvPool] = []
            for env in config.environments:
                pools.append(EnvPool(env, config.max_turns, config.split))
                stack.callback(pools[-1].close)
            planned = sum(num_tasks(pool, config) for pool in pools) * config.num_repeats
            policy = self._policy
            if isinstance(policy, str):
                policy = make_policy(policy, **config.policy_options)
                stack.push_async_callback(policy.close)
            await policy.start()
            codec = self._codec_of(policy)
            store = None
            if self._output is not None:
                identity = _identity(config, policy, codec)
                store = RunStore(self._output, identity, msgspec.to_builtins(config), config.fsync_seconds)
                stack.callback(store.close)
            self.progress = Progress(planned=planned)
            session = _Session(config, policy, codec, store, self.progress, keep)
            try:
                async with aclosing(session.groups(_jobs(pools, config))) as groups:
                    async for group in groups:
                        yield group
            except BaseException:
                with suppress(StoreError):  # the error that ended the run says more
                    self._conclude(session.records, store)
                raise
            self._conclude(session.records, store)

    def _conclude(self, records: list[EpisodeRecord], store: RunStore | None) -> None:
        """Summarise what is there, finished or not."""
        everything = records if store is None else store.records.values()
        progress = self.progress
        planned = max(progress.planned, len(everything))  # the folder may hold more than was asked for this time
        self.summary = summarize(everything, progress.failures, planned, self.config, progress.seconds)
        if store is not None:
            store.write_summary(self.summary)

    def _codec_of(self, policy: Policy) -> ChatCodec | None:
        if not isinstance(policy, TokenPolicy):
            return None
        if self._codec is None:
            from llmgym.codec import codec_for

            self._codec = codec_for(policy.tokenizer, self.config.codec)
        return self._codec


class _Session:
    """The running part of a collection."""

    def __init__(
        self,
        config: RolloutConfig,
        policy: Policy,
        codec: ChatCodec | None,
        store: RunStore | None,
        progress: Progress,
        keep: bool,
    ) -> None:
        self._config, self._store = config, store
        self._progress, self._keep = progress, keep
        self._runner = EpisodeRunner(config, policy, codec, progress.count_turn)
        self._open: dict[str, dict[int, Trajectory | None]] = {}
        # A semaphore bounds the groups that wait for the reader, and not the queue, so that there is always room for
        # the None that ends it.
        self._ready: asyncio.Queue[Group | None] = asyncio.Queue()
        self._room = asyncio.Semaphore(config.num_samples_in_parallel)
        self._failed_in_a_row = 0
        self.records: list[EpisodeRecord] = []

    async def groups(self, jobs: Iterator[_Job]) -> AsyncGenerator[Group]:
        """Run the jobs and give each group once it is whole."""
        workers = asyncio.create_task(self._work(jobs))
        try:
            while (group := await self._ready.get()) is not None:
                self._room.release()
                yield group
            await workers
        finally:
            workers.cancel()
            await asyncio.gather(workers, return_exceptions=True)

    async def _work(self, jobs: Iterator[_Job]) -> None:
        """Keep `num_samples_in_parallel` episodes running until the jobs are done."""
        try:
            async with asyncio.TaskGroup() as workers:
                for _ in range(min(self._config.num_samples_in_parallel, self._progress.planned)):
                    workers.create_task(self._worker(jobs))
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
        finally:
            self._ready.put_nowait(None)

    async def _worker(self, jobs: Iterator[_Job]) -> None:
        for job in jobs:
            if self._store is not None and job.id in self._store.records:
                self._progress.resumed += 1
                await self._close_repeat(job, None)
                await asyncio.sleep(0)  # a long run that was finished before must not block the loop
                continue
            self._progress.live += 1
            try:
                trajectory = await self._runner.run(job.env, job.task, job.repeat)
            finally:
                self._progress.live -= 1
            await self._settle(job, trajectory)

    async def _settle(self, job: _Job, trajectory: Trajectory) -> None:
        """Store and count an episode that ended for good."""
        if self._store is not None:
            trajectory = _append(self._store, trajectory)
        elif trajectory.finished:
            self.records.append(EpisodeRecord.of(trajectory))
        self._progress.count_episode(trajectory)
        self._failed_in_a_row = 0 if trajectory.finished else self._failed_in_a_row + 1
        if self._failed_in_a_row >= max(16, self._config.num_samples_in_parallel):
            raise PolicyError(
                f"{self._failed_in_a_row} episodes in a row failed; the last: {trajectory.error}; "
                "those that finished are kept: mend it and start the same command again"
            )
        await self._close_repeat(job, trajectory)

    async def _close_repeat(self, job: _Job, trajectory: Trajectory | None) -> None:
        """Note that an episode is there (None: in the store), and pass its group on once it is whole."""
        group_id = job.group_id
        group = self._open.setdefault(group_id, {})
        group[job.repeat] = trajectory if self._keep else None
        if len(group) < self._config.num_repeats:
            return
        del self._open[group_id]
        if self._keep:
            await self._room.acquire()
            self._ready.put_nowait(Group(group_id, [self._whole(group_id, i, group[i]) for i in sorted(group)]))

    def _whole(self, group_id: str, repeat: int, trajectory: Trajectory | None) -> Trajectory:
        if trajectory is not None:
            return trajectory
        assert self._store is not None
        return self._store.load(f"{group_id}/{repeat}")


def _append(store: RunStore, trajectory: Trajectory) -> Trajectory:
    """Store an episode; one that JSON cannot hold, such as a metric that is no number, failed in its environment."""
    try:
        store.append(trajectory)
    except TypeError as error:
        t = trajectory
        said = scrub(f"the episode cannot be stored: {error}" + (f"; {t.error}" if t.error else ""))
        trajectory = Trajectory(
            t.env_id, t.task_id, t.repeat, t.seed, "env_error", sampling=t.sampling, error=said, attempts=t.attempts
        )
        store.append(trajectory)
    return trajectory


def _jobs(pools: list[EnvPool], config: RolloutConfig) -> Iterator[_Job]:
    """All episodes in order; the repeats of a task come together."""
    for pool, task in planned_tasks(pools, config):
        for repeat in range(config.num_repeats):
            yield _Job(pool, task, repeat)


def _identity(config: RolloutConfig, policy: Policy, codec: ChatCodec | None) -> dict[str, Any]:
    """What makes two runs the same; ports, concurrency, deadlines and sizes do not."""
    environments = msgspec.to_builtins(config.environments)
    for env in environments:  # runs from before there were wrappers can be resumed
        if not env["wrappers"]:
            del env["wrappers"]
    return {
        "environments": environments,
        "split": config.split,
        "seed": config.seed,
        "model": policy.model,
        "logprobs_mode": policy.logprobs_mode if isinstance(policy, TokenPolicy) else None,
        "codec": codec.fingerprint if codec else None,
        "responses_create_params": msgspec.to_builtins(config.responses_create_params),
        "max_turns": config.max_turns,
        "max_episode_tokens": config.max_episode_tokens,
        **({"max_completion_length": length} if (length := config.max_completion_length) is not None else {}),
    }
