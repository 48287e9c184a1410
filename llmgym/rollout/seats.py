"""Who plays which agent of a game: seats rotate, and opponents are drawn, by the task.

All repeats of a task have the same players at the same seats, so that the episodes of a seat can be compared.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llmgym.chat import Policy
from llmgym.codec.base import ChatCodec
from llmgym.errors import ConfigError
from llmgym.multiagent import role_of
from llmgym.policies import OraclePolicy, as_policy
from llmgym.tasks import Task, stable_hash

TRAIN, FROZEN, SCRIPT = "train", "frozen", "script"
_FORMS = "'train', 'frozen', 'frozen:POLICY' or 'script'"


@dataclass(frozen=True, slots=True)
class Player:
    """Who may play an agent.

    Attributes:
        name: What the run calls it.
        policy: Who it is; None for the game's scripted player.
        trainable: Whether its tokens are to be trained on.
    """

    name: str
    policy: Policy | None
    trainable: bool = False


class Players:
    """Who plays the agents of a run's games.

    Attributes:
        assigned: Who may play each agent, or each agent of a role: one, or several to draw from.
        others: The policies besides the run's own, each once, by the name of its players.
    """

    def __init__(self, policies: Mapping[str, Any], own: Policy) -> None:
        """Make the players of a run.

        Args:
            policies: By agent or role: a form as a configuration has it, a policy that is not trained, or a list of
                them. None at all where a run has no games.
            own: The run's policy.

        Raises:
            ConfigError: A form is unknown.
        """
        self._own, self._made = own, list[Policy]()
        self.others: dict[str, Policy] = {}
        self._given: dict[str, Any] = {}
        self._codecs: dict[int, ChatCodec | None] = {}
        self.assigned = {who: [self._player(who, one) for one in _listed(given)] for who, given in policies.items()}
        for who, players in self.assigned.items():
            if not players:
                raise ConfigError(f"policies: {who!r} has an empty list; give {_FORMS}")
            if any(isinstance(player.policy, OraclePolicy) for player in players):
                raise ConfigError(f"policies: the oracle plays no games of several agents; give {who!r} 'script'")

    def _player(self, who: str, given: Any) -> Player:
        name = name_of(given)
        if name in (TRAIN, FROZEN):
            return Player(name, self._own, trainable=name == TRAIN)
        if name == SCRIPT:
            return Player(name, None)
        kind, _, spec = name.partition(":")
        if kind != FROZEN or not spec:
            raise ConfigError(f"policies: {who!r} cannot be {name!r}; give {_FORMS}")
        known = self._given.setdefault(name, given)
        if known is not given and not (isinstance(known, str) and isinstance(given, str)):
            raise ConfigError(
                f"policies: {who!r}: another policy is called {spec!r}, too; give one of them a `name` of its own, by "
                "which rows say who played"
            )
        if name not in self.others:
            try:
                self.others[name] = as_policy(spec if isinstance(given, str) else given)
            except ConfigError as error:
                raise ConfigError(f"policies: {who!r}: {error}") from None
            if isinstance(given, str):
                self._made.append(self.others[name])
        return Player(name, self.others[name])

    async def start(self, own: ChatCodec | None, codec_of: Callable[[Policy], ChatCodec | None]) -> None:
        """Start the other policies.

        Args:
            own: Codec of the run's policy.
            codec_of: Makes the codec of another one that has started, where it gives tokens.
        """
        self._codecs[id(self._own)] = own
        for policy in self.others.values():
            await policy.start()
            self._codecs[id(policy)] = codec_of(policy)

    def codec(self, policy: Policy) -> ChatCodec | None:
        """Codec of a policy that has started; None for a chat policy."""
        return self._codecs[id(policy)]

    async def close(self) -> None:
        """Close those that were made here."""
        for policy in self._made:
            await policy.close()


def _listed(given: Any) -> list[Any]:
    return list(given) if isinstance(given, list | tuple) else [given]


def name_of(given: Any) -> Any:
    """A player, or a list of players, as the run's configuration names it."""
    if isinstance(given, list | tuple):
        return [name_of(one) for one in given]
    return given if isinstance(given, str) else f"{FROZEN}:{as_policy(given).name}"


class Seats:
    """Who plays the agents of one environment."""

    def __init__(self, env_id: str, agents: Sequence[str], assigned: Mapping[str, Sequence[Player]], seed: int) -> None:
        """Give each agent its players.

        Args:
            env_id: The environment.
            agents: The agents of its game.
            assigned: Players by agent or role.
            seed: Decides, with the task, who plays which.

        Raises:
            ConfigError: An agent has no player, or a player no agent.
        """
        self._seed, self._agents = seed, tuple(agents)
        known = {*agents, *map(role_of, agents)}
        if unknown := [who for who in assigned if who not in known]:
            raise ConfigError(f"policies: {env_id} has no {unknown[0]!r}; there is {', '.join(agents)}")
        if missing := [agent for agent in agents if agent not in assigned and role_of(agent) not in assigned]:
            raise ConfigError(f"policies: nobody plays {missing[0]} of {env_id}; give it {_FORMS}")
        self._players = {agent: list(assigned.get(agent, assigned.get(role_of(agent), ()))) for agent in agents}

    def cast(self, task: Task) -> dict[str, Player]:
        """Who plays each agent in the episodes of a task: agents of one role change places, opponents are drawn."""
        cast: dict[str, Player] = {}
        for role in dict.fromkeys(map(role_of, self._agents)):
            seats = [agent for agent in self._agents if role_of(agent) == role]
            turn = stable_hash(self._seed, "seats", role, task.content_hash) % len(seats)
            for place, agent in enumerate(seats):
                players = self._players[seats[(place + turn) % len(seats)]]
                cast[agent] = players[stable_hash(self._seed, "player", agent, task.content_hash) % len(players)]
        return {agent: cast[agent] for agent in self._agents}
