"""Headings, text and tables, as Markdown and as one HTML file that opens from disk and loads nothing."""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_WIDTH, _HEIGHT = 160, 14  # pixels of an interval's picture


@dataclass(frozen=True)
class Interval:
    """A difference with its interval, drawn in HTML.

    Attributes:
        mean: The difference.
        low: Its lower bound; None where there is none.
        high: Its upper bound.
        reach: What the edges of the picture stand for.
    """

    mean: float
    low: float | None
    high: float | None
    reach: float = 1.0

    @property
    def clear(self) -> bool:
        """Whether 0 is outside of it."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)

    def __str__(self) -> str:
        """The same as text, in bold where it is clear."""
        text = f"{self.mean:+.3f}" if abs(self.mean) < 1e6 else f"{self.mean:+.3e}"
        return f"**{text}**" if self.clear else text


@dataclass(frozen=True)
class Table:
    """Rows of cells under columns; the first is text, and the others are set to the right."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str | Interval]]


@dataclass(frozen=True)
class Document:
    """A title, and below it headings (`# ...`, `## ...`), paragraphs and tables."""

    title: str
    parts: Sequence[str | Table]

    def markdown(self) -> str:
        """It as Markdown."""
        return "\n\n".join([f"# {_escaped(self.title)}", *map(_markdown, self.parts)]) + "\n"

    def html(self) -> str:
        """It as an HTML page of its own, which no text in it can add anything to."""
        style = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
        policy = f"default-src 'none'; style-src 'sha256-{style}'"
        body = "\n".join(map(_html, self.parts))
        title = html.escape(self.title)
        return (
            f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{title}</title>\n'
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f"<style>{_STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n{body}\n</body>\n</html>\n"
        )


def _markdown(part: str | Table) -> str:
    if isinstance(part, str):
        level, text = _level(part)
        return f"{'#' * level} {_escaped(text)}" if level else _escaped(text)
    lines = [[*map(_escaped, part.columns)], [":--", *["--:"] * (len(part.columns) - 1)]]
    lines += [[str(cell) if isinstance(cell, Interval) else _escaped(cell) for cell in row] for row in part.rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _level(part: str) -> tuple[int, str]:
    """The level of a heading, below that of the title, and its text; 0 for a paragraph."""
    marks, space, text = part.partition(" ")
    return (len(marks) + 1, text) if space and marks in ("#", "##") else (0, part)


def _escaped(text: str) -> str:
    """Text of others that Markdown takes for nothing else."""
    shown = "".join(letter if letter.isprintable() else " " for letter in text)
    return "".join(f"\\{letter}" if letter in "\\`*<>[]|" else letter for letter in shown)


def _html(part: str | Table) -> str:
    if isinstance(part, str):
        level, text = _level(part)
        tag = f"h{level}" if level else "p"
        return f"<{tag}>{html.escape(text)}</{tag}>"
    head = "".join(f"<th>{html.escape(name)}</th>" for name in part.columns)
    body = "\n".join(f"<tr>{''.join(_cells(row))}</tr>" for row in part.rows)
    return f'<div class="wide"><table>\n<tr>{head}</tr>\n{body}\n</table></div>'


def _cells(row: Sequence[str | Interval]) -> Iterator[str]:
    for cell in row:
        if isinstance(cell, Interval):
            sign = ("up" if cell.mean > 0 else "down") if cell.clear else "even"
            yield f'<td class="{sign}">{_picture(cell)}{html.escape(str(cell).strip("*"))}</td>'
        else:
            yield f"<td>{html.escape(cell)}</td>"


def _picture(cell: Interval) -> str:
    """The interval as a line about 0."""
    if cell.low is None or cell.high is None:
        return ""
    middle = _WIDTH / 2
    scale = (middle - 4) / cell.reach
    low, mean, high = (middle + value * scale for value in (cell.low, cell.mean, cell.high))
    at = _HEIGHT / 2
    return (
        f'<svg width="{_WIDTH}" height="{_HEIGHT}" role="img" aria-label="{cell.low:+.3f} to {cell.high:+.3f}">'
        f'<line class="zero" x1="{middle}" y1="0" x2="{middle}" y2="{_HEIGHT}"/>'
        f'<line x1="{low:.1f}" y1="{at}" x2="{high:.1f}" y2="{at}"/><circle cx="{mean:.1f}" cy="{at}" r="3.5"/></svg>'
    )


_STYLE = """
:root { color-scheme: light dark; --line: #8884; --up: #1a7f4b; --down: #c0392b; }
@media (prefers-color-scheme: dark) { :root { --up: #4cc38a; --down: #ff8b7d; } }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.2rem; margin-top: 2.5rem; } h3 { font-size: 1rem; margin-top: 2rem; }
.wide { overflow-x: auto; margin: 1.2rem 0; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .8rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
p, td, th { unicode-bidi: plaintext; overflow-wrap: anywhere; }
.up { color: var(--up); font-weight: 600; } .down { color: var(--down); font-weight: 600; }
svg { vertical-align: middle; margin-right: .8rem; stroke: currentColor; fill: currentColor; stroke-width: 2; }
svg .zero { stroke: #888; stroke-width: 1; stroke-dasharray: 2 2; }
"""
