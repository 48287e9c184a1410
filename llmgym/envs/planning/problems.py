"""Planning tasks: a schedule or a tour, a goal that careless plans miss, and the best that there is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Literal, get_args

import numpy as np

from llmgym.envs.planning import schedules, tours
from llmgym.envs.planning.plans import Reply, Unreadable, read_reply
from llmgym.errors import ConfigError
from llmgym.tasks import Task

Level = Literal["easy", "medium", "hard"]
KINDS: dict[str, ModuleType] = {"schedule": schedules, "tour": tours}

_SIZES = {  # jobs, people, places
    "easy": ((3, 4), (2, 2), (3, 4)),
    "medium": ((5, 6), (2, 3), (5, 5)),
    "hard": ((7, 8), (2, 3), (6, 7)),
}
_TRIES = 300
_IMPOSSIBLE = 0.12
_FARTHEST = 6  # a goal that cannot be reached is 1 to 6 too far: no one of these is right often

_FORMS = {
    "schedule": '{"plan": [{"job": "...", "worker": "...", "start": 0}, ...]}',
    "tour": '{"plan": ["...", "..."]}, the places in their order',
}
_BEST = {
    "schedule": "the hour at which everything could be done at the earliest",
    "tour": "the most points that can be had",
}


@dataclass(frozen=True)
class Problems:
    """Makes tasks.

    Attributes:
        level: How large they are.
        kinds: Names of kinds.
    """

    level: Level
    kinds: tuple[str, ...]

    def __post_init__(self) -> None:
        """Check the fields."""
        if self.level not in get_args(Level):
            raise ConfigError(f"level is {self.level!r}; there is {', '.join(get_args(Level))}")
        if not self.kinds or not set(self.kinds) <= KINDS.keys():
            raise ConfigError(f"kinds is {self.kinds}; there is {', '.join(KINDS)}")

    def __call__(self, rng: np.random.Generator) -> Task:
        """Make a task."""
        kind, goal = self.kinds[int(rng.integers(len(self.kinds)))], _draw_goal(rng)
        for _ in range(_TRIES):
            problem: dict[str, Any] = {"kind": kind, **self._draw(rng, kind), "goal": None}
            best, plan = KINDS[kind].search(problem)
            if goal is not None:
                problem["goal"] = best + (goal if kind == "schedule" else -goal)
            if best <= _FARTHEST or len(plan) < 2 or _is_careless(problem, best):
                continue
            answer = {"best": best, "plan": plan if reached(problem, best) else None}
            return Task(prompt=ask(problem), answer=answer, metadata={"problem": problem})
        raise ConfigError(f"found no problem with {self}")

    def _draw(self, rng: np.random.Generator, kind: str) -> dict[str, Any]:
        jobs, people, places = (int(rng.integers(*size, endpoint=True)) for size in _SIZES[self.level])
        return schedules.draw(rng, jobs, people) if kind == "schedule" else tours.draw(rng, places)


def _draw_goal(rng: np.random.Generator) -> int | None:
    """How much worse than the best value the goal is: less than nothing where it cannot be reached; None for none."""
    if rng.random() < _IMPOSSIBLE:
        return -int(rng.integers(1, _FARTHEST, endpoint=True))
    return None if rng.random() < 0.4 else int(rng.integers(0, 2))


def _is_careless(problem: Mapping[str, Any], best: int) -> bool:
    """Whether a careless plan passes, or the problem itself, taken for a reply."""
    try:
        parroted = [read_reply(ask(problem), problem)]
    except Unreadable:
        parroted = []
    plans = [Reply(plan) for plan in KINDS[problem["kind"]].careless(problem)]
    return any(passes(problem, reply, best) for reply in (*parroted, *plans))


def passes(problem: Mapping[str, Any], reply: Reply, best: int) -> bool:
    """Whether a plan keeps all rules and reaches the goal, or whether it is right that there is none."""
    if reply.plan is None:
        return not reached(problem, best) and reply.best == best
    value, _ = KINDS[problem["kind"]].judge(problem, reply.plan)
    if value is None:
        return False
    return value == best if problem["goal"] is None else reached(problem, value)


def reached(problem: Mapping[str, Any], value: int) -> bool:
    """Whether a value is as good as the goal; any is where there is none."""
    goal = problem["goal"]
    return goal is None or (value >= goal if problem["kind"] == "tour" else value <= goal)


def ask(problem: Mapping[str, Any]) -> str:
    """The whole task in words."""
    kind, goal = problem["kind"], problem["goal"]
    told = KINDS[kind].describe(problem)
    form = f"Reply with the plan as JSON: {_FORMS[kind]}."
    if goal is None:
        wanted = "as early as possible" if kind == "schedule" else "worth as many points as possible"
        what = (
            f"Plan it so that everything is done {wanted}." if kind == "schedule" else f"Plan a tour that is {wanted}."
        )
        return f"{told}\n\n{what} {form}"
    what = f"Plan it so that everything is done by hour {goal}." if kind == "schedule" else (
        f"Plan a tour that is worth at least {goal} points."
    )  # fmt: skip
    otherwise = f'Where no plan does that, reply with {{"impossible": true, "best": N}}, where N is {_BEST[kind]}.'
    return f"{told}\n\n{what} {form} {otherwise}"
