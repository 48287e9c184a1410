"""What llmgym takes of the steps of a real trainer: TRL's GRPOTrainer, which samples with its own model in memory.

Wordle, several turns to an episode. Episodes run in one thread, which does nothing else, and `rollout_func` is called
in the trainer's own; the model computes in a third one and in those of torch. So the CPU time of the first two is all
of llmgym's: environments, codec, collector and adapter together. The last line is one JSON object: medians over the
steps after the first.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from typing import Any

import torch
from _instant import report
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl import GRPOConfig, GRPOTrainer

from llmgym.concurrency import drive_in_background
from llmgym.policies.models import resolve
from llmgym.trainers.trl import Spec, spec


class Clock(TrainerCallback):
    """Takes the time of each step, and llmgym's of it."""

    def __init__(self) -> None:
        self.rows: list[dict[str, float]] = []

    def rollout_func(self, tasks: Spec) -> Any:
        """The rollouts of a spec, timed."""

        def timed(prompts: Any, trainer: Any) -> Any:
            before = llmgym_seconds()
            rollouts = tasks.rollout_func(prompts, trainer)
            turns = sum(len(episode.turns) for episode in rollouts["episodes"])
            self.rows.append({"llmgym_s": llmgym_seconds() - before, "turns": turns})
            return rollouts

        return timed

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Start."""
        self.began = time.perf_counter()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Stop."""
        self.rows[-1]["step_s"] = time.perf_counter() - self.began


def llmgym_seconds() -> float:
    """CPU seconds so far of this thread and of that in which episodes run."""

    async def theirs() -> float:
        return time.thread_time()

    return time.thread_time() + drive_in_background(theirs())


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--model", default="smollm2", help="short name, folder or Hub id")
    parser.add_argument("--env", default="llmgym/Wordle-easy-v0")
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--episodes", type=int, default=8, help="of a step")
    return parser.parse_args()


def main() -> None:
    """Train, and say what the steps took."""
    args = parse()
    folder = resolve(args.model)
    tasks = spec([args.env], num_tasks=args.steps * args.episodes, max_output_tokens=32)
    clock = Clock()
    with tempfile.TemporaryDirectory() as output:
        config = GRPOConfig(
            output_dir=output,
            max_steps=args.steps,
            per_device_train_batch_size=args.episodes,
            num_generations=4,
            max_completion_length=512,
            gradient_checkpointing=False,
            use_cpu=not torch.cuda.is_available(),
            bf16=torch.cuda.is_available(),
            report_to=[],
            save_strategy="no",
            disable_tqdm=True,
        )
        trainer = GRPOTrainer(
            model=AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32),
            args=config,
            processing_class=AutoTokenizer.from_pretrained(folder, padding_side="left"),
            train_dataset=tasks.train_dataset,
            rollout_func=clock.rollout_func(tasks),
            reward_funcs=tasks.reward_funcs,
            callbacks=[clock],
        )
        trainer.train()
    steps = clock.rows[1:]
    figures = {
        "step_s": statistics.median(row["step_s"] for row in steps),
        "llmgym_cpu_s": statistics.median(row["llmgym_s"] for row in steps),
        "share": statistics.median(row["llmgym_s"] / row["step_s"] for row in steps),
        "turns": statistics.median(row["turns"] for row in steps),
    }
    report("trl_step", figures | {"model": args.model, "episodes": args.episodes})


if __name__ == "__main__":
    main()
