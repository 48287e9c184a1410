"""The zygote: a warm Python that forks a contained child for each run, and kills it whole.

It runs inside of the outer wall and never runs what nobody trusts. It does what comes over its socket until the other
end is closed or the host is gone, and then takes all its runs with it.
"""

from __future__ import annotations

import _signal  # pyright: ignore[reportMissingImports]  # `signal` makes of a handler an enum, or an exception
import _socket
import contextlib
import gc
import importlib
import math
import os
import resource
import select
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

from llmgym.sandbox.inside import kernel, programs, sessions, walls
from llmgym.sandbox.inside.contain import LINUX, SLOTS, Containment, first_uid, limit_files
from llmgym.sandbox.wire import Channel, Closed, blank

# What programs often import. None that does something at a fork, which costs every run more than it saves one: no
# `random`, no `threading`.
_COMMON = (
    "bisect", "collections", "copy", "functools", "heapq", "itertools", "math", "operator", "re", "string", "typing",
)  # fmt: skip
_PATIENCE = 5.0  # seconds for what a run has left behind to die


class _Run:
    """A child that runs."""

    def __init__(self, number: int, pid: int, slot: int, started: float, wall: float, stderr: int, keeps: bool) -> None:
        self.id, self.pid, self.slot, self.stderr = number, pid, slot, stderr
        self.started, self.deadline = started, started + wall
        self.late = False
        self.keeps = keeps


def main(*way: str) -> None:
    """Serve until the host goes away.

    Args:
        way: The numbers of two descriptors, of the socket and of the host's process; or the path of the door at which
            they are handed in.
    """
    control, host_fd = _handed_in(*way) if len(way) == 1 else map(int, way)
    channel = Channel(_socket.socket(fileno=control))
    ((config, _),) = channel.receive()
    containment = Containment(**config["containment"])
    try:
        if config["seed"] is not None:
            containment = containment._replace(first_uid=first_uid(config["seed"]))
        if config["layout"] is not None:
            walls.build(config["layout"])
        sys.path += config["packages"]
        for name in config["imports"]:
            importlib.import_module(name)
        Zygote(channel, containment, host_fd).serve()
    except Closed:
        pass
    except Exception as error:  # noqa: BLE001 -- told to the host
        channel.send({"failed": f"{type(error).__name__}: {error}"})
    finally:
        if not containment.apart:
            _remove(containment.scratch)


def _handed_in(door: str) -> list[int]:
    connection = _socket.socket(_socket.AF_UNIX)
    connection.connect(door)
    channel = Channel(connection)
    ((_, fds),) = channel.receive()
    channel.close()
    return fds


class Zygote:
    """The runs of a zygote."""

    def __init__(self, channel: Channel, containment: Containment, host_fd: int) -> None:
        """Get ready to fork."""
        self._channel, self._containment = channel, containment
        self._runs: dict[int, _Run] = {}  # by process
        self._slots = list(range(SLOTS - 1, -1, -1))
        self._kept: dict[int, int] = {}  # slots by run, of runs that have ended and whose files are still wanted
        self._board = blank(bytes(SLOTS))  # a child marks its place once it is contained
        self._own_namespace = os.open("/proc/self/ns/pid", os.O_RDONLY) if containment.apart else -1
        self._poll = select.poll()
        self._poll.register(channel.fileno(), select.POLLIN)
        self._host_fd = host_fd
        if host_fd >= 0:
            self._poll.register(host_fd, select.POLLIN)
        self._children, woken = os.pipe()
        for fd in (self._children, woken):
            os.set_blocking(fd, False)
        signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._poll.register(self._children, select.POLLIN)

    def serve(self) -> None:
        """Warm up, and fork on demand.

        Raises:
            Closed: The host is gone.
        """
        os.environ["PATH"] = f"{os.path.dirname(sys.executable)}:/usr/local/bin:/usr/bin:/bin"
        os.environ.update(self._containment.variables(0))
        del os.environ["LD_BIND_NOW"]  # which costs programs that a run starts
        for name in _COMMON:
            importlib.import_module(name)
        log = os.dup(2)
        os.dup2(0, 2)
        programs.warm()
        os.dup2(log, 2)
        os.close(log)
        self._containment.prepare()
        self._size = _address_space()
        gc.collect()
        gc.freeze()
        gc.disable()
        self._channel.send({"ready": True})
        try:
            while True:
                for fd, _ in self._poll.poll(self._end_late()):
                    if fd == self._host_fd:
                        return
                    if fd == self._children:
                        os.read(fd, 4096)
                        self._reap()
                    else:
                        for message, fds in self._channel.receive():
                            self._do(message, fds)
        finally:
            for run in self._runs.values():
                self._kill(run)
            while self._runs:
                self._ended(*os.wait4(-1, 0), tell=False)

    def _do(self, message: dict[str, Any], fds: list[int]) -> None:
        if "run" in message:
            self._start(message, fds)
            return
        if "release" in message:
            if (slot := self._kept.pop(message["release"], None)) is not None:
                self._release(slot)
            return
        for run in self._runs.values():
            if run.id == message.get("kill"):
                self._kill(run)
            elif run.id == message.get("interrupt"):
                os.kill(run.pid, signal.SIGINT)

    # --- a run begins ---------------------------------------------------------------------------

    def _start(self, message: dict[str, Any], fds: list[int]) -> None:
        started = time.monotonic()
        try:
            slot = self._slots[-1]
            os.pwrite(self._board, b"\0", slot)
            pid = self._fork()
            if pid == 0:
                self._child(slot, message, fds)
            self._slots.pop()
            wall, keeps = message["limits"]["wall"], message["keeps"]
            self._runs[pid] = _Run(message["run"], pid, slot, started, wall, fds.pop(3), keeps)
        except (OSError, IndexError) as error:  # no process, or no place, can be had
            self._channel.send({"id": message["run"], "failed": f"{len(self._runs)} are under way, and {error}"})
        finally:
            for fd in fds:
                os.close(fd)

    def _fork(self) -> int:
        if self._own_namespace < 0:
            return os.fork()
        kernel.unshare(kernel.NEWPID)  # of the next child, which is the first there
        try:
            pid = os.fork()
        except BaseException:
            kernel.setns(self._own_namespace, kernel.NEWPID)
            raise
        if pid:
            kernel.setns(self._own_namespace, kernel.NEWPID)
        return pid

    def _child(self, slot: int, message: dict[str, Any], fds: list[int]) -> None:
        """What the fork runs; never returns."""
        code = 255
        try:
            act = self._prepare(slot, message, fds)
            os.pwrite(self._board, b"\1", slot)
            os.close(self._board)  # from here on nothing that it says is believed
            code = act()
        except BaseException as error:  # noqa: BLE001 -- before the mark it is our failure, and told as such
            os.write(2, f"{type(error).__name__}: {error}"[:2000].encode())
        finally:
            os._exit(code)

    def _prepare(self, slot: int, message: dict[str, Any], fds: list[int]) -> Callable[[], int]:
        signal.set_wakeup_fd(-1)
        _signal.signal(signal.SIGCHLD, 0)
        contents = _read(fds[0])
        program = contents[: message["size"]]
        for place, fd in enumerate(fds[1:4]):
            os.dup2(fd, place)
        if message["grouped"]:
            os.write(fds.pop(), b"0")
        link = fds[4] if len(fds) > 4 else None
        _close_all_but(self._board, *fds[4:])
        self._containment.apply(slot, message["limits"], self._size)
        if not self._containment.apart:
            os.environ.update(self._containment.variables(slot))
        _write(message["files"], contents, message["size"])
        channel = None
        if link is not None:
            os.set_inheritable(link, False)
            channel = Channel(_socket.socket(fileno=link))
            here = os.open(".", os.O_RDONLY | os.O_DIRECTORY)
            channel.send({}, [here])
            os.close(here)
        limit_files(message["limits"]["files"])
        gc.enable()
        return _action(message, program, channel)

    # --- and ends -------------------------------------------------------------------------------

    def _kill(self, run: _Run) -> None:
        os.kill(run.pid, signal.SIGKILL)  # with it, all of its namespace
        if not self._containment.apart:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(run.pid, signal.SIGKILL)

    def _end_late(self) -> float | None:
        """Kill the runs whose time is over; milliseconds to the next deadline."""
        now, nearest = time.monotonic(), math.inf
        for run in self._runs.values():
            if run.deadline <= now and not run.late:
                run.late = True
                self._kill(run)
            elif run.deadline < nearest and not run.late:
                nearest = run.deadline
        return None if nearest == math.inf else (nearest - now) * 1000 + 1

    def _reap(self) -> None:
        while self._runs:
            pid, status, usage = os.wait4(-1, os.WNOHANG)
            if pid == 0:
                return
            self._ended(pid, status, usage)

    def _ended(self, pid: int, status: int, usage: Any, *, tell: bool = True) -> None:
        run = self._runs.pop(pid, None)
        if run is None:  # an orphan
            return
        wall = time.monotonic() - run.started
        if not self._containment.apart:
            self._sweep(run)
        report: dict[str, Any] = {
            "id": run.id,
            "code": os.waitstatus_to_exitcode(status),
            "late": run.late,
            "cpu": usage.ru_utime + usage.ru_stime,
            "wall": wall,
            "peak": usage.ru_maxrss * (1024 if LINUX else 1),
        }
        if os.pread(self._board, 1, run.slot) == b"\0" and not run.late:
            report["failed"] = _read(run.stderr).decode(errors="replace") or f"it ended with {report['code']}"
        os.close(run.stderr)
        if run.keeps:
            self._kept[run.id] = run.slot
        else:
            self._release(run.slot)
        if tell:
            self._channel.send(report)

    def _release(self, slot: int) -> None:
        if not self._containment.apart:
            _remove(self._containment.folder(slot))
        self._slots.append(slot)

    def _sweep(self, run: _Run) -> None:
        """End what a run without a process namespace has left: its group, and whoever became a child of the zygote."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(run.pid, signal.SIGKILL)
        until = time.monotonic() + _PATIENCE
        while LINUX and (strays := _children() - self._runs.keys()) and time.monotonic() < until:
            for pid in strays:
                os.kill(pid, signal.SIGKILL)
            for pid in strays:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, 0)


def _action(message: dict[str, Any], program: bytes, channel: Channel | None) -> Callable[[], int]:
    """What a contained child does."""
    kind, argv = message["kind"], message["argv"]
    if channel is not None and kind in ("program", "command"):
        channel.close()
    if kind == "program":
        return lambda: programs.run_program(program, argv)
    if kind == "command":
        return lambda: _execute(argv)
    assert channel is not None
    server = sessions.python() if kind == "session" else sessions.shell()
    return lambda: sessions.serve(channel, server)


def _execute(argv: list[str]) -> int:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    try:
        os.execvp(argv[0], argv)
    except OSError as error:
        os.write(2, f"{argv[0]}: {error.strerror}\n".encode())
    return 127


def _close_all_but(*kept: int) -> None:
    first = 3
    for fd in (*sorted(kept), 4096):
        os.closerange(first, fd)
        first = fd + 1


def _write(files: list[list[Any]], contents: bytes, start: int) -> None:
    for name, size in files:
        if folder := os.path.dirname(name):
            os.makedirs(folder, exist_ok=True)
        with open(name, "wb") as file:
            file.write(contents[start : start + size])
        start += size


def _read(fd: int) -> bytes:
    size = os.fstat(fd).st_size
    return os.pread(fd, size, 0) if size else b""


def _remove(folder: str) -> None:
    try:
        os.rmdir(folder)
    except OSError:  # not empty
        import shutil  # most runs leave nothing, and every module makes every fork dearer

        shutil.rmtree(folder, ignore_errors=True)


def _children() -> set[int]:
    try:
        with open("/proc/thread-self/children") as file:
            return {int(pid) for pid in file.read().split()}
    except FileNotFoundError:  # not every kernel says
        return set()


def _address_space() -> int:
    """Bytes of address space that this process takes."""
    if not LINUX:
        return 1 << 32
    with open("/proc/self/statm") as file:
        return int(file.read().split()[0]) * resource.getpagesize()
