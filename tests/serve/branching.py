"""An agent program with a prompt of its own, a title, a reply that it drops, and then calls and an answer."""

from __future__ import annotations

import json
import os
import urllib.request
from typing import Any


def ask(url: str, body: Any = None) -> Any:
    """Send JSON, and read what is answered."""
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data)) as answer:
        return json.loads(answer.read())


def say(messages: list[Any], **more: Any) -> Any:
    """What the policy says."""
    body = {"model": "any", "messages": messages, **more}
    return ask(os.environ["OPENAI_BASE_URL"] + "/chat/completions", body)["choices"][0]["message"]


def main() -> None:
    """Play one episode."""
    tools = ask(os.environ["LLMGYM_TOOLS_URL"])
    task = os.environ["LLMGYM_TASK"].split("\n\n")[-1]
    messages: list[Any] = [{"role": "system", "content": "You are an agent."}, {"role": "user", "content": task}]
    say([{"role": "user", "content": f"A title for: {task}"}])
    say(messages, tools=tools)  # and once more, since it is dropped
    while True:
        said = say(messages, tools=tools)
        messages.append(said)
        for call in said.get("tool_calls", []):
            found = ask(os.environ["LLMGYM_TOOLS_URL"], call)
            messages.append({"role": "tool", "tool_call_id": call["id"], "content": found["content"]})
        if not said.get("tool_calls"):
            return


if __name__ == "__main__":
    main()
