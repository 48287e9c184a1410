"""Reading of answers that several environments share."""

from __future__ import annotations


def last_boxed(text: str) -> str | None:
    r"""The content of the last `\boxed{...}`, inner braces included; None where there is none that is closed."""
    start = text.rfind("\\boxed{")
    while start >= 0:
        depth, begin = 1, start + len("\\boxed{")
        for end in range(begin, len(text)):
            depth += {"{": 1, "}": -1}.get(text[end], 0)
            if not depth:
                return text[begin:end]
        text = text[:start]
        start = text.rfind("\\boxed{")
    return None
