"""Write the tables of the docs from what the package says of itself; with --check, fail where one is out of date."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from llmgym.registry import list_envs
from llmgym.trainers.compatibility import SUPPORTED

ROOT = Path(__file__).parents[1]

#: Where the tests' versions are pinned.
PINS = ("constraints.txt", "trainers.txt", "tests/environments/verl.txt")


def environments() -> str:
    """A row for each registered id of llmgym."""
    lines = ["| id | what it is | domains | turns | tasks |", "|---|---|---|---|---|"]
    for entry in list_envs():
        origin = f"{entry.tasks.origin} ({entry.tasks.licence})"
        lines.append(f"| `{entry.id}` | {entry.summary} | {', '.join(entry.domains)} | {entry.max_turns} | {origin} |")
    return "\n".join(lines) + "\n"


def trainers() -> str:
    """A row for each trainer that is a package: the versions that its adapter takes, and those that the tests run."""
    pins = "\n".join((ROOT / name).read_text(encoding="utf-8") for name in PINS)
    lines = ["| trainer | install | versions taken | version tested |", "|---|---|---|---|"]
    for extra, (package, lowest, below) in SUPPORTED.items():
        tested = re.findall(rf"^{package}==(.+)$", pins, re.MULTILINE)
        lines.append(
            f"| [{package}]({extra}.md) | `pip install 'llmgym[{extra}]'` | >= {lowest}, < {below} | "
            f"{', '.join(sorted(set(tested)))} |"
        )
    return "\n".join(lines) + "\n"


TABLES = {"README.md": ("environments", environments), "docs/trainers/README.md": ("trainers", trainers)}


def main() -> None:
    """Replace what stands between the marks of each table."""
    for name, (mark, table) in TABLES.items():
        path = ROOT / name
        text = path.read_text(encoding="utf-8")
        start, end = f"<!-- {mark}: made by `python docs/tables.py` -->\n", f"<!-- /{mark} -->"
        before, _, rest = text.partition(start)
        fresh = before + start + table() + end + rest.partition(end)[2]
        if "--check" not in sys.argv:
            path.write_text(fresh, encoding="utf-8")
        elif fresh != text:
            sys.exit(f"{name}: the table of {mark} is out of date; run `python docs/tables.py`")


if __name__ == "__main__":
    main()
