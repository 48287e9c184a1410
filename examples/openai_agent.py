"""An agent written with OpenAI's SDK, for `llmgym rollout --agent "python examples/openai_agent.py"`.

A loop over tools and a second look at the answer. The SDK finds the policy by itself; of llmgym are the task, the
model's name and the address of the tools.
"""

from __future__ import annotations

import json
import os
import sys
import urllib.request
from typing import Any

from openai import OpenAI

TOOLS_URL = os.environ["LLMGYM_TOOLS_URL"]


def tools(call: Any = None) -> Any:
    """List the tools, or call one."""
    body = None if call is None else json.dumps(call).encode()
    with urllib.request.urlopen(urllib.request.Request(TOOLS_URL, body)) as answer:
        return json.loads(answer.read())


def main() -> None:
    """Play one episode."""
    client = OpenAI()  # of OPENAI_BASE_URL and OPENAI_API_KEY
    offered = {"tools": found} if (found := tools()) else {}
    messages: list[Any] = [{"role": "user", "content": sys.stdin.read()}]
    reviewed = False
    while True:
        reply = client.chat.completions.create(model=os.environ["LLMGYM_MODEL"], messages=messages, **offered)
        said = reply.choices[0].message
        messages.append(said.model_dump(exclude_none=True))
        for call in said.tool_calls or []:
            content = tools(call.model_dump())["content"]
            messages.append({"role": "tool", "tool_call_id": call.id, "content": content})
        if not said.tool_calls:
            if reviewed:
                return
            reviewed = True
            messages.append({"role": "user", "content": "Check that, and give your final answer."})


if __name__ == "__main__":
    main()
