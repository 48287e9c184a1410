"""A session with an OpenEnv server, over one WebSocket: resets, steps, and what its errors mean."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from llmgym.adapters.wire import Server, Socket
from llmgym.errors import ToolError

_FULL: Final = "CAPACITY_REACHED"
_PAUSE_S = 0.2


class Step(NamedTuple):
    """What a server answered to a reset or a step.

    Attributes:
        observation: As it is.
        reward: None where there is none.
        done: Whether the episode has ended.
    """

    observation: dict[str, Any]
    reward: float | None
    done: bool


class Session:
    """A session, which ends with its connection."""

    def __init__(self, server: Server, socket: Socket) -> None:
        """Speak over an open socket; see `begin`."""
        self._server, self._socket = server, socket

    @classmethod
    async def begin(cls, server: Server, reset: Mapping[str, Any], *, lists: bool, seconds: float) -> Begun:
        """Open a session and reset it; wait while the server has no place for another one.

        Args:
            server: The server.
            reset: What `reset` is given.
            lists: Whether to ask for tools.
            seconds: For all of it.

        Raises:
            EnvironmentFailure: The server cannot be reached, refuses, or has no place in this time.
        """
        until = asyncio.get_running_loop().time() + seconds
        while True:
            left = until - asyncio.get_running_loop().time()
            session = cls(server, await Socket.open(server, "/ws", seconds=left))
            try:
                tools = await session._tools(left) if lists else []
                return Begun(session, tools, await session._exchange("reset", reset, left))
            except _Full as full:
                await session.close()
                if left < 2 * _PAUSE_S:
                    raise server.fault(f"{full}; a run with fewer episodes at a time needs fewer") from None
                await asyncio.sleep(_PAUSE_S)
            except ToolError as error:
                await session.close()
                raise server.fault(f"refuses the reset {dict(reset)!r:.200}: {error}", "invalid") from None
            except BaseException:
                await session.close()
                raise

    async def step(self, action: Mapping[str, Any], *, seconds: float) -> Step:
        """Act.

        Raises:
            ToolError: The server says that the action makes no sense.
            EnvironmentFailure: It is gone, or it failed, or its answer cannot be read.
        """
        return await self._exchange("step", action, seconds)

    async def close(self) -> None:
        """End it."""
        await self._socket.close()

    async def _tools(self, seconds: float) -> list[dict[str, Any]]:
        said = (await self._exchange("step", {"type": "list_tools"}, seconds)).observation
        listed = said.get("tools")
        metadata = said.get("metadata")
        if isinstance(metadata, dict) and "error" in metadata:
            raise self._server.fault(f"cannot list its tools: {metadata['error']!s:.300}")
        if not isinstance(listed, list) or not all(
            isinstance(each, dict) and isinstance(each.get("name"), str) for each in listed
        ):
            raise self._server.fault(f"lists tools as {said!r:.300}", "invalid")
        return listed

    async def _exchange(self, kind: str, data: Mapping[str, Any], seconds: float) -> Step:
        found = await self._socket.ask({"type": kind, "data": data}, seconds=seconds)
        said = found.get("data")
        if not isinstance(said, dict):
            raise self._server.fault(f"answered {kind!r} with {found!r:.300}", "invalid")
        if found.get("type") == "error":
            raise self._error(kind, said)
        observation, reward, done = said.get("observation"), said.get("reward"), said.get("done")
        if (
            found.get("type") != "observation"
            or not isinstance(observation, dict)
            or not isinstance(done, bool)
            or not (reward is None or (isinstance(reward, int | float) and math.isfinite(reward)))
        ):
            raise self._server.fault(f"answered {kind!r} with {found!r:.300}", "invalid")
        return Step(observation, None if reward is None else float(reward), done)

    def _error(self, kind: str, said: Mapping[str, Any]) -> Exception:
        code, text = said.get("code"), str(said.get("message", ""))
        if code == "VALIDATION_ERROR":
            details = said.get("errors")
            lines = map(_detail, details) if isinstance(details, list) and details else [text]
            return ToolError("; ".join(lines))
        if code == _FULL:
            return _Full(f"has no place for another session: {text}")
        raised = code == "EXECUTION_ERROR"
        return self._server.fault(
            f"failed at {kind!r} ({code}): {text:.300}", "environment" if raised else "infrastructure"
        )


class Begun(NamedTuple):
    """A session that has begun.

    Attributes:
        session: The session.
        tools: What it lists.
        step: What it answered to the reset.
    """

    session: Session
    tools: list[dict[str, Any]]
    step: Step


class _Full(Exception):
    """The server has no place for another session."""


def _detail(error: Any) -> str:
    if not isinstance(error, Mapping):
        return str(error)
    place = error.get("loc")
    where = ".".join(map(str, place)) if isinstance(place, list) else ""
    return f"{where}: {error.get('msg')}" if where else str(error.get("msg"))
