"""The tools of an episode, for the program that plays it; its gateway says in a variable where they are."""

from __future__ import annotations

import os
import urllib.error
import urllib.request
from typing import Any

import orjson

from llmgym.errors import ConfigError
from llmgym.messages import ToolSchema, tool_call

_URL = "LLMGYM_TOOLS_URL"


def list_tools() -> list[ToolSchema]:
    """Schemas of the tools; raises as `call_tool`."""
    return _ask(None)


def call_tool(name: str, arguments: str) -> str:
    """Call a tool, and give its result as text.

    Args:
        name: The tool.
        arguments: Its arguments, as JSON.

    Raises:
        ConfigError: This is no program of an episode, or the episode is over.
    """
    return _ask(orjson.dumps(tool_call(name, arguments)))["content"]


def _ask(body: bytes | None) -> Any:
    url = os.environ.get(_URL)
    if not url:
        raise ConfigError(f"{_URL} is not set: `llmgym rollout --agent COMMAND` sets it for the program")
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body)) as answer:  # the address of our own gateway
            return orjson.loads(answer.read())
    except urllib.error.HTTPError as error:
        raise ConfigError(orjson.loads(error.read())["error"]["message"]) from None
    except OSError as error:
        raise ConfigError(f"the tools of this episode cannot be reached: {error}") from error
