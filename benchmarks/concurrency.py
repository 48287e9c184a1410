"""10,000 live episodes in one process, with generation of 50 ms median simulated. The last line is one JSON object.

The schedule to compare with is the best that any program could keep on this core: no shorter than the longest episode's
own waiting, and no shorter than the work of all turns, which is measured with 64 episodes at once and no waiting.
Memory is what an episode holds besides its tokens while it waits for its policy.
"""

from __future__ import annotations

import asyncio
import gc
import random
import sys
from collections.abc import Callable
from typing import Any

from _instant import InstantPolicy, call, measure, one_core, report, template_codec

from llmgym.codec import ChatCodec
from llmgym.rollout import Collector

ENV = "llmgym/Calculator-v0"
TOKENS = 48
REPLIES = [*(call("add", a=i, b=2) for i in range(3)), "The answer is 42."]


def latency(waits: list[float]) -> Callable[[], float]:
    """Lognormal seconds with a median of 50 ms, noted down."""
    rng = random.Random(0)

    def wait() -> float:
        waits.append(rng.lognormvariate(-2.9957, 0.6))
        return waits[-1]

    return wait


def resident() -> int:
    """Resident bytes of this process."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


def idle_bytes(tokenizer: Any, codec: ChatCodec, episodes: int) -> float:
    """Resident bytes of an episode that waits for its first reply, its tokens left out."""
    policy = InstantPolicy(tokenizer, REPLIES, TOKENS, codec.stop_token_ids[0], lambda: 3600.0)
    collector = Collector([ENV], policy, codec=codec, num_tasks=episodes, num_samples_in_parallel=episodes)

    async def fill() -> int:
        task = asyncio.create_task(collector.collect())
        while policy.waiting < episodes:  # noqa: ASYNC110  the policy is not to pay for an event
            await asyncio.sleep(0.05)
        gc.collect()
        used = resident()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return used

    gc.collect()
    before = resident()
    return (asyncio.run(fill()) - before - policy.prompt_bytes) / episodes


def main() -> None:
    """Measure memory, the work, and the schedule."""
    one_core()
    episodes = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    tokenizer, codec = template_codec()
    stop = codec.stop_token_ids[0]
    instant = InstantPolicy(tokenizer, REPLIES, TOKENS, stop)
    measure(ENV, instant, codec, 200, seed=1)  # warm
    memory = idle_bytes(tokenizer, codec, episodes)
    turns = len(REPLIES)
    work, wall, longest = float("inf"), float("inf"), 0.0
    for seed in range(3):  # in turn and the best of each, so that a busy machine is busy for both
        plain = InstantPolicy(tokenizer, REPLIES, TOKENS, stop)
        work = min(work, measure(ENV, plain, codec, episodes, seed=seed)["cpu_s"])
        waits: list[float] = []
        simulated = InstantPolicy(tokenizer, REPLIES, TOKENS, stop, latency(waits))
        run = measure(ENV, simulated, codec, episodes, seed=seed, num_samples_in_parallel=episodes)
        wall = min(wall, run["wall_s"])
        longest = max(sum(waits[i::episodes][:turns]) for i in range(episodes))
    ideal = max(work, longest)
    report(
        "concurrency",
        {
            "episodes": episodes,
            "turns": turns * episodes,
            "wall_s": wall,
            "ideal_s": ideal,
            "work_s": work,
            "longest_wait_s": longest,
            "ratio": wall / ideal,
            "idle_kb_per_episode": memory / 1024,
        },
    )


if __name__ == "__main__":
    main()
