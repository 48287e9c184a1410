"""Policies without a model: a Python function, and a person."""

from __future__ import annotations

import asyncio
import importlib
import inspect
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, cast

from llmgym.chat import ChatGeneration, Sampling
from llmgym.errors import ConfigError, PolicyError
from llmgym.messages import Message, ToolSchema, as_assistant

Script = Callable[[Sequence[Message], Sequence[ToolSchema]], "str | Message | Awaitable[str | Message]"]


class ScriptedPolicy:
    """A chat policy that is a function of the messages and the tools; the function may be `async`."""

    def __init__(self, script: Script | str) -> None:
        """Keep the function, or find the one that "module.function" names.

        Raises:
            ConfigError: There is no such function.
        """
        self._script = _find(script) if isinstance(script, str) else script
        self.model = f"{self._script.__module__}.{getattr(self._script, '__qualname__', type(self._script).__name__)}"
        self.name = f"script:{self.model}"

    async def start(self) -> None:
        """Nothing to load."""

    async def close(self) -> None:
        """Nothing to free."""

    async def chat(
        self,
        messages: Sequence[Message],
        tools: Sequence[ToolSchema],
        sampling: Sampling,
        *,
        request_id: str,
        session_id: str,
    ) -> ChatGeneration:
        """Call the function.

        Raises:
            PolicyError: It raised, or gave no assistant message.
        """
        try:
            reply = self._script(messages, tools)
            message = as_assistant(await reply if inspect.isawaitable(reply) else reply)
        except Exception as error:
            raise PolicyError(f"{self.name}: {type(error).__name__}: {error}") from error
        return ChatGeneration(message, "stop")


def _find(path: str) -> Script:
    module, _, name = path.rpartition(".")
    try:
        found: Any = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"there is no function {path!r}: {error}") from error
    except Exception as error:  # the module is the user's code
        raise ConfigError(f"cannot import {module}: {type(error).__name__}: {error}") from error
    if not callable(found):
        raise ConfigError(f"{path!r} is a {type(found).__name__}, not a function")
    return cast(Script, found)


class HumanPolicy:
    """A person at the terminal: writes text, or a tool call as `name {"argument": value}`; one episode at a time."""

    name = "human"
    model = "human"

    def __init__(self) -> None:
        """Nobody is typing."""
        self._terminal = asyncio.Lock()

    async def start(self) -> None:
        """Nothing to load."""

    async def close(self) -> None:
        """Nothing to free."""

    async def chat(
        self,
        messages: Sequence[Message],
        tools: Sequence[ToolSchema],
        sampling: Sampling,
        *,
        request_id: str,
        session_id: str,
    ) -> ChatGeneration:
        """Show what is new and read one line.

        Raises:
            PolicyError: The input has ended.
        """
        said = [index for index, message in enumerate(messages) if message["role"] == "assistant"]
        new = [f"[{message['role']}] {message['content']}\n" for message in messages[said[-1] + 1 if said else 0 :]]
        try:
            async with self._terminal:
                line = await asyncio.to_thread(input, "".join(new) + "> ")
        except EOFError:
            raise PolicyError("the input has ended") from None
        return ChatGeneration(read_line(line, {tool["function"]["name"] for tool in tools}), "stop")


def read_line(line: str, tools: set[str]) -> Message:
    """Read what a person typed: `name {...}` with the name of a tool is a call of it, all else is text."""
    name, _, arguments = line.strip().partition(" ")
    if name not in tools:
        return as_assistant(line)
    call = {"type": "function", "function": {"name": name, "arguments": arguments.strip() or "{}"}}
    return as_assistant({"role": "assistant", "content": "", "tool_calls": [call]})
