"""What a step of each environment costs, played by its oracle, with no model. The last line is one JSON object.

For every own environment, variants left out: microseconds of CPU of this process for a `reset` (drawing the task
included, `task_us` alone), for a `step` of the oracle's messages that ends nothing, and for the last step, which
verifies; medians over episodes. `median_step_us` is the median over environments without a sandbox, which must be below
100, and `over_100_us` names those whose own is not.

    python benchmarks/environments.py [--episodes N] [ID ...]
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from typing import Any

import gymnasium

from llmgym.catalogue import EnvEntry
from llmgym.env import ToolEnv
from llmgym.registry import list_envs

EPISODES = 60
BOUND_US = 100.0


def cost(entry: EnvEntry, episodes: int) -> dict[str, float]:
    env = gymnasium.make(entry.id).unwrapped
    assert isinstance(env, ToolEnv)
    spent: dict[str, list[float]] = {"reset_us": [], "step_us": [], "last_us": [], "task_us": []}
    for number in range(episodes + 1):
        spent["task_us"].append(timed(env.tasks.draw, "train", 7, number)[1])
        (_, info), took = timed(env.reset, seed=number)
        spent["reset_us"].append(took)
        task = env.tasks.get(info["task_id"])
        ended = False
        for message in env.oracle(task):
            (_, _, terminated, truncated, _), took = timed(env.step, message)
            ended = terminated or truncated
            spent["last_us" if ended else "step_us"].append(took)
        assert ended, entry.id
        if number == 0:  # what is made once
            spent = {name: [] for name in spent}
    env.close()
    return {name: round(statistics.median(times), 1) for name, times in spent.items() if times}


def timed(function: Any, *args: Any, **kwargs: Any) -> tuple[Any, float]:
    began = time.process_time_ns()
    result = function(*args, **kwargs)
    return result, (time.process_time_ns() - began) / 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ids", nargs="*", metavar="ID")
    parser.add_argument("--episodes", type=int, default=EPISODES)
    args = parser.parse_args()
    ours = [entry for entry in list_envs() if entry.id == entry.base and entry.id.startswith("llmgym/")]
    entries = [entry for entry in ours if "judge" not in entry.needs]
    costs: dict[str, dict[str, float]] = {}
    for entry in entries:
        if not args.ids or entry.id in args.ids:
            costs[entry.id] = cost(entry, args.episodes)
            print(entry.id, json.dumps(costs[entry.id]), flush=True)
    inside = {entry.id for entry in entries if "sandbox" in entry.needs}
    steps = {name: found["step_us"] for name, found in costs.items() if "step_us" in found and name not in inside}
    slow = {name: step for name, step in steps.items() if step >= BOUND_US}
    median = statistics.median(steps.values()) if steps else None
    print(json.dumps({"environments": costs, "median_step_us": median, "over_100_us": slow}))


if __name__ == "__main__":
    main()
