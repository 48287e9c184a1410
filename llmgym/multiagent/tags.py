"""Moves in messages: `<move>raise</move>`, or a message that is nothing but the move."""

from __future__ import annotations

import re

from llmgym.verifiers.text import folded, without_thoughts

_READ = 20_000  # characters from the end of a message that are looked at


def tagged(text: str, tag: str) -> str | None:
    """What the last tag of a kind holds, without blanks around it; None where there is none."""
    opening, closing = f"<{tag}>", f"</{tag}>"
    text = spoken(text)
    end = text.rfind(closing)
    start = text.rfind(opening, 0, end) if end >= 0 else -1
    return None if start < 0 else text[start + len(opening) : end].strip()


def spoken(text: str) -> str:
    """A message without its reasoning, and no more of it than a player may say."""
    return folded(without_thoughts(text[-_READ:])).strip()


def line(text: str, most: int) -> str:
    """A text on one line, so that no player can write lines that look like another's, and cut to so many characters."""
    return " ".join(text[:most].split())


def words(text: str) -> list[str]:
    """The words of a text in lower case."""
    return re.findall(r"[^\W_]+", text.lower())
