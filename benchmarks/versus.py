"""Two commits side by side, in one run: the work of `overhead.py` here and at another commit, as ratios.

    python benchmarks/versus.py REV [--short]

Each round runs both, in turn, each in a process of its own, and the medians are compared: machines are noisy. The last
line is one JSON object.

- `cpu_ratio`: CPU per turn of 9-turn episodes, everything on.
- `row_bytes_ratio`, `chat_row_bytes_ratio`: bytes of such a row, with tokens and of a chat policy.
- `open_ratio`: CPU of opening a folder of 100,000 stored episodes.
- `memory_ratio`: resident bytes of a live episode, with 10,000 of them.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
MEASURES = ("cpu", "rows", "open", "memory")


def run_in(tree: Path, script: str, *arguments: str) -> Any:
    """Run a script of this folder with the llmgym of a tree, in a process of its own; gives its last line."""
    command = [sys.executable, str(HERE / script), *arguments]
    env = os.environ | {"PYTHONPATH": f"{tree}{os.pathsep}{tree / 'benchmarks'}", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, env=env, cwd=tree, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{tree}: {script} {' '.join(arguments)} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


@contextmanager
def checked_out(rev: str) -> Generator[Path]:
    """Another commit, in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        other = Path(folder) / "other"
        git = ["git", "-C", str(HERE.parent)]
        added = subprocess.run([*git, "worktree", "add", "--detach", str(other), rev], check=False, capture_output=True)
        if added.returncode:
            said = added.stderr.decode().strip().splitlines()[-1]
            sys.exit(
                f"{rev} cannot be checked out: {said}; a shallow clone gets its history by `git fetch --unshallow`"
            )
        try:
            yield other
        finally:
            subprocess.run([*git, "worktree", "remove", "--force", str(other)], check=True, capture_output=True)


def main() -> None:
    """Measure both and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rev", help="the commit to compare with")
    parser.add_argument("--short", action="store_true", help="fewer episodes, fewer rounds")
    given = parser.parse_args()
    sizes = {"cpu": 400, "rows": 20, "open": 100_000, "memory": 10_000}
    if given.short:
        sizes = {"cpu": 100, "rows": 10, "open": 5_000, "memory": 1_000}
    with checked_out(given.rev) as other:
        report = compare(HERE.parent, other, sizes, rounds=1 if given.short else 3)
    print(json.dumps({"benchmark": "versus", "rev": given.rev, **report}))


def compare(here: Path, other: Path, sizes: dict[str, int], rounds: int) -> dict[str, Any]:
    """Medians of both trees, and their ratios."""
    figures: dict[str, dict[str, list[float]]] = {}
    for _ in range(rounds):
        for what in MEASURES:
            for name, tree in (("new", here), ("old", other)):
                for figure, value in run_in(tree, "_versus.py", what, str(sizes[what])).items():
                    figures.setdefault(figure, {}).setdefault(name, []).append(value)
    report: dict[str, Any] = {}
    for figure, values in figures.items():
        new, old = statistics.median(values["new"]), statistics.median(values["old"])
        report[f"{figure}_new"], report[f"{figure}_old"] = round(new, 3), round(old, 3)
        report[f"{figure}_ratio"] = round(new / old, 3)
    return report


if __name__ == "__main__":
    main()
