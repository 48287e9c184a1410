"""Requests: something to write, how long, and instructions that go together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from llmgym.envs.instructions.constraints import ANCHORS, CLOSED, CONSTRAINTS, Arguments, Scene, compatible
from llmgym.envs.instructions.topics import ASKS, PIECES, QUESTIONS, TOPICS
from llmgym.envs.instructions.writing import count_words, write
from llmgym.errors import ConfigError
from llmgym.tasks import Task

_WORDS = "length_constraints:number_words"
_INTRODUCTIONS = (
    "Keep to these rules, all of them:",
    "Follow these instructions, please:",
    "There are some rules, though:",
)
_JOINTS = ("", "Also, ", "Besides, ", "In addition, ")
_TRIES = 100


@dataclass(frozen=True, slots=True)
class Requests:
    """A generator of tasks.

    Attributes:
        instructions: Fewest and most instructions besides the length.
        words: Least and greatest lower limit of the length.
        slack: The upper limit, as a multiple of the lower.
        families: Ids in `CONSTRAINTS` that may be given; None for all.
    """

    instructions: tuple[int, int]
    words: tuple[int, int]
    slack: float
    families: tuple[str, ...] | None

    def __post_init__(self) -> None:
        """Check the fields."""
        fewest, most = self.instructions
        if not 1 <= fewest <= most <= 4:
            raise ConfigError(
                f"instructions is {list(self.instructions)}; it is two numbers from 1 to 4, the smaller first"
            )
        if not 15 <= self.words[0] <= self.words[1] <= 300 or not 1.3 <= self.slack <= 10:
            raise ConfigError(
                f"words is {list(self.words)} and slack is {self.slack}; 15 to 300, the smaller first, and 1.3 to 10"
            )
        if unknown := [name for name in self.families or () if name not in CONSTRAINTS]:
            raise ConfigError(f"{unknown[0]!r} is none of the instructions {', '.join(CONSTRAINTS)}")
        if not self._anchors(most) or not CLOSED.intersection(self._families):
            raise ConfigError(f"families needs one of {', '.join(ANCHORS)} and one of {', '.join(sorted(CLOSED))}")

    @property
    def _families(self) -> tuple[str, ...]:
        return tuple(CONSTRAINTS) if self.families is None else self.families

    def _anchors(self, count: int) -> list[str]:
        return [name for name in ANCHORS if name in self._families and (count > 1 or name in CLOSED)]

    def __call__(self, rng: np.random.Generator) -> Task:
        """Make a task that the oracle's writer can solve within the limits of the length."""
        for _ in range(_TRIES):
            task, high = self._task(rng)
            if count_words(write(task.answer)) <= high:
                return task
        raise ConfigError(f"texts of {list(self.words)} words have no room for the instructions; raise words or slack")

    def _task(self, rng: np.random.Generator) -> tuple[Task, int]:
        """A task, and the most words that its text may have."""
        topic = tuple(TOPICS)[int(rng.integers(len(TOPICS)))]
        low = 5 * int(rng.integers(self.words[0] // 5, self.words[1] // 5 + 1))
        high = int(low * self.slack)
        scene = Scene(rng, "", low, [str(word) for word in rng.permutation(TOPICS[topic])])
        names = self._names(scene)
        asks = QUESTIONS if "detectable_format:constrained_response" in names else ASKS
        scene.ask = scene.pick(asks).format(piece=scene.pick(PIECES), topic=topic, low=low, high=high)
        given: list[tuple[str, Arguments]] = [(name, CONSTRAINTS[name].draw(scene)) for name in names]
        told = [CONSTRAINTS[name].tell(scene, arguments) for name, arguments in given]
        lengths = [{"num_words": low, "relation": "at least"}, {"num_words": high + 1, "relation": "less than"}]
        task = Task(
            prompt=_prompt(scene, told),
            answer={
                "instruction_id_list": [_WORDS, _WORDS, *names],
                "kwargs": [*lengths, *(arguments for _, arguments in given)],
            },
            metadata={"topic": topic},
        )
        return task, high

    def _names(self, scene: Scene) -> list[str]:
        """Families that go together, among them an anchor and one that is closed."""
        count = scene.number(*self.instructions)
        if not self._anchors(count):
            count = 2
        names = [scene.pick(self._anchors(count))]
        families = [str(name) for name in scene.rng.permutation(self._families)]
        for wanted in (CLOSED, frozenset(families)):
            for name in families:
                enough = bool(CLOSED.intersection(names)) if wanted is CLOSED else len(names) >= count
                if enough:
                    break
                if name in wanted and compatible(name, names):
                    names.append(name)
        return [names[at] for at in scene.rng.permutation(len(names))]


def _joined(said: str, joint: str) -> str:
    return f"{joint}{said[0].lower()}{said[1:]}" if joint and not said.startswith("I ") else said


def _prompt(scene: Scene, told: list[str]) -> str:
    """The request and its instructions, in a row or numbered; there is always a comma in it."""
    style = scene.number(0, 2) if len(told) > 1 else 0
    if style == 0:
        rest = " ".join(_joined(said, scene.pick(_JOINTS) if at else "") for at, said in enumerate(told))
        return f"{scene.ask} {rest} Please write nothing but the text that I asked for, without a word to me."
    mark = "{}. " if style == 1 else "({}) "
    lines = [f"{mark.format(at + 1)}{said}" for at, said in enumerate(told)]
    return "\n".join([f"{scene.ask} {scene.pick(_INTRODUCTIONS)}", *lines, "Reply with the text, and nothing else."])
