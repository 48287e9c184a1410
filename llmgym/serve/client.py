"""The tools of an episode, for the program that plays it; its gateway says in a variable where they are."""

from __future__ import annotations

import http.client
import os
import urllib.error
import urllib.request
from typing import TypeVar

import msgspec
import orjson

from llmgym.errors import ConfigError
from llmgym.messages import ToolSchema, tool_call

T = TypeVar("T")

_URL = "LLMGYM_TOOLS_URL"


def list_tools() -> list[ToolSchema]:
    """Schemas of the tools; raises as `call_tool`."""
    return _ask(None, list[ToolSchema])


def call_tool(name: str, arguments: str) -> str:
    """Call a tool, and give its result as text.

    Args:
        name: The tool.
        arguments: Its arguments, as JSON.

    Raises:
        ConfigError: This is no program of an episode, or the episode is over.
    """
    return _ask(orjson.dumps(tool_call(name, arguments)), _Result).content


class _Result(msgspec.Struct):
    content: str


class _Refusal(msgspec.Struct):
    class Error(msgspec.Struct):
        message: str

    error: Error


def _ask(body: bytes | None, form: type[T]) -> T:
    url = os.environ.get(_URL)
    if not url:
        raise ConfigError(f"{_URL} is not set: `llmgym rollout --agent COMMAND` sets it for the program")
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body)) as answer:  # the address of our own gateway
            return msgspec.json.decode(answer.read(), type=form)
    except urllib.error.HTTPError as error:
        said = error.read()
        try:
            why = msgspec.json.decode(said, type=_Refusal).error.message
        except msgspec.DecodeError:
            why = f"{url} is no gateway's: HTTP {error.code}: {said[:200].decode(errors='replace')}"
        raise ConfigError(why) from None
    except msgspec.DecodeError as error:
        raise ConfigError(f"{url} is no gateway's: {error}") from None
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise ConfigError(f"the tools of this episode cannot be reached: {error}") from error
