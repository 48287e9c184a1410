"""A step of GRPO with TRL's own vLLM in this process, on SmolLM2; prints what came of it as JSON.

A program of its own, since TRL makes a process group for it, in the environment's variables too.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

os.environ |= {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_CPU_KVCACHE_SPACE": "1"}

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import GRPOConfig, GRPOTrainer

from llmgym.policies.models import resolve
from llmgym.trainers.trl import spec
from tests.trainers.test_trl import Seen


def main(folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(resolve("smollm2"), padding_side="left")
    model = AutoModelForCausalLM.from_pretrained(resolve("smollm2"), dtype=torch.float32)
    tasks = spec(["llmgym/Wordle-easy-v0"], num_tasks=2, max_output_tokens=48, max_turns=3)
    config = GRPOConfig(
        str(folder), max_steps=1, per_device_train_batch_size=4, num_generations=2, max_completion_length=300,
        temperature=0.7, use_cpu=True, bf16=False, gradient_checkpointing=False, report_to=[], save_strategy="no",
        logging_steps=1, disable_tqdm=True, use_vllm=True, vllm_mode="colocate", vllm_max_model_length=1024,
    )  # fmt: skip
    trainer = GRPOTrainer(
        model=model,
        args=config,
        processing_class=tokenizer,
        train_dataset=tasks.train_dataset,
        reward_funcs=tasks.reward_funcs,
        rollout_func=tasks.rollout_func,
    )
    # vLLM's CPU build packs weights when it loads them, and takes no new ones this way; it has the same ones already.
    trainer.vllm_generation.sync_weights = lambda: None
    seen = Seen(trainer)
    trainer.train()
    turns = [len(episode.turns) for output in seen.outputs for episode in output["episodes"]]
    print(json.dumps({"turns": turns, "log": seen.log}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
