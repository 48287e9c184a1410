"""The generator: a story in rounds, and a question at the end of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from llmgym.envs.draws import Draws
from llmgym.envs.entity_tracking.world import World
from llmgym.envs.vocabulary import listed
from llmgym.errors import ConfigError
from llmgym.tasks import Task

#: A question: its text, what it asks for, the answer (a name for each, or all things in a place), and what it may be.
Question = dict[str, Any]
_LARGEST = 17
_ASKED = 3  # people, containers or things of a question


@dataclass(frozen=True)
class Problems:
    """Makes the task of a story; see `EntityTracking` for the arguments.

    Raises:
        ConfigError: An argument is out of range.
    """

    events: int
    size: int
    rounds: int
    distractors: float
    conditions: bool

    def __post_init__(self) -> None:
        """Check the arguments."""
        if not (1 <= self.events <= 2000 and 3 <= self.size <= _LARGEST and 1 <= self.rounds <= 20):
            raise ConfigError(
                f"events is {self.events}, size is {self.size} and rounds is {self.rounds}; 1 to 2000, 3 to "
                f"{_LARGEST}, and 1 to 20"
            )
        if not 0 <= self.distractors <= 0.9:
            raise ConfigError(f"distractors is {self.distractors}; a share from 0 to 0.9")

    def __call__(self, rng: np.random.Generator) -> Task:
        """Make a task."""
        d = Draws(rng)
        world = World.made(d, self.size)
        told, questions = world.introduction(), list[Question]()
        texts = list[str]()
        for at in range(self.rounds):
            for _ in range(self.events):
                told.append(world.happen(self.conditions))
                while d.chance(self.distractors):
                    told.append(world.distraction())
            while (question := d.pick(_QUESTIONS)(d, world)) is None:
                told.append(world.happen(self.conditions))
            questions.append(question)
            begin = "" if not at else d.pick(("Then this happens:\n", "After that:\n", ""))
            texts.append(f"{begin}{' '.join(told)}\n\n{question.pop('text')}")
            told = []
        return Task(
            prompt=texts[0],
            answer=[question.pop("answer") for question in questions],
            metadata={"questions": questions, "later": texts[1:]},
        )


def _asked(d: Draws, where: dict[str, str]) -> dict[str, str] | None:
    """Some of what is somewhere, each elsewhere: so nothing is won with one name, whichever of them it is."""
    asked: dict[str, str] = {}
    for name in d.shuffled(list(where)):
        if where[name] not in asked.values():
            asked[name] = where[name]
        if len(asked) == _ASKED:
            return asked
    return None


def _question(d: Draws, text: str, where: dict[str, str], options: list[str]) -> Question | None:
    """A question for some of what is somewhere, in an order of chance."""
    if (asked := _asked(d, where)) is None:
        return None
    names = [name if name[0].isupper() else f"the {name}" for name in asked]
    return {
        "text": f"{text.format(listed(names))} {d.pick(_ORDERS)}",
        "answer": list(asked.values()),
        "asked": list(asked),
        "options": options,
    }


def _moved(world: World) -> list[str]:
    """Things that have been in several rooms."""
    return [thing for thing, rooms in world.history.items() if len(rooms) > 1]


def _rooms_of_things(d: Draws, world: World) -> Question | None:
    text = d.pick(("In which rooms are {} now?", "Which rooms are {} in at the end?"))
    return _question(d, text, {thing: world.room(thing) for thing in _moved(world)}, world.rooms)


def _rooms_of_all(d: Draws, world: World) -> Question | None:
    names = [*world.people, *world.containers, *_moved(world)]
    return _question(d, "In which rooms are {} now?", {name: world.room(name) for name in names}, world.rooms)


def _rooms_before(d: Draws, world: World) -> Question | None:
    text = "In which rooms were {} just before they came to those in which they are now?"
    return _question(d, text, {thing: world.history[thing][-2] for thing in _moved(world)}, world.rooms)


def _first_rooms(d: Draws, world: World) -> Question | None:
    text = "In which rooms were {} at the very beginning?"
    return _question(d, text, {thing: world.history[thing][0] for thing in _moved(world)}, world.rooms)


def _holders(d: Draws, world: World) -> Question | None:
    text = "Who has {} now, or what are they in? Name a person, or a container with its colour."
    return _question(d, text, world.things, [*world.people, *world.containers])


def _content(d: Draws, world: World) -> Question | None:
    holder = d.pick([*world.people, *world.containers])
    inside = sorted(world.inside(holder))
    if len(inside) < 2:
        return None
    asked = (
        f"Which things does {holder} have now?" if holder in world.people else f"Which things are in the {holder} now?"
    )
    return {"text": f"{asked} Name them all.", "answer": inside, "asked": [], "options": []}


_ORDERS = ("Answer in this order.", "Name one for each, in this order.", "Keep the order of the question.")
_QUESTIONS = (
    _rooms_of_things, _rooms_of_things, _rooms_of_all, _rooms_before, _rooms_before, _holders, _holders, _content,
    _first_rooms,
)  # fmt: skip
