"""Write a page of docs/envs/ for each environment from what it says of itself; with --check, fail where one is old."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from llmgym.catalogue import EnvEntry
from llmgym.cli.info import look
from llmgym.cli.tools import tool_lines
from llmgym.messages import Message, format_message
from llmgym.registry import list_envs

FOLDER = Path(__file__).parent / "envs"
LONGEST = 1500  # characters of a message in an example
MESSAGES = 12  # of an answer in an example


def page(entry: EnvEntry, variants: list[EnvEntry], found: dict[str, Any]) -> str:
    """What there is to know of an environment."""
    return "\n".join(
        [
            f"# {name_of(entry)}",
            "",
            "<!-- made by `python docs/pages.py` -->",
            "",
            entry.summary,
            "",
            *_table(entry, variants),
            "",
            "<!-- not run: each page has one -->",
            "```bash",
            f"llmgym rollout --env {entry.id} --policy oracle --num-tasks 8",
            "```",
            "",
            _body(found["documentation"]),
            "",
            *_tools(found["tools"]),
            *_example(found["example"]),
            f"Tasks: {found['origin']} ({found['licence']}).",
            "",
        ]
    )


def name_of(entry: EnvEntry) -> str:
    """Wordle for llmgym/Wordle-v0."""
    return entry.id.partition("/")[2].rpartition("-")[0]


def _table(entry: EnvEntry, variants: list[EnvEntry]) -> list[str]:
    lines = ["| id | what it is | turns | arguments |", "|---|---|---|---|"]
    for each in (entry, *variants):
        arguments = ", ".join(f"`{name}={value!r}`" for name, value in each.kwargs.items())
        lines.append(f"| `{each.id}` | {each.summary} | {each.max_turns} | {arguments} |")
    needs = ", ".join(entry.needs)
    said = f"Domains: {', '.join(entry.domains)}." + (f" Needs: {needs}." if needs else "")
    return [*lines, "", said]


def _body(documentation: str) -> str:
    """Its docstring without the first line, which is the summary, and without the variants, which the table has."""
    body = documentation.partition("\n")[2].strip()
    return re.sub(r"(?s)## Registered Variants\n.*?(?=^## |\Z)", "", body, flags=re.MULTILINE).strip()


def _tools(tools: list[Any]) -> list[str]:
    if not tools:
        return []
    return ["## Tools", "", *_block(line for tool in tools for line in [*tool_lines(tool), ""])]


def _example(example: dict[str, Any]) -> list[str]:
    """The first task of seed 0, and what its oracle says; nothing where it takes a model to begin."""
    if "opening" not in example:
        return []
    lines = ["## Example", "", *_block(_said(example["opening"]))]
    if "answer" not in example:
        return lines
    answer = example["answer"]
    left = len(answer) - MESSAGES
    more = [f"... {left} more messages", *_said(answer[-2:])] if left > 0 else []
    shown = [*_said(answer[:MESSAGES] if left <= 0 else answer[: MESSAGES - 2]), *more]
    return [*lines, f"The oracle, which earns {example['reward']:g}:", "", *_block(shown)]


def _said(messages: list[Message]) -> list[str]:
    return [line for message in messages for line in _cut(format_message(message)).splitlines()]


def _cut(text: str) -> str:
    half = LONGEST // 2
    return (
        text if len(text) <= LONGEST else f"{text[:half]}\n... {len(text) - LONGEST:,} characters ...\n{text[-half:]}"
    )


def _block(lines: Any) -> list[str]:
    text = "\n".join(lines).strip("\n")
    fence = "`" * max([3, *(len(run) + 1 for run in re.findall("`{3,}", text))])
    return ["<!-- not run: made by a script -->", f"{fence}text", text, fence, ""]


def pages() -> dict[Path, str]:
    """The text of every page, the list of them included."""
    entries = list_envs()
    bases = sorted((entry for entry in entries if entry.id == entry.base), key=lambda e: (e.domains[0], e.id))
    made: dict[Path, str] = {}
    for entry in bases:
        path = FOLDER / f"{name_of(entry)}.md"
        found = look(entry.id)
        if "sandbox" in entry.needs and "answer" not in found["example"] and path.exists():
            made[path] = path.read_text(encoding="utf-8")  # its oracle cannot play on this machine
        else:
            made[path] = page(entry, [e for e in entries if e.base == entry.id != e.id], found)
    lines = [
        "# The environments",
        "",
        "<!-- made by `python docs/pages.py` -->",
        "",
        "| domain | environment | what it is |",
    ]
    lines += ["|---|---|---|"]
    lines += [f"| {e.domains[0]} | [{name_of(e)}]({name_of(e)}.md) | {e.summary} |" for e in bases]
    return {FOLDER / "README.md": "\n".join([*lines, ""]), **made}


def main() -> None:
    """Write the pages, or compare them."""
    made = pages()
    there = set(FOLDER.glob("*.md"))
    old = [path for path, text in made.items() if path not in there or path.read_text(encoding="utf-8") != text]
    old += sorted(there - set(made))
    if "--check" in sys.argv:
        if old:
            sys.exit(f"out of date: {', '.join(path.name for path in old)}; run `python docs/pages.py`")
        return
    FOLDER.mkdir(exist_ok=True)
    for path in old:
        if path in made:
            path.write_text(made[path], encoding="utf-8")
        else:
            path.unlink()


if __name__ == "__main__":
    main()
