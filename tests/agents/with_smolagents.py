"""An agent of smolagents, which writes its own turns anew each time; `stream` as an argument for streams."""

from __future__ import annotations

import json
import os
import sys
import urllib.request
from typing import Any

from smolagents import OpenAIServerModel, Tool, ToolCallingAgent


def ask(body: Any = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(os.environ["LLMGYM_TOOLS_URL"], data)) as answer:
        return json.load(answer)


class Remote(Tool):
    """A tool of the episode."""

    output_type = "string"
    skip_forward_signature_validation = True

    def __init__(self, function: Any) -> None:
        self.name, self.description = function["name"], function["description"]
        self.inputs = {
            name: {"type": one.get("type", "any"), "description": one.get("description", name)}
            for name, one in function["parameters"]["properties"].items()
        }
        super().__init__()

    def forward(self, **arguments: Any) -> str:
        return ask({"function": {"name": self.name, "arguments": json.dumps(arguments)}})["content"]


if __name__ == "__main__":
    model = OpenAIServerModel(
        os.environ["LLMGYM_MODEL"], api_base=os.environ["OPENAI_BASE_URL"], api_key=os.environ["OPENAI_API_KEY"],
        tool_choice="auto",
    )  # fmt: skip
    tools = [Remote(tool["function"]) for tool in ask()]
    agent = ToolCallingAgent(tools, model, max_steps=6, stream_outputs="stream" in sys.argv)
    agent.run(os.environ["LLMGYM_TASK"])
