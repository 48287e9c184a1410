"""Collect groups of episodes with vLLM and look at what a trainer gets: `python examples/collect_vllm.py`.

The engine runs in this process and starts in about a minute on a CPU. With `--policy http://HOST:8000` it is a server
that you started with `vllm serve MODEL --enable-scale-out`.
"""

from __future__ import annotations

import argparse
import asyncio

from llmgym import Collector, TokenBatch, Trajectory


async def main(args: argparse.Namespace) -> None:
    """Print the rewards of each group as it finishes, then one batch of them all."""
    collector = Collector(
        [args.env],
        args.policy,
        num_tasks=args.tasks,
        num_repeats=args.repeats,
        max_turns=3,
        responses_create_params={"temperature": 0.7, "max_output_tokens": 64},
        output=args.output,
    )
    trajectories: list[Trajectory] = []
    async for group in collector.stream():  # in the order in which they finish, not in that of the tasks
        trajectories += group.trajectories
        turns = [len(trajectory.turns) for trajectory in group.trajectories]
        print(f"{collector.progress.seconds:5.1f} s  {group.id}  rewards {group.rewards}  turns {turns}", flush=True)
    assert collector.summary is not None
    print("reward", collector.summary["reward"], "statuses", collector.summary["statuses"])

    batch = TokenBatch.of(trajectories)
    print(f"batch of {len(batch)} rows: prompts {batch.prompt_ids.shape}, completions {batch.completion_ids.shape}")
    sampled = batch.logprobs[batch.loss_mask]
    print(f"sampled tokens {len(sampled)}, mean log-probability {sampled.mean():.2f}")
    print("group of each row", batch.group_ids.tolist())
    print("advantages", [round(float(advantage), 2) for advantage in batch.advantages()])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--policy", default="vllm:smollm2", help="vllm:MODEL, or addresses of servers")
    parser.add_argument("--env", default="llmgym/Calculator-easy-v0")
    parser.add_argument("--tasks", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=4, help="episodes of each task")
    parser.add_argument("--output", help="run folder, to keep the episodes and to resume")
    asyncio.run(main(parser.parse_args()))
