"""Sessions: a contained process that answers one request after another over the link that the host gave it."""

from __future__ import annotations

import os
import resource
import signal
import sys
from collections.abc import Callable
from typing import Any

from llmgym.sandbox.inside import programs
from llmgym.sandbox.wire import Channel, Closed

#: Does what a request asks for, and gives an exit code.
Server = Callable[[bytes, int], int]


def serve(link: Channel, act: Server) -> int:
    """Answer requests until the host goes away."""
    number = 0
    while True:
        try:
            for _, (source, stdout, stderr) in link.receive():
                number += 1
                before = _cpu()
                code = _answer(act, source, stdout, stderr, number)
                link.send({"code": code, "cpu": _cpu() - before})
        except Closed:
            return 0


def _answer(act: Server, source: int, stdout: int, stderr: int, number: int) -> int:
    for fd, place in ((stdout, 1), (stderr, 2)):
        os.dup2(fd, place)
        os.close(fd)
    with open(source, "rb") as file:
        program = file.read()
    try:
        _busy.append(number)
        code = act(program, number)
        _busy.clear()
    except KeyboardInterrupt:
        _busy.clear()
        return 130
    return code


_busy: list[int] = []  # the cell that an interrupt is for


def _interrupt(*_: Any) -> None:
    if _busy:
        raise KeyboardInterrupt


def _cpu() -> float:
    return sum(
        use.ru_utime + use.ru_stime for use in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


def python() -> Server:
    """Cells of Python that share their names."""
    signal.signal(signal.SIGINT, _interrupt)
    sys.argv = [""]
    names = sys.modules["__main__"].__dict__
    del names["__file__"]

    def run(source: bytes, number: int) -> int:
        if sys.stdout.closed or sys.stderr.closed:
            programs.open_streams()
        code = programs.run_cell(source, f"cell {number}", names)
        return programs.flush() or code

    return run


# `cd` and exported variables of one command are there in the next; the trap says what they are, however it ends.
_COMMAND = """trap '{ pwd -P; env -0; } >&9' EXIT
eval "$1"
"""


def shell() -> Server:
    """Commands of a shell, each a process of its own, that share the folder and exported variables."""
    import tempfile

    state: dict[str, Any] = {"folder": os.getcwd(), "env": dict(os.environ), "running": 0}

    def stop(*_: Any) -> None:
        if state["running"]:
            os.killpg(state["running"], signal.SIGKILL)

    signal.signal(signal.SIGINT, stop)

    def run(source: bytes, _: int) -> int:
        with tempfile.TemporaryFile(buffering=0) as told:
            state["running"] = child = os.fork()
            if child == 0:
                _command(source, told.fileno(), state)
            _, status = os.waitpid(child, 0)
            state["running"] = 0
            told.seek(0)
            _learn(told.read(), state)
        return os.waitstatus_to_exitcode(status)

    return run


def _command(source: bytes, told: int, state: dict[str, Any]) -> None:
    try:
        os.setpgid(0, 0)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        try:
            os.chdir(state["folder"])
        except OSError:  # it was removed
            os.chdir(os.environ["HOME"])
        os.dup2(told, 9)
        os.closerange(3, 9)
        os.closerange(10, 256)
        os.execve("/bin/sh", ["sh", "-c", _COMMAND.encode(), b"sh", source], state["env"])
    except OSError as error:
        os.write(2, f"sh: {error.strerror}\n".encode())
    finally:
        os._exit(127)


def _learn(told: bytes, state: dict[str, Any]) -> None:
    folder, _, rest = told.partition(b"\n")
    if folder and os.path.isdir(folder):
        state["folder"] = folder
        pairs = (entry.partition(b"=") for entry in rest.split(b"\0") if b"=" in entry)
        state["env"] = {name: value for name, _, value in pairs}
