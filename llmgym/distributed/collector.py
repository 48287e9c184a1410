"""The collector of a run on a Ray cluster."""

from __future__ import annotations

import asyncio
import math
import os
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import gymnasium

from llmgym.chat import Policy
from llmgym.distributed.cluster import AUTO, connect
from llmgym.distributed.crew import Crew
from llmgym.distributed.engines import SERVER, EnginePlace, EngineSetup
from llmgym.distributed.hands import Hand
from llmgym.distributed.places import START_S
from llmgym.distributed.wire import Hello
from llmgym.distributed.worker import Setup
from llmgym.errors import ConfigError
from llmgym.rollout.collector import Cast, Collector
from llmgym.rollout.config import RolloutConfig
from llmgym.rollout.spans import EpisodeSpans
from llmgym.rollout.store import RunStore
from llmgym.rollout.tracking import Scoreboard

_ENGINE = "vllm:"
_PARALLEL = ("tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size")


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
        num_engines: int | None = None,
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
            num_engines: Engines that the cluster starts for the run, for a policy "vllm:MODEL"; None for none: each
                worker has its own then.
            patience: Seconds after which a worker or an engine that says nothing is replaced.
            **settings: As in `Collector`.

        Raises:
            ConfigError: A setting is unknown or makes no sense.
        """
        super().__init__(env_ids, policy, **settings)
        if num_workers is not None and num_workers < 1:
            raise ConfigError(f"num_workers is {num_workers}; give at least 1")
        if num_engines is not None and num_engines < 1:
            raise ConfigError(f"num_engines is {num_engines}; give at least 1")
        if num_engines is not None and not (isinstance(policy, str) and policy.startswith(_ENGINE)):
            raise ConfigError(f"engines on a cluster are for --policy {_ENGINE}MODEL, not {self.config.agent.policy!r}")
        self._address, self._num_workers, self._patience = address, num_workers, patience
        self._num_engines = num_engines or 0
        self._engines: list[EnginePlace] = []
        self._hands: list[Hand] = []
        self._coming: list[asyncio.Task[Hello]] = []
        self._identity: dict[str, Any] = {}

    @classmethod
    def from_config(cls, config: RolloutConfig, output: str | Path | None = None, **cluster: Any) -> RayCollector:
        """Configure a run from a whole configuration, and what else the class takes."""
        return cls(output=output, **cluster, **config.settings)

    async def _start(self, stack: AsyncExitStack, cast: Cast) -> dict[str, Any]:
        """Start the engines, then the workers, and wait for the first of these."""
        ray = await connect(stack, self._address, self._num_workers)
        if self._num_engines:
            made_of = self._engine_setup(int(ray.cluster_resources().get("GPU", 0)))
            self._engines = [EnginePlace(ray, place, made_of, self._patience) for place in range(self._num_engines)]
            stack.callback(self._remove_engines)
            await asyncio.gather(*(engine.up() for engine in self._engines))
        parallel = self.config.session.num_samples_in_parallel
        most = int(ray.cluster_resources().get("CPU", 1)) if parallel == "auto" else parallel
        number = self._num_workers or max(1, min(int(ray.cluster_resources().get("CPU", 1)), most))
        setup = ray.put(ray.cloudpickle.dumps(self._setup(number)))
        self._hands = [Hand(ray, place, setup, self._patience, self._engines) for place in range(number)]
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

    def _remove_engines(self) -> None:
        for engine in self._engines:
            engine.remove()
        self._engines = []

    @property
    def _model(self) -> tuple[str, str]:
        """What engines serve, and which log-probabilities they give."""
        agent = self.config.agent
        return agent.policy.removeprefix(_ENGINE), agent.policy_options.get("logprobs_mode", "processed")

    def _engine_setup(self, gpus: int) -> EngineSetup:
        """What an engine is made of, on a cluster with so many GPUs."""
        model, mode = self._model
        options = {**self.config.agent.policy_options, "logprobs_mode": f"{mode}_logprobs"}
        wanted = math.prod(int(options.get(name, 1)) for name in _PARALLEL)
        return EngineSetup(SERVER, model, options, wanted if gpus else 0, self._patience, os.getcwd())

    def _served(self) -> dict[str, Any] | None:
        """What workers make of the addresses of engines."""
        if not self._engines:
            return None
        model, mode = self._model
        return {"model": model, "tokenizer": model, "logprobs_mode": mode, "unavailable_timeout": START_S}

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
        specs = [gymnasium.spec(env.env_id) for env in config.tasks.environments]
        return Setup(arguments, specs, os.getcwd(), self._served())

    async def _session(
        self, stack: AsyncExitStack, cast: Cast, store: RunStore | None, board: Scoreboard | None, *, keep: bool
    ) -> Crew:
        """What grants tasks to the workers."""
        actors = self._hands, self._coming, self._engines
        return Crew(self.config, *actors, self._identity, store, self.progress, board, keep=keep)

    def _spans(self, policy: Policy) -> EpisodeSpans | None:
        """The workers make them."""
