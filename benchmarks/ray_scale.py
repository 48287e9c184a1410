"""What a run on a Ray cluster costs: the driver for each episode, and workers beside one process.

Calculator with 8 tool calls in 9 turns of 200 sampled tokens, with a policy that answers at once, on workers of this
machine; the pace of 1, 2 and 4 workers where a reply takes a second, for `scale_sim.py`; and the memory of the driver
over 200,000 short episodes. `--short` takes fewer episodes; `--memory` measures that alone, for which no core has to be
quiet. The last line printed is one JSON object.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
import tempfile
import time
from contextlib import aclosing
from pathlib import Path
from typing import Any

import ray
from _instant import InstantPolicy, call, measure, report, template_codec

from llmgym.distributed import RayCollector
from llmgym.records import dump_row
from llmgym.rollout import Endless, read_rollouts

ENV = "llmgym/Calculator-v0"
REPLIES = [*(call("add", a=17 + i, b=25) for i in range(8)), "The answer is 42."]
TICK = os.sysconf("SC_CLK_TCK")
WARM = 128  # episodes before anything is measured
LIVE, TURN_S = 1_500, 1.0  # of a point: episodes of each worker, and the mean seconds of a reply


def cpu_of(pid: int) -> float:
    """CPU seconds of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def memory_mb() -> float:
    """What this process has in memory and shares with no other."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) / 1024


async def spread(policy: InstantPolicy, codec: Any, workers: int, episodes: int, folder: Path) -> dict[str, float]:
    """Collect on workers; CPU and wall seconds between the first episodes and the last."""
    collector = RayCollector(
        [ENV], policy, codec=codec, output=folder, num_workers=workers, num_tasks=episodes, max_turns=16,
        num_samples_in_parallel=32 * workers,
    )  # fmt: skip
    running = asyncio.create_task(collector.collect())
    marks: list[tuple[float, float, float, int]] = []
    for number in (WARM * workers, episodes - WARM * workers):
        while True:
            await asyncio.sleep(0.02)
            if collector.progress.finished >= number or running.done():
                break
        pids = [hand.pid for hand in collector._hands if hand.pid]
        done = collector.progress.finished
        marks.append((time.process_time(), sum(map(cpu_of, pids)), time.perf_counter(), done))
    await running
    (driver, worker, wall, first), (driver_, worker_, wall_, last) = marks
    number = last - first
    return {
        "driver_ms": 1e3 * (driver_ - driver) / number,
        "worker_ms_per_turn": 1e3 * (worker_ - worker) / number / 9,
        "turns_per_s": 9 * number / (wall_ - wall),
    }


async def point(policy: InstantPolicy, codec: Any, workers: int, seconds: float, folder: Path) -> dict[str, float]:
    """What workers do of replies that take a while, once each has its episodes; for `scale_sim.py`."""
    collector = RayCollector(
        [ENV], policy, codec=codec, output=folder, num_workers=workers, num_tasks=1_000_000, max_turns=16,
        num_samples_in_parallel=LIVE * workers,
    )  # fmt: skip
    running = asyncio.create_task(collector.collect())
    while collector.progress.finished < 2 * LIVE * workers and not running.done():
        await asyncio.wait({running}, timeout=0.1)
    began, before = time.perf_counter(), collector.progress.finished
    await asyncio.wait({running}, timeout=seconds)
    pace = 60 * (collector.progress.finished - before) / (time.perf_counter() - began)
    running.cancel()
    await asyncio.wait({running})
    return {"workers": workers, "live": LIVE * workers, "turn_s": TURN_S, "episodes_per_minute": pace}


def pause() -> float:
    """How long a reply takes, as in `scale_sim.py`."""
    return TURN_S * (0.5 + random.expovariate(2))


async def peer(run: Path, episodes: int) -> float:
    """Driver milliseconds for an episode that comes as one `Trajectory` per call, and is made a line here."""

    @ray.remote(num_cpus=1)
    class Peer:
        def __init__(self, run: str) -> None:
            self.one = next(read_rollouts(run))

        async def episode(self) -> Any:
            return self.one

    actor = Peer.remote(str(run))
    await actor.episode.remote()

    async def some(number: int) -> None:
        for _ in range(number):
            dump_row(await actor.episode.remote())

    began = time.process_time()
    await asyncio.gather(*(some(episodes // 64) for _ in range(64)))
    return 1e3 * (time.process_time() - began) / (episodes // 64 * 64)


async def memory(episodes: int, folder: Path) -> dict[str, float]:
    """How much memory the driver has after so many episodes and a tenth of them, and what a stored one takes."""
    alone, stored = await held(episodes, None), await held(episodes, folder)
    grown = (stored[1] - stored[0]) * 2**20 / (episodes - episodes // 10)
    return {
        "driver_mb_at_tenth": alone[0], "driver_mb_at_end": alone[1], "driver_bytes_per_stored_episode": grown,
        "memory_episodes": episodes,
    }  # fmt: skip


async def held(episodes: int, output: Path | None) -> tuple[float, float]:
    """Memory after a tenth of some episodes, and after all."""
    env = "llmgym/MultipleChoice-v0"
    collector = RayCollector([env], "oracle", address="local", output=output, num_workers=2, num_samples_in_parallel=64)
    number, before = 0, 0.0
    async with aclosing(collector.stream(Endless())) as groups:
        async for _ in groups:
            number += 1
            if number == episodes // 10:
                before = memory_mb()
            elif number == episodes:
                break
        return before, memory_mb()


async def costs(folder: Path, *, short: bool) -> dict[str, Any]:
    """What driver and workers take, and the pace of workers; starts Ray."""
    episodes = 1_000 if short else 6_000
    tokenizer, codec = template_codec()
    policy = InstantPolicy(tokenizer, REPLIES, 200, codec.stop_token_ids[0])
    alone = await asyncio.to_thread(measure, ENV, policy, codec, episodes // 4, max_turns=16)
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray.init(num_cpus=4, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    one = await spread(policy, codec, 1, episodes, folder / "one")
    two = await spread(policy, codec, 2, episodes, folder / "two")
    paced = InstantPolicy(tokenizer, REPLIES, 200, codec.stop_token_ids[0], pause)
    points = [await point(paced, codec, workers, 10 if short else 40, folder / str(workers)) for workers in (1, 2, 4)]
    alone_ms = 1e3 * alone["cpu_s"] / alone["turns"]
    return {
        "driver_cpu_ms_per_episode": two["driver_ms"],
        "driver_cpu_ms_per_episode_one_trajectory_per_call": await peer(folder / "one", 640 if short else 6_400),
        "worker_cpu_ms_per_turn": one["worker_ms_per_turn"],
        "worker_cpu_ms_per_turn_of_two": two["worker_ms_per_turn"],  # who share two cores with the driver
        "one_process_cpu_ms_per_turn": alone_ms,
        "worker_cpu_ratio": one["worker_ms_per_turn"] / alone_ms,
        "one_worker_turns_per_s": one["turns_per_s"],
        "two_workers_turns_per_s": two["turns_per_s"],
        "two_workers_ratio": two["turns_per_s"] / one["turns_per_s"],
        "points": points,
        "episodes": episodes,
    }


async def main() -> None:
    """Measure all."""
    short = "--short" in sys.argv
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # First, since what costs take stays behind.
        figures: dict[str, Any] = await memory(4_000 if short else 200_000, folder / "memory")
        figures |= {} if "--memory" in sys.argv else await costs(folder, short=short)
    report("ray_scale", {**figures, "cores": os.cpu_count(), "load": os.getloadavg()[0]})


if __name__ == "__main__":
    asyncio.run(main())
