"""OpenEnv's own clients against a server: `openenv_client.py URL`, in an environment that has openenv.

On the input is `{"reset": ..., "actions": [...], "calls": [[name, arguments], ...]}`: the actions of a
`GenericEnvClient`, and calls that an `MCPToolClient` makes in another session. On the output is what came of them.
"""

from __future__ import annotations

import asyncio
import json
import sys
import urllib.request
from typing import Any

from openenv.core.generic_client import GenericEnvClient
from openenv.core.mcp_client import MCPToolClient


def ask(path: str, body: Any = None) -> Any:
    """What the Task API says; OpenEnv has no client for it."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url + path, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        return json.loads(answer.read())


async def main() -> dict[str, Any]:
    given = json.load(sys.stdin)
    found: dict[str, Any] = {path: ask(f"/{path}") for path in ("health", "metadata", "schema", "list_environments")}
    (name,) = found["list_environments"]
    found["splits"] = ask(f"/{name}/splits")
    found["tasks"] = ask(f"/{name}/task_range", {"split": "train", "start": 0, "stop": 2})["tasks"]
    async with GenericEnvClient(base_url=url) as env:
        steps = [await env.reset(**given["reset"]), *[await env.step(action) for action in given["actions"]]]
        found["steps"] = [[step.observation, step.reward, step.done, step.metadata] for step in steps]
        found["state"] = await env.state()
        try:
            await env.step({"nonsense": 1})
        except RuntimeError as error:
            found["refused"] = str(error)
    async with MCPToolClient(base_url=url) as env:
        await env.reset(**given["reset"])
        found["tools"] = [tool.name for tool in await env.list_tools()]
        found["called"] = [await env.call_tool(name, **arguments) for name, arguments in given["calls"]]
    return found


url = sys.argv[1].rstrip("/")
print(json.dumps(asyncio.run(main())))
