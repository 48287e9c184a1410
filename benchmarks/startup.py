"""What `import llmgym` adds to `import gymnasium`, and how long `llmgym --help` takes.

The last line printed is one JSON object.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

from _instant import report

ROUNDS = 9
HEAVY = ("torch", "transformers", "vllm", "pandas", "llmgym.envs.calculator")


def seconds(*arguments: str) -> float:
    """Wall seconds of a Python process."""
    started = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
    return time.perf_counter() - started


def main() -> None:
    """Time the three in turn; medians."""
    times: dict[str, list[float]] = {"gymnasium": [], "llmgym": [], "help": []}
    for _ in range(ROUNDS):
        times["gymnasium"].append(seconds("-c", "import gymnasium"))
        times["llmgym"].append(seconds("-c", "import gymnasium, llmgym"))
        times["help"].append(seconds("-m", "llmgym", "--help"))
    median = {name: statistics.median(values) for name, values in times.items()}
    check = f"import llmgym, sys; print([name for name in {HEAVY} if name in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", check], check=True, capture_output=True, text=True).stdout
    report(
        "startup",
        {
            "import_gymnasium_s": median["gymnasium"],
            "import_adds_s": median["llmgym"] - median["gymnasium"],
            "help_s": median["help"],
            "heavy_modules": loaded.strip(),
        },
    )


if __name__ == "__main__":
    main()
