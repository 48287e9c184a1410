"""Sessions: a contained Python, or shell, that keeps its state from one cell to the next."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Literal, Self

from llmgym.errors import ConfigError
from llmgym.sandbox import runs
from llmgym.sandbox.groups import Group
from llmgym.sandbox.inside.programs import NO_MEMORY
from llmgym.sandbox.results import Limits, Result, SandboxFailure, Status
from llmgym.sandbox.walls import Level
from llmgym.sandbox.wire import Channel, Closed, blank
from llmgym.sandbox.zygotes import leased, place

_GRACE = 1.0  # seconds from an interrupt to the end of what does not heed it
_DEATH = 10.0  # seconds that a kill may take


class Session:
    """A contained process that runs cells, one after another; `async with` starts and ends it.

    A cell that runs past its time is interrupted, and the state stays as it is then. What does not heed that is killed,
    and the session is lost, as it is when a cell ends the process or nobody waits for it any more. Cells of a lost
    session have the status "lost".
    """

    def __init__(
        self,
        kind: Literal["session", "shell"],
        level: Level,
        imports: tuple[str, ...],
        files: Mapping[str, bytes],
        limits: Limits,
    ) -> None:
        """Describe it; `Sandbox.session` and `Sandbox.shell` do."""
        self._kind: Literal["session", "shell"] = kind
        self._level: Level = level
        self._imports, self._files, self._limits = imports, files, limits
        self._turn = asyncio.Lock()
        self._folder = -1
        self._group: Group | None = None
        self._lost: int | None = None  # exit code of the process

    async def __aenter__(self) -> Self:
        """Start it.

        Raises:
            SandboxFailure: It cannot be started.
        """
        async with leased(self._level, self._imports) as self._zygote:
            await self._begin()
        return self

    async def _begin(self) -> None:
        handover = runs.Handover(b"", b"", self._files, self._limits, link=True, grouped=self._zygote.grouped)
        try:
            message = handover.message(self._kind, ())
            self._number, self._end = self._zygote.begin(message, handover.fds, session=True)
            handover.handed_over()
            assert handover.link is not None
            self._link = handover.link.dup()
            self._group, handover.group = handover.group, None
        finally:
            handover.close()
        self._channel = Channel(self._link)
        try:
            await _readable(self._link.fileno())
            self._folder = runs.folder_from(self._link)
        except Closed:  # it was never contained, which its end tells
            try:
                await self._ended()
            finally:
                await self.aclose()
            raise SandboxFailure(f"the sandbox {self._level}: a session ended before it began") from None
        except BaseException:
            await self.aclose()
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it."""
        await self.aclose()

    async def run(self, source: str, timeout: float = 10.0) -> Result:
        """Run a cell: Python, whose last expression is shown as at the prompt, or a command of a shell.

        Args:
            source: What to run.
            timeout: Seconds until it is interrupted.

        Raises:
            SandboxFailure: The sandbox failed.
            ConfigError: A command has a NUL character.
        """
        if self._kind == "shell" and "\0" in source:
            raise ConfigError("a command of a shell cannot hold a NUL character")
        async with self._turn, place(self._level, self._imports):
            started = time.monotonic()
            code, stdout, stderr = blank(runs.as_bytes(source)), blank(), blank()
            try:
                answer, late = await self._ask((code, stdout, stderr), timeout)
                status, exit_code = self._status(answer, late, max(os.fstat(fd).st_size for fd in (stdout, stderr)))
                out, err = runs.text(stdout, self._limits), runs.text(stderr, self._limits)
            finally:
                for fd in (code, stdout, stderr):
                    os.close(fd)
            cpu = answer["cpu"] if answer else 0.0
            return Result(status, exit_code, out, err, {}, cpu, time.monotonic() - started, 0, self._level)

    def read(self, name: str) -> bytes | None:
        """A file of the session's folder; None where it is no regular file, or larger than the limit.

        Raises:
            FileNotFoundError: It is not there.
        """
        return runs.read_file(self._folder, runs.checked_name(name), self._limits.disk)

    def names(self, limit: int = 10_000) -> list[str]:
        """Names of all that is no folder in the session's folder and in those inside of it, links not followed.

        Args:
            limit: How many are named at most.
        """
        return runs.names_in(self._folder, limit)

    async def aclose(self) -> None:
        """End it, with all that it has started."""
        if self._lost is None:
            with contextlib.suppress(SandboxFailure):  # with the zygote, the session has ended too
                await self._ended()
        if self._folder >= 0:
            os.close(self._folder)
            self._folder = -1
        if self._group is not None:
            self._group.close()
            self._group = None

    # --- cells ----------------------------------------------------------------------------------

    async def _ask(self, fds: tuple[int, int, int], timeout: float) -> tuple[dict[str, Any] | None, bool]:
        """The answer to a cell, None from a session that is lost, and whether its time was over."""
        late = False
        if self._lost is not None:
            return None, late
        try:
            while self._channel.receive_data():  # said without having been asked
                pass
            self._channel.send({}, fds)
            try:
                async with asyncio.timeout(timeout):
                    return await self._answer(), late
            except TimeoutError:
                late = True
                self._zygote.tell({"interrupt": self._number})
            async with asyncio.timeout(_GRACE):
                return await self._answer(), late
        except (Closed, TimeoutError):
            await self._ended()
        except asyncio.CancelledError:
            await self._ended()
            raise
        return None, late

    async def _answer(self) -> dict[str, Any]:
        while True:
            await _readable(self._link.fileno())
            for message in self._channel.receive_data():
                if isinstance(message.get("code"), int) and isinstance(message.get("cpu"), float):
                    return message
                raise Closed("that is no answer")

    def _status(self, answer: dict[str, Any] | None, late: bool, size: int) -> tuple[Status, int | None]:
        if answer is None:
            return "lost", self._lost
        code: int = answer["code"]
        if late:
            return "timeout", code
        if size > self._limits.output:
            return "output", code
        if self._kind == "session" and code == NO_MEMORY:
            return "memory", 1
        if code != 0 and self._group is not None and self._group.ran_out():
            return "memory", code
        return ("ok", 0) if code == 0 else ("error", code)

    async def _ended(self) -> None:
        """Kill what still runs, and wait for its end.

        Raises:
            SandboxFailure: The zygote is gone, or the process was never contained.
        """
        self._lost = -9
        self._channel.close()
        if not self._end.done():
            self._zygote.tell({"kill": self._number})
            await asyncio.wait({self._end}, timeout=_DEATH)
        if not self._end.done():
            raise SandboxFailure(f"the sandbox {self._level}: a session cannot be killed")
        self._lost = self._end.result()["code"]


async def _readable(fd: int) -> None:
    """Wait until there is something to read, or an end."""
    loop = asyncio.get_running_loop()
    ready = loop.create_future()
    loop.add_reader(fd, lambda: ready.done() or ready.set_result(None))
    try:
        await ready
    finally:
        loop.remove_reader(fd)
