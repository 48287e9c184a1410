"""What a trainer's adapter adds to the collector's own work, with a policy that answers at once.

The same Calculator episodes, 8 tool calls in 9 turns of 200 sampled tokens, run by a collector that keeps nothing, and
as adapters run them: `Episodes.run` for the task that a trainer's row names, then `Episodes.sample`, the row that the
trainer gets. In turn, 64 episodes at once, on one core; CPU times are medians over the rounds. The last line is one
JSON object.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

from _instant import InstantPolicy, call, one_core, report, template_codec

from llmgym.codec import ChatCodec
from llmgym.rollout import Collector
from llmgym.trainers.common import Episodes, TaskRef

ENV = "llmgym/Calculator-v0"
REPLIES = [*(call("add", a=17 + i, b=25) for i in range(8)), "The answer is 42."]
AT_ONCE = 64


async def collect(policy: InstantPolicy, codec: ChatCodec, number: int) -> int:
    """The collector's own work; gives the turns."""
    collector = Collector([ENV], policy, codec=codec, num_tasks=number, max_turns=16, num_samples_in_parallel=AT_ONCE)
    return sum(len(t.turns) for group in [g async for g in collector.stream()] for t in group.trajectories)


async def adapt(policy: InstantPolicy, episodes: Episodes, rows: list[str]) -> int:
    """The same through what all adapters share; gives the turns."""
    turns = 0
    for first in range(0, len(rows), AT_ONCE):
        runs = [episodes.run(TaskRef.loads(row), policy) for row in rows[first : first + AT_ONCE]]  # type: ignore[arg-type]
        for trajectory in await asyncio.gather(*runs):
            sample = episodes.sample(trajectory)
            assert sum(sample.loss_mask) == 9 * 200
            turns += len(trajectory.turns)
    return turns


def cpu_ms_per_turn(work: Callable[[], Awaitable[int]]) -> float:
    """CPU milliseconds of a turn."""
    began = time.process_time()
    turns = asyncio.run(work())  # type: ignore[arg-type]
    return 1e3 * (time.process_time() - began) / turns


def main() -> None:
    """Measure both."""
    one_core()
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 256
    tokenizer, codec = template_codec()
    episodes = Episodes(tokenizer, env_ids=[ENV], num_tasks=number, max_turns=16)
    rows = [ref.dumps() for ref in episodes.refs()]

    def policy() -> Any:
        return InstantPolicy(tokenizer, REPLIES, 200, codec.stop_token_ids[0])

    ours: list[float] = []
    adapters: list[float] = []
    for _ in range(6):  # the first round warms up
        ours.append(cpu_ms_per_turn(lambda: collect(policy(), codec, number)))
        adapters.append(cpu_ms_per_turn(lambda: adapt(policy(), episodes, rows)))
    collector, adapter = statistics.median(ours[1:]), statistics.median(adapters[1:])
    figures = {
        "cpu_ms_per_turn_collector": collector,
        "cpu_ms_per_turn_adapter": adapter,
        "added_ms_per_turn": adapter - collector,
        "episodes": number,
    }
    report("trainers", figures)


if __name__ == "__main__":
    main()
