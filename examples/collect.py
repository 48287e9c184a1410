"""Collect groups of episodes with SmolLM2 and look at their tokens: `python examples/collect.py [FOLDER]`."""

from __future__ import annotations

import asyncio
import sys

from llmgym import Collector


async def main(output: str | None) -> None:
    """Print the rewards of each group, and how many of its tokens the policy sampled."""
    collector = Collector(
        ["llmgym/MultipleChoice-easy-v0"],
        "smollm2",
        num_tasks=8,
        num_repeats=4,
        responses_create_params={"temperature": 0.7, "max_output_tokens": 32},
        output=output,
    )
    async for group in collector.stream():
        sampled = [int(segment.sampled.sum()) for t in group.trajectories for segment in t.segments]
        print(group.id, "rewards", group.rewards, "sampled tokens", sampled, flush=True)
    assert collector.summary is not None
    print("mean reward", collector.summary["reward"])  # chance is 1/3


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else None))
