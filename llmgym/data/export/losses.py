"""What an export leaves out, and why."""

from __future__ import annotations

from typing import Any

from llmgym.errors import LLMGymError

_EXAMPLES = 3


class LeftOut(LLMGymError):
    """Something gives no row; the message says why, in words that can be counted."""


class Losses:
    """Counts what is left out by reason, and keeps a few names of each."""

    def __init__(self) -> None:
        """Nothing is."""
        self._found: dict[str, tuple[int, list[str]]] = {}

    def add(self, reason: str, name: str = "", count: int = 1) -> None:
        """Count something."""
        known, examples = self._found.get(reason, (0, []))
        if name and name not in examples and len(examples) < _EXAMPLES:
            examples.append(name)
        self._found[reason] = (known + count, examples)

    def __len__(self) -> int:
        """How much is left out."""
        return sum(count for count, _ in self._found.values())

    def report(self) -> list[dict[str, Any]]:
        """The reasons, the most frequent first."""
        ordered = sorted(self._found.items(), key=lambda item: -item[1][0])
        return [{"reason": reason, "count": count, "examples": examples} for reason, (count, examples) in ordered]
