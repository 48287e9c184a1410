"""Problems for whoever can compute: of one topic, or of several whose numbers are joined to one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from llmgym.envs.math_python.topics import TOPICS, Problem
from llmgym.errors import ConfigError
from llmgym.tasks import Task

_TRIES = 200
_LEAST = 12  # smaller answers could be guessed
_MODULUS = 1_000_003
_ASKS = ("What is {}?", "Find {}.", "Work out {}.", "Determine {}.")
_ENDS = (
    r"Put the final answer into \boxed{}.",
    r"Give the final number as \boxed{...}.",
    r"End your reply with the answer in \boxed{}.",
)


@dataclass(frozen=True)
class Problems:
    """Makes problems.

    Attributes:
        parts: Numbers to find for one answer.
        topics: What they are about.
    """

    parts: int
    topics: tuple[str, ...]

    def __post_init__(self) -> None:
        """Refuse what cannot be.

        Raises:
            ConfigError: An argument is out of range.
        """
        if not 1 <= self.parts <= 5:
            raise ConfigError(f"parts is {self.parts!r}; it must be from 1 to 5")
        if unknown := sorted(set(self.topics) - set(TOPICS)) or not self.topics:
            raise ConfigError(f"topics has {unknown or 'nothing'}; there is {', '.join(TOPICS)}")

    def __call__(self, rng: np.random.Generator) -> Task:
        """Make one."""
        for _ in range(_TRIES):
            names = [self.topics[i] for i in rng.integers(len(self.topics), size=self.parts).tolist()]
            parts = [TOPICS[name](rng) for name in names]
            if any(abs(part.answer) < _LEAST or str(part.answer) in part.said for part in parts):
                continue
            said, code, answer = (_single if len(parts) == 1 else _joined)(rng, parts)
            if abs(answer) >= _LEAST and str(answer) not in said:
                metadata = {"topics": names, "code": code}
                return Task(prompt=f"{said} {_pick(rng, _ENDS)}", answer=answer, metadata=metadata)
        raise RuntimeError(f"no problem about {', '.join(self.topics)} came up in {_TRIES} tries")


def _pick(rng: np.random.Generator, choices: Sequence[str]) -> str:
    return choices[int(rng.integers(len(choices)))]


def _single(rng: np.random.Generator, parts: Sequence[Problem]) -> Problem:
    return parts[0]._replace(said=_pick(rng, _ASKS).format(parts[0].said))


def _joined(rng: np.random.Generator, parts: Sequence[Problem]) -> Problem:
    """Weighted and added, modulo a prime, so that every part counts."""
    weights = rng.integers(2, 100, len(parts)).tolist()
    letters = "ABCDE"[: len(parts)]
    lines, code = list[str](), list[str]()
    for letter, part in zip(letters, parts, strict=True):
        lines.append(f"Let {letter} be {part.said}.")
        *steps, last = part.code.split("\n")
        code += [*steps, f"{letter} = {last}"]
    pairs = list(zip(weights, letters, strict=True))
    terms = " + ".join(f"{weight} {letter}" for weight, letter in pairs)
    lines.append(f"What is ({terms}) modulo {_MODULUS}, as a number from 0 to {_MODULUS - 1}?")
    code.append(f"({' + '.join(f'{weight} * {letter}' for weight, letter in pairs)}) % {_MODULUS}")
    answer = sum(weight * part.answer for weight, part in zip(weights, parts, strict=True)) % _MODULUS
    return Problem("\n".join(lines), "\n".join(code), answer)
