"""Tours: places with opening hours, ways between them, a budget, and the most that a day can be worth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from llmgym.envs.vocabulary import PLACES

Rng = np.random.Generator
Problem = Mapping[str, Any]

_SIGHTS = (
    "museum", "park", "zoo", "castle", "market", "tower", "harbour", "gallery", "garden", "theatre", "cathedral",
    "aquarium", "library", "brewery", "planetarium", "lighthouse", "windmill", "palace",
)  # fmt: skip


def draw(rng: Rng, count: int) -> dict[str, Any]:
    """Places on a map, a day, and a budget that is not enough for all."""
    names = [str(_SIGHTS[i]) for i in rng.choice(len(_SIGHTS), count, replace=False)]
    spots = rng.integers(0, 60, (count + 1, 2)).tolist()
    travel = [
        [5 * round((abs(a - c) + abs(b - d)) / 5) + (5 if (a, b) != (c, d) else 0) for c, d in spots] for a, b in spots
    ]
    places: list[dict[str, Any]] = []
    for name in names:
        opens = 30 * int(rng.integers(0, 8))
        stay = 15 * int(rng.integers(1, 7))
        closes = opens + stay + 30 * int(rng.integers(1, 9))
        price, worth = int(rng.integers(0, 26)), int(rng.integers(3, 30))
        places.append({"name": name, "opens": opens, "closes": closes, "stay": stay, "price": price, "worth": worth})
    total = sum(place["price"] for place in places)
    return {
        "town": PLACES[rng.integers(len(PLACES))],
        "places": places,
        "travel": travel,
        "end": 30 * int(rng.integers(8, 15)),
        "budget": int(total * (0.45 + 0.3 * rng.random())),
    }


def judge(problem: Problem, plan: list[str]) -> tuple[int | None, str]:
    """What a tour is worth, or None and what is wrong with it."""
    places = {place["name"]: (i + 1, place) for i, place in enumerate(problem["places"])}
    clock, at, spent, worth = 0, 0, 0, 0
    seen: set[str] = set()
    for name in plan:
        if name in seen:
            return None, f"{name} is in it twice"
        seen.add(name)
        index, place = places[name]
        clock = max(clock + problem["travel"][at][index], place["opens"]) + place["stay"]
        if clock > place["closes"]:
            return None, f"{name} closes before the visit is over"
        spent += place["price"]
        worth += place["worth"]
        at = index
    if spent > problem["budget"]:
        return None, f"it costs {spent}, more than the budget"
    if clock + problem["travel"][at][0] > problem["end"]:
        return None, "the way back ends too late"
    return worth, ""


def search(problem: Problem) -> tuple[int, list[str]]:
    """The most that a tour can be worth, and one that is: all orders, without those that cannot be worth more."""
    places, travel, end = problem["places"], problem["travel"], problem["end"]
    best: tuple[int, list[str]] = (0, [])

    def extend(path: list[int], clock: int, spent: int, worth: int) -> None:
        nonlocal best
        at = path[-1] + 1 if path else 0
        if worth > best[0] and clock + travel[at][0] <= end:
            best = worth, [places[i]["name"] for i in path]
        left = [i for i in range(len(places)) if i not in path]
        if worth + sum(places[i]["worth"] for i in left) <= best[0]:
            return
        for i in left:
            place = places[i]
            done = max(clock + travel[at][i + 1], place["opens"]) + place["stay"]
            if (
                done <= place["closes"]
                and spent + place["price"] <= problem["budget"]
                and done + travel[i + 1][0] <= end
            ):
                extend([*path, i], done, spent + place["price"], worth + place["worth"])

    extend([], 0, 0, 0)
    return best


def careless(problem: Problem) -> list[list[str]]:
    """Tours that a careless planner makes: all places as told, the next one that fits as told, by worth, or near."""
    places = problem["places"]
    told = [place["name"] for place in places]
    by_worth = [place["name"] for place in sorted(places, key=lambda place: -place["worth"])]
    by_opening = [place["name"] for place in sorted(places, key=lambda place: place["opens"])]
    return [[], told, by_worth, by_opening, *(_that_fit(problem, names) for names in (told, by_worth, by_opening))]


def _that_fit(problem: Problem, names: list[str]) -> list[str]:
    """The names, taken in their order, without those that do not fit behind what has been taken."""
    plan: list[str] = []
    for name in names:
        if judge(problem, [*plan, name])[0] is not None:
            plan.append(name)
    return plan


def describe(problem: Problem) -> str:
    """The places and the ways in words."""
    names = ["hotel", *(place["name"] for place in problem["places"])]
    lines = [
        f"You plan a day in {problem['town']}. You leave the hotel at minute 0 and must be back there by minute "
        f"{problem['end']}, and the visits may cost {problem['budget']} coins in all. You visit a place once at most, "
        "stay as long as it says, and wait where it has not opened yet; a visit must be over when the place closes. "
        "Each visit is worth some points.",
        "",
    ]
    lines += [
        f"- {p['name']}: open from minute {p['opens']} to {p['closes']}, stay {p['stay']} minutes, {p['price']} coins, "
        f"{p['worth']} points"
        for p in problem["places"]
    ]
    lines += ["", "Minutes on the way, the same in both directions:"]
    for i, name in enumerate(names[:-1]):
        ways = ", ".join(f"{other} {problem['travel'][i][j]}" for j, other in enumerate(names) if j > i)
        lines.append(f"- from the {name}: {ways}")
    return "\n".join(lines)
