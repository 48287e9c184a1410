"""A session at a server, begun when it is first needed and again where the server has lost it between episodes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TypeVar

import msgspec
from gymnasium.error import ResetNeeded

from llmgym.adapters.remote.host import Host, Refused
from llmgym.adapters.remote.protocol import (
    Close,
    Closed,
    EnvInfo,
    Group,
    GroupGraded,
    Opened,
    Oracle,
    Request,
    Reset,
    Stepped,
)
from llmgym.env.episode import Report
from llmgym.errors import EnvironmentFailure, TaskError
from llmgym.messages import Message

T = TypeVar("T", Opened, Stepped, Closed)

_CLOSING_S = 5.0


class RemoteSession:
    """See the module.

    Attributes:
        host: The server.
        info: What it says of the environment.
        report: What it has told of the last episode besides the steps; None until that has ended.
    """

    def __init__(self, host: Host, info: EnvInfo, seconds: float) -> None:
        """Name the environment.

        Args:
            host: The server.
            info: The environment there.
            seconds: Time that it has for an answer.
        """
        self.host, self.info, self._seconds = host, info, seconds
        self.report: Report | None = None
        self._at, self._id, self._turn = host, "", 0

    async def reset(self, request: Reset) -> Opened:
        """Begin an episode.

        Raises:
            TaskError: The server does not know the task, or an option.
            EnvironmentFailure: The environment there failed, or the server cannot be reached.
        """
        if request.seed is not None and request.seed >= 1 << 63:
            raise TaskError(f"the seed {request.seed} has more than 63 bits, which servers do not take")
        self.report = None
        try:
            if self._id:
                try:
                    return await self.ask(request, Opened)
                except Refused as error:
                    if error.error.wrong not in ("unknown_session", "conflict"):
                        raise
            self._id = ""
            opened = await self.host.open(msgspec.structs.replace(request, env=self.info.name), self._seconds)
        except Refused as error:
            if error.error.wrong != "bad_request":
                self.report = error.report
                raise
            raise TaskError(str(error)) from None
        self._at = self.host.other(opened.url) if opened.url else self.host
        self._id, self._turn = opened.session, 1
        return opened

    async def ask(self, request: Request, form: type[T], seconds: float | None = None) -> T:
        """Ask for something.

        Raises:
            ResetNeeded: No episode is running there.
            EnvironmentFailure: The server did not do it, or cannot be reached.
        """
        request = msgspec.structs.replace(request, session=self._id, turn=self._turn)
        self._turn += 1
        try:
            return await self._at.line().ask(request, form, seconds or self._seconds)
        except Refused as error:
            if error.error.wrong == "ended":
                raise ResetNeeded(str(error)) from None
            if error.error.wrong != "bad_request":
                self.report, self._id = error.report, ""  # a new session is taken for the next episode
            raise
        except BaseException:
            self._id = ""
            raise

    async def judge(self, request: Group) -> GroupGraded:
        """Have repeats scored beside each other; raises as `ask` does."""
        return await self.host.line().ask(request, GroupGraded, self._seconds)

    def oracle(self) -> Iterator[Message | str]:
        """What the oracle there says; for synchronous code, which it holds up."""
        while True:
            self._turn += 1
            said = self._at.oracle(Oracle(session=self._id, turn=self._turn - 1))
            if said is None:
                return
            yield said

    async def close(self) -> None:
        """End the session, as far as the server can be reached."""
        if self._id:
            with contextlib.suppress(EnvironmentFailure):
                await self.ask(Close(), Closed, _CLOSING_S)
            self._id = ""
