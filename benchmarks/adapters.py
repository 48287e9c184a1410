"""What adapters cost over the packages that they adapt, with no model. The last line is one JSON object.

For some ids of each ecosystem that is installed, played by the oracle: microseconds of CPU of a step here, and of the
same step in the package itself: TextArena's `step` and `get_observation`, Gymnasium's `step`, reasoning-gym's
`score_answer`, a call of AgentDojo's, BFCL's or tau2-bench's tools; medians over steps. `over_us` is the median of the
differences, step by step, since tools differ a hundredfold; it is to be below 100. `over_100_us` names where it is not.

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
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import gymnasium
from _wire import compare, serving

from llmgym.env import ToolEnv
from llmgym.registry import entry

EPISODES = 60
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


def ours(env_id: str, episodes: int) -> Iterator[float]:
    """Each step of the oracle through the adapter; of one that makes calls, those that do."""
    texts, calls = asyncio.run(_played_here(env_id, episodes))
    yield from calls or texts


async def _played_here(env_id: str, episodes: int) -> tuple[list[float], list[float]]:
    """What messages and calls cost in an event loop, as the collector plays them."""
    texts, calls = list[float](), list[float]()
    env = gymnasium.make(env_id).unwrapped
    assert isinstance(env, ToolEnv)
    await env.areset(seed=0)
    for task in [env.tasks.draw("train", 0, number) for number in range(episodes)]:
        await env.areset(options={"task": task})
        for message in env.oracle(task):
            began = time.process_time_ns()
            _, _, terminated, truncated, _ = await env.astep(message)
            (texts if isinstance(message, str) else calls).append((time.process_time_ns() - began) / 1000)
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
    for env in played(env_id, episodes):
        game = env.game.env  # played without the adapter around it

        def step(text: str, game: Any = game) -> bool:
            done, _ = game.step(text)
            game.get_observation()
            return done

        for message in env.oracle(env.task):
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


def calling(call: Callable[[Any, str, dict[str, Any]], Any]) -> Callable[[str, int], Iterator[float]]:
    """Each call of the oracle in the package.

    Args:
        call: Makes one, in the world of an environment.
    """

    def steps(env_id: str, episodes: int) -> Iterator[float]:
        for env in played(env_id, episodes):
            for message in env.oracle(env.task):
                for made in () if isinstance(message, str) else message["tool_calls"]:
                    function = made["function"]
                    yield timed(call, env, function["name"], json.loads(function["arguments"]))[1]

    return steps


def agentdojo(env: Any, name: str, arguments: dict[str, Any]) -> Any:
    from agentdojo.agent_pipeline.tool_execution import tool_result_to_str  # pyright: ignore[reportMissingImports]

    from llmgym.adapters.agentdojo.suites import runtime

    return tool_result_to_str(runtime(env.suite).run_function(env.world, name, arguments)[0])


def bfcl(env: Any, name: str, arguments: dict[str, Any]) -> Any:
    from llmgym.adapters.bfcl.services import Call

    return env.world.call(Call(name, arguments))


def tau2(env: Any, name: str, arguments: dict[str, Any]) -> Any:
    from llmgym.adapters.tau2.domains import make_call

    return make_call(env.world, name, arguments)


PACKAGES = {
    "reasoning-gym": reasoning_gym,
    "textarena": textarena,
    "gymnasium": plain_gymnasium,
    "agentdojo": calling(agentdojo),
    "bfcl": calling(bfcl),
    "tau2": calling(tau2),
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
            for _ in range(2):  # the first time is for what both have to load and to compile
                here, there = (list(steps(env_id, args.episodes)) for steps in (ours, PACKAGES[ecosystem]))
            over = [ours_us - own_us for ours_us, own_us in zip(here, there, strict=True)]
            columns = {"step_us": here, "own_us": there, "over_us": over}
            costs[env_id] = {name: round(statistics.median(found), 1) for name, found in columns.items()}
            print(env_id, json.dumps(costs[env_id]), flush=True)
    with serving() as url:
        wire = asyncio.run(compare(url, args.episodes, WIRE_ROUNDS))
    print(json.dumps(wire), flush=True)
    slow = {name: cost["over_us"] for name, cost in costs.items() if cost["over_us"] >= BOUND_US}
    print(json.dumps({"adapters": costs, "over_100_us": slow, "wire": wire}))


if __name__ == "__main__":
    main()
