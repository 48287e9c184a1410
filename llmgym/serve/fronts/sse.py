"""Server-sent events of work that goes on without whoever asked for it, and whose result can be asked for again."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections import OrderedDict
from collections.abc import AsyncIterator, Coroutine
from typing import Any

from starlette.responses import Response, StreamingResponse

from llmgym.serve.trouble import ServeError, error_of

_BEAT_S = 10.0  # between comments in a stream; clients give up after 30 s without any
_KEPT = 64
# What an event begins with is read without its blanks, so none begins with one.
_PIECES = re.compile(r".{1,4096}\s*", re.DOTALL)


class Results:
    """The results of one session, the last of which are kept."""

    def __init__(self) -> None:
        """There is none."""
        self._tasks: OrderedDict[str, asyncio.Task[str]] = OrderedDict()

    def add(self, work: Coroutine[Any, Any, str]) -> str:
        """Begin work, and give its name.

        Raises:
            ServeError: So much is under way that nothing can be forgotten.
        """
        if len(self._tasks) == _KEPT:
            if not next(iter(self._tasks.values())).done():
                work.close()
                raise ServeError("overloaded", f"{_KEPT} calls of this session are under way: wait for their results")
            self._tasks.popitem(last=False)
        task_id = secrets.token_hex(16)
        self._tasks[task_id] = asyncio.create_task(work)
        return task_id

    async def events(self, task_id: str) -> AsyncIterator[bytes]:
        """The name of some work, a comment now and then, and its result in pieces, or its error."""
        task = self._tasks.get(task_id)
        if task is None:
            yield event("error", f"there is no call {task_id!r:.100}, or it was long ago")
            return
        yield event("task_id", task_id)
        while not (await asyncio.wait({task}, timeout=_BEAT_S))[0]:
            yield b": goes on\n\n"
        if error := task.exception():
            yield event("error", error_of(error).message if isinstance(error, Exception) else type(error).__name__)
            return
        *pieces, last = _PIECES.findall(task.result())
        for piece in pieces:
            yield event("chunk", piece)
        yield event("end", last)


def event(kind: str, data: str) -> bytes:
    """An event, whose data is one line."""
    return f"event: {kind}\ndata: {data}\n\n".encode()


def stream(events: AsyncIterator[bytes]) -> Response:
    """Events as an answer."""
    return StreamingResponse(events, media_type="text/event-stream", headers={"Cache-Control": "no-cache"})
