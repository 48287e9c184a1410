"""The client of the Open Reward Standard against a server: `ors_client.py URL KEY`, in an environment with openreward.

On the input is `{"env": ..., "split": ..., "index": ..., "calls": [[name, arguments], ...], "answer": ...}`; on the
output is what came of them.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import sys
from typing import Any

url, key = sys.argv[1:]
os.environ |= {"OPENREWARD_API_URL": url, "OPENREWARD_SESSION_URL": url, "OPENREWARD_DISABLE_UPDATE_CHECK": "1"}

from openreward import AsyncOpenReward  # noqa: E402 -- it looks at the environment
from openreward.api.errors import OpenRewardError  # noqa: E402


async def main() -> dict[str, Any]:
    given = json.load(sys.stdin)
    client = AsyncOpenReward(api_key=key)
    env = client.environments.get(given["env"])
    split, index = given["split"], given["index"]
    found: dict[str, Any] = {"splits": await env.list_splits(), "tools": [tool.name for tool in await env.list_tools()]}
    found["tasks"] = [task.task_spec for task in await env.get_task_range(split, index, index + 2)]
    task = await env.get_task(split, index)
    outputs: list[Any] = []
    async with env.session(task=task) as session:
        found["prompt"] = [block.text for block in await session.get_prompt()]
        found["messages"] = await session.get_messages(format="openai")
        found["final"] = await session.is_assistant_message_final()
        for name, arguments in given["calls"]:
            try:
                outputs.append(dataclasses.asdict(await session.call_tool(name, arguments)))
            except OpenRewardError as error:
                outputs.append(f"{type(error).__name__}: {error}")
        try:
            outputs.append(dataclasses.asdict(await session.call_terminal_tool(given["answer"])))
        except OpenRewardError as error:
            outputs.append(f"{type(error).__name__}: {error}")
    found["outputs"] = outputs
    async with env.session(split=split, index=index) as session:
        found["again"] = [block.text for block in await session.get_prompt()] == found["prompt"]
    await client.environments.aclose()
    return found


print(json.dumps(asyncio.run(main())))
