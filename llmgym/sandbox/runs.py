"""One run on a zygote: what is handed over the wall, and what is made of what comes back."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import stat
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, Literal

from llmgym.errors import ConfigError
from llmgym.sandbox.groups import Group, group
from llmgym.sandbox.inside.programs import NO_MEMORY
from llmgym.sandbox.results import Limits, Result, SandboxFailure, Status
from llmgym.sandbox.wire import Channel, Closed, blank, read_all
from llmgym.sandbox.zygotes import Zygote

Kind = Literal["program", "command", "session", "shell"]

_GRACE = 30.0  # seconds past its wall limit after which a run that has not ended is the sandbox's failure
_LONGEST_WORD = 100_000  # characters of an argument; Linux has 128 kB
_SLACK = 0.05  # seconds of CPU by which the kernel's count may differ


class Handover:
    """The files of a run, open on both sides of the wall, and its control group; closed here with `close`."""

    def __init__(
        self, program: bytes, stdin: bytes, files: Mapping[str, bytes], limits: Limits, *, link: bool, grouped: bool
    ) -> None:
        """Make them.

        Args:
            program: Source of a program; empty for what is no Python.
            stdin: What it reads.
            files: Contents by name, which are there when it starts.
            limits: What it may use.
            link: Whether to have a socket with it too.
            grouped: Whether to have a control group, where there are any.

        Raises:
            SandboxFailure: A group cannot be made.
        """
        self.group: Group | None = group(limits) if grouped else None
        self._limits = limits
        self._names = [[checked_name(name), len(content)] for name, content in files.items()]
        self.stdout, self.stderr = blank(), blank()
        self._size = len(program)
        self._inputs = [blank(b"".join((program, *files.values()))), blank(stdin)]
        self.link: socket.socket | None = None
        self._theirs: socket.socket | None = None
        if link:
            self.link, self._theirs = socket.socketpair()
            self.link.setblocking(False)

    @property
    def fds(self) -> list[int]:
        """What goes over the wall, in the zygote's order."""
        fds = [*self._inputs, self.stdout, self.stderr]
        if self._theirs is not None:
            fds.append(self._theirs.fileno())
        if self.group is not None:
            fds.append(self.group.fd)
        return fds

    def message(self, kind: Kind, argv: Sequence[str]) -> dict[str, Any]:
        """What goes over the wall with them."""
        keeps = self.link is not None and kind in ("program", "command")  # until they have been read
        numbers = {name: getattr(self._limits, name) for name in Limits.__slots__}
        return {
            "kind": kind,
            "argv": list(argv),
            "size": self._size,
            "files": self._names,
            "keeps": keeps,
            "grouped": self.group is not None,
            "limits": numbers,
        }

    def handed_over(self) -> None:
        """Close what only the other side needs."""
        for fd in self._inputs:
            os.close(fd)
        self._inputs = []
        if self._theirs is not None:
            self._theirs.close()
            self._theirs = None

    def close(self) -> None:
        """Close all that is still open."""
        self.handed_over()
        os.close(self.stdout)
        os.close(self.stderr)
        if self.link is not None:
            self.link.close()
        if self.group is not None:
            self.group.close()
            self.group = None


def checked_name(name: str) -> str:
    """See that a file's name stays in the run's folder.

    Raises:
        ConfigError: It does not.
    """
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\0" in name or not path.name:
        raise ConfigError(f"{name!r:.200} must name a file in the run's folder, such as 'data/in.csv'")
    return name


async def run(
    zygote: Zygote,
    kind: Kind,
    program: bytes,
    argv: Sequence[str],
    stdin: bytes,
    files: Mapping[str, bytes],
    outputs: Sequence[str],
    limits: Limits,
) -> Result:
    """Have a program run to its end; it is killed where nobody waits for it any more.

    Raises:
        SandboxFailure: The sandbox failed.
        ConfigError: A name or an argument makes no sense, or the files are larger than the limit.
    """
    outputs = [checked_name(name) for name in outputs]
    if any("\0" in word or len(word) > _LONGEST_WORD for word in argv):
        what = f"have a NUL character, or more than {_LONGEST_WORD} in all"
        raise ConfigError(
            f"an argument of a program cannot {what}: {list(argv)!r:.200}; hand it over as stdin or a file"
        )
    if sum(map(len, files.values())) > limits.disk:
        raise ConfigError(f"the files of a run are larger than its limit of {limits.disk} bytes; raise Limits(disk=)")
    handover = Handover(program, stdin, files, limits, link=bool(outputs), grouped=zygote.grouped)
    try:
        number, future = zygote.begin(handover.message(kind, argv), handover.fds, session=False)
        handover.handed_over()
        report = await _ended(zygote, number, future, limits.wall)
        taken: dict[str, bytes] | None = {}
        if handover.link is not None:
            try:
                if report["code"] == 0:
                    taken = take_files(handover.link, outputs, limits.disk)
            finally:
                zygote.tell({"release": number})
        return _result(zygote.key[0], report, handover, taken, limits, python=kind == "program")
    finally:
        handover.close()


async def _ended(zygote: Zygote, number: int, future: asyncio.Future[dict[str, Any]], wall: float) -> dict[str, Any]:
    """The report of a run; one that nobody waits for is killed, and has ended when the cancellation goes on."""
    try:
        await asyncio.wait({future}, timeout=wall + _GRACE)
    except asyncio.CancelledError:
        zygote.tell({"kill": number})
        await asyncio.wait({future}, timeout=_GRACE)  # no longer than a kill takes
        if future.done() and future.exception() is None:
            zygote.tell({"release": number})
        raise
    if not future.done():
        zygote.close()
        raise SandboxFailure(f"the sandbox {zygote.key[0]}: a run did not end {_GRACE:.0f} s past its limit")
    return future.result()


def _result(
    level: str,
    report: dict[str, Any],
    handover: Handover,
    files: dict[str, bytes] | None,
    limits: Limits,
    *,
    python: bool,
) -> Result:
    code: int = report["code"]
    long = max(os.fstat(fd).st_size for fd in (handover.stdout, handover.stderr)) > limits.output
    status: Status
    if report["late"]:
        status = "timeout"
    elif code in (-signal.SIGXCPU, -signal.SIGKILL) and report["cpu"] >= limits.cpu - _SLACK:
        status = "cpu"
    elif long or code == -signal.SIGXFSZ:
        status = "output"
    elif python and code == NO_MEMORY:
        status, code = "memory", 1
    elif code != 0 and handover.group is not None and handover.group.ran_out():
        status = "memory"
    elif code == -signal.SIGKILL:
        status = "killed"
    elif code != 0:
        status = "error"
    else:
        status = "ok" if files is not None else "files"
    return Result(
        status, code, text(handover.stdout, limits), text(handover.stderr, limits), files or {},
        report["cpu"], report["wall"], report["peak"], level,
    )  # fmt: skip


def text(fd: int, limits: Limits) -> str:
    """What a run printed, as far as it is kept."""
    return read_all(fd, limits.output).decode("utf-8", "replace")


def as_bytes(source: str | bytes) -> bytes:
    """Text as it goes over the wall; what is no text there is an error there."""
    return source.encode("utf-8", "surrogatepass") if isinstance(source, str) else source


# --- files that a run leaves ------------------------------------------------------------------------


def folder_from(link: socket.socket) -> int:
    """The folder that a contained process sent over its link, before it ran anything untrusted.

    Raises:
        Closed: It never came so far.
    """
    channel = Channel(link.dup())
    try:
        for _, (folder,) in channel.receive():
            return folder
        raise Closed("there is no folder")
    finally:
        channel.close()


def take_files(link: socket.socket, names: Sequence[str], limit: int) -> dict[str, bytes] | None:
    """Contents of files by name, those that are there; None where they are too large or no regular files."""
    folder = folder_from(link)
    try:
        found: dict[str, bytes] = {}
        for name in names:
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                content = read_file(folder, name, limit - sum(map(len, found.values())))
                if content is None:
                    return None
                found[name] = content
        return found
    finally:
        os.close(folder)


def names_in(folder: int, limit: int) -> list[str]:
    """Names of all that is no folder in an open folder and below, links not followed; no more than a limit."""
    found: list[str] = []
    for top, folders, names, fd in os.fwalk(".", dir_fd=folder, onerror=None):
        # A link to a folder is a name, not a way.
        links = [name for name in folders if stat.S_ISLNK(os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode)]
        found += [os.path.normpath(os.path.join(top, name)) for name in (*names, *links)]
        if len(found) >= limit:
            break
    return sorted(found[:limit])


def read_file(folder: int, name: str, limit: int) -> bytes | None:
    """A file in an open folder, by a way without links; None where it is no regular file, or too large.

    Raises:
        FileNotFoundError: It is not there; `NotADirectoryError` is much the same.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    *way, last = PurePosixPath(name).parts
    with contextlib.ExitStack() as stack:
        try:
            for part in way:
                folder = os.open(part, flags | os.O_DIRECTORY, dir_fd=folder)
                stack.callback(os.close, folder)
            fd = os.open(last, flags, dir_fd=folder)
            stack.callback(os.close, fd)
        except (FileNotFoundError, NotADirectoryError):
            raise
        except OSError:  # a link, a socket, or what may not be read
            return None
        found = os.fstat(fd)
        return read_all(fd, limit) if stat.S_ISREG(found.st_mode) and found.st_size <= limit else None
