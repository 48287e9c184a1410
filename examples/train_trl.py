"""Train a model by GRPO with TRL: `python examples/train_trl.py` makes a tiny one and needs minutes on a CPU.

The model first imitates the environment's own solutions (SFT), which teaches it to call tools at all, and then learns
from rewards (GRPO). `--model` takes any other; docs/trainers/trl.md shows runs of the tiny one and of SmolLM2.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

import torch
import trl.trainer.utils
from datasets import Dataset
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    PrinterCallback,
    TrainerCallback,
)
from trl import GRPOConfig, GRPOTrainer, SFTConfig, SFTTrainer
from trl.chat_template_utils import qwen2_5_chat_template, supports_tool_calling

from llmgym.policies.models import resolve
from llmgym.registry import make_core
from llmgym.trainers.trl import spec
from llmgym.trainers.trl.prompts import for_template

os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")  # TRL's notice that rollout functions are experimental

CONTROL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
MARKUP = ["<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>"]


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--env", default="llmgym/Calculator-easy-v0")
    parser.add_argument(
        "--model", help="short name, folder or Hub id, with lower learning rates; without it one is made"
    )
    parser.add_argument("--train-layers", type=int, help="of that model, from the top; the rest is frozen")
    parser.add_argument("--bf16", action="store_true", help="mixed precision, for GPUs")
    parser.add_argument("--batch", type=int, default=64, help="episodes in one pass of the model, if there are more")
    parser.add_argument("--demonstrations", type=int, default=4000, help="solved tasks to imitate")
    parser.add_argument("--sft-loss", type=float, default=0.2, help="imitation ends there, well before it is perfect")
    parser.add_argument("--sft-steps", type=int, default=500, help="or after so many steps; 0 for none")
    parser.add_argument("--sft-lr", type=float, default=3e-3)
    parser.add_argument("--steps", type=int, default=200, help="of GRPO; 0 for none")
    parser.add_argument("--tasks", type=int, default=8, help="groups in a batch")
    parser.add_argument("--repeats", type=int, default=8, help="episodes in a group")
    parser.add_argument("--lr", type=float, default=5e-4)
    parser.add_argument("--hidden", type=int, default=128, help="size of the tiny model")
    parser.add_argument("--layers", type=int, default=2, help="of the tiny model")
    parser.add_argument("--eval-tasks", type=int, default=200, help="held-out tasks")
    parser.add_argument("--eval-steps", type=int, default=20, help="steps between evaluations")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=0, help="0 for torch's own choice")
    parser.add_argument("--output", type=Path, default=Path("runs/trl"))
    args = parser.parse_args(arguments)
    episodes = args.tasks * args.repeats
    if episodes % min(args.batch, episodes):
        parser.error(f"--batch {args.batch} does not divide the {episodes} episodes of a step (--tasks x --repeats)")
    return args


def demonstrate(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Episodes in which the environment plays its own solution, as SFT takes them."""
    env, rows = make_core(args.env), []
    env.reset(seed=args.seed)
    for _ in range(args.demonstrations):
        _, info = env.reset()
        for message in env.oracle(env.task):
            env.step(message)
        rows.append({"messages": for_template(env.transcript), "tools": info["tools"]})
    return rows


def make_tokenizer(rows: list[dict[str, Any]]) -> PreTrainedTokenizerFast:
    """Learn a vocabulary in which a number is one token, and so is a phrase that always recurs: episodes are short."""
    bpe: Any = Tokenizer(models.BPE())
    whole = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    bpe.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=False), whole])
    bpe.decoder = decoders.ByteLevel()
    template = PreTrainedTokenizerFast(tokenizer_object=bpe)
    texts = [
        template.apply_chat_template(
            row["messages"], tools=row["tools"], chat_template=qwen2_5_chat_template, tokenize=False
        )
        for row in rows
    ]
    for token in [*CONTROL, *MARKUP, "assistant\n"]:  # after the last one a reply begins, so no token may span it
        texts = [part for text in texts for part in text.split(token)]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=2000, special_tokens=CONTROL, initial_alphabet=alphabet, show_progress=False
    )
    bpe.train_from_iterator(texts, trainer)
    bpe.add_tokens([AddedToken(text, special=False, normalized=False) for text in MARKUP])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe, eos_token="<|im_end|>", pad_token="<|endoftext|>", padding_side="left"
    )
    tokenizer.chat_template = qwen2_5_chat_template
    return tokenizer


def make_model(args: argparse.Namespace, tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=args.hidden,
        intermediate_size=4 * args.hidden,
        num_hidden_layers=args.layers,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=1024,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        tie_word_embeddings=True,
    )
    return LlamaForCausalLM(config)


def load(args: argparse.Namespace) -> tuple[PreTrainedTokenizerFast, Any]:
    """Load a model as it is, but with a chat template that has tools."""
    folder = resolve(args.model)
    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
    if not supports_tool_calling(tokenizer):
        tokenizer.chat_template = qwen2_5_chat_template  # of models that, like SmolLM2, write turns as ChatML
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    if args.train_layers:
        model.requires_grad_(False)
        model.model.layers[-args.train_layers :].requires_grad_(True)
    return tokenizer, model


def skip_prompts() -> None:
    """Let TRL compute logits where something is learned only, as it does on a GPU.

    Without Triton, TRL 1.16 computes them for every token of the prompt too, most of a step with a large vocabulary.
    """
    trl.trainer.utils._use_triton = lambda _device: True  # its one use there


def common(args: argparse.Namespace) -> dict[str, Any]:
    """What both trainers are told."""
    return {
        "output_dir": str(args.output),
        "seed": args.seed,
        "use_cpu": not torch.cuda.is_available(),
        "bf16": args.bf16,
        "gradient_checkpointing": False,
        "report_to": [],
        "save_strategy": "no",
        "disable_tqdm": True,
        "lr_scheduler_type": "constant_with_warmup",
    }


class Enough(TrainerCallback):
    """Ends training at a loss: after as many steps, another seed's model has learned much more, or nothing."""

    def __init__(self, loss: float) -> None:
        self.loss = loss

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float], **_: Any) -> None:
        control.should_training_stop |= logs.get("loss", self.loss) < self.loss


def imitate(args: argparse.Namespace, model: Any, tokenizer: Any, rows: list[dict[str, Any]]) -> None:
    """Teach the format by SFT, and keep the model."""
    config = SFTConfig(
        max_steps=args.sft_steps,
        learning_rate=args.sft_lr,
        warmup_steps=20,
        per_device_train_batch_size=min(16, args.batch),
        assistant_only_loss=True,
        logging_steps=10,
        **common(args),
    )
    dataset = Dataset.from_list(rows, on_mixed_types="use_json")
    enough = Enough(args.sft_loss)
    trainer = SFTTrainer(
        model=model, args=config, train_dataset=dataset, processing_class=tokenizer, callbacks=[enough]
    )
    trainer.train()
    trainer.save_model(str(args.output / "sft"))


class Curve(TrainerCallback):
    """Writes the curve as it grows, so that a run that is stopped has one too."""

    names = {"reward": "train", "eval_reward": "held_out", "llmgym/unscored": "unscored", "llmgym/turns": "turns"}

    def __init__(self, path: Path) -> None:
        self.path, self.rows, self.began = path, list[dict[str, float]](), time.monotonic()

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float], **_: Any) -> None:
        row = {short: logs[name] for name, short in self.names.items() if logs.get(name) is not None}
        if not row:
            return
        self.rows.append({"step": state.global_step, "seconds": round(time.monotonic() - self.began, 1), **row})
        if state.is_world_process_zero:
            print("  ".join(f"{name} {value:.4g}" for name, value in self.rows[-1].items()), flush=True)
            self.path.write_text("".join(json.dumps(row) + "\n" for row in self.rows))


def reinforce(args: argparse.Namespace, model: Any, tokenizer: Any) -> list[dict[str, float]]:
    """Train by GRPO; gives the curve."""
    tasks = spec([args.env], num_tasks=args.tasks * args.steps, seed=args.seed, max_output_tokens=48)
    episodes = args.tasks * args.repeats
    batch = min(args.batch, episodes)
    config = GRPOConfig(
        max_steps=args.steps,
        learning_rate=args.lr,
        warmup_steps=5,
        per_device_train_batch_size=batch,
        gradient_accumulation_steps=episodes // batch,
        num_generations=args.repeats,
        max_completion_length=160,
        temperature=1.0,
        beta=0.0,
        logging_steps=1,
        eval_strategy="steps",
        eval_steps=args.eval_steps,
        eval_on_start=True,
        per_device_eval_batch_size=min(50, args.eval_tasks),
        num_generations_eval=1,
        **common(args),
    )
    curve = Curve(args.output / "curve.jsonl")
    trainer = GRPOTrainer(
        model=model,
        args=config,
        processing_class=tokenizer,
        train_dataset=tasks.train_dataset,
        eval_dataset=tasks.dataset(split="test", num_tasks=args.eval_tasks),
        rollout_func=tasks.rollout_func,
        reward_funcs=tasks.reward_funcs,
        callbacks=[curve],
    )
    trainer.remove_callback(PrinterCallback)  # the curve prints what matters
    trainer.train()
    trainer.save_model(str(args.output / "grpo"))
    return curve.rows


def plot(curve: list[dict[str, float]], path: Path) -> None:
    """Draw the curve, where matplotlib is installed."""
    try:
        from matplotlib import pyplot
    except ImportError:
        print("no picture: matplotlib is not installed")
        return
    _, axes = pyplot.subplots(figsize=(6.4, 3.6), layout="constrained")
    for name, label, style in (("train", "training tasks, one step", "."), ("held_out", "held-out tasks", "o-")):
        rows = [row for row in curve if name in row]
        axes.plot([row["step"] for row in rows], [row[name] for row in rows], style, label=label)
    axes.set(xlabel="step", ylabel="mean reward", ylim=(0, 1))
    axes.legend(loc="lower right")
    pyplot.savefig(path, dpi=120)


def main() -> None:
    args = parse()
    args.output.mkdir(parents=True, exist_ok=True)
    if args.threads:
        torch.set_num_threads(args.threads)
    if not torch.cuda.is_available():
        skip_prompts()
    torch.manual_seed(args.seed)
    began = time.monotonic()
    rows = demonstrate(args) if args.sft_steps or not args.model else []  # else nothing is made of them
    if args.model:
        tokenizer, model = load(args)
    else:
        tokenizer = make_tokenizer(rows)
        model = make_model(args, tokenizer)
    print(f"{model.num_parameters():,} parameters, {len(tokenizer):,} tokens")
    if args.sft_steps:
        imitate(args, model, tokenizer, rows)
        print(f"imitation: {time.monotonic() - began:.0f} s", flush=True)
    if args.steps:
        curve = reinforce(args, model, tokenizer)
        held_out = [row["held_out"] for row in curve if "held_out" in row]
        print(f"held-out tasks: {held_out[0]:.3f} before, {held_out[-1]:.3f} after")
        plot(curve, args.output / "curve.png")
    print(f"{time.monotonic() - began:.0f} s in all")


if __name__ == "__main__":
    main()
