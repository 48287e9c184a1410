"""Games as PettingZoo's Parallel environments: all agents are asked at once, and those count whose turn it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pettingzoo import ParallelEnv

from llmgym.messages import Message, as_assistant
from llmgym.multiagent.play import Play
from llmgym.spaces import AssistantSpace, MessagesSpace

Observations = dict[str, tuple[Message, ...]]


class GameParallel(ParallelEnv[str, tuple[Message, ...], Any]):
    """A game in which every agent gives a message in each step.

    Where it is not an agent's turn (`infos[agent]["active"]` says so) its message does not count and may be left out.
    An observation is what is new to the agent since its last message that counted.
    """

    def __init__(self, play: Play, render_mode: str | None = None) -> None:
        """Take a game with its tasks."""
        self.metadata = play.metadata
        self._play, self.render_mode = play, render_mode
        self.possible_agents = list(play.game.agents)
        self.observation_spaces = {agent: MessagesSpace() for agent in self.possible_agents}
        self.action_spaces = {agent: AssistantSpace() for agent in self.possible_agents}

    def observation_space(self, agent: str) -> Any:
        """The space of an agent's observations, always the same object."""
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> Any:
        """The space of an agent's messages, always the same object."""
        return self.action_spaces[agent]

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observations, dict[str, dict[str, Any]]]:
        """Start a game; `options` names a `task_id` or gives a `task`, as those of `ToolEnv.areset`."""
        self._play.reset(seed, options)
        self.agents = list(self.possible_agents)
        return self._observations(), self._infos()

    def step(
        self, actions: Mapping[str, Any]
    ) -> tuple[Observations, dict[str, float], dict[str, bool], dict[str, bool], dict[str, dict[str, Any]]]:
        """Take the messages of the agents whose turn it is.

        Raises:
            ValueError: One of them says nothing.
        """
        game = self._play.game
        if silent := [agent for agent in game.waiting if agent not in actions]:
            raise ValueError(f"{silent[0]} is to speak, and there is no message of it")
        for agent in game.waiting:
            if not game.over:
                game.say(agent, as_assistant(actions[agent])["content"])
        rewards = {agent: reward for agent, reward in self._play.rewards().items() if agent in self.agents}
        ended, cut = dict.fromkeys(self.agents, game.over), dict.fromkeys(self.agents, False)
        result = self._observations(), rewards, ended, cut, self._infos()
        if game.over:
            self.agents = []
        return result

    def _observations(self) -> Observations:
        return {agent: self._play.game.news(agent) for agent in self.agents}

    def _infos(self) -> dict[str, dict[str, Any]]:
        waiting = self._play.game.waiting
        return {agent: {**self._play.info(agent), "active": agent in waiting} for agent in self.agents}

    def render(self) -> str | None:
        """The news of all agents as text in the mode "ansi", else None."""
        return self._play.render() if self.render_mode == "ansi" else None

    def close(self) -> None:
        """Nothing to free."""
