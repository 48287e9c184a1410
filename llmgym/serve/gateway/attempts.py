"""Requests of a session, and which of them are the same one, sent again.

SDKs send a request again after a lost connection, some with a mark (`x-stainless-retry-count`), some without. Two equal
requests at once are no repetition: somebody wants two samples. So a request joins an equal one that is under way, or
whose reply reached nobody, where it is marked or where that one's client has left. All others are new.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from hashlib import sha256
from typing import Any

from llmgym.serve.gateway.recording import Node
from llmgym.serve.trouble import ServeError

_GRACE_S = 30.0  # for which a reply that nobody waits for is sampled on, so that a client can come again for it


class Attempt:
    """A request that was begun.

    Attributes:
        work: The reply to come.
        delivered: Whether somebody has got it whole.
    """

    def __init__(self, work: Coroutine[Any, Any, Node]) -> None:
        """Begin."""
        self.work = asyncio.ensure_future(work)
        self.work.add_done_callback(_mark_undelivered)
        self.delivered = False
        self._waiting = 0
        self._left = False
        self._ending: asyncio.TimerHandle | None = None

    @property
    def lost(self) -> bool:
        """Whether a client that waited for it has left without it."""
        return self._left and not self.delivered

    @property
    def error(self) -> Exception | None:
        """Why there is no reply, once it is known."""
        if self.work.cancelled():
            return ServeError("ended", "the session has ended")
        error = self.work.exception()
        return error if error is None or isinstance(error, Exception) else RuntimeError(str(error))

    async def wait(self, gone: asyncio.Future[Any], seconds: float | None = None) -> bool:
        """Wait for the reply; whether it is there before the client has left, or time is up."""
        self._waiting += 1
        if self._ending is not None:
            self._ending.cancel()
            self._ending = None
        try:
            await asyncio.wait({self.work, gone}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._waiting -= 1
            if gone.done() and not self.work.done():
                self.leave()
        return self.work.done()

    def leave(self) -> None:
        """A client is gone; where nobody else waits, sampling ends after a time of grace."""
        self._left = True
        if not self._waiting and not self.work.done() and self._ending is None:
            self._ending = asyncio.get_running_loop().call_later(_GRACE_S, self.work.cancel)

    def deliver(self) -> None:
        """A client has the whole reply."""
        self.delivered = self.work.result().delivered = True


def _mark_undelivered(work: asyncio.Future[Node]) -> None:
    if not work.cancelled() and work.exception() is None:
        work.result().delivered = False  # until a client has it


class Attempts:
    """The requests of a session."""

    def __init__(self) -> None:
        """None yet."""
        self._known: dict[bytes, list[Attempt]] = {}  # by the request

    def begin(self, body: bytes, marked: bool, work: Callable[[], Coroutine[Any, Any, Node]]) -> Attempt:
        """The attempt that a request is, or joins.

        Args:
            body: The request.
            marked: Whether it says that it is sent again.
            work: Begins it, where it is new.
        """
        known = self._known.setdefault(sha256(body).digest(), [])
        waiting = [one for one in known if not one.delivered and (marked or one.lost) and not one.work.cancelled()]
        if waiting:
            return max(waiting, key=lambda one: one.lost)
        known.append(Attempt(work()))
        return known[-1]

    def _running(self) -> list[asyncio.Future[Node]]:
        return [one.work for known in self._known.values() for one in known if not one.work.done()]

    @property
    def running(self) -> bool:
        """Whether any is under way."""
        return bool(self._running())

    async def end(self) -> None:
        """Stop what is under way."""
        running = self._running()
        for work in running:
            work.cancel()
        await asyncio.gather(*running, return_exceptions=True)
