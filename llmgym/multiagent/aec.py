"""Games as PettingZoo's AEC environments: agents act one after another."""

from __future__ import annotations

from typing import Any

from gymnasium.spaces import Dict
from pettingzoo import AECEnv

from llmgym.messages import Message, as_assistant
from llmgym.multiagent.play import Play
from llmgym.spaces import AssistantSpace, MessagesSpace


class GameAEC(AECEnv[str, dict[str, tuple[Message, ...]], Any]):
    """A game whose agents speak one after another; those that move at once do so in turn, unseen by each other.

    An observation is `{"messages": ...}`: what is new to an agent since it last spoke. Rewards come with the last move.
    """

    def __init__(self, play: Play, render_mode: str | None = None) -> None:
        """Take a game with its tasks."""
        self.metadata = {**play.metadata, "is_parallelizable": True}
        self._play, self.render_mode = play, render_mode
        self.possible_agents = list(play.game.agents)
        spaces: dict[str, Any] = {agent: Dict({"messages": MessagesSpace()}) for agent in self.possible_agents}
        self.observation_spaces = spaces
        self.action_spaces = {agent: AssistantSpace() for agent in self.possible_agents}

    def observation_space(self, agent: str) -> Any:
        """The space of an agent's observations, always the same object."""
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> Any:
        """The space of an agent's messages, always the same object."""
        return self.action_spaces[agent]

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> None:
        """Start a game; `options` names a `task_id` or gives a `task`, as those of `ToolEnv.areset`."""
        self._play.reset(seed, options)
        self.agents = list(self.possible_agents)
        self.rewards = dict.fromkeys(self.agents, 0.0)
        self._cumulative_rewards = dict.fromkeys(self.agents, 0.0)
        self.terminations = dict.fromkeys(self.agents, False)
        self.truncations = dict.fromkeys(self.agents, False)
        self.infos = {agent: self._play.info(agent) for agent in self.agents}
        self.agent_selection = self._play.game.waiting[0]

    def observe(self, agent: str) -> dict[str, tuple[Message, ...]]:
        """What is new to an agent since it last spoke."""
        return {"messages": self._play.game.news(agent)}

    def step(self, action: Any) -> None:
        """Take a message of the agent whose turn it is; None of one whose game is over."""
        agent, game = self.agent_selection, self._play.game
        if self.terminations[agent]:
            self._was_dead_step(action)
            return
        self._cumulative_rewards[agent] = 0.0
        self._clear_rewards()
        game.say(agent, as_assistant(action)["content"])
        if game.over:
            self.rewards.update(self._play.rewards())
            self.terminations = dict.fromkeys(self.agents, True)
            self.infos = {agent: self._play.info(agent) for agent in self.agents}
            self._accumulate_rewards()
            self._deads_step_first()
        else:
            self.agent_selection = game.waiting[0]

    def render(self) -> str | None:
        """The news of all agents as text in the mode "ansi", else None."""
        return self._play.render() if self.render_mode == "ansi" else None

    def close(self) -> None:
        """Nothing to free."""
