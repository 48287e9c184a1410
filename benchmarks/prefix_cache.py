"""How much of what an episode sends again vLLM takes from its prefix cache. The last line is one JSON object.

Episodes of 8 turns, many at once. What a turn sends again is all that was in the context when the previous one ended:
prompts, replies and what came between them. `cached_share` is the part of it that the engine had cached
(`Turn.cached_tokens`), over all turns but the first. `possible_share` is what whole blocks allow: vLLM caches blocks of
`block_size` tokens: 128 on a CPU where nothing is set, 16 on most GPUs. A turn therefore loses half a block on average,
however long the episode is, and `possible_share_16` is what blocks of 16 would allow the same episodes.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Iterable, Iterator
from typing import Any

from _engine import ENV, Planned, described, model_options, policy_of, reset_cache
from _instant import report

from llmgym.codec import codec_for
from llmgym.policies.vllm import VLLMPolicy
from llmgym.rollout import Collector
from llmgym.trajectory import Trajectory

TURNS = 8


def resent(trajectories: Iterable[Trajectory]) -> Iterator[tuple[int, int]]:
    """For each turn but the first: tokens that it sends again, and how many of them were cached."""
    for trajectory in trajectories:
        assert len(trajectory.turns) == TURNS, trajectory
        assert len(trajectory.segments) == 1, trajectory
        for before, turn in zip(trajectory.turns, trajectory.turns[1:], strict=False):
            yield before.end, min(before.end, turn.cached_tokens)


async def measure(policy: VLLMPolicy, episodes: int, concurrency: int, max_tokens: int) -> dict[str, Any]:
    """The share, with a policy that is started."""
    codec = codec_for(policy.tokenizer)
    await reset_cache(policy)
    # No tool calls: `Planned` writes them over what was sampled, and the engine has not computed them.
    planned = Planned(policy, codec, turns=TURNS, tokens=max_tokens, tools=False)
    collector = Collector(
        [ENV], planned, codec=codec, num_tasks=episodes, max_turns=TURNS, num_samples_in_parallel=concurrency,
        responses_create_params={"max_output_tokens": max_tokens},
    )  # fmt: skip
    trajectories = [t async for group in collector.stream() for t in group.trajectories]
    assert all(trajectory.finished for trajectory in trajectories), [t.error for t in trajectories]
    turns = list(resent(trajectories))
    sent = sum(before for before, _ in turns)
    block = described(policy)["block_size"]
    return {
        "cached_share": sum(cached for _, cached in turns) / sent,
        "possible_share": sum((before - 1) // block * block for before, _ in turns) / sent,
        "possible_share_16": sum((before - 1) // 16 * 16 for before, _ in turns) / sent,
        "resent_tokens": sent,
        "context_tokens": round(sum(t.turns[-1].end for t in trajectories) / episodes),
        "turns": TURNS,
        "episodes": episodes,
        "concurrency": concurrency,
        **described(policy),
    }


async def run(policy: VLLMPolicy, options: argparse.Namespace) -> dict[str, Any]:
    await policy.start()
    try:
        return await measure(policy, options.episodes, options.concurrency, options.max_tokens)
    finally:
        await policy.close()


def main() -> None:
    """Measure the share."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    model_options(parser)
    parser.add_argument("--episodes", type=int, default=8)
    parser.add_argument("--concurrency", type=int, default=8, help="episodes at once")
    parser.add_argument("--max-tokens", type=int, default=128, help="most tokens of a reply; the fewest are half of it")
    options = parser.parse_args()
    with policy_of(options.model, options.engine) as policy:
        report("prefix_cache", asyncio.run(run(policy, options)))


if __name__ == "__main__":
    main()
