"""What a verifier finds: a score and why, or that it could not tell.

A verifier is a pure function, `check(answer, reference, **options) -> Verdict`: it takes any text that a model may
write, bounds what it reads and how long it takes, keeps nothing, and never raises on an answer. Whoever builds tasks
proves their references by checking each against itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from llmgym.rewards import Reward

#: Why a verdict is what it is. The first three are about an answer that was read; the next four about one that earns
#: nothing because it cannot be read or does not end, and so would pay if it were left out; the last three say nothing
#: about the answer, and leave it unscored.
Reason = Literal[
    "correct",
    "partial",
    "wrong",
    "no_answer",
    "unparsable",
    "too_long",
    "timeout",
    "invalid_reference",
    "judge_failed",
    "infrastructure",
]
UNSCORED: frozenset[Reason] = frozenset({"invalid_reference", "judge_failed", "infrastructure"})

#: Characters of an answer that verifiers read, where nothing else is said.
MAX_ANSWER = 65_536


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a verifier found.

    Attributes:
        score: 0 to 1; None where the verifier could not tell, for a reason in `UNSCORED` and for no other.
        reason: Why.
        detail: For people: what was read and what is missing. It never repeats a reference.
        metrics: Numbers that do not count.
    """

    score: float | None
    reason: Reason
    detail: str = ""
    metrics: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Hold scores and reasons together."""
        if self.reason not in get_args(Reason):
            raise ValueError(f"{self.reason!r} is no reason; there is {', '.join(get_args(Reason))}")
        if (self.score is None) != (self.reason in UNSCORED):
            raise ValueError(f"a verdict for the reason {self.reason!r} cannot have the score {self.score}")
        if self.score is not None and not 0 <= self.score <= 1:
            raise ValueError(f"a score is 0 to 1, not {self.score}")

    def __bool__(self) -> bool:
        """Whether the answer is right in full."""
        return self.score == 1

    @property
    def reward(self) -> Reward:
        """The same for `ToolEnv.verify`: part `correct`, the metrics, and one that names a reason that is not plain."""
        plain = self.reason in ("correct", "partial", "wrong")
        return Reward(correct=self.score, metrics={**self.metrics, **({} if plain else {self.reason: 1.0})})


def correct(detail: str = "", **metrics: float) -> Verdict:
    """The answer is right."""
    return Verdict(1.0, "correct", detail, metrics)


def wrong(detail: str = "", reason: Reason = "wrong", **metrics: float) -> Verdict:
    """The answer earns nothing."""
    return Verdict(0.0, reason, detail, metrics)


def too_long(size: int, limit: int = MAX_ANSWER) -> Verdict:
    """The answer has more characters than are read."""
    return wrong(f"{size:,} characters; {limit:,} are read", "too_long")


def unscored(reason: Reason, detail: str) -> Verdict:
    """The verifier cannot tell."""
    return Verdict(None, reason, detail)


def graded(score: float, detail: str = "", **metrics: float) -> Verdict:
    """The answer earns a share: "correct" at 1, "wrong" at 0, else "partial"."""
    reason: Reason = "correct" if score == 1 else "wrong" if score == 0 else "partial"
    return Verdict(score, reason, detail, metrics)
