"""Reasoning as models write it in text: before the answer, between `<think>` tags."""

from __future__ import annotations

from llmgym.messages.calls import find_outside

_OPEN, _CLOSE = "<think>", "</think>"


def opens_reasoning(prompt: str) -> bool:
    """Whether a prompt, or its end, opens reasoning that the reply goes on with."""
    return prompt.rstrip().endswith(_OPEN)


def split_reasoning(text: str, opened: bool | None = None, marker: str | None = None) -> tuple[str, str, bool]:
    """Split text into reasoning and the rest, so that no call or answer in a thought counts.

    Args:
        text: What the model wrote.
        opened: Whether the prompt had opened `<think>` already. None where that is not known: then a `</think>` that
            nothing opened tells, unless it stands in the arguments of a call.
        marker: Text that ends reasoning that was never closed; without it such reasoning goes to the end.

    Returns:
        The reasoning, the rest, and whether the reasoning is still open at the end.
    """
    head = text.lstrip()
    if head.startswith(_OPEN):
        head = head[len(_OPEN) :]
    elif opened is None:
        end = find_outside(text, _CLOSE)
        if end < 0 or _OPEN in text[:end]:
            return "", text, False
        return text[:end].strip(), text[end + len(_CLOSE) :].lstrip("\n"), False
    elif opened:
        head = text
    else:
        return "", text, False
    reasoning, closed, rest = head.partition(_CLOSE)
    if not closed and marker and marker in head:
        cut = head.index(marker)
        reasoning, closed, rest = head[:cut], marker, head[cut:]
    return reasoning.strip(), rest.lstrip("\n"), not closed
