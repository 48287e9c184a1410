#!/usr/bin/env bash
# A long result of a tool loses blanks on its way from openreward's server to its client, without an error.
#
# What happens: the server sends a result in pieces of 4,096 characters, an event each; the client reads each piece
# without the blanks that it begins with. One would have expected the text of the tool.
# Why it matters: the model is shown another text than the tool gave, of which code and tables are the first to break;
# it is seen in long results alone, and in few of them.
# Seen with openreward 0.1.167, both sides.
# In llmgym: pieces of `llmgym serve env --front ors` begin with no blank (`llmgym/serve/fronts/sse.py`).
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet openreward==0.1.167
"$folder/venv/bin/python" - <<'PYTHON'
import asyncio
import logging
import os
import sys
import threading

logging.disable(logging.CRITICAL)
os.environ |= {"OPENREWARD_DISABLE_UPDATE_CHECK": "1", "OPENREWARD_LOG_LEVEL": "CRITICAL"}
import uvicorn
from openreward import AsyncOpenReward
from openreward.environments import Environment, Server, TextBlock, ToolOutput, tool

TEXT = "word " * 4000


class Words(Environment):
    @classmethod
    def list_splits(cls):
        return ["train"]

    @classmethod
    def list_tasks(cls, split):
        return [{"id": "0"}]

    def get_prompt(self):
        return [TextBlock(text="Read.")]

    @tool
    def read(self) -> ToolOutput:
        """Read."""
        return ToolOutput(blocks=[TextBlock(text=TEXT)])


server = uvicorn.Server(uvicorn.Config(Server([Words]).app, host="127.0.0.1", port=0, log_level="critical"))
threading.Thread(target=server.run, daemon=True).start()
while not server.started:
    threading.Event().wait(0.05)
url = "http://127.0.0.1:%d" % server.servers[0].sockets[0].getsockname()[1]
os.environ |= {"OPENREWARD_API_URL": url, "OPENREWARD_SESSION_URL": url}


async def main():
    client = AsyncOpenReward(api_key="none")
    async with client.environments.get("words").session(split="train", index=0) as session:
        text = (await session.call_tool("read", {})).blocks[0].text
    await client.environments.aclose()
    return text


text = asyncio.run(main())
at = next((place for place, (a, b) in enumerate(zip(text, TEXT)) if a != b), None)
print(f"the tool wrote {len(TEXT)} characters, the client has {len(text)}")
if at is not None:
    print(f"at {at}: {text[at - 10 : at + 10]!r} for {TEXT[at - 10 : at + 10]!r}")
sys.stdout.flush()
os._exit(0 if len(text) < len(TEXT) and text.replace(" ", "") == TEXT.replace(" ", "") else 1)
PYTHON
