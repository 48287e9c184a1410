"""Negotiation: two players divide things that are worth different amounts to them."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from llmgym.errors import ConfigError
from llmgym.multiagent.game import IllegalMove, TextGame
from llmgym.multiagent.solo import SoloGame
from llmgym.multiagent.tags import line, spoken, tagged
from llmgym.tasks import Task, TaskSet

THINGS = ("book", "hat", "ball", "lamp", "cup", "coin", "ring", "map")
TOTAL = 10  # what all things together are worth to each player
_SAID = 500  # characters of a message that the other is told
_ITEM = re.compile(r"(\d{1,3})\s*([a-z]+)")
_MARKUP = re.compile(r"<offer>.*?</offer>|<[^<>]*>", re.DOTALL)
_RULES = """You are {agent} and divide things with {other}: {counts}.
To you they are worth: {values}; all of them {total}. To the other player they are worth different amounts, which you \
do \
not know, and all of them {total} too.
You speak by turns, {turns} messages each. Offer a division by naming what YOU would take, as in \
<offer>{example}</offer>; the other gets the rest. Accept the last offer of the other player with <accept/>. What you \
write beside that is told to the other player.
You earn what your share is worth to you. If nobody has accepted by the end, both earn nothing."""

Share = tuple[int, ...]


class NegotiationGame(TextGame):
    """Offers by turns until one is accepted."""

    agents = ("player_0", "player_1")

    def setup(self, task: Task) -> None:
        """Begin with no offer."""
        self.counts: dict[str, int] = task.metadata["counts"]
        self.values: list[list[int]] = task.metadata["values"]
        self.turns: int = task.metadata["turns"]
        self.said = dict.fromkeys(self.agents, 0)  # messages of each
        self.offer: Share | None = None  # what the one who spoke last would take
        self.shares: dict[str, Share] | None = None

    def brief(self, agent: str) -> str:
        """The rules, and what things are worth to an agent."""
        values = zip(self.counts, self.values[self.agents.index(agent)], strict=True)
        return _RULES.format(
            agent=agent, other=self.others(agent)[0], total=TOTAL, turns=self.turns,
            counts=listed(self.counts.values(), self.counts),
            values=", ".join(f"{value} for each {thing}" for thing, value in values),
            example=listed([1, 1], list(self.counts)[:2]),
        )  # fmt: skip

    def turn(self) -> Sequence[str]:
        """By turns, until all messages are spent or an offer was accepted."""
        spoken = sum(self.said.values())
        over = self.shares is not None or spoken == 2 * self.turns
        first: int = self.task.metadata["first"]
        return [] if over else [self.agents[(first + spoken) % 2]]

    def read(self, agent: str, text: str) -> tuple[Share | None, str]:
        """Read an offer, or None for acceptance, and what is said beside it."""
        text = spoken(text)
        said = line(_MARKUP.sub(" ", text), _SAID)
        if "<accept" in text:
            if self.offer is None:
                raise IllegalMove("There is no offer yet that you could accept.")
            return None, said
        if (found := tagged(text, "offer")) is None:
            raise IllegalMove("Write an offer such as <offer>1 book</offer>, or <accept/>.")
        return self._share(found), said

    def _share(self, text: str) -> Share:
        taken = dict.fromkeys(self.counts, 0)
        for number, name in _ITEM.findall(text.lower()):
            thing = name if name in taken else name.removesuffix("s")
            if thing not in taken:
                raise IllegalMove(f"There is no {name}; there is {listed(self.counts.values(), self.counts)}.")
            taken[thing] += int(number)
        if many := [thing for thing, number in taken.items() if number > self.counts[thing]]:
            raise IllegalMove(
                f"There is only {listed(self.counts.values(), self.counts)}, and you take more {many[0]}s."
            )
        return tuple(taken.values())

    def play(self, agent: str, move: tuple[Share | None, str]) -> None:
        """Make an offer, or accept the one that is there."""
        share, said = move
        self.said[agent] += 1
        (other,) = self.others(agent)
        if share is None:
            assert self.offer is not None
            self.shares = {agent: self.rest(self.offer), other: self.offer}
            self.tell(f"{agent} accepts. You get {listed(self.offer, self.counts)}.", other)
            return
        self.offer = share
        words = f"{agent} says: {said}\n" if said else ""
        rest = listed(self.rest(share), self.counts)
        self.tell(f"{words}{agent} offers to take {listed(share, self.counts)}; you would get {rest}.", other)
        left = self.left(other)
        self.tell(f"You have {left} of {self.turns} messages left." if left else "Nobody has accepted.", other)

    def left(self, agent: str) -> int:
        """How many messages an agent may still write."""
        return self.turns - self.said[agent]

    def rest(self, share: Share) -> Share:
        """What the other gets."""
        return tuple(count - taken for count, taken in zip(self.counts.values(), share, strict=True))

    def worth(self, agent: str, share: Share) -> int:
        """What a share is worth to an agent."""
        return sum(value * taken for value, taken in zip(self.values[self.agents.index(agent)], share, strict=True))

    def divisions(self) -> Iterator[Share]:
        """All that one could take."""
        return itertools.product(*(range(count + 1) for count in self.counts.values()))

    def rewards(self) -> Mapping[str, float | None]:
        """What each has got, as a share of everything."""
        if self.shares is None or self.quitter is not None:
            return dict.fromkeys(self.agents, 0.0)
        return {agent: self.worth(agent, share) / TOTAL for agent, share in self.shares.items()}

    def metrics(self) -> Mapping[str, float]:
        """Whether they agreed, how much of what they could have together, and whether both could have done better."""
        first, second = self.agents
        possible = [(self.worth(first, share), self.worth(second, self.rest(share))) for share in self.divisions()]
        got = {agent: round((reward or 0.0) * TOTAL) for agent, reward in self.rewards().items()}
        mine, yours = got[first], got[second]
        better = any(one >= mine and two >= yours and (one, two) != (mine, yours) for one, two in possible)
        return {
            "agreed": float(self.shares is not None),
            "welfare": (mine + yours) / max(map(sum, possible)),
            "pareto": float(not better),
            "messages": float(sum(self.said.values())),
        }

    # --- the scripted player, who wants less and less -----------------------------------------------

    def least(self, left: int) -> int:
        """What the scripted player is content with when it may write so many messages, this one included."""
        return min(3 + left, 8)

    def script(self, agent: str) -> str:
        """Accept what is enough, else offer what leaves the other most among the divisions that are."""
        least = self.least(self.left(agent))
        if self.offer is not None and self.worth(agent, self.rest(self.offer)) >= least:
            return "<accept/>"
        enough = [share for share in self.divisions() if self.worth(agent, share) >= least]
        return f"<offer>{listed(min(enough, key=lambda share: (sum(share), share)), self.counts)}</offer>"

    def demand(self, agent: str) -> str:
        """The best message for one who knows what the scripted player is content with at last, and waits for that."""
        (other,) = self.others(agent)
        standing = -1 if self.offer is None else self.worth(agent, self.rest(self.offer))
        reached = [share for share in self.divisions() if self.worth(other, self.rest(share)) >= self.least(1)]
        best = max(reached, key=lambda share: (self.worth(agent, share), share))
        if not self.left(other) or standing >= self.worth(agent, best):
            return "<accept/>"
        wanted = best if self.left(other) == 1 else self.counts.values()
        return f"<offer>{listed(wanted, self.counts)}</offer>"


def listed(numbers: Iterable[int], things: Iterable[str]) -> str:
    """Things with their numbers, such as "2 books, 1 hat"."""
    pairs = zip(numbers, things, strict=True)
    return ", ".join(f"{number} {thing}{'s' * (number > 1)}" for number, thing in pairs if number) or "nothing"


@dataclass(frozen=True, slots=True)
class Divisions:
    """Makes tasks.

    Attributes:
        kinds: Kinds of things.
        turns: Messages of each player.
    """

    kinds: int
    turns: int

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not (2 <= self.kinds <= 4 and 1 <= self.turns <= 20):
            raise ConfigError(f"kinds is {self.kinds} and turns is {self.turns}; 2 to 4, and 1 to 20")

    def __call__(self, rng: np.random.Generator) -> Task:
        """Things, and what they are worth to each of two."""
        while True:
            counts = rng.integers(1, 4, size=self.kinds).tolist()
            pool = [v for v in itertools.product(range(TOTAL + 1), repeat=self.kinds) if _sum(v, counts) == TOTAL]
            if len(pool) > 1:
                break
        values = [list(pool[i]) for i in rng.permutation(len(pool))[:2].tolist()]
        things = [THINGS[i] for i in rng.permutation(len(THINGS))[: self.kinds].tolist()]
        named = dict(zip(things, counts, strict=True))
        metadata = {"counts": named, "values": values, "turns": self.turns, "first": int(rng.integers(2))}
        return Task(prompt=f"Divide {listed(counts, things)}.", metadata=metadata)


def _sum(values: Sequence[int], counts: Sequence[int]) -> int:
    return sum(value * count for value, count in zip(values, counts, strict=True))


class Negotiation(SoloGame):
    """Divide things with a player who values them differently.

    ## Description

    Some kinds of things are to be divided. What they are worth is different for the two players and known to each for
    himself alone, so that both do better where each gets what he wants most. The scripted player is content with less
    and less. After Lewis et al., "Deal or No Deal? End-to-End Learning for Negotiation Dialogues", 2017.

    ## Actions

    Text with `<offer>2 books, 1 hat</offer>`, what the player would take, or with `<accept/>`; the rest of the text is
    told to the other player.

    ## Observations

    The rules, what things are worth to the player, and then the other's words and offers.

    ## Rewards

    What the player's share is worth to him, from 0 to 1 (all of it); 0 where nobody accepts or a player's second
    message is no legal one.

    Metrics: `agreed`, `welfare` (what both have, as a share of what they could have together), `pareto` (no division
    is better for one and no worse for the other), `messages`, `illegal_moves`.

    ## Episode End

    Terminates when an offer is accepted, when all messages are spent, or at the second illegal one. Truncates after
    `max_turns` messages.

    ## Arguments

    - `kinds` (3): kinds of things, 2 to 4.
    - `turns` (4): messages of each player, 1 to 20.
    - `seat` (None): `player_0` or `player_1`; None for either, by the task.
    - `tasks`: a file of rows with `metadata`, which holds `counts` by thing, `values` for the two players, `turns`, and
      who speaks `first`, 0 or 1.

    ## Registered Variants

    - `llmgym/Negotiation-v0`: three kinds, four messages each.

    ## Version History

    - v0: first version.
    """

    rules = NegotiationGame
    max_turns = 24
    oracle_kind = "reference"

    def __init__(
        self, *, kinds: int = 3, turns: int = 4, tasks: TaskSet | str | Path | None = None, **options: Any
    ) -> None:
        """Make the environment.

        Args:
            kinds: Kinds of things.
            turns: Messages of each player.
            tasks: Other divisions.
            **options: Passed to `SoloGame`.

        Raises:
            ConfigError: An argument is out of range.
        """
        super().__init__(tasks=TaskSet.generated(Divisions(kinds, turns)) if tasks is None else tasks, **options)

    def solve(self) -> str:
        """Wait, and demand what the other will be content with at last."""
        assert isinstance(self.game, NegotiationGame)
        return self.game.demand(self.seat)
