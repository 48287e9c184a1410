"""What ends an episode, or the wait for a reply, from outside."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeVar

from llmgym.concurrency import is_outside
from llmgym.errors import CodecError, PolicyError
from llmgym.trajectory import Status

T = TypeVar("T")


class PolicyTimeout(PolicyError):
    """No reply in time."""


class LimitReached(Exception):
    """There is no room for another reply."""

    def __init__(self, status: Status) -> None:
        super().__init__(status)
        self.status: Status = status


class Stop:
    """Ends an episode from outside, or the reply that is being sampled at its deadline; no other is asked for then.

    One timer serves all replies of an episode: most end long before it does, and to arm one for each costs more than
    all else that is done here. As a `Watch` it stands still while a policy holds a request back, and so does the
    deadline of the episode.
    """

    def __init__(self, *, verify: bool = True) -> None:
        """Nothing is asked for yet; `verify` says whether what is there then is scored."""
        self.requested, self.verify = False, verify
        self._task: asyncio.Task[Any] | None = None  # that waits for a reply
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        self._ended = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._deadline: asyncio.Timeout | None = None  # of the episode
        self._deadline_due: float | None = None
        self._holds = 0
        self._held_at = 0.0

    def request(self) -> None:
        """End the episode; a step that the environment is taking is waited for."""
        if not self.requested:
            self.requested = True
            self._end_reply()

    def bound_episode(self, seconds: float) -> asyncio.Timeout:
        """The deadline of the whole episode."""
        self._loop = asyncio.get_running_loop()
        self._deadline = asyncio.timeout(seconds)
        return self._deadline

    def hold(self) -> None:
        """Stand still; of no effect in another event loop, which timers must not be touched from."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            return
        self._holds += 1
        if self._holds == 1 and self._deadline is not None:
            self._held_at, self._deadline_due = loop.time(), self._deadline.when()
            self._set_deadline(None)

    def release(self) -> None:
        """Go on, unless something else holds it."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            return
        self._holds -= 1
        if not self._holds:
            held = loop.time() - self._held_at
            self._due += held
            if self._deadline_due is not None:
                self._set_deadline(self._deadline_due + held)
            if self._timer is None and self._task is not None:
                self._timer = loop.call_at(self._due, self._ring)

    def _set_deadline(self, due: float | None) -> None:
        with suppress(RuntimeError):  # it has passed, or the episode is over, and this was left of it
            assert self._deadline is not None
            self._deadline.reschedule(due)

    def close(self) -> None:
        """Stop the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def bounded(self, reply: Callable[[], Awaitable[T]], seconds: float) -> T:
        """Wait for a reply; any way that the policy fails is a `PolicyError`.

        Raises:
            LimitReached: There was no room for a reply, or the end was requested.
            PolicyError: The policy failed, or took longer.
        """
        if self.requested:
            raise LimitReached("straggler")
        task = asyncio.current_task()
        assert task is not None
        cancelled_before = task.cancelling()
        self._arm(seconds)
        self._task, self._ended = task, False
        try:
            return await reply()
        except (LimitReached, PolicyError, CodecError):
            raise
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError) and self._ended and task.cancelling() == cancelled_before + 1:
                if self.requested:
                    raise LimitReached("straggler") from None
                raise PolicyTimeout(f"no reply within {seconds} s") from None
            if is_outside(error):
                raise
            raise PolicyError(f"{type(error).__name__}: {error}") from error
        finally:
            self._task = None
            if self._ended:  # also where the policy has swallowed it
                task.uncancel()

    def _arm(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        self._due = loop.time() + seconds
        if self._timer is None or self._timer.when() > self._due:
            self.close()
            self._timer = loop.call_at(self._due, self._ring)

    def _ring(self) -> None:
        self._timer = None
        if self._task is None or self._holds:  # the next reply sets it anew, or whoever holds it
            return
        loop = asyncio.get_running_loop()
        if loop.time() < self._due:
            self._timer = loop.call_at(self._due, self._ring)
        else:
            self._end_reply()

    def _end_reply(self) -> None:
        if self._task is not None and not self._ended:
            self._ended = True
            self._task.cancel()
