"""Containers of Docker or podman: an empty image, what they see of this system, and a door for descriptors."""

from __future__ import annotations

import hashlib
import io
import os
import select
import shutil
import socket
import subprocess
import tarfile
import tempfile
import threading
from collections.abc import Sequence
from functools import cache
from typing import Any

from llmgym.sandbox.inside.contain import BOX
from llmgym.sandbox.results import SandboxFailure
from llmgym.sandbox.wire import Channel

_ENGINES = ("docker", "podman")
_PATIENCE = 30.0  # seconds for an engine to answer
_DOOR = "/run/llmgym"
# What a zygote may do to its runs, as root of the container: give each a user of its own, kill it, remove its files.
_CAPABILITIES = ("SETUID", "SETGID", "KILL", "CHOWN", "DAC_OVERRIDE")
_PROCESSES, _DISK = 4096, 256 << 20  # of a container with all its runs


class Door:
    """A socket in a folder that is mounted in a container, at which descriptors are handed in once.

    What an engine starts inherits none; but it is of the same kernel, so that they can be passed.
    """

    def __init__(self) -> None:
        """Make it."""
        self.folder = tempfile.mkdtemp(prefix="llmgym-sandbox-")
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(f"{self.folder}/door")
        self._socket.listen(1)

    def hand_in(self, process: subprocess.Popen[bytes], fds: Sequence[int], seconds: float) -> None:
        """Pass descriptors to who comes, while a process runs; returns at once, and the door is gone afterwards."""
        copies, end = [os.dup(fd) for fd in fds], os.pidfd_open(process.pid)

        def wait() -> None:
            try:
                ready, _, _ = select.select([self._socket, end], [], [], seconds)
                if self._socket in ready:
                    connection, _ = self._socket.accept()
                    channel = Channel(connection)
                    channel.send({}, copies)
                    channel.close()
            finally:
                for fd in (*copies, end):
                    os.close(fd)
                self.close()

        threading.Thread(target=wait, name="llmgym-door", daemon=True).start()

    def close(self) -> None:
        """Take it away; the container keeps what it has of it."""
        self._socket.close()
        shutil.rmtree(self.folder, ignore_errors=True)


@cache
def engine() -> str:
    """The program of an engine that answers.

    Raises:
        SandboxFailure: There is none; says why.
    """
    found = [path for path in map(shutil.which, _ENGINES) if path is not None]
    reasons = ["neither docker nor podman is installed"]
    for path in found:
        try:
            _call([path, "info"])
        except SandboxFailure as failure:
            reasons.append(str(failure))
        else:
            return path
    raise SandboxFailure(reasons[1] if found else reasons[0])


def command(layout: dict[str, Any], folders: dict[str, str], door: Door, variables: dict[str, str]) -> list[str]:
    """What starts a program in a container of its own, up to that program and its arguments.

    Args:
        layout: `binds` is what it sees of this system; with `links` and `folders`, its image is made of their names.
        folders: What else it sees, and where.
        door: Where descriptors are handed in.
        variables: Its environment; an engine's own variables, such as those of proxies, are not there.

    Raises:
        SandboxFailure: No engine answers, or it takes no image.
    """
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    args = [engine(), "run", "--rm", "--pull", "never", "--label", f"llmgym={os.getpid()}", "--log-driver", "none"]
    args += ["--network", "none", "--ipc", "none", "--read-only", "--tmpfs", f"{BOX}:size={_DISK},mode=711"]
    args += ["--security-opt", "no-new-privileges", "--security-opt", "label=disable", "--cap-drop", "ALL"]
    for name in _CAPABILITIES:
        args += ["--cap-add", name]
    args += ["--pids-limit", str(_PROCESSES), "--memory", str(memory), "--memory-swap", str(memory)]
    mounts = {**{path: path for path in layout["binds"]}, **folders, door.folder: _DOOR}
    for source, target in mounts.items():
        if "," in source:
            raise SandboxFailure(f"{source!r} has a comma, which an engine's --mount cannot take")
        args += ["--mount", f"type=bind,source={source},target={target},readonly"]
    pairs = [f"{name}={value}" for name, value in variables.items()]
    return [*args, _image(layout), os.path.realpath(shutil.which("env") or "/usr/bin/env"), "-i", *pairs]


#: Where a program in a container finds the door.
DOOR = f"{_DOOR}/door"


def _image(layout: dict[str, Any]) -> str:
    """An image of empty folders and links; made once by each engine, from nothing."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for path in layout["folders"]:
            entry = tarfile.TarInfo(path.lstrip("/"))
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(entry)
        for path, target in layout["links"]:
            entry = tarfile.TarInfo(path.lstrip("/"))
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            tar.addfile(entry)
    content = stream.getvalue()
    name = f"llmgym-sandbox:{hashlib.sha256(content).hexdigest()[:12]}"
    try:
        _call([engine(), "image", "inspect", name])
    except SandboxFailure:
        _call([engine(), "import", "-", name], content)
    return name


def _call(args: list[str], stdin: bytes = b"") -> None:
    try:
        done = subprocess.run(args, input=stdin, capture_output=True, timeout=_PATIENCE, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SandboxFailure(f"{args[0]}: {error}") from error
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise SandboxFailure(said or f"{args[0]} {args[1]} ended with {done.returncode}")
