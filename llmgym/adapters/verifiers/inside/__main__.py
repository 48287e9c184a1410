"""The worker: requests come as lines of JSON on its standard input, answers leave on its standard output.

Both are taken away from everybody else before anything of the taskset is imported: what that prints goes to standard
error. A request is `{"id", "op", ...}`, its answer `{"id", "result"}` or `{"id", "error": {"kind", "message"}}`;
answers come in any order. The process ends when its input does.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

sys.path[0] = str(Path(__file__).parents[1])
from inside.faults import Fault, told  # noqa: E402
from inside.loading import load  # noqa: E402

del sys.path[0]  # what is beside this folder must hide no module of a taskset

_LONGEST = 1 << 25  # bytes of an answer
_PAGE = 1 << 20  # characters of rows that make an answer
_GRACE_S = 5.0  # for what a taskset frees at its end


class Worker:
    """The taskset, and its episodes by number."""

    def __init__(self, answers: Any) -> None:
        """Nothing is loaded."""
        self._answers = answers
        self._taskset: Any = None
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
        self._answers.write(line + b"\n")
        self._answers.flush()

    async def do_ping(self) -> None:
        """Say that the loop runs."""

    async def do_load(self, name: str, args: dict[str, Any], tested: dict[str, list[str]]) -> dict[str, Any]:
        """Load the taskset: its version and the sizes of its parts."""
        self._taskset, version = load(name, args, tested)
        return {"version": version, "sizes": self._taskset.describe()}

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


def _end(seconds: float) -> None:
    """End this process, with all that it has started."""

    def kill() -> None:
        os.killpg(0, signal.SIGKILL)

    timer = threading.Timer(seconds, kill)
    timer.daemon = True
    timer.start()


async def _serve(requests: Any, worker: Worker) -> None:
    loop, over = asyncio.get_running_loop(), asyncio.Event()

    def read() -> None:
        for line in requests:
            loop.call_soon_threadsafe(worker.take, line)
        _end(_GRACE_S)
        loop.call_soon_threadsafe(over.set)

    threading.Thread(target=read, daemon=True).start()
    await over.wait()


def main() -> None:
    """Serve until nobody asks any more."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    asyncio.run(_serve(requests, Worker(answers)))


if __name__ == "__main__":
    main()
