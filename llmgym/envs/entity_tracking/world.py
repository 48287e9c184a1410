"""A world of people, rooms, containers and things: what happens in it, told in sentences, and where all are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from llmgym.envs.draws import Draws
from llmgym.envs.vocabulary import GIVEN_NAMES, THINGS, with_article

ROOMS: tuple[str, ...] = (
    "kitchen", "attic", "cellar", "garage", "library", "pantry", "study", "bathroom", "bedroom", "workshop", "nursery",
    "laundry", "conservatory", "greenhouse", "hallway", "office", "parlour", "dining room", "music room", "guest room",
    "storeroom", "stable", "chapel", "boathouse",
)  # fmt: skip
COLOURS: tuple[str, ...] = ("red", "blue", "green", "white", "black", "yellow", "grey", "brown")
CONTAINERS: tuple[str, ...] = ("box", "basket", "crate", "sack", "chest", "suitcase", "bucket", "trunk")
_KINDS_OF_CONTAINERS = {
    "basket",
    "box",
    "bucket",
    "backpack",
    "thermos",
    "bowl",
    "pot",
    "jar",
    "jug",
}  # none are things


@dataclass
class World:
    """Where all are: people and containers in rooms, things in containers or with people.

    Attributes:
        d: Picks what is there and what happens.
        people: The room of each person.
        containers: The room of each container.
        things: The holder of each thing, a person or a container.
        rooms: The rooms.
        history: The rooms that each thing has been in, in order.
    """

    d: Draws
    people: dict[str, str]
    containers: dict[str, str]
    things: dict[str, str]
    rooms: list[str]
    history: dict[str, list[str]] = field(default_factory=dict)

    @classmethod
    def made(cls, d: Draws, size: int) -> World:
        """A world of so many rooms, with as many things and fewer people and containers."""
        rooms = d.some(ROOMS, size)
        people = {who: d.pick(rooms) for who in d.some(GIVEN_NAMES, max(2, size // 2))}
        names = [f"{d.pick(COLOURS)} {kind}" for kind in d.some(CONTAINERS, min(max(2, size // 2 + 1), 8))]
        containers = {name: d.pick(rooms) for name in names}
        things = [thing for thing in d.some(THINGS, 2 * size + 10) if thing not in _KINDS_OF_CONTAINERS][:size]
        holders = [*people, *containers]
        world = cls(d, people, containers, {thing: d.pick(holders) for thing in things}, rooms)
        world.note()
        return world

    def room(self, name: str) -> str:
        """The room that a person, a container or a thing is in."""
        if name in self.things:
            name = self.things[name]
        return self.people.get(name) or self.containers[name]

    def inside(self, holder: str) -> list[str]:
        """The things that a container holds, or a person."""
        return [thing for thing, where in self.things.items() if where == holder]

    def beside(self, who: str, group: Sequence[str]) -> list[str]:
        """Those of some that are in the room of a person, and are not the person."""
        return [name for name in group if name != who and self.room(name) == self.people[who]]

    def note(self) -> None:
        """Add the rooms of all things to their history, where they have changed."""
        rooms = self.people | self.containers
        for thing, holder in self.things.items():
            known = self.history.setdefault(thing, [])
            if not known or known[-1] != rooms[holder]:
                known.append(rooms[holder])

    def introduction(self) -> list[str]:
        """Where all are at the beginning."""
        told = [f"{who} is in the {room}." for who, room in self.people.items()]
        told += [f"The {name} is in the {room}." for name, room in self.containers.items()]
        for thing, holder in self.things.items():
            told.append(f"{holder} has {with_article(thing)}." if holder in self.people
                        else f"{with_article(thing).capitalize()} is in the {holder}.")  # fmt: skip
        return self.d.shuffled(told)

    def happen(self, conditions: bool) -> str:
        """Something happens; the sentence that tells it."""
        events = [*_EVENTS, _condition, _condition] if conditions else list(_EVENTS)
        while True:
            who = self.d.pick(list(self.people))
            if told := self.d.pick(events)(self, who):
                self.note()
                return told

    def distraction(self) -> str:
        """A sentence after which all are where they were."""
        who, thing = self.d.pick(list(self.people)), self.d.pick(list(self.things))
        room, name = self.d.pick(self.rooms), self.d.pick(list(self.containers))
        return self.d.pick(
            (
                f"{who} thinks about going to the {room}, and stays.",
                f"{who} wonders whether the {thing} is in the {room}.",
                f"{who} looks at the {name} and leaves it where it is.",
                f"{who} dreams that the {thing} lies in the {name}.",
                f"Somebody cleans the windows of the {room}.",
                f"It begins to rain outside the {room}.",
            )
        )


def _go(w: World, who: str) -> str | None:
    room = w.d.pick(w.rooms)
    if room == w.people[who]:
        return None
    w.people[who] = room
    return f"{who} {w.d.pick(('goes', 'walks', 'moves'))} to the {room}."


def _put(w: World, who: str) -> str | None:
    things, names = w.inside(who), w.beside(who, list(w.containers))
    if not things or not names:
        return None
    thing, name = w.d.pick(things), w.d.pick(names)
    w.things[thing] = name
    return w.d.pick((f"{who} puts the {thing} into the {name}.", f"Into the {name}, {who} puts the {thing}."))


def _take(w: World, who: str) -> str | None:
    names = [name for name in w.beside(who, list(w.containers)) if w.inside(name)]
    if not names:
        return None
    name = w.d.pick(names)
    thing = w.d.pick(w.inside(name))
    w.things[thing] = who
    return f"{who} takes the {thing} out of the {name}."


def _give(w: World, who: str) -> str | None:
    things, others = w.inside(who), w.beside(who, list(w.people))
    if not things or not others:
        return None
    thing, other = w.d.pick(things), w.d.pick(others)
    w.things[thing] = other
    return w.d.pick((f"{who} gives the {thing} to {other}.", f"{other} gets the {thing} from {who}."))


def _carry(w: World, who: str) -> str | None:
    names, room = w.beside(who, list(w.containers)), w.d.pick(w.rooms)
    if not names or room == w.people[who]:
        return None
    name = w.d.pick(names)
    w.people[who] = w.containers[name] = room
    return f"{who} carries the {name}, with all that is in it, to the {room}, and stays there."


def _empty(w: World, who: str) -> str | None:
    names = w.beside(who, list(w.containers))
    if len(names) < 2:
        return None
    one, other = w.d.some(names, 2)
    if w.d.chance(0.5):
        for thing in w.inside(one):
            w.things[thing] = other
        return f"{who} moves all that is in the {one} into the {other}."
    first, second = w.inside(one), w.inside(other)
    w.things.update(dict.fromkeys(first, other) | dict.fromkeys(second, one))
    return f"{who} swaps what is in the {one} with what is in the {other}."


def _change_places(w: World, who: str) -> str | None:
    others = [other for other in w.people if w.people[other] != w.people[who]]
    if not others:
        return None
    other = w.d.pick(others)
    w.people[who], w.people[other] = w.people[other], w.people[who]
    return f"{who} and {other} change places: each goes to the room where the other one was."


def _condition(w: World, who: str) -> str | None:
    """What happens depends on where all are."""
    one, other = w.d.some(w.rooms, 2)
    name, thing = w.d.pick(list(w.containers)), w.d.pick(list(w.things))
    test, holds = w.d.pick(
        (
            (f"the {name} is empty", not w.inside(name)),
            (f"the {thing} is in the same room as {who}", w.room(thing) == w.people[who]),
            (f"{who} has more than one thing", len(w.inside(who)) > 1),
            (f"the {name} is in the {one}", w.containers[name] == one),
        )
    )
    w.people[who] = one if holds else other
    return f"If {test} now, {who} goes to the {one}; otherwise {who} goes to the {other}."


Event = Callable[[World, str], "str | None"]
_EVENTS: tuple[Event, ...] = (_go, _go, _put, _put, _take, _take, _give, _carry, _empty, _change_places)


#: What rooms, people, containers and things of stories may be called, in lower case.
NAMES: frozenset[str] = frozenset(
    map(
        str.casefold,
        (*ROOMS, *GIVEN_NAMES, *THINGS, *(f"{colour} {kind}" for colour in COLOURS for kind in CONTAINERS)),
    )
)
