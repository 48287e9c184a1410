"""Episodes of games in which several agents play, for adapters that take the trajectory of each agent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from llmgym.chat import Policy
from llmgym.env.boundary import failure
from llmgym.errors import ConfigError
from llmgym.policies import as_policy
from llmgym.policies.base import TokenPolicy
from llmgym.rollout.instances import Instances
from llmgym.rollout.reference import TaskRef
from llmgym.rollout.seats import TRAIN, Players, Seats
from llmgym.rollout.table import GameRunner
from llmgym.trainers.common import Episodes, TaskRow, TrainerPolicy
from llmgym.trajectory import Trajectory


class GameEpisodes(Episodes):
    """Episodes with one agent, and games of several: with `policies`, a row is a task and an agent that is trained."""

    games = True

    def __init__(self, tokenizer: Any = None, **settings: Any) -> None:
        """Configure them; see `Episodes`.

        Raises:
            ConfigError: A player is one that a trainer cannot have, or nobody is trained.
        """
        super().__init__(tokenizer, **settings)
        if not self.config.agent.policies:
            return
        players = self._players(as_policy("random"))
        if players.others:
            raise ConfigError(
                f"policies: {next(iter(players.others))!r} is another policy, and a trainer samples with its own "
                "alone: give 'train', 'frozen' or 'script'"
            )
        if not any(player.trainable for pool in players.assigned.values() for player in pool):
            raise ConfigError(f"policies: nobody is to be trained; give one of them {TRAIN!r}")

    def refs(self) -> Iterator[TaskRef]:
        """The tasks, each once for every agent that is trained on it; see `Episodes.refs`."""
        if not self.config.agent.policies:
            yield from super().refs()
            return
        players = self._players(as_policy("random"))
        for ref in super().refs():
            instances = self.instances(ref.env)
            cast = self._seats(instances, players).cast(instances.source.tasks.get(ref.task_id))
            for agent, player in cast.items():
                if player.trainable:
                    yield msgspec.structs.replace(ref, agent=agent)

    async def row(self, ref: TaskRef) -> TaskRow:
        """A task with what its agent is told before anybody has moved; see `Episodes.row`."""
        if not ref.agent:
            return await super().row(ref)
        instances = self.instances(ref.env)
        task, core = instances.source.tasks.get(ref.task_id), instances.sample.unwrapped
        try:
            core.game.begin(task)  # type: ignore[union-attr]
            return TaskRow(ref, list(core.game.news(ref.agent)), [], task.answer)  # type: ignore[union-attr]
        except Exception as error:
            raise failure(error, instances.id, "setup") from error

    async def run_all(self, ref: TaskRef, policy: TrainerPolicy | TokenPolicy, *, repeat: int = 0) -> list[Trajectory]:
        """Run an episode, and give the trajectories of all its agents; see `Episodes.run`."""
        if not ref.agent:
            return [await self.run(ref, policy, repeat=repeat)]
        instances, players = self.instances(ref.env), self._players(policy)
        await players.start(self.codec, lambda other: None)
        config = self.config
        runner = GameRunner(
            self._seats(instances, players), players, config.limits, config.agent.responses_create_params
        )
        task = instances.source.tasks.get(ref.task_id)
        found = await runner.run(instances, task, repeat, seed=ref.seed)
        self.warn(found[0])
        return found

    def _players(self, own: Policy) -> Players:
        return Players(self.config.agent.policies, own)

    def _seats(self, instances: Instances, players: Players) -> Seats:
        return Seats(instances.id, instances.source.agents, players.assigned, self.config.tasks.seed)
