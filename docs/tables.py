"""Write the tables of the docs from what the package says of itself; with --check, fail where one is out of date."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import re
import sys
from pathlib import Path

from llmgym.registry import list_envs
from llmgym.trainers.compatibility import SUPPORTED

ROOT = Path(__file__).parents[1]

#: Where the tests' versions are pinned.
PINS = ("constraints.txt", "trainers.txt", "tests/environments/verl.txt")


def environments() -> str:
    """A row for each environment of llmgym, by domain."""
    lines = ["| domain | id | what it is | variants |", "|---|---|---|---|"]
    entries = list_envs()
    for entry in sorted((e for e in entries if e.id == e.base), key=lambda e: (e.domains[0], e.id)):
        name, version = entry.id.rsplit("-", 1)
        variants = (
            e.id.removeprefix(f"{name}-").removesuffix(f"-{version}") for e in entries if e.base == entry.id != e.id
        )
        page = f"docs/envs/{name.partition('/')[2]}.md"
        lines.append(f"| {entry.domains[0]} | [`{entry.id}`]({page}) | {entry.summary} | {', '.join(variants)} |")
    return "\n".join(lines) + "\n"


def trainers() -> str:
    """A row for each trainer that is a package: the versions that its adapter takes, and those that the tests run."""
    pins = "\n".join((ROOT / name).read_text(encoding="utf-8") for name in PINS)
    lines = ["| trainer | install | versions taken | version tested |", "|---|---|---|---|"]
    for extra, (package, lowest, below) in SUPPORTED.items():
        tested = re.findall(rf"^{package}==([^;\n]+)", pins, re.MULTILINE)
        lines.append(
            f"| [{package}]({extra}.md) | `pip install 'llmgym[{extra}]'` | >= {lowest}, < {below} | "
            f"{', '.join(sorted(set(tested)))} |"
        )
    return "\n".join(lines) + "\n"


def models() -> str:
    """A row for each chat template that the tests know: what llmgym makes of it."""
    sys.path.insert(0, str(ROOT))
    logging.disable(logging.WARNING)
    from llmgym.codec import codec_for, describe
    from tests.codec import families

    lines = [
        "| chat template | tools | calls are read by | behind results | behind users | reasoning | a reply ends at |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in [*families.MATRIX, *families.MODELS]:
        tokenizer = families.load(name)
        kind = families.kind(name)
        if "vllm" in kind:  # which is not installed everywhere
            lines.append(f"| {name} | its own | vllm:muse_glimmer, where vLLM is installed | | | | |")
            continue
        codec = codec_for(tokenizer, kind)
        found = describe(codec, tokenizer)
        ends = " ".join(f"`{text}`".replace("|", "\\|") for text in found["stops"])
        same = {"one segment": "same segment", "a new segment": "new segment"}
        lines.append(
            f"| {name} | {'its own' if codec.native_tools else 'described'} | "
            f"{found['calls']}{'' if kind == 'auto' else f', by `codec: {kind}`'} | "
            f"{same[found['results']]} | {same[found['users']]} | {found['reasoning']} | {ends} |"
        )
    return "\n".join(lines) + "\n"


def inspections() -> str:
    """What `llmgym models inspect` says of three families."""
    sys.path.insert(0, str(ROOT))
    from llmgym.cli.models import show
    from llmgym.codec import codec_for
    from tests.codec import families

    made: list[str] = []
    for name in ("qwen3-training", "llama3.1", "gpt-oss"):
        tokenizer, shown = families.tokenizer(name), io.StringIO()
        with contextlib.redirect_stdout(shown):
            show(codec_for(tokenizer), tokenizer)
        text = shown.getvalue().rstrip()
        made.append(f"{name}:\n\n<!-- not run: a tokenizer of the tests -->\n```text\n{text}\n```\n")
    # The date that templates write is that of today.
    return re.sub(r"(Today Date|Current date): .*", r"\1: ...", "\n".join(made))


def audits() -> str:
    """A row for each environment that `benchmarks/audit.py` has audited."""
    found = json.loads((ROOT / "docs/audit.json").read_text(encoding="utf-8"))
    lines = [
        "| environment | tasks | at the maximum | blind | near | unfinished | allowed |",
        "|---|---|---|---|---|---|---|",
    ]
    for env_id, row in found.items():
        shares = " | ".join(f"{row[group]:.0%}" for group in ("blind", "near", "acting"))
        allowed = "; ".join(f"{name}: {reason}" for name, reason in row["allowed"].items())
        solved = f"{row['solved'] / row['tasks']:.0%}" if row["oracle"] == "optimal" else "a reference"
        lines.append(f"| `{env_id}` | {row['tasks']} | {solved} | {shares} | {allowed} |")
    return "\n".join(lines) + "\n"


def support() -> str:
    """A row for each environment that `tests/matrix.py` has tried."""
    found = json.loads((ROOT / "docs/support.json").read_text(encoding="utf-8"))
    lines = ["| | tried | Python | versions | passed | failed | skipped |", "|---|---|---|---|---|---|---|"]
    for row in found.values():
        versions = ", ".join(f"{name} {version}" for name, version in row["versions"].items())
        lines.append(
            f"| {row['cell']} | {row['date']} | {row['python']} | {versions} | {row['passed']:,} | {row['failed']} | "
            f"{row['skipped']} |"
        )
    return "\n".join(lines) + "\n"


def extras() -> str:
    """A row for each extra that `tests/extras.py` has resolved."""
    found = json.loads((ROOT / "docs/extras.json").read_text(encoding="utf-8"))
    pythons = sorted({version for row in found.values() for version in row})
    lines = [f"| extra | {' | '.join(f'Python {version}' for version in pythons)} |", "|---" * (len(pythons) + 1) + "|"]
    for extra, row in found.items():
        lines.append(f"| `{extra}` | {' | '.join(row.get(version, '') for version in pythons)} |")
    return "\n".join(lines) + "\n"


TABLES = [
    ("docs/installation.md", "extras", extras),
    ("docs/support.md", "support", support),
    ("docs/environments.md", "audits", audits),
    ("README.md", "environments", environments),
    ("docs/trainers/README.md", "trainers", trainers),
    ("docs/models.md", "models", models),
    ("docs/models.md", "inspections", inspections),
]


def main() -> None:
    """Replace what stands between the marks of each table."""
    for name, mark, table in TABLES:
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
