"""Cases: a house, who was where in which hour, one theft, one liar; what follows from what has been said."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from llmgym.envs.vocabulary import listed

FIRST_HOUR = 6  # pm, of hour 0

Doors = tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Statement:
    """What a suspect says of an hour.

    Attributes:
        suspect: Who says it.
        hour: Of which hour.
        room: Where the suspect was.
        others: Who else was there.
        there: Whether the stolen thing was there, where it had its place; None elsewhere.
    """

    suspect: int
    hour: int
    room: int
    others: frozenset[int]
    there: bool | None = None


@dataclass(frozen=True)
class Case:
    """What happened.

    Attributes:
        rooms: Names of the rooms.
        doors: The rooms that each room has a door to.
        suspects: Names of the suspects.
        thing: What was stolen.
        scene: The room that it was stolen from.
        paths: The room in which each suspect was in each hour.
        thief: Who stole it.
        hour: In which hour.
        lie: Where the thief says to have been in that hour.
        budget: How many questions may be asked.
    """

    rooms: tuple[str, ...]
    doors: Doors
    suspects: tuple[str, ...]
    thing: str
    scene: int
    paths: tuple[tuple[int, ...], ...]
    thief: int
    hour: int
    lie: int
    budget: int

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Case:
        """Read a case from the metadata of a task."""
        return cls(
            tuple(data["rooms"]),
            tuple(map(tuple, data["doors"])),
            tuple(data["suspects"]),
            data["thing"],
            data["scene"],
            tuple(map(tuple, data["paths"])),
            data["thief"],
            data["hour"],
            data["lie"],
            data["budget"],
        )

    @property
    def hours(self) -> int:
        """How many hours there are."""
        return len(self.paths[0])

    @property
    def stash(self) -> int:
        """The room in which the thing was hidden: where the thief was in the next hour."""
        return self.paths[self.thief][self.hour + 1]

    def statement(self, suspect: int, hour: int) -> Statement:
        """What a suspect says of an hour; all is true but what the thief says of the hour of the theft."""
        if (suspect, hour) == (self.thief, self.hour):
            return Statement(suspect, hour, self.lie, frozenset())
        room = self.paths[suspect][hour]
        others = frozenset(i for i, path in enumerate(self.paths) if i != suspect and path[hour] == room)
        return Statement(suspect, hour, room, others, hour < self.hour if room == self.scene else None)


Suspicion = tuple[int, int]  # thief and hour


@lru_cache(64)
def _reachable(doors: Doors) -> tuple[int, ...]:
    """For each set of rooms, as bits, those that can be reached from them in an hour, or stayed in."""
    near = [1 << room | sum(1 << other for other in others) for room, others in enumerate(doors)]
    found = [0] * (1 << len(doors))
    for rooms in range(1, len(found)):
        lowest = rooms & -rooms
        found[rooms] = found[rooms ^ lowest] | near[lowest.bit_length() - 1]
    return tuple(found)


def places(case: Case, said: Sequence[Statement], suspicion: Suspicion) -> list[list[int]] | None:
    """The rooms, as bits, in which each suspect can have been in each hour, if a suspicion is true; None if it is not.

    It looks at the house and at what has been said alone, and takes all of that for true but what the thief says of the
    hour of the theft.
    """
    thief, hour = suspicion
    scene, anywhere, hours = 1 << case.scene, (1 << len(case.rooms)) - 1, case.hours
    rooms = [[anywhere] * hours for _ in case.suspects]
    for suspect, own in enumerate(rooms):
        own[hour] = scene if suspect == thief else anywhere & ~scene
    rooms[thief][hour + 1] &= ~scene
    for one in said:
        if (one.suspect, one.hour) == suspicion:
            if one.room == case.scene:  # who says so is no thief
                return None
            continue
        if one.there is not None and one.there != (one.hour < hour):
            return None
        bit = 1 << one.room
        for suspect, own in enumerate(rooms):
            own[one.hour] &= bit if suspect == one.suspect or suspect in one.others else ~bit
            if not own[one.hour]:
                return None
    near = _reachable(case.doors)
    for own in rooms:
        for at in range(1, hours):
            own[at] &= near[own[at - 1]]
        for at in range(hours - 2, -1, -1):
            own[at] &= near[own[at + 1]]
        if not all(own):
            return None
    return rooms


def suspicions(case: Case, said: Sequence[Statement], among: Sequence[Suspicion] | None = None) -> list[Suspicion]:
    """The suspicions that agree with what has been said."""
    if among is None:
        among = [(thief, hour) for thief in range(len(case.suspects)) for hour in range(case.hours - 1)]
    return [each for each in among if places(case, said, each) is not None]


def everything(case: Case) -> list[Statement]:
    """All that the suspects would say."""
    return [case.statement(suspect, hour) for suspect in range(len(case.suspects)) for hour in range(case.hours)]


def investigate(case: Case, ask: Callable[[int, int], Statement]) -> Iterator[Statement]:
    """Ask until it is known who did it, when, and where the thing is; looks at the answers alone.

    It asks where most suspicions are: of the hours that are in question, and those who are.
    """
    said: list[Statement] = []
    left = suspicions(case, said)
    asked: set[tuple[int, int]] = set()
    while True:
        if len(left) == 1:
            thief, hour = left[0]
            rooms = places(case, said, left[0])
            assert rooms is not None
            if rooms[thief][hour + 1].bit_count() == 1:
                return
            question = (thief, hour + 1)
        else:
            question = _question(case, left, asked)
        asked.add(question)
        said.append(ask(*question))
        left = suspicions(case, said, left)
        yield said[-1]


def _question(case: Case, left: Sequence[Suspicion], asked: set[tuple[int, int]]) -> tuple[int, int]:
    """The question that touches most of the suspicions that are left."""
    hours = [0.0] * (case.hours + 1)
    own: dict[tuple[int, int], float] = {}
    for thief, hour in left:
        hours[hour] += 1
        for near, weight in ((hour - 1, 1.0), (hour, 0.5), (hour + 1, 1.0)):
            own[thief, near] = own.get((thief, near), 0.0) + weight
    free = [
        (suspect, hour)
        for hour in range(case.hours)
        for suspect in range(len(case.suspects))
        if (suspect, hour) not in asked
    ]
    return max(free, key=lambda question: hours[question[1]] + 1.5 * own.get(question, 0.0))


def hour_name(hour: int) -> str:
    """How an hour is called."""
    return f"{FIRST_HOUR + hour} pm"


def spoken(case: Case, one: Statement) -> str:
    """A statement in words."""
    names = [case.suspects[i] for i in sorted(one.others)]
    company = f"with {listed(names)}" if names else "alone"
    text = (
        f"{case.suspects[one.suspect]} says: At {hour_name(one.hour)} I was in the {case.rooms[one.room]}, {company}."
    )
    if one.there is not None:
        text += f" The {case.thing} was {'there' if one.there else 'gone'}."
    return text
