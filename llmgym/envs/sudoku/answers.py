"""The full grid that a reply states."""

from __future__ import annotations

import re

from llmgym.envs.sudoku.grids import Grid
from llmgym.verifiers.text import folded, without_thoughts

_READ = 64_000
_TAG = re.compile(r"<answer>(.*?)(?:</answer>|$)", re.IGNORECASE | re.DOTALL)
_BETWEEN = re.compile(r"[\s|│┃║,;\[\]()*`&\\\"']+")
_EMPTY = str.maketrans("._?", "000")
_LABEL = re.compile(r"\A\s*(?:[-*•+] )?(?:(?:\*\*)?(?:(?:row|r) ?)?\d(?:\*\*)?\s*[:.)](?:\*\*)?)?", re.IGNORECASE)
_RULE = re.compile(r"[-+=|:\s_`\[\]\u2500-\u257f]*")  # the last are the signs for drawing boxes


def read_grid(reply: str, size: int) -> Grid | None:
    """The only full grid in a reply, or in the last `<answer>` of it; None where there is none, or two that differ.

    Its digits stand in lines of their own, with blanks, bars, commas or brackets between them or nothing; a line of all
    digits is a grid too. Lines without digits between those of a grid do not matter.
    """
    text = folded(without_thoughts(reply[-_READ:]))
    if tags := _TAG.findall(text):
        text = tags[-1]
    found: list[Grid] = []
    rows: Grid = []
    for line in text.split("\n"):
        digits = _BETWEEN.sub("", _LABEL.sub("", line, count=1)).translate(_EMPTY)
        if len(digits) == size + 1 and digits[0] in ("1", str(len(rows) + 1)):  # with its number before it, in a table
            rows, digits = rows if digits[0] != "1" else [], digits[1:]
        if digits.isascii() and digits.isdigit() and len(digits) in (size, size * size):
            rows += [[int(digit) for digit in digits[i : i + size]] for i in range(0, len(digits), size)]
        elif not _RULE.fullmatch(line):
            rows = []
        if len(rows) >= size:
            found.append(rows[:size])
            rows = []
    full = [grid for grid in found if all(grid_row.count(0) == 0 for grid_row in grid)]
    return full[0] if full and all(grid == full[0] for grid in full) else None
