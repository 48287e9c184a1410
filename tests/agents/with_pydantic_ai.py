"""An agent of pydantic-ai with the tools over MCP; arguments: `chat`, `responses` or `anthropic`, and `stream`."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

from pydantic_ai import Agent
from pydantic_ai.mcp import MCPToolset
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel

MODELS: dict[str, Any] = {"chat": OpenAIChatModel, "responses": OpenAIResponsesModel, "anthropic": AnthropicModel}


async def main(kind: str, stream: bool) -> None:
    toolset = MCPToolset(os.environ["LLMGYM_MCP_URL"])
    agent = Agent(MODELS[kind](os.environ["LLMGYM_MODEL"]), toolsets=[toolset], retries=3)
    if stream:
        async with agent.run_stream(os.environ["LLMGYM_TASK"]) as reply:
            await reply.get_output()
    else:
        await agent.run(os.environ["LLMGYM_TASK"])


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], "stream" in sys.argv))
