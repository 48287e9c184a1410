"""Rollouts to training data and back: `python examples/data_to_training.py [FOLDER]` needs minutes on a CPU.

SmolLM2 answers questions several times each; what it got right is exported with its exact tokens, TRL trains on that,
the trained model answers the same questions, and the two runs are compared.
"""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path
from typing import Any

import torch
from datasets import load_dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import SFTConfig, SFTTrainer

from llmgym import Collector
from llmgym.data import Dataset
from llmgym.data.comparison import Comparison, compare, document_of
from llmgym.data.export import Recipe, export
from llmgym.data.filtering import conditions
from llmgym.data.quality.gates import Gate, check_gates
from llmgym.data.quality.report import measure, quality
from llmgym.policies.models import resolve

ENV = "llmgym/MultipleChoice-easy-v0"
GATES = [
    Gate(figure="groups.mixed.share", min=0.2),  # else there is nothing to tell right from wrong by
    Gate(where="tail_repeat >= 20", max=0.1),
]


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("output", nargs="?", type=Path, default=Path("runs/data_to_training"))
    parser.add_argument("--tasks", type=int, default=24)
    parser.add_argument("--repeats", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--batch", type=int, default=4, help="rows of a step")
    parser.add_argument("--lr", type=float, default=2e-4)
    parser.add_argument("--layers", type=int, default=8, help="of 30, from the top; the rest is frozen")
    return parser.parse_args()


async def collect(policy: str, output: Path, args: argparse.Namespace) -> None:
    """Let a policy answer each question several times."""
    collector = Collector(
        [ENV],
        policy,
        num_tasks=args.tasks,
        num_repeats=args.repeats,
        responses_create_params={"temperature": 1.0, "max_output_tokens": 32},
        output=output,
    )
    async for group in collector.stream():
        print(group.id, "rewards", group.rewards, flush=True)


def prepare(run: Path, output: Path) -> dict[str, Any]:
    """Look at a run, and export what is good in it."""
    data = Dataset.open([run])
    measure(data)
    report = quality(data)
    verdicts = check_gates(GATES, data, report)
    print(*verdicts, sep="\n")
    if not all(verdict.passed for verdict in verdicts):
        raise SystemExit("the run is not worth training on")
    wanted = conditions(min_reward=1.0, where="not refusal")
    return export(data, Recipe("sft", "trl"), output, wanted, force=True)  # a second call goes on where the first ended


def train(rows: Path, output: Path, longest: int, args: argparse.Namespace) -> None:
    """Train on exact tokens: `input_ids`, and `labels` that are -100 wherever nothing was sampled."""
    folder = resolve("smollm2")
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    model.requires_grad_(False)
    model.model.layers[-args.layers :].requires_grad_(True)
    config = SFTConfig(
        output_dir=str(output),
        max_length=longest,
        num_train_epochs=args.epochs,
        learning_rate=args.lr,
        per_device_train_batch_size=args.batch,
        lr_scheduler_type="constant",
        logging_steps=1,
        use_cpu=not torch.cuda.is_available(),
        bf16=False,
        gradient_checkpointing=False,
        report_to=[],
        save_strategy="no",
        disable_tqdm=True,
    )
    trainer = SFTTrainer(
        model=model,
        args=config,
        train_dataset=load_dataset("parquet", data_files=str(rows), split="train"),
        processing_class=AutoTokenizer.from_pretrained(folder),
    )
    trainer.train()
    trainer.save_model(str(output))


def main() -> Comparison:
    args = parse()
    before, after, model = args.output / "before", args.output / "after", args.output / "model"
    asyncio.run(collect("smollm2", before, args))
    manifest = prepare(before, args.output / "sft.parquet")
    print(f"{manifest['rows']} rows to train on; left out: {manifest['left_out']}")
    train(args.output / "sft.parquet", model, manifest["tokens"]["max"], args)
    asyncio.run(collect(f"transformers:{model}", after, args))
    comparison = compare(Dataset.open([before, after]))
    print(document_of(comparison).markdown())
    return comparison


if __name__ == "__main__":
    main()
