"""An agent on Anthropic's SDK; `stream` as an argument for streams."""

from __future__ import annotations

import json
import os
import sys
import urllib.request
from typing import Any

from anthropic import Anthropic

client = Anthropic()


def tools(body: Any = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(os.environ["LLMGYM_TOOLS_URL"], data)) as answer:
        return json.load(answer)


def main(stream: bool) -> None:
    opening = json.loads(os.environ["LLMGYM_MESSAGES"])
    history = [message for message in opening if message["role"] != "system"]
    system = [{"type": "text", "text": m["content"]} for m in opening if m["role"] == "system"]
    functions = [tool["function"] for tool in tools()]
    offered = [
        {"name": one["name"], "description": one["description"], "input_schema": one["parameters"]} for one in functions
    ]
    model = os.environ["LLMGYM_MODEL"]
    while True:
        asked: dict[str, Any] = {
            "model": model, "max_tokens": 1000, "messages": history, "system": system, "tools": offered,
        }  # fmt: skip
        assert client.messages.count_tokens(model=model, messages=history, system=system, tools=offered).input_tokens
        if stream:
            with client.messages.stream(**asked) as events:
                said = events.get_final_message()
        else:
            said = client.messages.create(**asked)
        history.append({"role": "assistant", "content": [b.model_dump(exclude_none=True) for b in said.content]})
        uses = [block for block in said.content if block.type == "tool_use"]
        results = [
            {
                "type": "tool_result",
                "tool_use_id": use.id,
                "content": tools({"function": {"name": use.name, "arguments": json.dumps(use.input)}})["content"],
            }
            for use in uses
        ]
        if not uses:
            return
        history.append({"role": "user", "content": results})


if __name__ == "__main__":
    main("stream" in sys.argv)
