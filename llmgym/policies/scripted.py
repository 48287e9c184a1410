"""A policy that is a Python function."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from typing import cast

from llmgym.chat import ChatGeneration, Sampling
from llmgym.errors import ConfigError, PolicyError
from llmgym.loading import FUNCTION, described, load
from llmgym.messages import Message, ToolSchema, as_assistant

Script = Callable[[Sequence[Message], Sequence[ToolSchema]], "str | Message | Awaitable[str | Message]"]


class ScriptedPolicy:
    """A chat policy that is a function of the messages and the tools; the function may be `async`.

    ```python
    Collector(["llmgym/Calculator-v0"], ScriptedPolicy(lambda messages, tools: "The answer is 7."))
    ```

    Attributes:
        name: "script:" and the function's dotted name.
        model: The function's dotted name.
    """

    def __init__(self, script: Script | str) -> None:
        """Keep the function, or find the one that "module.function" or "module:function" names.

        Raises:
            ConfigError: There is no such function, or it does not take messages and tools.
        """
        self._script = cast(Script, load(script, "script", kind=FUNCTION)) if isinstance(script, str) else script
        name = getattr(self._script, "__qualname__", type(self._script).__name__)
        self.model = f"{getattr(self._script, '__module__', type(self._script).__module__)}.{name}"
        self.name = f"script:{self.model}"
        try:
            inspect.signature(self._script).bind([], [])
        except TypeError as error:
            raise ConfigError(f"{self.name} is called with the messages and the tools, but: {error}") from None
        except ValueError:  # some of C's functions have no signature
            pass

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
            PolicyError: It raised, or gave no assistant message; says where.
        """
        try:
            reply = self._script(messages, tools)
            message = as_assistant(await reply if inspect.isawaitable(reply) else reply)
        except (Exception, SystemExit) as error:
            raise PolicyError(f"{self.name}: {described(error)}") from error
        return ChatGeneration(message, "stop")
