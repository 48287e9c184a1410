"""With which versions of Python and of fast-moving libraries the tests pass, each in an environment of its own.

    python tests/matrix.py [NAME ...] [--write]

Prints a line of JSON for each cell. `--write` keeps them in docs/support.json, of which docs/tables.py makes a table.
An interpreter that is not there, as `python3.12` or by pyenv, is told and left out. A cell takes minutes, and pip.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
KEPT = ROOT / "docs/support.json"
#: What stands between a policy, an environment and a trainer; the rest does not know versions.
TESTS = [
    f"tests/{room}"
    for room in ("env", "envs", "codec", "policies", "rollout", "serve", "trainers", "vector", "multiagent")
]
SHOWN = ("torch", "transformers", "tokenizers", "trl", "gymnasium", "pettingzoo")


@dataclass(frozen=True)
class Cell:
    """One environment.

    Attributes:
        name: What it is called.
        python: Version of Python.
        newest: Packages in the newest version that pip finds, and not in that of constraints.txt.
    """

    name: str
    python: str
    newest: tuple[str, ...] = ()


CELLS = [
    *(Cell(f"Python {version}", version) for version in ("3.11", "3.12", "3.13")),
    Cell("newest transformers", "3.12", ("transformers", "tokenizers", "huggingface_hub", "safetensors", "accelerate")),
    Cell(
        "newest TRL", "3.12", ("trl", "transformers", "tokenizers", "huggingface_hub", "accelerate", "peft", "datasets")
    ),
    Cell("newest Gymnasium and PettingZoo", "3.12", ("gymnasium", "pettingzoo", "numpy")),
]


def interpreter(version: str) -> str | None:
    """A Python of a version, from the path or from pyenv."""
    if found := shutil.which(f"python{version}"):
        works = subprocess.run([found, "--version"], capture_output=True, text=True, check=False)
        if works.stdout.startswith(f"Python {version}."):
            return found
    folders = sorted((Path.home() / ".pyenv/versions").glob(f"{version}.*/bin/python"))
    return str(folders[-1]) if folders else None


def measured(cell: Cell) -> dict[str, Any] | None:
    """Install, test, and say how that came out; None without an interpreter."""
    python = interpreter(cell.python)
    if python is None:
        print(f"{cell.name}: there is no Python {cell.python}", file=sys.stderr)
        return None
    with tempfile.TemporaryDirectory() as folder:
        own, constraints, report = Path(folder) / "venv", Path(folder) / "constraints.txt", Path(folder) / "report.xml"
        lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
        constraints.write_text("\n".join(line for line in lines if _package(line) not in map(_normal, cell.newest)))
        _run(python, "-m", "venv", own)
        pip = (own / "bin/python", "-m", "pip", "install", "--quiet", "-c", constraints)
        _run(*pip, "torch")
        _run(*pip, "-e", f"{ROOT}[all,dev]", *cell.newest)
        _run(*pip, "--no-deps", "-r", ROOT / "trainers.txt")
        tests = subprocess.run(
            [own / "bin/python", "-m", "pytest", "-q", "-n", "2", "-p", "no:cacheprovider", f"--junitxml={report}",
             "-m", "not integration and not soak and not sweep", *TESTS],
            cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True, check=False,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # ignored in the background of a shell
        )  # fmt: skip
        print(tests.stdout[-3000:], file=sys.stderr)
        (suite,) = ET.parse(report).getroot().iter("testsuite")
        freeze = subprocess.run([own / "bin/python", "-m", "pip", "freeze"], capture_output=True, text=True, check=True)
    count = {name: int(suite.attrib[name]) for name in ("tests", "failures", "errors", "skipped")}
    versions = dict(line.split("==") for line in freeze.stdout.splitlines() if "==" in line)
    return {
        "cell": cell.name,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "python": subprocess.run([python, "--version"], capture_output=True, text=True, check=True).stdout.split()[1],
        "versions": {name: versions[name].partition("+")[0] for name in SHOWN if name in versions},
        "passed": count["tests"] - count["failures"] - count["errors"] - count["skipped"],
        "failed": count["failures"] + count["errors"],
        "skipped": count["skipped"],
    }


def _run(*command: object) -> None:
    subprocess.run(list(map(str, command)), check=True, stdout=sys.stderr)


def _package(line: str) -> str:
    return _normal(line.partition("==")[0].strip())


def _normal(name: str) -> str:
    return re.sub("[-_.]+", "-", name).lower()


def main() -> None:
    """Measure the cells that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", choices=[[], *(cell.name for cell in CELLS)], metavar="NAME")
    parser.add_argument("--write", action="store_true", help="keep what comes of it in docs/support.json")
    asked = parser.parse_args()
    failed = False
    for cell in CELLS:
        if asked.names and cell.name not in asked.names:
            continue
        found = measured(cell)
        if found is None:
            continue
        print(json.dumps(found), flush=True)
        failed = failed or found["failed"] > 0
        if asked.write:
            kept = json.loads(KEPT.read_text("utf-8")) if KEPT.exists() else {}
            kept[cell.name] = found
            KEPT.write_text(json.dumps(kept, indent=1) + "\n")
    sys.exit(failed)


if __name__ == "__main__":
    main()
