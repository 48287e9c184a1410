"""The collector of a run on a Ray cluster."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import gymnasium

from llmgym.chat import Policy
from llmgym.distributed.cluster import AUTO, connect
from llmgym.distributed.crew import Crew
from llmgym.distributed.hands import Hand
from llmgym.distributed.wire import Hello
from llmgym.distributed.worker import Setup
from llmgym.errors import ConfigError
from llmgym.rollout.collector import Cast, Collector
from llmgym.rollout.config import RolloutConfig
from llmgym.rollout.spans import EpisodeSpans
from llmgym.rollout.store import RunStore
from llmgym.rollout.tracking import Scoreboard


class RayCollector(Collector):
    """Runs episodes on the machines of a Ray cluster, into a run folder here.

    ```python
    collector = RayCollector(["llmgym/Calculator-v0"], "http://gpu1:8000", address="auto", output="runs/first")
    summary = await collector.collect()
    ```

    All else is as in `Collector`: settings, run folder, resume, groups. Policies, models and environments are made on
    the workers, which need the same packages; what is given as an object has to be picklable.
    """

    def __init__(
        self,
        env_ids: Any = None,
        policy: Any = "smollm2",
        *,
        address: str = AUTO,
        num_workers: int | None = None,
        patience: float = 60.0,
        **settings: Any,
    ) -> None:
        """Configure a run; nothing is loaded or connected yet.

        Args:
            env_ids: As in `Collector`.
            policy: As in `Collector`.
            address: The cluster: "local" starts one on this machine for the run, "auto" is the one that this machine is
                part of, "HOST:PORT" the one whose head listens there. A process that has a cluster already keeps it.
            num_workers: Processes that run episodes; None for one on each processor of the cluster, but no more than
                `num_samples_in_parallel`, which they share evenly.
            patience: Seconds after which a worker that says nothing is replaced.
            **settings: As in `Collector`.

        Raises:
            ConfigError: A setting is unknown or makes no sense.
        """
        super().__init__(env_ids, policy, **settings)
        if num_workers is not None and num_workers < 1:
            raise ConfigError(f"num_workers is {num_workers}; give at least 1")
        self._address, self._num_workers, self._patience = address, num_workers, patience
        self._hands: list[Hand] = []
        self._coming: list[asyncio.Task[Hello]] = []
        self._identity: dict[str, Any] = {}

    @classmethod
    def from_config(cls, config: RolloutConfig, output: str | Path | None = None, **cluster: Any) -> RayCollector:
        """Configure a run from a whole configuration, and what else the class takes."""
        return cls(output=output, **cluster, **config.settings)

    async def _start(self, stack: AsyncExitStack, cast: Cast) -> dict[str, Any]:
        """Start the workers, and wait for the first."""
        ray = await connect(stack, self._address, self._num_workers)
        parallel = self.config.session.num_samples_in_parallel
        most = int(ray.cluster_resources().get("CPU", 1)) if parallel == "auto" else parallel
        number = self._num_workers or max(1, min(int(ray.cluster_resources().get("CPU", 1)), most))
        setup = ray.put(ray.cloudpickle.dumps(self._setup(number)))
        self._hands = [Hand(ray, place, setup, self._patience) for place in range(number)]
        stack.callback(self._dismiss)
        self._coming = [asyncio.create_task(hand.up()) for hand in self._hands]
        first, _ = await asyncio.wait(self._coming, return_when=asyncio.FIRST_COMPLETED)
        self._identity = first.pop().result().identity
        return self._identity

    def _dismiss(self) -> None:
        for task in self._coming:
            task.cancel()
        for hand in self._hands:
            hand.kill()
        self._hands, self._coming = [], []

    def _setup(self, number: int) -> Setup:
        """What a worker is made of."""
        config = self.config
        parallel = config.session.num_samples_in_parallel
        share = parallel if parallel == "auto" else -(-parallel // number)
        given = {"policy": self._policy, "models": self._models, "policies": self._policies}
        codec = {} if self._codec is None else {"codec": self._codec}
        arguments = {
            **config.settings, **given, **codec, "num_samples_in_parallel": share, "time_budget": None, "track": [],
        }  # fmt: skip
        return Setup(arguments, [gymnasium.spec(env.env_id) for env in config.tasks.environments])

    async def _session(
        self, stack: AsyncExitStack, cast: Cast, store: RunStore | None, board: Scoreboard | None, *, keep: bool
    ) -> Crew:
        """What grants tasks to the workers."""
        return Crew(self.config, self._hands, self._coming, self._identity, store, self.progress, board, keep=keep)

    def _spans(self, policy: Policy) -> EpisodeSpans | None:
        """The workers make them."""
