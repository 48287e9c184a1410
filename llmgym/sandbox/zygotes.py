"""The host's side of zygotes: starting them, asking them for runs, and having enough of them for each event loop."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import select
import shutil
import socket
import struct
import subprocess
import threading
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from weakref import WeakKeyDictionary

from llmgym.concurrency import held
from llmgym.concurrency.descriptors import allow_descriptors
from llmgym.concurrency.threads import CORES
from llmgym.sandbox import walls
from llmgym.sandbox.inside.contain import SLOTS
from llmgym.sandbox.results import SandboxFailure
from llmgym.sandbox.walls import Level
from llmgym.sandbox.wire import Channel, Closed, blank, read_all

_START_SECONDS = 60.0
_END_SECONDS = 3.0
_SEND_SECONDS = 5  # for a zygote to take a message; it does nothing else for long
_AT_ONCE = 2  # runs on each zygote: one begins or ends while the other computes
_MOST = SLOTS // 2  # runs and sessions; the other places are for those that have ended and whose files are wanted yet


class Zygote:
    """A zygote, which belongs to one event loop at a time."""

    def __init__(self, level: Level, imports: tuple[str, ...]) -> None:
        """Start it, without waiting until it is up.

        Raises:
            SandboxFailure: Its program cannot be started.
        """
        self.key = (level, imports)
        self.loop: asyncio.AbstractEventLoop | None = None
        self.dead: str | None = None
        self._pending: dict[int, asyncio.Future[dict[str, Any]] | None] = {}
        self._sessions: set[int] = set()
        self._number = 0
        self._up = False
        self._ready: asyncio.Future[None] | None = None
        wall = walls.build(level, imports)
        self.grouped = wall.door is None  # a container is a group itself
        self._scratch = wall.scratch
        self._log = blank()
        ours, theirs = socket.socketpair()
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", _SEND_SECONDS, 0))
        self._channel = Channel(ours)
        # Readable once this process is gone, whoever else has inherited the socket.
        host = os.pidfd_open(os.getpid()) if hasattr(os, "pidfd_open") else -1
        fds = [theirs.fileno(), *([host] if host >= 0 else [])]
        try:
            self._process = _start(wall, fds, self._log)
        except OSError as error:
            self._channel.close()
            self._free()
            raise SandboxFailure(f"{wall.command[0]} cannot be started: {error.strerror}") from error
        finally:
            theirs.close()
            if host >= 0:
                os.close(host)
        with contextlib.suppress(Closed):  # seen when its answer is waited for
            self._channel.send({**wall.config, "seed": self._process.pid if wall.own_users else None})

    # --- the event loop -------------------------------------------------------------------------

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Serve a loop; what an earlier one was waiting for, nobody does any more."""
        self.loop = loop
        self._ready = loop.create_future()
        self._pending = dict.fromkeys(self._pending)
        self._sessions.clear()
        loop.add_reader(self._channel.fileno(), self._read)
        for number in list(self._pending):
            self.tell({"kill": number})

    @property
    def load(self) -> int:
        """Runs that are under way, sessions apart: those mostly wait."""
        return self.held - len(self._sessions)

    @property
    def held(self) -> int:
        """Runs and sessions that are under way."""
        return len(self._pending)

    @property
    def idle(self) -> bool:
        """Whether nothing is under way that its loop may still wait for."""
        return self.loop is None or self.loop.is_closed()

    def alive(self) -> bool:
        """Whether its loop may give it a run; one that has ended since anybody looked is given up."""
        poll = select.poll()
        if self.dead is None:
            poll.register(self._channel.fileno(), 0)
        while self.dead is None and poll.poll(0):  # it has hung up; what it said before comes first
            self._read()
        return self.dead is None

    async def ready(self) -> None:
        """Wait until it is up.

        Raises:
            SandboxFailure: It does not come up.
        """
        if self.dead is not None:
            raise SandboxFailure(self.dead)
        if self._up:
            return
        assert self._ready is not None
        try:
            async with asyncio.timeout(_START_SECONDS):
                await asyncio.shield(self._ready)
        except TimeoutError:
            self._die(f"it did not start in {_START_SECONDS:.0f} s")
            raise SandboxFailure(f"the sandbox {self.key[0]}: it did not start in {_START_SECONDS:.0f} s") from None

    def begin(self, message: dict[str, Any], fds: Sequence[int], *, session: bool) -> tuple[int, asyncio.Future[Any]]:
        """Ask for a run; its number, and its report once it has ended.

        Raises:
            SandboxFailure: The zygote is gone.
        """
        assert self.loop is not None
        self._number += 1
        future = self.loop.create_future()
        self._pending[self._number] = future
        if session:
            self._sessions.add(self._number)
        self.tell({"run": self._number, **message}, fds)
        if self.dead is not None:
            raise SandboxFailure(self.dead)
        return self._number, future

    def tell(self, message: dict[str, Any], fds: Sequence[int] = ()) -> None:
        """Send a message; a zygote that cannot be reached is given up."""
        try:
            self._channel.send(message, fds)
        except Closed as error:
            self._die(str(error))

    def _read(self) -> None:
        try:
            messages = self._channel.receive()
        except Closed:
            self._die("it ended")
            return
        for message, _ in messages:
            if "id" in message:
                self._settle(message)
            elif "ready" in message:
                self._up = True
                if self._ready is not None and not self._ready.done():
                    self._ready.set_result(None)
            else:
                self._die(message["failed"])

    def _settle(self, report: dict[str, Any]) -> None:
        future = self._pending.pop(report["id"], None)
        self._sessions.discard(report["id"])
        if future is None or future.done():
            return
        if "failed" in report:
            future.set_exception(
                SandboxFailure(f"the sandbox {self.key[0]}: a run was not started: {report['failed']}")
            )
        else:
            future.set_result(report)

    def _die(self, reason: str) -> None:
        if self.dead is not None:
            return
        said = read_all(self._log, 4000).decode(errors="replace").strip().rpartition("\n")[2]
        self.dead = f"the sandbox {self.key[0]}: {said or reason}"
        waiting = [future for future in (self._ready, *self._pending.values()) if future is not None]
        self._pending.clear()
        self.close()
        for future in waiting:
            if not future.done() and not future.get_loop().is_closed():
                future.set_exception(SandboxFailure(self.dead))
                future.exception()  # nobody need be waiting

    # --- its end --------------------------------------------------------------------------------

    def close(self, *, wait: bool = True) -> None:
        """End it with all its runs."""
        self.dead = self.dead or f"the sandbox {self.key[0]} was closed"
        _stock.forget(self)
        if self.loop is not None and not self.loop.is_closed():
            with contextlib.suppress(RuntimeError, ValueError):  # another thread's loop that is ending
                self.loop.remove_reader(self._channel.fileno())
        self._channel.close()
        if wait:
            self.join()

    def join(self) -> None:
        """Wait for its end, which closing it brings about."""
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._free()

    def abandon(self) -> None:
        """Let go of what a forked child has inherited; the zygote is the parent's."""
        self.dead = "the sandbox is the parent process's"
        self._channel.close()
        self._process.returncode = 0  # not this process's child
        os.close(self._log)

    def _free(self) -> None:
        os.close(self._log)
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)


def _start(wall: walls.Wall, fds: list[int], log: int) -> subprocess.Popen[bytes]:
    """Start a zygote that has two descriptors, of the socket and of this process."""
    door = wall.door
    way = [str(fd) for fd in (*fds, -1)][:2] if door is None else []
    try:
        process = subprocess.Popen(
            [*wall.command, *way], pass_fds=fds if door is None else (),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log,
            env=walls.VARIABLES if door is None else None,  # what says where an engine is must reach its client
            cwd="/", start_new_session=True,
        )  # fmt: skip
    except OSError:
        if door is not None:
            door.close()
        raise
    if door is not None:
        door.hand_in(process, fds, _START_SECONDS)
    return process


# --- those of the process ---------------------------------------------------------------------------


class _Stock:
    """The zygotes of this process."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.zygotes: list[Zygote] = []
        # How many runs begin at once, for each event loop and kind of zygote; who finds no place waits.
        self.gates: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[Any, asyncio.Semaphore]] = WeakKeyDictionary()

    def gate(self, key: tuple[Level, tuple[str, ...]]) -> asyncio.Semaphore:
        with self.lock:
            gates = self.gates.setdefault(asyncio.get_running_loop(), {})
            return gates.setdefault(key, asyncio.Semaphore(_AT_ONCE * CORES))

    def take(self, key: tuple[Level, tuple[str, ...]]) -> Zygote:
        loop = asyncio.get_running_loop()
        with self.lock:
            alike = [zygote for zygote in self.zygotes if zygote.key == key]
            mine = [zygote for zygote in alike if zygote.loop is loop and zygote.alive() and zygote.held < _MOST]
            best = min(mine, key=lambda zygote: (zygote.load, zygote.held), default=None)
            if best is not None and (best.load < _AT_ONCE or len(mine) >= CORES):
                return best
            for free in filter(lambda zygote: zygote.idle, alike):
                free.attach(loop)
                if free.alive():
                    return free
            allow_descriptors()
            new = Zygote(*key)
            self.zygotes.append(new)
            new.attach(loop)
            return new

    def forget(self, zygote: Zygote) -> None:
        with contextlib.suppress(ValueError):
            self.zygotes.remove(zygote)

    def close(self) -> None:
        zygotes = list(self.zygotes)
        for zygote in zygotes:
            zygote.close(wait=False)
        for zygote in zygotes:
            zygote.join()

    def abandon(self) -> None:
        for zygote in self.zygotes:
            zygote.abandon()
        self.__init__()


_stock = _Stock()
atexit.register(_stock.close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_stock.abandon)


def take(level: Level, imports: tuple[str, ...]) -> Zygote:
    """The zygote of this event loop that has least to do; where all are busy, one that no loop has, or a new one.

    Raises:
        SandboxFailure: It cannot be started.
    """
    return _stock.take((level, imports))


@asynccontextmanager
async def place(level: Level, imports: tuple[str, ...]) -> AsyncGenerator[None]:
    """A place for a run, or a cell of a session; there are two for each core in each event loop.

    Waiting for one counts against nobody's deadline: a full house makes work late, never wrong.
    """
    gate = _stock.gate((level, imports))
    with held():
        await gate.acquire()
    try:
        yield
    finally:
        gate.release()


@asynccontextmanager
async def leased(level: Level, imports: tuple[str, ...]) -> AsyncGenerator[Zygote]:
    """A place on a zygote that is up.

    Raises:
        SandboxFailure: No zygote can be started.
    """
    async with place(level, imports):
        zygote = take(level, imports)
        with held():
            await zygote.ready()
        yield zygote
