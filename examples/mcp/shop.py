"""An environment over the tools of an MCP server, whose oracle plays three episodes, each with a server of its own."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import gymnasium
import numpy as np

import llmgym
from llmgym.adapters.mcp import MCP
from llmgym.messages import Message, assistant, tool_call
from llmgym.tasks import Task, TaskSet

SERVER = [sys.executable, str(Path(__file__).with_name("shop_server.py"))]  # or "https://HOST/mcp"
PRICES = {"lamp": 12, "chair": 45, "desk": 130, "rug": 80}


def order(rng: np.random.Generator) -> Task:
    item, count = str(rng.choice(list(PRICES))), int(rng.integers(2, 100))
    prompt = f'How many euros are {count} of the item "{item}"? End with a line such as\nAnswer: 120'
    return Task(prompt=prompt, answer=str(PRICES[item] * count), metadata={"item": item})


class Shop(MCP):
    """Say what an order costs, at the prices that the shop's server tells."""

    tasks = TaskSet.generated(order)

    def oracle(self, task: Task) -> Iterator[Message | str]:
        yield assistant("", tool_call("price", item=task.metadata["item"]))
        yield f"Answer: {task.answer}"


if __name__ == "__main__":
    gymnasium.register_envs(llmgym)
    gymnasium.register("examples/Shop-v0", entry_point=Shop, kwargs={"server": SERVER})
    env = gymnasium.make("examples/Shop-v0", render_mode="ansi")
    for seed in range(3):
        env.reset(seed=seed)
        shop = env.unwrapped
        reward = sum(float(env.step(message)[1]) for message in shop.oracle(shop.task))
        print(env.render(), f"reward {reward:g}\n", sep="\n")
    env.close()
