"""Where in a reply the data stands: in one fenced block, or it is the whole reply."""

from __future__ import annotations

import re

_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})[ \t]*([\w+.-]*)[ \t]*\r?")


def find_block(text: str, names: tuple[str, ...], *, lenient: bool) -> str:
    """The data of a reply.

    Args:
        text: The reply.
        names: What a fence may call it; a fence may have no name, too.
        lenient: Take the last block that may be it, whatever stands around it.

    Raises:
        ValueError: There is prose around a block, or several.
    """
    blocks, around = _blocks(text)
    fitting = [content for name, content in blocks if name.lower() in ("", *names)]
    if lenient:
        return fitting[-1] if fitting else text
    if not blocks:
        return text
    if around or len(blocks) > 1 or not fitting:
        raise ValueError(f"neither all of the reply nor its only block is {names[0]}")
    return fitting[0]


def _blocks(text: str) -> tuple[list[tuple[str, str]], bool]:
    """The name and content of each fenced block that is closed, and whether there is anything else."""
    found: list[tuple[str, str]] = []
    around = False
    lines = text.split("\n")
    opened: tuple[str, str, int] | None = None
    for at, line in enumerate(lines):
        fence = _FENCE.fullmatch(line)
        if opened is None:
            if fence:
                opened = (fence[1], fence[2], at)
            around = around or bool(not fence and line.strip())
        elif fence and not fence[2] and fence[1].startswith(opened[0]):
            found.append((opened[1], "\n".join(lines[opened[2] + 1 : at])))
            opened = None
    return found, around or opened is not None
