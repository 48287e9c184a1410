"""What is wrong with the rows of a file, by line, in words of ours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec

from llmgym.errors import LLMGymError

#: "torn" is a last line without its end; "invalid" one that is no JSON, or no row of its file's shape; "duplicate" a
#: row that another line has already, by its id.
ProblemKind = Literal["torn", "invalid", "duplicate"]

#: What is raised for data that are no row, among others by rows of others that are made into ours.
BAD = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError)

_NAMED = 5  # problems that an error names


class Problem(msgspec.Struct, frozen=True):
    """A row that cannot be used.

    Attributes:
        path: Its file.
        line: Its line, from 1.
        kind: What is wrong, in a word.
        reason: The same in a sentence.
    """

    path: str
    line: int
    kind: ProblemKind
    reason: str

    def __str__(self) -> str:
        """File, line and reason."""
        return f"{self.path}:{self.line}: {self.reason}"


class BadRowsError(LLMGymError):
    """Rows that cannot be used, where none may be left out."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        """Name the first of them, and count the others."""
        counts = Counter(problem.kind for problem in problems)
        said = ", ".join(f"{number} {kind}" for kind, number in counts.most_common())
        named = "; ".join(map(str, problems[:_NAMED]))
        more = f"; and {len(problems) - _NAMED} more" if len(problems) > _NAMED else ""
        super().__init__(f"{len(problems)} bad rows ({said}): {named}{more}; --skip-bad leaves them out")
        self.problems = tuple(problems)


class UnreadableError(LLMGymError):
    """A file cannot be read, or is in no shape that is known."""

    def __init__(self, path: Path, reason: str) -> None:
        """Say which and why."""
        super().__init__(f"{path}: {reason}")
