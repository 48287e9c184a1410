"""The examples that sample with vLLM run as they stand, with small sizes."""

from __future__ import annotations

import asyncio
import csv
import importlib.util
import json
import math
import shlex
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llmgym.policies.models import resolve
from llmgym.policies.vllm import VLLMPolicy
from llmgym.rollout import read_rollouts
from llmgym.trajectory import Segment
from tests.exactness import Recording
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


def trained_replies(program: list[str], output: Path) -> int:
    """Take a step of GRPO on a group of four episodes of a program; how many replies it trained, each once."""
    from transformers import AutoModelForCausalLM

    grpo = example("grpo_minimal")
    small = ["--env", "llmgym/MultipleChoice-easy-v0", "--agent", shlex.join(program), "--steps", "1", "--tasks", "1"]
    sizes = ["--repeats", "4", "--layers", "2", "--max-output-tokens", "64"]
    args = grpo.parse([*small, *sizes, "--output", str(output)])
    model = AutoModelForCausalLM.from_pretrained(resolve("smollm2"), dtype=torch.float32)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    engine, seen = Recording(VLLMPolicy("smollm2", max_model_len=1024, kv_cache_memory_bytes=512 << 20)), []
    learn = grpo.learn
    grpo.learn = lambda model, optimizer, batch: seen.append(batch) or learn(model, optimizer, batch)

    async def train() -> Any:
        await engine.start()
        try:
            return await grpo.train(args, engine, model)
        finally:
            await engine.close()

    (row,) = asyncio.run(train())
    assert math.isfinite(row["logprob_gap"])
    assert row["logprob_gap"] < 1e-2
    assert row["grad_norm"] > 0
    assert any(not torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())

    # What was trained is what the engine was asked and gave, each reply once.
    (batch,) = seen
    given = [
        (list(request.prompt_ids), list(request.generation.token_ids))
        for requests in engine.requests.values()
        for request in requests
    ]
    replies = 0
    for ids, attended, trained in zip(batch.input_ids, batch.attention_mask, batch.loss_mask, strict=True):
        mask = torch.cat([torch.zeros(len(ids) - len(trained), dtype=torch.bool), trained])[attended]
        whole = ids[attended].tolist()
        for start, end in Segment(np.array(whole), mask.numpy(), np.zeros(len(whole), np.float32)).spans:
            given.remove((whole[:start], whole[start:end]))
            replies += 1
    assert len(set(batch.episode_ids.tolist())) == 4
    return replies


def test_grpo_trains_what_an_agent_of_openais_sdk_had_the_policy_say(tmp_path: Path) -> None:
    pytest.importorskip("openai")
    assert trained_replies([sys.executable, str(ROOT / "examples/openai_agent.py")], tmp_path) == 2 * 4


@pytest.mark.agents
def test_grpo_trains_what_claude_code_had_the_policy_say(tmp_path: Path, programs: None) -> None:
    short = ["--bare", "--system-prompt", "Answer the question."]
    # It has a reply that was cut go on.
    assert trained_replies(["sh", str(ROOT / "examples/claude_code.sh"), *short], tmp_path) >= 4


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
