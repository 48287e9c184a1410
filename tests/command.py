"""The command line in processes of its own, forked from one that has imported it: each import takes half a second."""

from __future__ import annotations

import functools
import gc
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent


def environ(**extra: str) -> dict[str, str]:
    """The environment of a process that can import the tests."""
    outer = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
    return {**outer, "PYTHONPATH": str(ROOT), "LLMGYM_REGISTRY": "", "NO_COLOR": "1", **extra}


def llmgym(
    *args: object,
    cwd: Path = ROOT,
    env: dict[str, str] | None = None,
    input: str = "",
    limit: Callable[[], None] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run `python -m llmgym` in a process of its own; a limit, or what is read at the start, takes one that imports."""
    words, env = [str(arg) for arg in args], environ() if env is None else env
    if limit is not None or _read_at_start(env) != _read_at_start(_parent().env):
        command = [sys.executable, "-m", "llmgym", *words]
        return subprocess.run(
            command, cwd=cwd, env=env, input=input, capture_output=True, text=True, timeout=60, check=False,
            preexec_fn=limit,
        )  # fmt: skip
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        given.write(input.encode())
        given.seek(0)
        job = json.dumps({"args": words, "cwd": str(cwd), "env": env}).encode()
        status = _parent().run(job, [given.fileno(), out.fileno(), err.fileno()])
        for stream in (out, err):
            stream.seek(0)
        return subprocess.CompletedProcess(words, status, out.read().decode(), err.read().decode())


def _read_at_start(env: dict[str, str]) -> dict[str, str]:
    names = ("PYTHON", "LC_", "LANG", "LD_", "LLMGYM_REGISTRY")
    return {name: value for name, value in env.items() if name.startswith(names)}


@functools.cache
def _parent() -> Parent:
    return Parent()


class Parent:
    """The process that forks them; it ends with this one."""

    def __init__(self) -> None:
        """Start it."""
        self.env = environ()
        self.line, theirs = socket.socketpair()
        self.line.settimeout(60)
        command = [sys.executable, "-m", "tests.command", str(theirs.fileno())]
        self.process = subprocess.Popen(
            command, cwd=ROOT, env=self.env, pass_fds=[theirs.fileno()], start_new_session=True
        )
        theirs.close()

    def run(self, job: bytes, streams: list[int]) -> int:
        """The exit code of a job."""
        try:
            socket.send_fds(self.line, [len(job).to_bytes(4, "big")], streams)
            self.line.sendall(job)
            return int.from_bytes(self.line.recv(4), "big", signed=True)
        except BaseException:  # the time of a test may be over too
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            _parent.cache_clear()
            raise


def _next(line: socket.socket) -> dict[str, Any]:
    """Fork a process for each job, and say how it ended; in the forked one, the job, with its streams in place."""
    while True:
        size, streams, *_ = socket.recv_fds(line, 4, 3)
        if not size:
            os._exit(0)
        job = json.loads(line.recv(int.from_bytes(size, "big"), socket.MSG_WAITALL))
        if not (child := os.fork()):
            for place, stream in enumerate(streams):
                os.dup2(stream, place)
                os.close(stream)
            line.close()
            return job
        for stream in streams:
            os.close(stream)
        line.sendall(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]).to_bytes(4, "big", signed=True))


if __name__ == "__main__":
    import llmgym.cli  # noqa: F401 -- for all of them

    gc.freeze()
    job = _next(socket.socket(fileno=int(sys.argv[1])))
    os.environ.clear()
    os.environ.update(job["env"])
    os.chdir(job["cwd"])
    sys.path[0], sys.argv = job["cwd"], ["llmgym", *job["args"]]
    runpy.run_module("llmgym", run_name="__main__", alter_sys=True)
