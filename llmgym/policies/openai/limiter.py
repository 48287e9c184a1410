"""How many requests may be at a server at once: all, until it says that there are too many.

Servers limit requests and tokens per minute, and refuse what is beyond (429). A run that is refused is to become slower
and not to end. So the first refusal holds all requests back for as long as the server asks, and halves the number that
may be there at once; replies let it grow again, by one for as many as there are. This is how TCP finds its rate (Chiu
and Jain, 1989).
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from dataclasses import dataclass

from llmgym.concurrency import held
from llmgym.policies.http import backoff
from llmgym.policies.openai.trouble import Trouble

_CUT = 0.5
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.5, 30.0  # where the server does not say how long


@dataclass(slots=True)
class Pace:
    """What has been learned of a server; it outlives event loops.

    Attributes:
        limit: Requests that may be there at once.
        until: When the next may go, by `time.monotonic()`.
        cut: When the limit was cut last; what was sent before does not speak against the new one.
        refused_since: When the first request was refused after the last reply; None where none was.
        refusals: Cuts since the last reply.
        answers: Replies, and refusals, all of them.
    """

    limit: float = math.inf
    until: float = 0.0
    cut: float = 0.0
    refused_since: float | None = None
    refusals: int = 0
    answers: tuple[int, int] = (0, 0)


class Limiter:
    """Lets requests of one event loop through, in order."""

    def __init__(self, pace: Pace, patience: float) -> None:
        """Go at a pace.

        Args:
            pace: What is known of the server.
            patience: Seconds without any reply after which the limit counts as one that does not pass.
        """
        self._pace, self._patience = pace, patience
        self._live, self._alone = 0, False
        self._waiting: deque[asyncio.Future[Trouble | None]] = deque()
        self._first: deque[asyncio.Future[Trouble | None]] = deque()  # which go before those, each alone
        self._timer: asyncio.TimerHandle | None = None

    async def enter(self, *, alone: bool = False) -> Trouble | None:
        """Wait for a turn; the time counts against no deadline.

        Args:
            alone: Whether it is to come before all others, of which none comes until it ends.

        Returns:
            Why there will be none; None when it has come.
        """
        if not (alone or self._waiting or self._first) and self._has_room():
            self._live += 1
            return None
        turn: asyncio.Future[Trouble | None] = asyncio.get_running_loop().create_future()
        (self._first if alone else self._waiting).append(turn)
        self._admit()
        with held():
            try:
                return await turn
            except asyncio.CancelledError:
                if not turn.cancelled() and turn.result() is None:  # it came just now, and is somebody else's
                    self.leave(alone=alone)
                raise

    def leave(self, *, alone: bool = False) -> None:
        """End a turn, as it was entered."""
        self._live -= 1
        self._alone = self._alone and not alone
        self._admit()

    def answered(self, pause: float) -> None:
        """Note a reply; `pause` seconds until the server says that it takes more."""
        pace = self._pace
        pace.refused_since, pace.refusals = None, 0
        pace.answers = pace.answers[0] + 1, pace.answers[1]
        if self._live + 1 > pace.limit:  # else it says nothing about a higher one
            pace.limit += 1 / pace.limit
        if pause:
            pace.until = max(pace.until, time.monotonic() + pause)

    def refused(self, sent: float, trouble: Trouble) -> bool:
        """Note a refusal, and slow down.

        Args:
            sent: When the request was sent, by `time.monotonic()`.
            trouble: What the server said.

        Returns:
            Whether to try again; not where the server has answered nobody for too long, or would for too long.
        """
        pace, now, wait = self._pace, time.monotonic(), trouble.wait
        pace.answers = pace.answers[0], pace.answers[1] + 1
        if pace.refused_since is None or sent > pace.until + _LONGEST_WAIT_S:  # nobody has asked for a while
            pace.refused_since = now
        if sent >= pace.cut:
            pace.cut = now
            pace.limit = max(1.0, math.floor(min(pace.limit, self._live) * _CUT))
            pace.refusals += 1
            wait = wait or backoff(_FIRST_WAIT_S, pace.refusals - 1, _LONGEST_WAIT_S)
        if now + (wait or 0.0) - pace.refused_since > self._patience:
            self.close(trouble)
            return False
        pace.until = max(pace.until, now + (wait or 0.0))
        return True

    @property
    def answers(self) -> tuple[int, int]:
        """Replies that came so far, and refusals."""
        return self._pace.answers

    @property
    def limit(self) -> float:
        """Requests that may be there at once."""
        return self._pace.limit

    def close(self, why: Trouble) -> None:
        """Tell all that wait that there will be no turn."""
        for turn in (*self._first, *self._waiting):
            if not turn.done():
                turn.set_result(why)
        self._first.clear()
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _has_room(self) -> bool:
        return self._has_places() and time.monotonic() >= self._pace.until

    def _has_places(self) -> bool:
        """Whether only time is waited for; else a turn that ends lets others in."""
        return not self._alone and self._live + 1 <= self._pace.limit

    def _admit(self) -> None:
        """Let in whoever may go now, and come back when the pause is over."""
        while (queue := self._first or self._waiting) and self._has_room():
            turn = queue.popleft()
            if not turn.done():
                self._live, self._alone = self._live + 1, queue is self._first
                turn.set_result(None)
        if queue and self._timer is None and self._has_places():
            pause = max(0.0, self._pace.until - time.monotonic())  # which may be over since it was asked for
            self._timer = asyncio.get_running_loop().call_later(pause, self._ring)

    def _ring(self) -> None:
        self._timer = None
        self._admit()
