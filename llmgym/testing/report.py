"""How checks come out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class CheckResult:
    """How one check came out.

    Attributes:
        name: Name of the check.
        status: "passed", "failed" or "skipped".
        detail: What holds, and what was left out for want of time; or what is wrong and what to do; or why it was
            skipped.
    """

    name: str
    status: Literal["passed", "failed", "skipped"]
    detail: str

    @property
    def passed(self) -> bool:
        """Whether it did not fail."""
        return self.status != "failed"


@dataclass(frozen=True, slots=True)
class Report:
    """How all checks of an environment came out."""

    env_id: str
    results: tuple[CheckResult, ...]

    @property
    def failures(self) -> tuple[CheckResult, ...]:
        """The checks that failed."""
        return tuple(result for result in self.results if not result.passed)

    def __str__(self) -> str:
        """Each check in a line, and what is wrong below it."""
        lines = [f"{self.env_id}: {len(self.failures)} of {len(self.results)} checks failed"]
        return "\n".join([*lines, *(f"  {result.status:7} {result.name}: {result.detail}" for result in self.results)])


class Fault(Exception):
    """What is wrong, and what to do."""


class Skip(Exception):
    """Why a check says nothing of this environment."""
