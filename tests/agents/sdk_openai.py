"""An agent on OpenAI's SDK; arguments: `chat` or `responses`, and `stream` for streams."""

from __future__ import annotations

import json
import os
import sys
import urllib.request
from typing import Any

from openai import OpenAI

client, model = OpenAI(), os.environ["LLMGYM_MODEL"]


def tools(body: Any = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(os.environ["LLMGYM_TOOLS_URL"], data)) as answer:
        return json.load(answer)


def call(name: str, arguments: str) -> str:
    return tools({"function": {"name": name, "arguments": arguments}})["content"]


def chat(stream: bool) -> None:
    history: list[Any] = json.loads(os.environ["LLMGYM_MESSAGES"])
    while True:
        asked: dict[str, Any] = {"model": model, "messages": history, "tools": tools(), "temperature": 0.3}
        if stream:
            with client.chat.completions.stream(**asked, stream_options={"include_usage": True}) as events:
                said = events.get_final_completion().choices[0].message
        else:
            said = client.chat.completions.create(**asked).choices[0].message
        kept = said.model_dump(
            exclude_none=True, exclude={"parsed": True, "tool_calls": {"__all__": {"function": {"parsed_arguments"}}}}
        )
        history.append(kept)
        for made in said.tool_calls or ():
            found = call(made.function.name, made.function.arguments)
            history.append({"role": "tool", "tool_call_id": made.id, "content": found})
        if not said.tool_calls:
            return


def responses(stream: bool) -> None:
    items: list[Any] = json.loads(os.environ["LLMGYM_MESSAGES"])
    offered = [{"type": "function", "strict": False, **tool["function"]} for tool in tools()]
    while True:
        asked: dict[str, Any] = {"model": model, "input": items, "tools": offered, "store": False}
        if stream:
            with client.responses.stream(**asked) as events:
                said = events.get_final_response()
        else:
            said = client.responses.create(**asked)
        items += [item.model_dump(exclude_none=True, exclude={"parsed_arguments"}) for item in said.output]
        calls = [item for item in said.output if item.type == "function_call"]
        for made in calls:
            found = call(made.name, made.arguments)
            items.append({"type": "function_call_output", "call_id": made.call_id, "output": found})
        if not calls:
            return


if __name__ == "__main__":
    globals()[sys.argv[1]]("stream" in sys.argv)
