"""An agent of langgraph with the tools over MCP; `stream` as an argument for streams."""

from __future__ import annotations

import asyncio
import os
import sys

from langchain_mcp_adapters.client import MultiServerMCPClient
from langchain_openai import ChatOpenAI
from langgraph.prebuilt import create_react_agent


async def main(stream: bool) -> None:
    server = {"transport": "streamable_http", "url": os.environ["LLMGYM_MCP_URL"]}
    tools = await MultiServerMCPClient({"llmgym": server}).get_tools()
    agent = create_react_agent(ChatOpenAI(model=os.environ["LLMGYM_MODEL"], streaming=stream), tools)
    async for _ in agent.astream({"messages": [("user", os.environ["LLMGYM_TASK"])]}, stream_mode="messages"):
        pass


if __name__ == "__main__":
    asyncio.run(main("stream" in sys.argv))
