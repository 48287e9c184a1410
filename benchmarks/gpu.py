"""`saturation.py` on a CUDA GPU, with models of 0.6 to 4 billion parameters and hundreds of episodes at once.

Prints the result as the last line, one JSON object, and writes it into its section of docs/benchmarks.md with the name
of the machine. The share of time in which the GPU is busy is what `nvidia-smi` says, five times a second.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import shutil
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from _engine import device, engine_option, policy_of
from _instant import report
from saturation import Load, Round, Run, compare

from llmgym.codec import codec_for
from llmgym.policies.vllm import VLLMPolicy

DOCS = Path(__file__).parent.parent / "docs" / "benchmarks.md"
HEADING = "## On a GPU (`gpu.py`)"


def missing() -> str | None:
    """What this machine lacks."""
    if shutil.which("nvidia-smi") is None:
        return "nvidia-smi, so there seems to be no NVIDIA GPU"
    try:
        from vllm.platforms import current_platform
    except ImportError:
        return "vLLM: pip install 'llmgym[vllm]'"
    if not current_platform.is_cuda():
        return f"a vLLM for CUDA and a GPU that it finds; the one installed runs on {current_platform.device_name!r}"
    return None


class Meter:
    """Notes how busy the GPU is, in a thread, as long as it is entered."""

    def __init__(self) -> None:
        self._samples: list[tuple[float, float]] = []
        index = os.environ.get("CUDA_VISIBLE_DEVICES", "").partition(",")[0] or "0"
        query = ["--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "--loop-ms=200"]
        self._command = ["nvidia-smi", "-i", index, *query]

    def __enter__(self) -> Meter:
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._process.kill()
        self._process.wait()
        self._thread.join()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.strip().isdecimal():  # a part of a GPU (MIG) has no such figure
                self._samples.append((time.monotonic(), int(line) / 100))

    def busy(self, runs: Sequence[Run]) -> float | None:
        """Mean over some runs; None where the GPU does not tell."""
        found = [busy for at, busy in self._samples if any(run.began <= at <= run.ended for run in runs)]
        return round(statistics.fmean(found), 3) if found else None


def row(model: str, load: Load, rounds: Sequence[Round], meter: Meter) -> dict[str, Any]:
    """What one load on one model amounts to."""
    return {
        "model": model,
        "turns": load.turns,
        "concurrency": load.concurrency,
        "episodes": load.episodes,
        "tokens_per_s": round(statistics.median(r.collector.tokens_per_s for r in rounds)),
        "raw_tokens_per_s": round(statistics.median(r.raw.tokens_per_s for r in rounds)),
        "ratio": round(statistics.median(r.ratio for r in rounds), 3),
        "ratios": [round(r.ratio, 3) for r in rounds],
        "busy": meter.busy([r.collector for r in rounds]),
        "raw_busy": meter.busy([r.raw for r in rounds]),
    }


async def measure(policy: VLLMPolicy, options: argparse.Namespace) -> tuple[list[dict[str, Any]], str]:
    """All loads on one model; gives their rows, and the name of the GPU."""
    rows: list[dict[str, Any]] = []
    await policy.start()
    try:
        codec = codec_for(policy.tokenizer)
        with Meter() as meter:
            for concurrency in options.concurrency:
                for turns, episodes in ((1, 4 * concurrency), (4, concurrency)):
                    load = Load(turns, episodes, concurrency, options.max_tokens)
                    rows.append(row(policy.name, load, await compare(policy, codec, load, options.rounds), meter))
                    print(rows[-1], flush=True)
        return rows, device()
    finally:
        await policy.close()


def section(gpu: str, max_tokens: int, rows: Sequence[dict[str, Any]]) -> str:
    """The section of the docs."""
    import vllm

    machine = f"{gpu}, {os.cpu_count()} CPU cores, Python {platform.python_version()}, vLLM {vllm.__version__}"
    lines = [
        HEADING,
        "",
        f"{machine}.",
        f"Random weights, replies of {max_tokens // 2} to {max_tokens} tokens; medians. GPU busy: share of the time,",
        "in the collector's runs and in the bare ones.",
        "",
        "| model | turns | episodes at once | tokens/s | raw vLLM | ratio | GPU busy |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {r['model']} | {r['turns']} | {r['concurrency']} | {r['tokens_per_s']:,} | {r['raw_tokens_per_s']:,} "
        f"| {r['ratio']:.3f} | {_percent(r['busy'])}, {_percent(r['raw_busy'])} |"
        for r in rows
    ]
    return "\n".join(lines) + "\n"


def _percent(share: float | None) -> str:
    return "unknown" if share is None else f"{share:.0%}"


def replaced(page: str, text: str) -> str:
    """A page with its GPU section replaced; at the end where it has none."""
    before, heading, rest = page.partition(HEADING + "\n")
    _, next_heading, after = rest.partition("\n## ")
    if not heading:
        return f"{page.rstrip()}\n\n{text}"
    return before + text + next_heading + after


def main() -> None:
    """Measure all models and write the section."""
    parser = argparse.ArgumentParser(description=__doc__)
    engine_option(parser)
    parser.add_argument("--models", nargs="+", default=["qwen3-0.6b", "qwen3-1.7b", "qwen3-4b"])
    parser.add_argument("--concurrency", nargs="+", type=int, default=[256, 1024], help="episodes at once")
    parser.add_argument("--max-tokens", type=int, default=256, help="most tokens of a reply; the fewest are half of it")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    if lack := missing():
        print(f"gpu.py needs {lack}", file=sys.stderr)
        sys.exit(2)
    rows: list[dict[str, Any]] = []
    gpu = ""
    defaults = {"max_num_seqs": max(options.concurrency), "max_num_batched_tokens": 8192}
    for model in options.models:
        with policy_of(model, options.engine, **defaults) as policy:
            found, gpu = asyncio.run(measure(policy, options))
            rows += found
    DOCS.write_text(replaced(DOCS.read_text("utf-8"), section(gpu, options.max_tokens, rows)), "utf-8")
    report("gpu", {"gpu": gpu, "cpu_cores": os.cpu_count(), "max_tokens": options.max_tokens, "rows": rows})


if __name__ == "__main__":
    main()
