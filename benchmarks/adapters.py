"""What adapters cost over the packages that they adapt, with no model. The last line is one JSON object.

For some ids of each ecosystem that is installed, played by the oracle: microseconds of CPU of a step here, and of the
same step in the package itself: TextArena's `step` and `get_observation`, Gymnasium's `step`, reasoning-gym's
`score_answer`, a call of AgentDojo's, BFCL's or tau2-bench's tools; medians over steps. Calls are timed within the
step: they differ a hundredfold, and one that writes YAML for a millisecond differs from one time to the next by more
than the adapter costs. `over_us` is the median of the differences, step by step, of each the least of some rounds; it
is to be below 100. `over_100_us` names where it is not.

For those that speak to a server over the wire, with one that answers at once in a process of its own: microseconds of
CPU of an episode of a reset, eight calls and its end here (`episode_us`); of bare clients that send and read the same:
aiohttp (`bare_us`) and, for OpenEnv, `websockets`, of which its own client is made; and of an environment whose tool is
the bare aiohttp client (`by_hand_us`), which tells the adapter from what any environment costs. In turn, medians of
rounds. `ratio` to the bare client is to be at most 1.5.

    python benchmarks/adapters.py [--episodes N]
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import pkgutil
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any
from unittest.mock import patch

import gymnasium
from _wire import compare, serving

from llmgym.env import ToolEnv
from llmgym.registry import entry

EPISODES = 60
ROUNDS = 4  # in the first both load and compile, and what else the machine does makes no step cheaper
BOUND_US = 100.0
WIRE_ROUNDS = 7
IDS = {
    "reasoning-gym": ["lettercounting", "basicarithmetic", "sudoku", "knightsknaves", "isomorphicstrings"],
    "textarena": ["frozenlake", "towerofhanoi", "lightsout", "sudokueasy", "minesweepersmall"],
    "gymnasium": ["FrozenLake", "CliffWalking", "Taxi"],
    "agentdojo": ["AgentDojo", "AgentDojo-banking", "AgentDojo-slackattacked"],
    "bfcl": ["BFCLTurns", "BFCLTurns-longcontext"],
    "tau2": ["Tau2", "Tau2-airline", "Tau2-telecom"],
}


def timed(function: Callable[..., Any], *args: Any) -> tuple[Any, float]:
    began = time.process_time_ns()
    result = function(*args)
    return result, (time.process_time_ns() - began) / 1000


def played(env_id: str, episodes: int) -> Iterator[Any]:
    """An environment, reset to one task after another, which are made first: that may take a thousand times as long."""
    env = gymnasium.make(env_id).unwrapped
    assert isinstance(env, ToolEnv)
    env.reset(seed=0)
    for task in [env.tasks.draw("train", 0, number) for number in range(episodes)]:
        env.reset(options={"task": task})
        yield env


class Own:
    """Adds up the CPU of a package's own functions."""

    def __init__(self) -> None:
        self.us = 0.0

    def timed(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, which also counts."""

        def call(*args: Any, **kwargs: Any) -> Any:
            result, took = timed(partial(function, **kwargs), *args)
            self.us += took
            return result

        return call


def ours(env_id: str, episodes: int, own: Own | None = None) -> list[tuple[float, float]]:
    """Each step of the oracle through the adapter, and what of it `own` counted; of messages with calls, if any."""
    texts, calls = asyncio.run(_played_here(env_id, episodes, own or Own()))
    return calls or texts


async def _played_here(env_id: str, episodes: int, own: Own) -> tuple[list[tuple[float, float]], ...]:
    """What messages and calls cost in an event loop, as the collector plays them."""
    texts, calls = list[tuple[float, float]](), list[tuple[float, float]]()
    env = gymnasium.make(env_id).unwrapped
    assert isinstance(env, ToolEnv)
    await env.areset(seed=0)
    for task in [env.tasks.draw("train", 0, number) for number in range(episodes)]:
        await env.areset(options={"task": task})
        for message in env.oracle(task):
            if calls and isinstance(message, str):  # a verdict, of up to 65 ms, leaves caches cold
                break
            own.us, began = 0.0, time.process_time_ns()
            _, _, terminated, truncated, _ = await env.astep(message)
            took = (time.process_time_ns() - began) / 1000
            (texts if isinstance(message, str) else calls).append((took, own.us))
            if terminated or truncated:
                break
    await env.aclose()
    return texts, calls


def reasoning_gym(env_id: str, episodes: int) -> Iterator[float]:
    from llmgym.adapters.reasoning_gym.entries import Key, dataset_of, make
    from llmgym.adapters.reasoning_gym.solutions import solve

    for env in played(env_id, episodes):
        key = Key(**env.task.metadata)
        found = make(key)
        yield timed(dataset_of(key.dataset).score_answer, solve(key.dataset, found), found)[1]


def textarena(env_id: str, episodes: int) -> Iterator[float]:
    from llmgym.adapters.textarena.games import private

    for env in played(env_id, episodes):
        game = env.game.env  # played without the adapter around it

        def step(text: str, game: Any = game) -> bool:
            done, _ = game.step(text)
            game.get_observation()
            return done

        for message in env.oracle(env.task):
            with private(env.game.entry, env.game._dice):  # or the mines would lie elsewhere
                done, took = timed(step, message)
            yield took
            if done:
                break


def plain_gymnasium(env_id: str, episodes: int) -> Iterator[float]:
    for env in played(env_id, episodes):
        for message in env.oracle(env.task):
            word = message.removeprefix("<move>").removesuffix("</move>")
            (env.seen, _, terminated, _, _), took = timed(env.world.step, env.actions[word])
            yield took
            if terminated:
                break


def apart(steps: Callable[[str, int], Iterator[float]]) -> Callable[[str, int], list[tuple[float, float]]]:
    """CPU of each step here, and of the same in the package."""

    def both(env_id: str, episodes: int) -> list[tuple[float, float]]:
        here = [step for step, _ in ours(env_id, episodes)]
        return list(zip(here, steps(env_id, episodes), strict=True))

    return both


def within(*functions: str) -> Callable[[str, int], list[tuple[float, float]]]:
    """CPU of each step here, and of what functions of the package, given as "module:Class.method", are in it."""

    def both(env_id: str, episodes: int) -> list[tuple[float, float]]:
        own, places = Own(), [name.replace(":", ".").rpartition(".") for name in functions]
        with ExitStack() as stack:
            for (owner, _, name), path in zip(places, functions, strict=True):
                timed_one = own.timed(pkgutil.resolve_name(path))
                stack.enter_context(patch.object(pkgutil.resolve_name(owner), name, timed_one))
            return ours(env_id, episodes, own)

    return both


PACKAGES = {
    "reasoning-gym": apart(reasoning_gym),
    "textarena": apart(textarena),
    "gymnasium": apart(plain_gymnasium),
    "agentdojo": within(
        "agentdojo.functions_runtime:FunctionsRuntime.run_function",
        "agentdojo.agent_pipeline.tool_execution:tool_result_to_str",
    ),
    "bfcl": within("llmgym.adapters.bfcl.services:World.call"),
    "tau2": within("tau2.environment.environment:Environment.get_response"),
}
PREFIX = {"reasoning-gym": "llmgym/ReasoningGym-", "textarena": "llmgym/TextArena-"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--episodes", type=int, default=EPISODES)
    args = parser.parse_args()
    gc.disable()  # what is left of making a puzzle would be collected in some step
    costs: dict[str, dict[str, float]] = {}
    for ecosystem, names in IDS.items():
        for env_id in (f"{PREFIX.get(ecosystem, 'llmgym/')}{name}-v0" for name in names):
            if not entry(env_id).installed:
                print(f"{env_id}: {ecosystem} is not installed")
                continue
            rounds = [PACKAGES[ecosystem](env_id, args.episodes) for _ in range(ROUNDS)]
            least = [min((here - there, here, there) for here, there in step) for step in zip(*rounds, strict=True)]
            medians = [round(statistics.median(column), 1) for column in zip(*least, strict=True)]
            costs[env_id] = dict(zip(("over_us", "step_us", "own_us"), medians, strict=True))
            print(env_id, json.dumps(costs[env_id]), flush=True)
    with serving() as url:
        wire = asyncio.run(compare(url, args.episodes, WIRE_ROUNDS))
    print(json.dumps(wire), flush=True)
    slow = {name: cost["over_us"] for name, cost in costs.items() if cost["over_us"] >= BOUND_US}
    print(json.dumps({"adapters": costs, "over_100_us": slow, "wire": wire}))


if __name__ == "__main__":
    main()
