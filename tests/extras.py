"""Whether each extra of the package resolves from nothing, with each Python: `make test-extras`.

    python tests/extras.py [EXTRA ...] [--write]

A wheel is built of this checkout, and pip finds a set of versions for each of its extras, without installing it: those
of constraints.txt, or, where an extra wants others, any. Prints a line for each; `--write` keeps them in
docs/extras.json, for a table of docs/tables.py. An interpreter that is not there is told and left out.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from tests.matrix import interpreter  # noqa: E402 - a script finds the repository first

KEPT = ROOT / "docs/extras.json"
PYTHONS = ("3.11", "3.12", "3.13")
PATIENCE = 240  # seconds of a search, which pip may take without end where versions exclude each other
#: Why PyPI alone may not have all of it, where pip finds no set of versions.
ELSEWHERE = {
    "openrlhf": "flash-attn is built from source, with CUDA and an installed torch",
    "vllm-cpu": "torch 2.13.0+cpu is on PyTorch's own index",
}


def resolved(pip: list[str], wheel: str, extra: str, folder: Path) -> str:
    """How many packages it comes to, and whether with the pinned versions; or why there is no set of versions."""
    why = ""
    for constraints, how in ((["-c", str(ROOT / "constraints.txt")], "pinned"), ([], "others")):
        report = folder / "report.json"
        command = [*pip, "install", "--dry-run", "--ignore-installed", "--quiet", "--report", str(report), *constraints]
        try:
            done = subprocess.run(
                [*command, f"{wheel}[{extra}]"], capture_output=True, text=True, check=False, timeout=PATIENCE
            )
        except subprocess.TimeoutExpired:
            why = f"pip searches for more than {PATIENCE} s"
            continue
        if done.returncode == 0:
            return f"{len(json.loads(report.read_text('utf-8'))['install'])} packages, {how}"
        why = next((line for line in done.stderr.splitlines() if line.startswith("ERROR: ")), done.stderr)
    return ELSEWHERE.get(extra, f"fails: {why.strip()}")


def main() -> None:
    """Resolve, print, keep, and say by the exit code whether all could be."""
    parser = argparse.ArgumentParser()
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    parser.add_argument("extras", nargs="*", help="all unless named")
    parser.add_argument("--write", action="store_true", help="keep the results in docs/extras.json")
    args = parser.parse_args()
    found: dict[str, dict[str, str]] = json.loads(KEPT.read_text("utf-8")) if KEPT.exists() else {}
    fails = False
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for version in PYTHONS:
            python = interpreter(version)
            if python is None:
                print(f"there is no Python {version}", file=sys.stderr)
                continue
            subprocess.run([python, "-m", "venv", folder / version], check=True)
            pip = [str(folder / version / "bin/python"), "-m", "pip"]
            subprocess.run([*pip, "install", "--quiet", "--upgrade", "pip"], check=True)
            subprocess.run([*pip, "wheel", "--quiet", "--no-deps", "-w", folder, ROOT], check=True)
            (wheel,) = folder.glob("llmgym-*.whl")
            for extra in args.extras or sorted(extras):
                said = resolved(pip, str(wheel), extra, folder)
                fails |= said.startswith("fails")
                found.setdefault(extra, {})[version] = said
                print(f"{version}  {extra:15s} {said}", flush=True)
                if args.write:
                    KEPT.write_text(json.dumps(dict(sorted(found.items())), indent=1) + "\n", "utf-8")
    sys.exit(fails)


if __name__ == "__main__":
    main()
