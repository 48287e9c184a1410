"""A rollout worker for `AsyncGRPOTrainer`: groups of episodes, sampled and scored while the trainer trains."""

from __future__ import annotations

import asyncio
import itertools
import queue
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from typing import Any

import numpy as np

from llmgym.concurrency import drive_in_background, start_in_background
from llmgym.errors import PolicyError
from llmgym.policies.base import TokenPolicy
from llmgym.rollout.config import EnvConfig
from llmgym.trainers.common import Episodes, Sample, TaskRef, metrics
from llmgym.trainers.compatibility import check_version
from llmgym.trainers.trl.sampling import asked, check_ids, check_settings
from llmgym.trajectory import Trajectory

_FULL_S = 0.1


class RolloutWorker:
    """Keeps `AsyncGRPOTrainer` supplied; a `RolloutWorkerProtocol`, in this process, in a thread of its own.

    An episode gives a row for each of its segments. Episodes that failed or were not scored give none, so a group may
    be short; advantages are those of the others. A row's version is that of the weights when its group began.

    Attributes:
        rollout_buffer: Rows for the trainer, as TRL's `RolloutSample`.
        metrics_queue: What became of each group.
    """

    def __init__(
        self,
        env_ids: Sequence[str | EnvConfig],
        args: Any,
        tokenizer: Any,
        *,
        policy: TokenPolicy | None = None,
        max_output_tokens: int | None = None,
        **settings: Any,
    ) -> None:
        """Configure it; limits and sampling come from the trainer's config.

        Args:
            env_ids: Environments, as ids or as `{id, kwargs, wrappers, label}`.
            args: The trainer's `AsyncGRPOConfig`.
            tokenizer: The trainer's `processing_class`.
            policy: Samples; the vLLM server of the config by default.
            max_output_tokens: Most tokens of one reply; None for what the episode has left.
            **settings: Further settings of a run, such as `num_tasks`, `split`, `seed` and `max_turns`.

        Raises:
            MissingExtraError: TRL is not installed.
            ConfigError: TRL has a version that this was not tested with, or a setting is wrong or the trainer's to say.
        """
        check_version("trl")
        check_settings(settings)
        if policy is None:
            from llmgym.policies.server import ServerPolicy

            policy = ServerPolicy(args.vllm_server_base_url, tokenizer=tokenizer)
        self._episodes = Episodes(
            tokenizer,
            env_ids=list(env_ids),
            max_completion_length=args.max_completion_length,
            responses_create_params=asked(args, max_output_tokens),
            **settings,
        )
        self._args, self._tokenizer, self._policy = args, tokenizer, policy
        self._refs = list(self._episodes.refs())
        self._version = 0
        self._pushed = time.monotonic()
        self._run: Future[None] | None = None
        self._working: asyncio.Task[None] | None = None
        self.rollout_buffer: queue.Queue[Any] = queue.Queue(args.queue_maxsize)
        self.metrics_queue: queue.Queue[dict[str, tuple[float, float]]] = queue.Queue()

    def start(self) -> None:
        """Start sampling.

        Raises:
            PolicyError: The policy cannot be started.
            ConfigError: Its tokenizer gives other ids than the trainer's.
        """
        drive_in_background(self._policy.start())
        check_ids(self._tokenizer, self._policy.tokenizer)
        self._pushed = time.monotonic()
        self._run = start_in_background(self._work())

    def stop(self) -> None:
        """End what runs; the trainer calls it at the end."""
        if self._run is not None:
            drive_in_background(self._end())
        drive_in_background(self._policy.close())
        self._episodes.close()

    def update_model_version(self, model_version: int) -> None:
        """Note which weights the engine has now."""
        self._version = model_version

    def check_health(self, stale_after_s: float) -> None:
        """See that rows keep coming.

        Args:
            stale_after_s: Seconds.

        Raises:
            PolicyError: The worker has died, or gave no row for so long.
        """
        if self._run is not None and self._run.done() and (error := self._run.exception()) is not None:
            raise PolicyError(f"the rollout worker died of {error!r}") from error
        idle = time.monotonic() - self._pushed
        if self.rollout_buffer.empty() and idle > stale_after_s:
            raise PolicyError(f"no episode was scored in {idle:.0f} s; the log says why")

    async def _work(self) -> None:
        """Run groups, as many at once as the trainer's config asks, for as long as the trainer trains."""
        self._working = asyncio.current_task()
        tasks = enumerate(itertools.cycle(self._refs))
        at_once = max(1, self._args.max_inflight_tasks // self._args.num_generations)
        async with asyncio.TaskGroup() as group:
            for _ in range(at_once):
                group.create_task(self._work_through(tasks))

    async def _end(self) -> None:
        """Cancel the groups that run, and wait until their environments are given back, which are closed then."""
        assert self._working is not None
        self._working.cancel()
        await asyncio.wait({self._working})

    async def _work_through(self, tasks: Iterator[tuple[int, TaskRef]]) -> None:
        for number, ref in tasks:
            version = self._version
            first = number // len(self._refs) * self._args.num_generations
            repeats = range(first, first + self._args.num_generations)
            runs = [self._episodes.run(ref, self._policy, repeat=repeat) for repeat in repeats]
            trajectories = await asyncio.gather(*runs)
            count = len(trajectories)
            # As shares, or TRL would take the maximum of whatever has "max" in its name.
            self.metrics_queue.put({name: (share * count, count) for name, share in metrics(trajectories).items()})
            for row in self._rows(trajectories, number, version):
                await self._push(row)

    def _rows(self, trajectories: list[Trajectory], group: int, version: int) -> Iterator[Any]:
        scored = [(trajectory, trajectory.reward) for trajectory in trajectories if trajectory.reward is not None]
        rewards = np.array([reward for _, reward in scored])
        for trajectory, reward in scored:
            advantage = (reward - rewards.mean()) / (rewards.std() + 1e-8)
            numbers = {"reward": reward, "reward_std": float(rewards.std())}
            for sample in self._episodes.samples(trajectory):
                yield _row(sample, float(advantage), version, group, numbers)

    async def _push(self, row: Any) -> None:
        while True:
            try:
                row.enqueued_at = time.time()
                self.rollout_buffer.put_nowait(row)
            except queue.Full:
                await asyncio.sleep(_FULL_S)
            else:
                self._pushed = time.monotonic()
                return


def _row(sample: Sample, advantage: float, version: int, group: int, numbers: dict[str, float]) -> Any:
    from trl.experimental.async_grpo.async_rollout_worker import RolloutSample

    messages: list[Any] = list(sample.trajectory.messages)
    opening, prompt = sample.trajectory.opening, [0] * len(sample.prompt_ids)
    return RolloutSample(
        prompt=messages[:opening],
        completion=messages[opening:],
        input_ids=np.array(sample.prompt_ids + sample.completion_ids, np.int64),
        completion_mask=np.array(prompt + sample.loss_mask, np.int64),
        old_log_probs=np.array(prompt + sample.logprobs, np.float32),
        advantage=advantage,
        model_version=version,
        group_id=group,
        metrics=dict(numbers),
    )
