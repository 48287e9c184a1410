"""Which part of a reply is its program."""

from __future__ import annotations

import re

from llmgym.verifiers.text import fenced_blocks, without_thoughts

_PYTHON = ("python", "py", "python3")


def program_of(answer: str, function: str | None = None) -> str:
    """The program of a reply, thoughts left out; "" where there is none.

    It is the last fenced block that says it is Python, else the last that has no name, else all of a reply without
    blocks. Blocks that define the function go before those that do not, such as an example of its use.
    """
    said = without_thoughts(answer)
    blocks = fenced_blocks(said).blocks
    if not blocks:
        return said.strip().strip("`")
    found = [block.content for block in blocks if block.name.lower() in _PYTHON]
    found = found or [block.content for block in blocks if not block.name]
    if function is not None:
        defines = re.compile(rf"^[ \t]*(?:async[ \t]+)?(?:def[ \t]+{function}\b|{function}[ \t]*=[^=])", re.MULTILINE)
        found = [text for text in found if defines.search(text)] or found
    return found[-1] if found else ""
