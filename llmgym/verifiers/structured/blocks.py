"""Where in a reply the data stands: in one fenced block, or it is the whole reply."""

from __future__ import annotations

from llmgym.verifiers.text import fenced_blocks


def find_block(text: str, names: tuple[str, ...], *, lenient: bool) -> str:
    """The data of a reply.

    Args:
        text: The reply.
        names: What a fence may call it; a fence may have no name, too.
        lenient: Take the last block that may be it, whatever stands around it.

    Raises:
        ValueError: There is prose around a block, or several.
    """
    found = fenced_blocks(text)
    blocks = [(name, content) for name, content, is_closed in found.blocks if is_closed]
    around = found.around or len(blocks) < len(found.blocks)
    fitting = [content for name, content in blocks if name.lower() in ("", *names)]
    if lenient:
        return fitting[-1] if fitting else text
    if not blocks:
        return text
    if around or len(blocks) > 1 or not fitting:
        raise ValueError(f"neither all of the reply nor its only block is {names[0]}")
    return fitting[0]
