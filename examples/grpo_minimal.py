"""Train SmolLM2-135M by GRPO with plain PyTorch: `python examples/grpo_minimal.py --output runs/grpo`.

vLLM samples groups of episodes, a torch model of the same checkpoint learns from each batch, and its weights go back to
the engine while further episodes run. docs/training.md explains the loop and shows a curve.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from llmgym import Collector, Endless, Group, GroupFilter, TokenBatch, batches
from llmgym.policies.models import resolve
from llmgym.policies.vllm import VLLMPolicy


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--env", default="llmgym/Calculator-mental-v0")
    parser.add_argument("--agent", metavar="COMMAND", help="program that plays the episodes: docs/agents.md")
    parser.add_argument("--model", default="smollm2", help="short name, folder or Hub id")
    parser.add_argument("--steps", type=int, default=40, help="updates of the weights")
    parser.add_argument("--tasks", type=int, default=4, help="groups in a batch")
    parser.add_argument("--repeats", type=int, default=8, help="episodes in a group")
    parser.add_argument("--lr", type=float, default=1e-4)
    parser.add_argument("--layers", type=int, default=10, help="how many to train, from the top; the rest is frozen")
    parser.add_argument("--max-output-tokens", type=int, default=12, help="of a reply")
    parser.add_argument("--max-model-len", type=int, default=1024, help="tokens of a whole conversation")
    parser.add_argument("--eval-tasks", type=int, default=200, help="held-out tasks, before and after")
    parser.add_argument("--device", default="cpu", help="of the trainer: cpu or cuda; vLLM finds its own")
    parser.add_argument("--seed", type=int, default=0, help="picks the tasks")
    parser.add_argument("--output", type=Path, default=Path("runs/grpo"), help="folder for the curve")
    return parser.parse_args(arguments)


def logprobs_of(model: Any, batch: TokenBatch) -> Any:
    """float[B, C]; log-probability that the model gives each token of the completions."""
    positions = (batch.attention_mask.cumsum(1) - 1).clamp(min=0)  # prompts are padded on the left
    last = batch.prompt_ids.shape[1] - 1  # this token predicts the first of the completion
    # All episodes of a task have the same prompt: its keys and values are computed once, with their gradients.
    prompts, prompt_of = batch.prompt_ids.unique(dim=0, return_inverse=True)
    rows = torch.stack([(prompt_of == i).nonzero()[0, 0] for i in range(len(prompts))])
    mask = batch.attention_mask[rows, :last]
    cache = model(
        prompts[:, :last], attention_mask=mask, position_ids=positions[rows, :last], logits_to_keep=1, use_cache=True
    )
    cache.past_key_values.batch_select_indices(prompt_of)
    logits = model(
        batch.input_ids[:, last:-1],
        attention_mask=batch.attention_mask[:, :-1],
        position_ids=positions[:, last:-1],
        past_key_values=cache.past_key_values,
    ).logits
    return logits.float().log_softmax(-1).gather(-1, batch.completion_ids[..., None])[..., 0]


def learn(model: Any, optimizer: Any, batch: TokenBatch, clip: float = 0.2) -> dict[str, float]:
    """Take one step of GRPO; also says how far the trainer's log-probabilities are from the engine's at most."""
    new, old, mask = logprobs_of(model, batch), batch.logprobs, batch.loss_mask
    advantage, ratio = batch.advantages()[:, None], (new - old).exp()
    gain = torch.minimum(ratio * advantage, ratio.clamp(1 - clip, 1 + clip) * advantage)
    loss = -(gain * mask).sum() / mask.sum()  # every token counts the same, however long its reply
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()
    return {"logprob_gap": float(((new - old).detach().abs() * mask).max()), "grad_norm": float(norm)}


async def evaluate(args: argparse.Namespace, policy: VLLMPolicy) -> dict[str, Any]:
    """Mean reward, with its 95% interval, on tasks that are not trained on: greedy, and sampled as in training."""
    rewards = {}
    for name, temperature in (("greedy", 0.0), ("sampled", 1.0)):
        params = {"temperature": temperature, "max_output_tokens": args.max_output_tokens}
        held_out = {"split": "test", "num_tasks": args.eval_tasks, "responses_create_params": params}
        rewards[name] = (await Collector([args.env], policy, agent_command=args.agent, **held_out).collect())["reward"]
    return rewards


async def noted(groups: AsyncIterator[Group], rewards: list[float]) -> AsyncGenerator[Group]:
    """Pass groups on, and note the rewards of all: those that are trained on are a selection."""
    async for group in groups:
        rewards += [reward for reward in group.rewards if reward is not None]
        yield group


async def train(args: argparse.Namespace, policy: VLLMPolicy, model: Any) -> list[dict[str, float]]:
    """Train; gives what `curve.csv` holds, a row for each update."""
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], args.lr, weight_decay=0.0)
    collector = Collector(
        [args.env],
        policy,
        agent_command=args.agent,
        seed=args.seed,
        num_repeats=args.repeats,
        num_samples_in_parallel=args.tasks * args.repeats,  # more keep the engine busier, and make tokens staler
        responses_create_params={"temperature": 1.0, "max_output_tokens": args.max_output_tokens},
    )
    keep, curve = GroupFilter(drop_equal=True, max_staleness=4), []
    began, rewards = time.monotonic(), []
    async with aclosing(collector.stream(Endless())) as groups:
        async for arrays in batches(noted(groups, rewards), args.tasks, keep=keep):
            batch = arrays.to_torch(args.device)
            row = {
                "step": len(curve) + 1,
                "reward": fmean(rewards),
                "episodes": len(rewards),
                "dropped_groups": keep.equal + keep.stale + keep.unscored,
                "oldest_version": int(batch.policy_versions[batch.loss_mask].min()),
                "newest_version": int(batch.policy_versions[batch.loss_mask].max()),
                **learn(model, optimizer, batch),
            }
            rewards.clear()
            await policy.update_weights(model.state_dict(), version=row["step"])
            curve.append(row | {"seconds": round(time.monotonic() - began, 1)})
            print("  ".join(f"{name} {value:.4g}" for name, value in curve[-1].items()), flush=True)
            save(args.output, curve)
            if len(curve) == args.steps:
                break
    return curve


def save(folder: Path, curve: list[dict[str, float]]) -> None:
    """Write the curve, so that a run that is stopped has one too."""
    with (folder / "curve.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, curve[0])
        writer.writeheader()
        writer.writerows(curve)


def plot(folder: Path, curve: list[dict[str, float]], held_out: dict[str, Any]) -> None:
    """Draw the curve, where matplotlib is installed."""
    try:
        from matplotlib import pyplot
    except ImportError:
        print("no picture: matplotlib is not installed")
        return
    steps, rewards = [row["step"] for row in curve], [row["reward"] for row in curve]
    means = [fmean(rewards[max(0, step - 5) : step]) for step in steps]
    _, axes = pyplot.subplots(figsize=(6.4, 3.6), layout="constrained")
    axes.plot(steps, rewards, ".", color="tab:gray", label="training tasks, since the last update")
    axes.plot(steps, means, color="tab:blue", label="training tasks, mean of 5 updates")
    for name, colour, left, right in (("greedy", "tab:orange", -1, 2), ("sampled", "tab:blue", 0, 1)):
        values = [held_out[when][name] for when in ("before", "after")]
        places = [left, len(curve) + right]
        errors = [value["high"] - value["mean"] for value in values]
        style = {"fmt": "D", "color": colour, "capsize": 3, "label": f"held-out tasks, {name} (95% interval)"}
        axes.errorbar(places, [value["mean"] for value in values], errors, **style)
    axes.set(xlabel="updates of the weights", ylabel="mean reward (1 = all correct)", ylim=(0, 1))
    axes.legend(frameon=False, fontsize=8)
    pyplot.savefig(folder / "curve.png", dpi=100)


async def main(args: argparse.Namespace) -> Any:
    """Evaluate, train, evaluate again; gives the trained model."""
    args.output.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(args.seed)
    # Little memory for keys and values leaves a GPU's rest to the trainer; small blocks let short prompts be cached.
    policy = VLLMPolicy(
        args.model, max_model_len=args.max_model_len, kv_cache_memory_bytes=512 << 20, block_size=32, seed=args.seed
    )
    await policy.start()
    model = AutoModelForCausalLM.from_pretrained(resolve(args.model), dtype=torch.float32).to(args.device)
    if args.layers < len(model.model.layers):
        model.requires_grad_(False)
        model.model.layers[-args.layers :].requires_grad_(True)
    held_out = {"before": await evaluate(args, policy)}
    print("held out, before:", held_out["before"], flush=True)
    curve = await train(args, policy, model)
    held_out["after"] = await evaluate(args, policy)
    print("held out, after:", held_out["after"])
    (args.output / "held_out.json").write_text(json.dumps(held_out, indent=2))
    plot(args.output, curve, held_out)
    await policy.close()
    return model


if __name__ == "__main__":
    asyncio.run(main(parse()))
