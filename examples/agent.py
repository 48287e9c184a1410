"""An agent program for `llmgym rollout --agent "python examples/agent.py"`; it needs nothing but Python.

It asks the policy over Chat Completions and calls the environment's tools until the policy calls none.
"""

from __future__ import annotations

import json
import os
import sys
import urllib.request
from typing import Any


def ask(url: str, body: Any = None) -> Any:
    """Send JSON, and read what is answered."""
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data)) as answer:
        return json.loads(answer.read())


def main() -> None:
    """Play one episode."""
    tools = ask(os.environ["LLMGYM_TOOLS_URL"])
    known = os.environ.get("LLMGYM_MESSAGES")  # which holds no task of more than 128 KiB
    messages: list[Any] = json.loads(known) if known else [{"role": "user", "content": sys.stdin.read()}]
    while True:
        request = {"model": os.environ["LLMGYM_MODEL"], "messages": messages, "tools": tools}
        said = ask(os.environ["OPENAI_BASE_URL"] + "/chat/completions", request)["choices"][0]["message"]
        messages.append(said)
        for call in said.get("tool_calls", []):
            found = ask(os.environ["LLMGYM_TOOLS_URL"], call)
            messages.append({"role": "tool", "tool_call_id": call["id"], "content": found["content"]})
        if not said.get("tool_calls"):
            return


if __name__ == "__main__":
    main()
