"""Episodes as columns of scalars: what the tables and plots of a page are made from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from llmgym.messages import Message
from llmgym.report.sources import Entry
from llmgym.trajectory import Trajectory

_PROMPT, _REPLY = 140, 80  # characters of a row's texts


class Words:
    """A column of texts that come again: each text once, and a number for each row."""

    def __init__(self) -> None:
        """Begin with none."""
        self.words: list[str] = []
        self.codes: list[int] = []
        self._known: dict[str, int] = {}

    def append(self, word: str) -> None:
        """Add a row."""
        code = self._known.get(word)
        if code is None:
            code = self._known[word] = len(self.words)
            self.words.append(word)
        self.codes.append(code)


class Columns:
    """A column for each thing that is known of a row, all of one length.

    Attributes:
        words: Columns of texts that come again.
        numbers: Columns of numbers; None where one is not known.
        texts: Columns of other texts.
    """

    def __init__(self) -> None:
        """Begin with no rows."""
        self.words = {name: Words() for name in ("env", "task", "content", "agent", "status", "prompt")}
        self.numbers: dict[str, list[float | None]] = {
            name: []
            for name in (
                "run", "repeat", "agents", "reward", "turns", "sampled", "context", "errors", "wall", "version",
                "logprob", "failed",
            )
        }  # fmt: skip
        self.texts: dict[str, list[str]] = {"reply": []}

    def __len__(self) -> int:
        """How many rows there are."""
        return len(self.texts["reply"])

    def append(self, run: int, entry: Entry) -> None:
        """Add a row."""
        row = entry.row
        for name, word in (
            ("env", row.env_id), ("task", row.task_id), ("content", entry.content), ("agent", row.agent),
            ("status", row.status), ("prompt", _prompt(row)),
        ):  # fmt: skip
            self.words[name].append(word)
        sampled = row.sampled_tokens
        versions = [span.version for reply in row.replies for span in reply.versions]
        values: dict[str, float | None] = {
            "run": run,
            "repeat": row.repeat,
            "agents": row.agents,
            "reward": None if row.reward is None or not math.isfinite(row.reward) else row.reward,
            "turns": len(row.turns),
            "sampled": sampled,
            "context": sum(len(segment.ids) for segment in row.segments) - sampled,
            "errors": sum(row.tool_errors.values()),
            "wall": _rounded(row.timings.get("wall_s")),
            "version": max(versions, default=None),
            "logprob": _logprob(row),
            "failed": int(not row.finished),
        }
        for name, column in self.numbers.items():
            column.append(values[name])
        self.texts["reply"].append(_reply(row))

    def data(self) -> dict[str, Any]:
        """The columns as JSON data; one whose values are all the same is its value."""
        return {
            "rows": len(self),
            "words": {name: {"words": column.words, "codes": column.codes} for name, column in self.words.items()},
            "numbers": {name: _plain(column) for name, column in self.numbers.items()},
            "texts": self.texts,
        }


def _plain(column: Sequence[float | None]) -> Any:
    same = len(column) > 0 and all(value == column[0] for value in column)
    return {"all": column[0]} if same else column


def _rounded(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else round(value, 3)


def _logprob(row: Trajectory) -> float | None:
    """Mean log-probability of the sampled tokens."""
    total, count = 0.0, 0
    for segment in row.segments:
        total += float(segment.logprobs.sum(dtype=np.float64))
        count += int(np.count_nonzero(segment.sampled))
    return round(total / count, 4) if count and math.isfinite(total) else None


def _prompt(row: Trajectory) -> str:
    """How the task begins, as the user put it."""
    opening = row.messages[: row.opening]
    return _short(next((text_of(m) for m in reversed(opening) if m["role"] == "user"), ""), _PROMPT)


def _reply(row: Trajectory) -> str:
    """How the last reply begins, or which tools it calls."""
    for message in reversed(row.messages[row.opening :]):
        if message["role"] == "assistant":
            calls = message.get("tool_calls") or ()
            said = text_of(message) or ", ".join(f"{call['function']['name']}()" for call in calls)
            return _short(said, _REPLY)
    return ""


def text_of(message: Message) -> str:
    """The text of a message."""
    content: Any = message.get("content") or ""
    return content if isinstance(content, str) else str(content)


def _short(text: str, most: int) -> str:
    text = " ".join(text[: 4 * most].split())
    return text if len(text) <= most else f"{text[:most]}…"
