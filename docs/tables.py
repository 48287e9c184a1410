"""Write the environment table of the README from the registry; with --check, fail where it is out of date."""

from __future__ import annotations

import sys
from pathlib import Path

from llmgym.registry import list_envs

README = Path(__file__).parents[1] / "README.md"
START, END = "<!-- environments: made by `python docs/tables.py` -->\n", "<!-- /environments -->"


def table() -> str:
    """A row for each registered id of llmgym."""
    lines = ["| id | what it is | domains | turns | tasks |", "|---|---|---|---|---|"]
    for entry in list_envs():
        origin = f"{entry.tasks.origin} ({entry.tasks.licence})"
        lines.append(f"| `{entry.id}` | {entry.summary} | {', '.join(entry.domains)} | {entry.max_turns} | {origin} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Replace what stands between the marks."""
    text = README.read_text(encoding="utf-8")
    before, _, rest = text.partition(START)
    _, _, after = rest.partition(END)
    fresh = before + START + table() + END + after
    if "--check" in sys.argv:
        sys.exit("README.md: the environment table is out of date; run `python docs/tables.py`" if fresh != text else 0)
    README.write_text(fresh, encoding="utf-8")


if __name__ == "__main__":
    main()
