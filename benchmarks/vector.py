"""TextVectorEnv: steps per second, and what a schedule is worth. The last line is one JSON object.

Steps: a step reads a tool call and answers about 2 KB of text, actions cost nothing, and beginning episodes anew is
included; CPU time of one core, the best of several measurements.

Schedules, with waiting simulated and 256 slots: a generation takes lognormal seconds with a median of 42 ms, a tool
5 ms or, one in ten, 100 ms. Lockstep generates for all slots and then steps them all; `send` and `recv` generate for a
batch while the other slots go on; the collector has a coroutine for each episode.
"""

from __future__ import annotations

import asyncio
import heapq
import random
import time
from collections.abc import Callable, Iterator

import numpy as np
from _instant import one_core, report
from gymnasium.error import NoAsyncCallError

from llmgym import Task, TaskSet, ToolEnv, assistant, tool, tool_call
from llmgym.env import Episode
from llmgym.vector import TextVectorEnv

PAGE = ("Ünïcode wörds, 数 and more: " * 73)[:2040]
READ = assistant("", tool_call("read", page=3))
WAIT = assistant("", tool_call("wait"))
SLOTS, BATCH, ROUNDS = 256, 16, 12


def make_task(rng: np.random.Generator) -> Task:
    return Task(prompt=f"Read page {int(rng.integers(10**9))}.")


class Reader(ToolEnv):
    """Answers at once."""

    tasks = TaskSet.generated(make_task)
    max_turns = 32

    @tool
    def read(self, page: int) -> str:
        """Read a page."""
        return f"{page}: {PAGE}"

    def verify(self, episode: Episode) -> float:
        return 1.0


class Waiter(Reader):
    """Answers later."""

    max_turns = 8

    @tool
    async def wait(self) -> str:
        """Wait."""
        await asyncio.sleep(0.1 if random.random() < 0.1 else 0.005)
        return PAGE


def generation() -> float:
    """Seconds of one generation."""
    return random.lognormvariate(-3.17, 0.6)


def steps_per_s(slots: int, repeats: int = 20) -> float:
    vector = TextVectorEnv(Reader, slots)
    vector.reset(seed=0)
    steps, best = 6400 // slots, 0.0
    for _ in range(repeats):
        started = time.process_time()
        for _ in range(steps):
            vector.step([READ] * slots)
        best = max(best, slots * steps / (time.process_time() - started))
    return best


def lockstep(vector: TextVectorEnv) -> Iterator[int]:
    """Generate for all, step all."""
    while True:
        time.sleep(max(generation() for _ in range(SLOTS)))
        vector.step([WAIT] * SLOTS)
        yield SLOTS


def send_recv(vector: TextVectorEnv) -> Iterator[int]:
    """Generate for whatever has arrived, in batches, beside the other slots' steps."""
    engine: list[tuple[float, list[int]]] = []

    def generate(ids: list[int]) -> None:
        if ids:
            heapq.heappush(engine, (time.perf_counter() + max(generation() for _ in ids), ids))

    for first in range(0, SLOTS, BATCH):
        generate(list(range(first, first + BATCH)))
    while True:
        while engine and engine[0][0] <= time.perf_counter():
            ids = heapq.heappop(engine)[1]
            vector.send([WAIT] * len(ids), ids)
        pause = max(0.0, engine[0][0] - time.perf_counter()) if engine else None
        try:
            ids = vector.recv(BATCH, BATCH, pause)[-1].tolist()
        except NoAsyncCallError:
            time.sleep(pause or 0.0)
            continue
        generate(ids)
        yield len(ids)


def rate(schedule: Iterator[int]) -> float:
    """Steps per second, after a first round."""
    total, started, counted = 0, 0.0, 0
    for steps in schedule:
        total += steps
        if total < SLOTS:
            continue
        if not started:
            started = time.perf_counter()
            continue
        counted += steps
        if counted >= SLOTS * ROUNDS:
            break
    return counted / (time.perf_counter() - started)


async def collector() -> float:
    """A coroutine for each episode."""
    steps = 0
    envs = [Waiter() for _ in range(SLOTS)]

    async def play(env: Waiter, seed: int) -> None:
        nonlocal steps
        await env.areset(seed=seed)
        while True:
            await asyncio.sleep(generation())
            *_, terminated, truncated, _ = await env.astep(WAIT)
            steps += 1
            if terminated or truncated:
                await env.areset()

    tasks = [asyncio.create_task(play(env, seed)) for seed, env in enumerate(envs)]
    while steps < SLOTS:  # noqa: ASYNC110  the episodes are not to pay for an event
        await asyncio.sleep(0.002)
    before, started = steps, time.perf_counter()
    while steps - before < SLOTS * ROUNDS:  # noqa: ASYNC110
        await asyncio.sleep(0.002)
    figure = (steps - before) / (time.perf_counter() - started)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return figure


def scheduled(schedule: Callable[[TextVectorEnv], Iterator[int]]) -> float:
    vector = TextVectorEnv(Waiter, SLOTS)
    vector.reset(seed=0)
    try:
        return rate(schedule(vector))
    finally:
        vector.close()


def main() -> None:
    """Measure both."""
    random.seed(0)
    one_core()
    at_once = {f"steps_per_s_{slots}": round(steps_per_s(slots)) for slots in (1, 64, 256)}
    rates = {"lockstep": scheduled(lockstep), "send_recv": scheduled(send_recv), "collector": asyncio.run(collector())}
    report(
        "vector",
        {
            **at_once,
            **{f"{name}_steps_per_s": round(figure) for name, figure in rates.items()},
            "ratio_collector": rates["collector"] / rates["lockstep"],
            "ratio_send_recv": rates["send_recv"] / rates["lockstep"],
        },
    )


if __name__ == "__main__":
    main()
