"""A Python session as a tool of an environment: what a model gets to see of its cells."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from typing import Any

from llmgym.sandbox import Result, Sandbox, Session

SECONDS = 10.0
"""Seconds that a cell may run."""

SHOWN = 8000
"""Characters that are shown of what a cell gives."""


class Cells:
    """A Python session that is started with its first cell, and anew where a cell has ended it."""

    def __init__(self, sandbox: Sandbox, variables: Mapping[str, Any] | None = None) -> None:
        """Describe it.

        Args:
            sandbox: Where it runs.
            variables: JSON values that it holds from its start, by name.
        """
        self._sandbox = sandbox
        self._variables = dict(variables or {})
        self._session: Session | None = None

    async def run(self, code: str) -> str:
        """What a cell prints, the value of an expression at its end, and what is raised.

        Raises:
            SandboxFailure: The sandbox failed.
        """
        session = self._session or await self._start()
        result = await session.run(code, timeout=SECONDS)
        shown = _shown(result)
        if result.status == "lost":
            await self.aclose()
            return f"{shown}The session has ended. The next call starts it anew, with none of your variables."
        return shown.rstrip("\n") or "(no output)"

    async def _start(self) -> Session:
        self._session = await contextlib.AsyncExitStack().enter_async_context(self._sandbox.session())
        if self._variables:
            await self._session.run(f"globals().update(__import__('json').loads({json.dumps(self._variables)!r}))")
        return self._session

    async def aclose(self) -> None:
        """End the session."""
        session, self._session = self._session, None
        if session is not None:
            await session.aclose()


def _shown(result: Result) -> str:
    text = result.stdout + result.stderr
    if len(text) > SHOWN:
        text = f"{text[:SHOWN]}\n... ({len(text) - SHOWN:,} characters more)\n"
    if result.status == "timeout":
        text += f"The cell ran for {SECONDS:g} seconds and was interrupted; the variables are as it left them.\n"
    return text
