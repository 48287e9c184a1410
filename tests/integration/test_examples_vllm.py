"""The examples that sample with vLLM run as they stand, with small sizes."""

from __future__ import annotations

import asyncio
import csv
import importlib.util
import json
import math
from pathlib import Path
from typing import Any

import pytest

from llmgym.policies.models import resolve
from llmgym.rollout import read_rollouts
from tests.test_examples import ROOT, run

pytest.importorskip("vllm")
torch = pytest.importorskip("torch")

pytestmark = [
    pytest.mark.integration,
    pytest.mark.vllm,
    pytest.mark.timeout(900),
    # vLLM leaves a zmq context for the garbage collector when it shuts down.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def example(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, ROOT / f"examples/{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_collecting_with_vllm(tmp_path: Path) -> None:
    said = run("examples/collect_vllm.py", "--tasks", "2", "--repeats", "2", "--output", str(tmp_path))
    assert said.count("rewards [") == 2
    assert "batch of 4 rows" in said
    assert len(list(read_rollouts(tmp_path))) == 4


def test_grpo_trains_the_model_that_the_engine_samples_with(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    grpo = example("grpo_minimal")
    small = ["--steps", "3", "--tasks", "2", "--repeats", "4", "--layers", "2", "--eval-tasks", "8"]
    model = asyncio.run(grpo.main(grpo.parse([*small, "--output", str(tmp_path)])))

    before = AutoModelForCausalLM.from_pretrained(resolve("smollm2"), dtype=torch.float32).state_dict()
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed
    assert all(name.startswith(("model.layers.28.", "model.layers.29.")) for name in changed)

    with (tmp_path / "curve.csv").open(newline="") as file:
        curve = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
    assert [row["step"] for row in curve] == [1, 2, 3]
    assert all(math.isfinite(value) for row in curve for value in row.values())
    assert all(row["grad_norm"] > 0 for row in curve)
    # Under the first weights, the trainer and the engine agree on every sampled token.
    assert (curve[0]["oldest_version"], curve[0]["newest_version"]) == (0, 0)
    assert curve[0]["logprob_gap"] < 1e-2
    assert curve[2]["newest_version"] >= 1
    held_out = json.loads((tmp_path / "held_out.json").read_text())
    assert set(held_out) == {"before", "after"}
    assert all(set(rewards) == {"greedy", "sampled"} for rewards in held_out.values())
