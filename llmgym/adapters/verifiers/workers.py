"""Worker processes in other Python environments: one for each taskset and process, with many requests in flight."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import itertools
import os
import select
import shutil
import signal
import subprocess
import threading
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import IO, Any

import orjson

from llmgym.concurrency import start_in_background
from llmgym.errors import ConfigError, EnvironmentFailure
from llmgym.failures import Kind
from llmgym.redaction import redact_text

#: The first version of each generation that was tested, and the first beyond.
TESTED = {"classic": ["0.1.14", "0.1.15"], "v1": ["0.4.0", "0.4.1"]}

_SCRIPT = Path(__file__).parent / "inside" / "__main__.py"
_LOADING_S = 300.0  # a taskset may have much to read
_PONG_S = 5.0  # for a process that answers anything at all
_LAST_WORDS_S = 1.0  # from the end of a process to that of what it wrote
_LONGEST = 1 << 26  # bytes of an answer
_TAIL = 500  # characters of what a process wrote that a message shows
_HERE = frozenset({"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"})  # variables about this environment, not about that one
_KINDS: dict[str, Kind] = {"infrastructure": "infrastructure", "download": "infrastructure", "unfit": "invalid"}


@dataclass(frozen=True)
class Taskset:
    """A taskset in an environment.

    Attributes:
        name: Its name.
        python: The interpreter of the environment.
        args: Its arguments, as JSON.
        path: A folder in which modules are looked for first; empty for none.
    """

    name: str
    python: str
    args: str
    path: str

    def __str__(self) -> str:
        """What it is called in messages."""
        return f"the taskset {self.name!r} in {self.python}"

    @property
    def worker(self) -> Worker:
        """The worker of this process for it, started where there is none; it may still be loading."""
        with _starting:
            worker = _workers.get(self)
            if worker is None or not worker.alive:
                worker = _workers[self] = Worker(self)
            return worker


class Worker:
    """A process with a taskset.

    Attributes:
        alive: Whether it can be asked.
        loaded: How many rows each part of the taskset has, once it is loaded.
    """

    def __init__(self, taskset: Taskset) -> None:
        """Start the process, and have it load the taskset.

        Raises:
            ConfigError: There is no such interpreter.
        """
        self._taskset = taskset
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._waiting: dict[int, Future[Any]] = {}
        self._said = b""
        self._behind = 0  # requests that wait to be sent
        self._process = self._start()
        assert self._process.stdin is not None
        self._stdin, self._room, self._sending = self._process.stdin.fileno(), select.poll(), threading.Lock()
        self._room.register(self._stdin, select.POLLOUT)
        self.alive = True
        self._lines: SimpleQueue[bytes | None] = SimpleQueue()
        self._listener, *others = [
            threading.Thread(target=work, name="llmgym-verifiers", daemon=True)
            for work in (self._listen, self._write, self._read)
        ]
        for thread in (self._listener, *others):
            thread.start()
        args = orjson.loads(taskset.args)
        self.loaded: Future[dict[str, Any]] = self._ask("load", name=taskset.name, args=args, tested=TESTED)

    def sizes(self) -> dict[str, int]:
        """How many rows each part has; waits while they are loaded.

        Raises:
            ConfigError: The taskset cannot be loaded; says what to do.
        """
        try:
            return self.loaded.result(_LOADING_S)["sizes"]
        except TimeoutError:
            self.stop()
            raise ConfigError(f"{self._taskset} was not loaded within {_LOADING_S:g} s{self._words()}") from None
        except _Told as told:
            self.stop()  # the next one may find what this one has not
            raise ConfigError(self._advice(told)) from None
        except EnvironmentFailure as error:
            raise ConfigError(str(error)) from None

    def rows(self, part: str, start: int, size: int) -> list[dict[str, Any]]:
        """Some rows of a part from a place on.

        Raises:
            EnvironmentFailure: It has none there, or the worker failed.
        """
        try:
            return self._ask("rows", part=part, start=start, size=size).result(_LOADING_S)
        except _Told as told:
            raise self._failure(told) from None

    async def ask(self, op: str, seconds: float, **fields: Any) -> Any:
        """Ask for something of an episode.

        Raises:
            EnvironmentFailure: It cannot be done, or was not in time, or the worker is gone.
        """
        asked = asyncio.wrap_future(self._ask(op, **fields))
        try:
            async with asyncio.timeout(seconds):
                return await asked
        except TimeoutError:
            start_in_background(self._stop_if_stuck())
            raise EnvironmentFailure(
                f"{self._taskset} did not answer {op!r} within {seconds:g} s{self._words()}", kind="timeout"
            ) from None
        except _Told as told:
            raise self._failure(told) from None

    def tell(self, op: str, **fields: Any) -> None:
        """Ask for something, and do not wait for it."""
        self._ask(op, **fields)

    def stop(self) -> None:
        """End the process and all that it started, at once."""
        with self._lock:
            self.alive = False
        with contextlib.suppress(OSError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def leave(self) -> None:
        """Let the process end by itself, as it does when nobody can ask it any more."""
        self._lines.put(None)

    # --- within -----------------------------------------------------------------------------------

    def _start(self) -> subprocess.Popen[bytes]:
        python = shutil.which(os.path.expanduser(self._taskset.python))
        if python is None:
            raise ConfigError(f"there is no Python at {self._taskset.python!r}: {how_to_make_one()}")
        variables = {name: value for name, value in os.environ.items() if name not in _HERE}
        if self._taskset.path:
            variables["PYTHONPATH"] = self._taskset.path
        pipe = subprocess.PIPE
        try:
            return subprocess.Popen(
                [python, str(_SCRIPT)], stdin=pipe, stdout=pipe, stderr=pipe, env=variables, start_new_session=True
            )
        except OSError as error:
            raise ConfigError(f"{python} cannot be started: {error}") from None

    def _ask(self, op: str, **fields: Any) -> Future[Any]:
        number, answer = next(self._numbers), Future[Any]()
        line = orjson.dumps({"id": number, "op": op, **fields}) + b"\n"
        with self._lock:
            alive = self.alive
            if alive:
                self._waiting[number] = answer
        if not alive:
            answer.set_exception(self._death())
        elif not self._sent(line):
            with self._lock:
                self._behind += 1
            self._lines.put(line)
        return answer

    def _sent(self, line: bytes) -> bool:
        """Send a short request here and now, if nobody has to wait for that."""
        if self._behind or len(line) > select.PIPE_BUF or not self._sending.acquire(blocking=False):
            return False
        try:
            room = self.alive and self._room.poll(0)
            return bool(room) and os.write(self._stdin, line) == len(line)
        except OSError:  # it is gone, which its reader will see
            return True
        finally:
            self._sending.release()

    def _write(self) -> None:
        """Send the others: a process that is busy may leave its pipe full."""
        stdin: IO[bytes] = self._process.stdin  # type: ignore[assignment]
        while (line := self._lines.get()) is not None:
            with self._sending, contextlib.suppress(OSError):
                stdin.write(line)
                stdin.flush()
            with self._lock:
                self._behind -= 1
        with self._lock:
            self.alive = False
        with self._sending, contextlib.suppress(OSError):
            stdin.close()

    def _read(self) -> None:
        stdout: IO[bytes] = self._process.stdout  # type: ignore[assignment]
        with stdout:
            while (line := stdout.readline(_LONGEST)).endswith(b"\n"):
                try:
                    answer = orjson.loads(line)
                    waiting = self._waiting.pop(answer["id"])
                except (ValueError, TypeError, KeyError):
                    self._said += line[-_TAIL:]
                    break
                with contextlib.suppress(InvalidStateError):  # nobody waits for it any more
                    if (error := answer.get("error")) is None:
                        waiting.set_result(answer["result"])
                    else:
                        waiting.set_exception(_Told(error["kind"], error["message"]))
        self._bury()

    def _listen(self) -> None:
        """Keep the end of what the process writes to its standard error, which is also that of what it prints."""
        stderr: IO[bytes] = self._process.stderr  # type: ignore[assignment]
        with stderr:
            while heard := stderr.read1(1 << 16):  # type: ignore[attr-defined]
                self._said = (self._said + heard)[-4 * _TAIL :]

    def _bury(self) -> None:
        """The process answers no more: so does nobody for it."""
        self.stop()
        self._lines.put(None)
        self._process.wait()
        self._listener.join(_LAST_WORDS_S)
        with self._lock:
            waiting, self._waiting = list(self._waiting.values()), {}
        for answer in waiting:
            with contextlib.suppress(InvalidStateError):
                answer.set_exception(self._death())

    async def _stop_if_stuck(self) -> None:
        """End a process that answers nothing at all, and with it all that waits for it."""
        try:
            async with asyncio.timeout(_PONG_S):
                await asyncio.wrap_future(self._ask("ping"))
        except TimeoutError:
            self.stop()
        except EnvironmentFailure:
            pass  # it is gone

    def _words(self) -> str:
        said = redact_text(self._said.decode(errors="replace").strip()[-_TAIL:])
        return f"; it wrote: {said}" if said else ""

    def _death(self) -> EnvironmentFailure:
        return EnvironmentFailure(f"the worker of {self._taskset} has died{self._words()}", kind="infrastructure")

    def _failure(self, told: _Told) -> EnvironmentFailure:
        return EnvironmentFailure(f"{self._taskset}: {told}", kind=_KINDS.get(told.kind, "environment"))

    def _advice(self, told: _Told) -> str:
        """Why the taskset cannot be loaded, and what to do."""
        python = self._taskset.python
        match told.kind:
            case "missing":
                return f"{python} has no verifiers: {python} -m pip install {_pinned('classic')}"
            case "version":
                ranges = " and ".join(f"{first} to below {beyond}" for first, beyond in TESTED.values())
                return (
                    f"{python} has verifiers {told}; llmgym was tested with {ranges}: "
                    f"{python} -m pip install {_pinned('classic')}"
                )
            case "unknown":
                where = f", nor in {self._taskset.path}" if self._taskset.path else ""
                return (
                    f"{python} has no taskset {self._taskset.name!r}{where} ({told}): install its package there, or "
                    "pass path=FOLDER with its module"
                )
            case "download":
                return (
                    f"{self._taskset} wants to download something, and cannot ({told}): fetch it where there is a "
                    "network, and name its place in `args`, or in HF_HOME with HF_HUB_OFFLINE=1"
                )
            case "unfit":
                return f"{self._taskset} cannot be adapted: {told}"
            case _:
                return f"{self._taskset} cannot be loaded: {told}{self._words()}"


class _Told(Exception):
    """What a worker told went wrong."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def how_to_make_one() -> str:
    """How to make an environment for tasksets."""
    return (
        f"verifiers needs an environment of its own, since its pins exclude llmgym's: python -m venv VENV && "
        f"VENV/bin/python -m pip install {_pinned('classic')} TASKSET, then python=VENV/bin/python"
    )


def _pinned(generation: str) -> str:
    return f"verifiers=={TESTED[generation][0]}"


_starting = threading.Lock()
_workers: dict[Taskset, Worker] = {}


def _forget() -> None:
    _starting.__init__()  # type: ignore[misc]
    _workers.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)  # the parent's workers answer the parent


@atexit.register
def _leave_all() -> None:
    for worker in list(_workers.values()):
        worker.leave()
