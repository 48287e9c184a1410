"""`benchmarks/gpu.py` runs without a GPU, a network or vLLM, so that the first GPU at hand gives figures."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

FOLDER = Path(__file__).parents[2] / "benchmarks"
sys.path.append(str(FOLDER))  # as for a script that is run from there

import gpu  # noqa: E402

from tests.command import environ  # noqa: E402

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]


def run(*args: str, **env: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(FOLDER / "gpu.py"), *args]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environ(**env))


def test_a_dry_run_gives_all_figures(tmp_path: Path) -> None:
    done = run("--tiny", LLMGYM_CACHE=str(tmp_path), HF_HUB_OFFLINE="1", OMP_NUM_THREADS="1")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["vllm"] == {"left_out": "--tiny"}
    figures = found["transformers"]
    assert figures["vocabulary"] == 2048  # made on the spot
    assert figures["exactness"] == {"episodes": 2, "turns": 8, "exact_share": 1.0}
    exact, rough = figures["logprobs"]
    assert (exact["dtype"], rough["dtype"]) == ("float32", "bfloat16")
    assert exact["mean_error"] < 1e-5
    assert exact["max_error"] < 2e-3  # where a token at the edge of the nucleus is in it on one side only
    assert exact["cached_tokens"] > 0
    assert rough["mean_error"] < 0.05
    assert [load["concurrency"] for load in figures["loads"]] == [2, 4]
    for load in figures["loads"]:
        assert load["tokens_per_s"] > 0
        assert load["ratio"] > 0, load
    assert figures["left_out"] == []
    assert "| 4 | " in gpu.section(figures, found["vllm"])


def test_a_load_for_which_there_is_no_time_is_left_out() -> None:
    done = run("--tiny", "--seconds", "0", LLMGYM_CACHE="/nowhere", OMP_NUM_THREADS="1")
    figures = json.loads(done.stdout.splitlines()[-1])["transformers"]
    assert (figures["loads"], figures["left_out"]) == ([], [2, 4])


def test_without_a_gpu_one_line_says_so() -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    done = run()
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("gpu.py needs a CUDA GPU")
    assert not done.stdout


def test_the_section_on_gpus_is_replaced() -> None:
    row = {
        "model": "qwen3-4b", "turns": 4, "concurrency": 256, "tokens_per_s": 12345, "raw_tokens_per_s": 12400,
        "ratio": 0.99556, "busy": 0.987, "raw_busy": None,
    }  # fmt: skip
    failed: dict[str, Any] = {"failed": "exit 1"}
    text = gpu.section(failed, {"gpu": "A GPU", "rows": [row]})
    assert "| qwen3-4b | 4 | 256 | 12,345 | 12,400 | 0.996 | 99%, unknown |" in text
    page = f"# Benchmarks\n\n{gpu.HEADING}\n\nOld.\n\n## Next\n\nKept.\n"
    assert gpu.replaced(page, text) == f"# Benchmarks\n\n{text}\n## Next\n\nKept.\n"
    assert gpu.replaced("# Benchmarks\n", text) == f"# Benchmarks\n\n{text}"
