"""`saturation.py` on a CUDA GPU, with models of 0.6 to 4 billion parameters and hundreds of episodes at once.

The share of time in which the GPU is busy is what `nvidia-smi` says, five times a second.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import statistics
import subprocess
import threading
import time
from collections.abc import Sequence
from typing import Any

from _engine import device, policy_of
from saturation import Load, Round, Run, compare

from llmgym.codec import codec_for
from llmgym.policies.vllm import VLLMPolicy


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
    found: list[dict[str, Any]] = []
    await policy.start()
    try:
        codec = codec_for(policy.tokenizer)
        with Meter() as meter:
            for concurrency in options.vllm_concurrency:
                for turns, episodes in ((1, 4 * concurrency), (4, concurrency)):
                    load = Load(turns, episodes, concurrency, options.max_tokens)
                    found.append(row(policy.name, load, await compare(policy, codec, load, options.rounds), meter))
                    print(found[-1], flush=True)
        return found, device()
    finally:
        await policy.close()


def rows(options: argparse.Namespace) -> dict[str, Any]:
    """All loads on all models."""
    found: list[dict[str, Any]] = []
    gpu = ""
    defaults = {"max_num_seqs": max(options.vllm_concurrency), "max_num_batched_tokens": 8192}
    for model in options.models:
        with policy_of(model, options.engine, **defaults) as policy:
            measured, gpu = asyncio.run(measure(policy, options))
            found += measured
    return {"gpu": gpu, "rows": found}
