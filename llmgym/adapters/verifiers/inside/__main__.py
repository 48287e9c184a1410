"""The worker: requests come as lines of JSON on its standard input, answers leave on its standard output.

Both are taken away from everybody else before anything of the taskset is imported: what that prints goes to standard
error. A request is `{"id", "op", ...}`, its answer `{"id", "result"}` or `{"id", "error": {"kind", "message"}}`;
answers come in any order. The process ends when its input does.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import json
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path[0] = str(Path(__file__).parents[1])
from inside.faults import Fault, told  # noqa: E402
from inside.loading import load  # noqa: E402

del sys.path[0]  # what is beside this folder must hide no module of a taskset

_LONGEST = 1 << 25  # bytes of an answer
_CHUNK = 1 << 20
_PAGE = 1 << 20  # characters of rows that make an answer
_GRACE_S = 5.0  # for what a taskset frees at its end


class Worker:
    """The taskset, and its episodes by number."""

    def __init__(self, answers: int) -> None:
        """Nothing is loaded."""
        self._answers = answers
        self._taskset: Any = None
        self._why: BaseException | None = None
        self._episodes: dict[int, Any] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}

    def take(self, line: bytes) -> None:
        """Take a request."""
        request = json.loads(line)
        number = request.pop("id")
        task = asyncio.ensure_future(self._answer(number, request))
        self._tasks[number] = task
        task.add_done_callback(lambda _: self._tasks.pop(number))

    async def _answer(self, number: int, request: dict[str, Any]) -> None:
        try:
            answer = {"id": number, "result": await getattr(self, f"do_{request.pop('op')}")(**request)}
            line = json.dumps(answer, default=str).encode()
            if len(line) > _LONGEST:
                raise Fault("environment", f"an answer has {len(line)} bytes, and {_LONGEST} are allowed")
        except (Exception, SystemExit) as error:  # noqa: BLE001 -- whatever a taskset raises is told
            line = json.dumps({"id": number, "error": told(error)}).encode()
        view = memoryview(line + b"\n")
        while view:
            view = view[os.write(self._answers, view) :]

    async def do_ping(self) -> None:
        """Say that the loop runs."""

    async def do_load(self, name: str, args: dict[str, Any], tested: dict[str, list[str]]) -> dict[str, Any]:
        """Load the taskset: its version and the sizes of its parts."""
        try:
            self._taskset, version = load(name, args, tested)
            sizes = self._taskset.describe()
        except BaseException as error:
            self._why = error
            raise
        gc.collect()
        gc.freeze()  # what was imported stays, and looking through it costs as much as the package's own work
        return {"version": version, "sizes": sizes}

    async def do_rows(self, part: str, start: int, size: int) -> list[dict[str, Any]]:
        """Some rows from a place on."""
        rows: list[dict[str, Any]] = []
        length = 0
        while start + len(rows) < size and length < _PAGE:
            rows.append(self._taskset.row(part, start + len(rows)))
            length += len(json.dumps(rows[-1], default=str))
        return rows

    async def do_begin(self, episode: int, part: str, place: int) -> dict[str, Any]:
        """Begin an episode."""
        if self._why is not None:  # who asked for the taskset has not waited for it
            raise self._why
        self._episodes[episode] = begun = self._taskset.begin(part, place)
        return await begun.open()

    async def do_say(self, episode: int, messages: list[dict[str, Any]]) -> dict[str, Any]:
        """Say what the model says."""
        return await self._episodes[episode].say(messages)

    async def do_score(self, episode: int, messages: list[dict[str, Any]]) -> dict[str, Any]:
        """Say what was not said yet, and score the episode."""
        await self._episodes[episode].say(messages)
        return await self._episodes[episode].score()

    async def do_end(self, episode: int) -> None:
        """Forget an episode, with all that is still done for it."""
        if (found := self._episodes.pop(episode, None)) is not None:
            await found.end()


def _end_with(requests: int, over: Callable[[], object]) -> None:
    """Wait until nobody can ask any more; what does not end then by itself, is killed, with all that it has started."""
    hung_up = select.poll()
    hung_up.register(requests, 0)
    hung_up.poll()
    over()
    time.sleep(_GRACE_S)
    os.killpg(0, signal.SIGKILL)


async def _serve(requests: int, worker: Worker) -> None:
    loop, over, partial = asyncio.get_running_loop(), asyncio.Event(), b""

    def read() -> None:
        nonlocal partial
        if not (chunk := os.read(requests, _CHUNK)):
            loop.remove_reader(requests)
        *lines, partial = (partial + chunk).split(b"\n")
        for line in lines:
            worker.take(line)

    loop.add_reader(requests, read)
    ended = functools.partial(loop.call_soon_threadsafe, over.set)
    threading.Thread(target=_end_with, args=(requests, ended), daemon=True).start()
    await over.wait()


def main() -> None:
    """Serve until nobody asks any more."""
    requests, answers = os.dup(0), os.dup(1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    asyncio.run(_serve(requests, Worker(answers)))


if __name__ == "__main__":
    main()
