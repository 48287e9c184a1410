"""Audits as one page of HTML, which holds all that it needs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape

from llmgym.testing.audit.report import AuditReport, Finding, Play, Row

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
h1 { font-size: 1.5rem } h2 { font-size: 1.25rem; margin-top: 2.5rem } h3 { font-size: 1rem; margin-bottom: .3rem }
table { border-collapse: collapse; width: 100% } th, td { text-align: left; padding: .2rem .7rem .2rem 0 }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums } tr { border-bottom: 1px solid #ddd }
pre { white-space: pre-wrap; overflow-wrap: anywhere; background: #f5f5f5; padding: .4rem .6rem; margin: .2rem 0 }
.fault { color: #b00020; font-weight: 600 } .allowed { color: #8a6d00 } .note { color: #555 }
@media (prefers-color-scheme: dark) {
  body { background: #181818; color: #ddd } tr { border-color: #444 } pre { background: #252525 }
  .fault { color: #ff6b7d } .allowed { color: #e0c060 } .note { color: #aaa }
}
"""


def page(reports: Sequence[AuditReport]) -> str:
    """The page."""
    body = "\n".join(_report(report) for report in reports)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>Audit</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<style>{_STYLE}</style>\n</head>\n<body>\n<h1>Audit</h1>\n{_contents(reports)}\n{body}\n</body>\n</html>\n"
    )


def _contents(reports: Sequence[AuditReport]) -> str:
    rows = [
        [
            f'<a href="#{_text(report.env_id)}">{_text(report.env_id)}</a>',
            _number(math.nan if report.ceiling is None else report.ceiling),
            str(sum(report.tasks.values())),
            f'<span class="fault">{len(report.faults)}</span>' if report.faults else "0",
        ]
        for report in reports
    ]
    return _table(["environment", "the oracle earns", "tasks", "faults"], rows, numbers={1, 2, 3})


def _report(report: AuditReport) -> str:
    status = {finding.name: finding.status for finding in report.findings}
    findings = "\n".join(_finding(finding) for finding in report.findings)
    facts = [[_text(name), _text(value)] for name, value in report.facts.items()]
    variants = [
        [_text(row["id"]), *(_number(row[key]) for key in ("oracle", "random", "turns"))] for row in report.variants
    ]
    parts = [
        f'<h2 id="{_text(report.env_id)}">{_text(report.env_id)}</h2>',
        *(f"<p>{_text(note)}</p>" for note in report.notes),
        findings,
        _table(
            ["policy", "what it does", "episodes", "mean", "max", "at the ceiling", ""],
            [_row(row, status.get(row.name, "")) for row in report.rows],
            numbers={2, 3, 4, 5},
        ),
        "<h3>Tasks</h3>" + _table(["", ""], facts) if facts else "",
        "<h3>Difficulty</h3>" + _table(["id", "oracle", "random calls", "turns of the oracle"], variants, {1, 2, 3})
        if variants
        else "",
    ]
    return "\n".join(part for part in parts if part)


def _row(row: Row, status: str) -> list[str]:
    return [
        _text(row.name),
        _text(row.label),
        str(len(row.plays)),
        _number(row.mean),
        _number(row.most),
        str(row.at_ceiling),
        f'<span class="{status}">{status}</span>' if status else "",
    ]


def _finding(finding: Finding) -> str:
    said = f'<h3><span class="{finding.status}">{finding.status}</span> {_text(finding.name)}</h3>'
    allowed = f"<p>Allowed: {_text(finding.allowed)}</p>" if finding.allowed else ""
    return f"{said}\n<p>{_text(finding.text)}</p>\n{allowed}{''.join(map(_example, finding.examples))}"


def _example(play: Play) -> str:
    earned = play.trouble or ("unscored" if play.reward is None else f"{play.reward:g}")
    return f"<pre>{_text(play.task_id)}: {_text(earned)}\n{_text(play.said)}</pre>\n"


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]], numbers: Iterable[int] = ()) -> str:
    """A table of cells that are HTML."""
    right = set(numbers)

    def cells(tag: str, texts: Sequence[str]) -> str:
        marks = (f'<{tag} class="n">' if at in right else f"<{tag}>" for at in range(len(texts)))
        return "".join(f"{mark}{text}</{tag}>" for mark, text in zip(marks, texts, strict=True))

    head = f"<tr>{cells('th', columns)}</tr>" if any(columns) else ""
    lines = "\n".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return f"<table>\n{head}\n{lines}\n</table>"


def _number(value: float | None) -> str:
    return "" if value is None or math.isnan(value) else f"{value:.3f}"


def _text(text: str) -> str:
    """Text without its markup, and without what no page can hold."""
    return escape("".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in text))
