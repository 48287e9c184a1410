"""What a closed API costs the CPU, and how soon a run has its first episode: here, at another commit, in NeMo Gym.

    python benchmarks/endpoints.py [--rev 8ed71fa] [--nemo-gym VENV] [--short]

Each round runs all sides in turn, each in processes of its own, against the same server in yet another one. Of CPU and
memory the medians are given, of wall times the least: machines are noisy. The last line is one JSON object.

- `openai_cpu_ms_per_turn`: CPU of an `openai:` policy and all around it, for a turn of 9-turn episodes, 64 at once: 200
  tokens of text and a call of a tool in each turn, with a run folder.
- `vs_8ed71fa`, `vs_nemo_gym`: that over what the other side takes. The other commit runs with the `openai` package.
  NeMo Gym plays the same conversation with example_multi_step, simple_agent and vllm_model; counted are all of its
  processes, less what a run of few episodes takes.
- `start_s`, `memory_mb`: from the start of `llmgym rollout --policy http://...` as a process until its first episode
  stands in the run folder, and the most memory that it held until its end.

VENV is a virtual environment with NeMo Gym, for example of Python 3.13:

    python3.13 -m venv VENV && VENV/bin/pip install --ignore-requires-python nemo-gym==0.7.0
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from _endpoint import CALLS
from _nemo_gym import NemoGym
from versus import checked_out

HERE = Path(__file__).resolve().parent
WORKER = HERE / "_endpoint.py"
STARTS = 2  # of a fresh process in a round
FEW = 16  # episodes of NeMo Gym that show what it takes apart from them


def paths(tree: Path) -> dict[str, str]:
    """The environment of a process that runs a tree's llmgym."""
    return {**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1", "LLMGYM_REGISTRY": ""}


@contextmanager
def serving(*what: str) -> Iterator[str]:
    """A server in a process of its own; gives its address."""
    command = [sys.executable, str(WORKER), *what]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=paths(HERE.parent), text=True)
    assert server.stdout is not None
    try:
        yield server.stdout.readline().strip()
    finally:
        server.communicate()


def output_of(tree: Path, *command: str) -> str:
    """The last line that a Python process prints."""
    done = subprocess.run(
        [sys.executable, *command], env=paths(tree), cwd=tree, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{tree}: {' '.join(command)} failed:\n{done.stderr[-2000:]}")
    return done.stdout.splitlines()[-1]


def first_episode(tree: Path, address: str, folder: Path) -> tuple[float, float]:
    """Seconds until the first episode of a fresh process, and its memory in megabytes."""
    command = [sys.executable, "-m", "llmgym", "rollout", "--env", "llmgym/Calculator-v0", "--policy", address,
               "--num-tasks", "1", "--output", str(folder)]  # fmt: skip
    rows, log = folder / "rollouts.jsonl", folder.with_suffix(".log")
    with log.open("w") as file:
        began = time.perf_counter()
        process = subprocess.Popen(command, env=paths(tree), cwd=tree, stdout=file, stderr=file)
        seconds = None
        while seconds is None and process.poll() is None:
            if rows.exists() and rows.read_bytes().endswith(b"\n"):
                seconds = time.perf_counter() - began
            time.sleep(0.001)
        _, status, usage = (0, process.returncode, None) if process.returncode is not None else os.wait4(process.pid, 0)
    if seconds is None or usage is None or status:
        sys.exit(f"{tree}: {' '.join(command)} failed:\n{log.read_text()[-2000:]}")
    process.returncode = status
    return seconds, usage.ru_maxrss / 1024


def compare(other: Path, nemo_gym: Path | None, episodes: int, rounds: int, scratch: Path) -> dict[str, list[float]]:
    """All figures of all rounds."""
    figures: dict[str, list[float]] = {}
    trees = {"here": HERE.parent, "other": other}
    model = output_of(HERE.parent, "-c", "from llmgym.policies.models import fetch; print(fetch('smollm2'))")
    with ExitStack() as stack:
        chat, vllm = stack.enter_context(serving("chat")), stack.enter_context(serving("vllm", model))
        gym = None
        if nemo_gym is not None:
            gym = NemoGym(nemo_gym, scratch)
            stack.enter_context(gym.up(chat))
            gym.collect(FEW)  # its first requests cost more
        for turn in range(rounds):
            for name, tree in trees.items():
                cpu = float(output_of(tree, str(WORKER), "turns", chat, str(episodes)))
                figures.setdefault(f"cpu_{name}", []).append(cpu)
                for start in range(STARTS):
                    seconds, memory = first_episode(tree, vllm, scratch / f"{name}{turn}{start}")
                    figures.setdefault(f"start_{name}", []).append(seconds)
                    figures.setdefault(f"memory_{name}", []).append(memory)
            if gym is not None:
                spent = gym.collect(FEW + episodes) - gym.collect(FEW)
                figures.setdefault("cpu_nemo_gym", []).append(1e3 * spent / (episodes * (CALLS + 1)))
    return figures


def report(rev: str, figures: dict[str, list[float]]) -> dict[str, Any]:
    """One figure of all rounds, and ratios."""
    found = {name: (min if "start" in name else statistics.median)(values) for name, values in figures.items()}
    cpu, other, nemo_gym = found["cpu_here"], found["cpu_other"], found.get("cpu_nemo_gym")
    return {
        "openai_cpu_ms_per_turn": round(cpu, 3),
        f"openai_cpu_ms_per_turn_{rev}": round(other, 3),
        "cpu_ms_per_turn_nemo_gym": nemo_gym and round(nemo_gym, 3),
        f"vs_{rev}": round(cpu / other, 3),
        "vs_nemo_gym": nemo_gym and round(cpu / nemo_gym, 3),
        "start_s": round(found["start_here"], 3),
        f"start_s_{rev}": round(found["start_other"], 3),
        "memory_mb": round(found["memory_here"], 1),
        f"memory_mb_{rev}": round(found["memory_other"], 1),
    }


def main() -> None:
    """Measure all sides and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rev", default="8ed71fa", help="the commit to compare with (%(default)s)")
    parser.add_argument("--nemo-gym", type=Path, metavar="VENV", help="a virtual environment with NeMo Gym")
    parser.add_argument("--short", action="store_true", help="fewer episodes, one round")
    given = parser.parse_args()
    episodes, rounds = (32, 1) if given.short else (128, 3)
    nemo_gym = given.nemo_gym and given.nemo_gym.absolute()
    with checked_out(given.rev) as other, tempfile.TemporaryDirectory() as scratch:
        figures = compare(other, nemo_gym, episodes, rounds, Path(scratch))
    print(json.dumps({"benchmark": "endpoints", "episodes": episodes, "rounds": rounds, **report(given.rev, figures)}))


if __name__ == "__main__":
    main()
