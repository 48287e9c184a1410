"""Making cases: a house and walks through it, kept where the statements leave one thief and one hour."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from llmgym.envs.detective.cases import (
    Case,
    Doors,
    everything,
    hour_name,
    investigate,
    suspicions,
)
from llmgym.envs.vocabulary import GIVEN_NAMES, listed
from llmgym.errors import ConfigError
from llmgym.tasks import Task

Level = Literal["easy", "medium", "hard"]
Rng = np.random.Generator

_ROOMS = ("hall", "kitchen", "library", "study", "salon", "cellar", "attic", "terrace", "bedroom", "pantry", "gallery",
          "conservatory", "nursery", "workshop")  # fmt: skip
_THINGS = ("necklace", "letter", "painting", "crown", "diary", "statuette", "violin", "map", "goblet", "manuscript")
_HOUSES = ("villa", "manor", "castle", "country house", "old mill", "guest house")
_SIZES = {  # suspects, hours, rooms, and questions more than the investigation of `cases` takes
    "easy": (4, 5, 5, 6),
    "medium": (5, 5, 6, 5),
    "hard": (7, 6, 8, 5),
}
_TRIES = 2_000
_SHARE = 0.7  # of all questions, that an investigation takes at most
_BUDGET = 0.8  # of all questions, that may be asked at most


@dataclass(frozen=True)
class Cases:
    """Makes tasks.

    Attributes:
        level: How many suspects, hours and rooms there are.
    """

    level: Level

    def __post_init__(self) -> None:
        """Check the field."""
        if self.level not in get_args(Level):
            raise ConfigError(f"level is {self.level!r}; there is {', '.join(get_args(Level))}")

    def __call__(self, rng: Rng) -> Task:
        """Make a task."""
        suspects, hours, _, spare = _SIZES[self.level]
        for _ in range(_TRIES):
            case = self._draw(rng)
            if case is None or len(suspicions(case, everything(case))) != 1:
                continue
            asked = sum(1 for _ in investigate(case, case.statement))
            if asked <= _SHARE * suspects * hours:
                budget = min(asked + spare, int(_BUDGET * suspects * hours))
                return task_of(dataclasses.replace(case, budget=budget))
        raise ConfigError(f"found no case of level {self.level!r}")

    def _draw(self, rng: Rng) -> Case | None:
        """A house and walks; None where these give the thief no hour of being alone."""
        people, hours, size, _ = _SIZES[self.level]
        rooms = tuple(_ROOMS[i] for i in rng.choice(len(_ROOMS), size, replace=False))
        names = tuple(GIVEN_NAMES[i] for i in rng.choice(len(GIVEN_NAMES), people, replace=False))
        doors = _draw_doors(rng, size)
        open_rooms = [room for room, others in enumerate(doors) if len(others) > 1]  # where the loot went is no guess
        scene = open_rooms[int(rng.integers(len(open_rooms)))]
        paths = tuple(tuple(_walk(rng, doors, hours)) for _ in names)
        chances = [
            (thief, hour)
            for thief, path in enumerate(paths)
            for hour in range(1, hours - 1)
            if path[hour] == scene != path[hour + 1] and sum(other[hour] == scene for other in paths) == 1
        ]
        if not chances:
            return None
        thief, hour = chances[int(rng.integers(len(chances)))]
        before, after = paths[thief][hour - 1], paths[thief][hour + 1]
        # A lie that the walk allows, where there is one.
        lies = [
            room for room in range(size) if room != scene and _near(doors, before, room) and _near(doors, room, after)
        ]
        lies = lies or [room for room in range(size) if room != scene]
        lie = lies[int(rng.integers(len(lies)))]
        thing = _THINGS[int(rng.integers(len(_THINGS)))]
        return Case(rooms, doors, names, thing, scene, paths, thief, hour, lie, 0)


def _draw_doors(rng: Rng, size: int) -> Doors:
    """A house in which each room can be reached, with a few more doors than that takes."""
    doors: list[set[int]] = [set() for _ in range(size)]
    pairs = [(room, int(rng.integers(room))) for room in range(1, size)]
    pairs += [tuple(rng.choice(size, 2, replace=False).tolist()) for _ in range(size // 3)]
    for one, other in pairs:
        doors[one].add(other)
        doors[other].add(one)
    return tuple(tuple(sorted(others)) for others in doors)


def _walk(rng: Rng, doors: Doors, hours: int) -> list[int]:
    path = [int(rng.integers(len(doors)))]
    while len(path) < hours:
        others = doors[path[-1]]
        path.append(path[-1] if rng.random() < 0.25 else others[int(rng.integers(len(others)))])
    return path


def _near(doors: Doors, one: int, other: int) -> bool:
    return one == other or other in doors[one]


def task_of(case: Case) -> Task:
    """The task of a case."""
    answer = {
        "suspect": case.suspects[case.thief],
        "hour": hour_name(case.hour),
        "room": case.rooms[case.stash],
    }
    return Task(prompt=describe(case), answer=answer, metadata={"case": dataclasses.asdict(case)})


def describe(case: Case) -> str:
    """The case as a detective finds it."""
    house = _HOUSES[sum(map(len, (*case.rooms, *case.suspects))) % len(_HOUSES)]
    last = hour_name(case.hours - 1)
    thing, scene = case.thing, case.rooms[case.scene]
    doors = [
        f"- {room}: doors to {listed([f'the {case.rooms[other]}' for other in others])}"
        for room, others in zip(case.rooms, case.doors, strict=True)
    ]
    hours = listed([hour_name(hour) for hour in range(case.hours)])
    return "\n".join(
        [
            f"Between {hour_name(0)} and {last} the {thing} was stolen from the {scene} of the {house}. The suspects "
            f"are {listed(case.suspects)}. The rooms:",
            *doors,
            "",
            f"- The hours are {hours}. In each hour everybody was in one room, and all who were in the same room saw "
            "each other. From one hour to the next everybody stayed or went through one door.",
            f"- In one of the hours, not the last, the thief was alone in the {scene} and took the {thing}. In the "
            "next hour the thief was in another room and hid it there.",
            f"- Who was in the {scene} in an earlier hour saw the {thing} there, and in a later hour that it was gone.",
            "- All tell the truth, but for one thing: asked about the hour of the theft, the thief says to have been "
            "in another room.",
            "",
            f"You may ask {case.budget} questions. Then accuse: who was it, in which hour, and in which room was the "
            f"{thing} hidden?",
        ]
    )
