"""An agent of OpenAI's Agents SDK with the tools over MCP; arguments: `chat` or `responses`, and `stream`."""

from __future__ import annotations

import asyncio
import os
import sys

from agents import Agent, Runner, set_default_openai_api, set_tracing_disabled
from agents.mcp import MCPServerStreamableHttp


async def main(kind: str, stream: bool) -> None:
    set_tracing_disabled(True)
    set_default_openai_api("chat_completions" if kind == "chat" else "responses")
    async with MCPServerStreamableHttp(params={"url": os.environ["LLMGYM_MCP_URL"]}) as server:
        agent = Agent(name="agent", model=os.environ["LLMGYM_MODEL"], mcp_servers=[server])
        if not stream:
            await Runner.run(agent, os.environ["LLMGYM_TASK"])
            return
        async for _ in Runner.run_streamed(agent, os.environ["LLMGYM_TASK"]).stream_events():
            pass


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], "stream" in sys.argv))
