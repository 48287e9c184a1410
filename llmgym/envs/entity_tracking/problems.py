"""The generator: a story in rounds, and a question at the end of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from llmgym.envs.draws import Draws
from llmgym.envs.entity_tracking.world import World
from llmgym.errors import ConfigError
from llmgym.tasks import Task

#: A question: its text, its answer (a name, a number, or a list of names), and what could be the answer.
Question = dict[str, Any]
MOST_OPTIONS = 17


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
        if not (1 <= self.events <= 2000 and 3 <= self.size <= MOST_OPTIONS and 1 <= self.rounds <= 20):
            raise ConfigError(
                f"events is {self.events}, size is {self.size} and rounds is {self.rounds}; 1 to 2000, 3 to "
                f"{MOST_OPTIONS}, and 1 to 20"
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
            question = self._question(d, world, told[-1])
            questions.append(question)
            begin = "" if not at else d.pick(("Then this happens:\n", "After that:\n", ""))
            texts.append(f"{begin}{' '.join(told)}\n\n{question.pop('text')}")
            told = []
        return Task(
            prompt=texts[0],
            answer=[question.pop("answer") for question in questions],
            metadata={"questions": questions, "later": texts[1:]},
        )

    def _question(self, d: Draws, world: World, last: str) -> Question:
        while True:
            question = d.pick(_QUESTIONS)(d, world)
            # What is told last is the answer to a question no more often than anything else.
            if question and (str(question["answer"]) not in last or d.chance(0.3)):
                return question


def _much_moved(d: Draws, world: World) -> str:
    """A thing, the likelier the more rooms it has been in."""
    return max(d.some(list(world.things), 3), key=lambda thing: len(world.history[thing]))


def _room_of(d: Draws, world: World) -> Question:
    thing = _much_moved(d, world)
    asked = ("In which room is the {} now?", "Which room is the {} in at the end?")
    return {"text": d.pick(asked).format(thing), "answer": world.room(thing), "options": world.rooms}


def _room_of_other(d: Draws, world: World) -> Question:
    name = d.pick([*world.people, *(f"the {name}" for name in world.containers)])
    text = f"In which room is {name} now?"
    return {"text": text, "answer": world.room(name.removeprefix("the ")), "options": world.rooms}


def _room_before(d: Draws, world: World) -> Question | None:
    thing = _much_moved(d, world)
    if len(rooms := world.history[thing]) < 2:
        return None
    text = f"The {thing} is in the {rooms[-1]} now. In which room was it just before it came there?"
    return {"text": text, "answer": rooms[-2], "options": world.rooms}


def _holder(d: Draws, world: World) -> Question | None:
    thing = d.pick(list(world.things))
    if (holder := world.things[thing]) in world.people:
        return {"text": f"Who has the {thing} now?", "answer": holder, "options": list(world.people)}
    asked = f"What is the {thing} in now? Give the container with its colour."
    return {"text": asked, "answer": holder, "options": list(world.containers)}


def _content(d: Draws, world: World) -> Question | None:
    holder = d.pick([*world.people, *world.containers])
    inside = sorted(world.inside(holder))
    if len(inside) < 2:
        return None
    asked = (
        f"Which things does {holder} have now?" if holder in world.people else f"Which things are in the {holder} now?"
    )
    return {"text": f"{asked} Name them all.", "answer": inside, "options": []}


def _first_room(d: Draws, world: World) -> Question | None:
    thing = _much_moved(d, world)
    if len(world.history[thing]) < 2:
        return None
    return {
        "text": f"In which room was the {thing} at the very beginning?",
        "answer": world.history[thing][0],
        "options": world.rooms,
    }


_QUESTIONS = (_room_of, _room_of, _room_of_other, _room_before, _room_before, _holder, _holder, _content, _first_room)
