"""Between callers and slots: which slots are taken, what they answered, and who may answer that."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence

from gymnasium.error import AlreadyPendingCallError, ClosedEnvironmentError, NoAsyncCallError

from llmgym.env import Observation, StepResult
from llmgym.errors import VectorError


class Mailbox:
    """What threads share of a vector; each method may be called from any of them.

    A slot is taken from when something is asked of it until the answer is handed out. What a thread was shown last is
    its own to answer, for as long as nothing else is asked of those slots.

    Attributes:
        closed: Whether the vector is.
        seen: What callers saw last of each slot.
    """

    def __init__(self, num_envs: int) -> None:
        """Nothing is asked."""
        self.closed = False
        self.seen: list[Observation] = [()] * num_envs
        self._lock = threading.RLock()  # guards all else
        self._condition = threading.Condition(self._lock)
        self._taken = [False] * num_envs
        self._arrived: deque[tuple[int, StepResult]] = deque()
        self._outstanding = 0  # steps that were sent and not received
        self._callers: list[int] = []  # threads that are within a step, reset or send
        self._holders: list[list[int] | None] = [None] * num_envs  # the batch that a slot was last shown in
        self._mine = threading.local()  # `batch`: what this thread was shown last

    def expect_open(self, method: str) -> None:
        """Refuse what is asked of a closed vector.

        Raises:
            ClosedEnvironmentError: It is closed.
        """
        if self.closed:
            raise ClosedEnvironmentError(f"{method}() of an environment that is closed")

    # --- asking -----------------------------------------------------------------------------------

    def claim(self, ids: Sequence[int] | None, method: str) -> Sequence[int]:
        """Take slots, all or none; the caller then gives them back by `release` or `show`, or by `post` and `leave`.

        Args:
            ids: The slots, each once; None takes those that this thread was shown last.
            method: What is asked, for error messages.

        Raises:
            AlreadyPendingCallError: One is taken.
            ClosedEnvironmentError: The vector is closed.
            VectorError: This thread has nothing to answer, or something else was asked of a slot meanwhile.
        """
        with self._lock:
            self.expect_open(method)
            ids = self._own() if ids is None else ids
            for i in ids:
                if self._taken[i]:
                    text = f"{method}() while a step or reset of slot {i} is pending: recv() it, or wait for its caller"
                    raise AlreadyPendingCallError(text, method)
            for i in ids:
                self._taken[i] = True
            self._callers.append(threading.get_ident())
        return ids

    def _own(self) -> list[int]:
        batch: list[int] | None = getattr(self._mine, "batch", None)
        if batch is None:
            raise VectorError("this thread has received nothing that it has not answered: pass env_ids to send()")
        if gone := [i for i in batch if self._holders[i] is not batch and not self._taken[i]]:
            raise VectorError(f"slot {gone[0]} has gone on since this thread received it: pass env_ids to send()")
        return batch

    def release(self, ids: Sequence[int]) -> None:
        """Give slots back: there is no answer."""
        with self._lock:
            for i in ids:
                self._taken[i] = False
            self._leave()

    def show(self, ids: Sequence[int], observations: Sequence[Observation]) -> None:
        """Give slots back, and their answers to this thread."""
        with self._lock:
            self._show(ids, observations)
            self._leave()

    def _show(self, ids: Sequence[int], observations: Sequence[Observation]) -> None:
        batch = self._mine.batch = list(ids)
        for i, observation in zip(ids, observations, strict=True):
            self._taken[i] = False
            self._holders[i] = batch
            self.seen[i] = observation

    def _leave(self) -> None:
        self._callers.remove(threading.get_ident())
        if self.closed:
            self._condition.notify_all()

    # --- sending and receiving --------------------------------------------------------------------

    def post(self, ids: Sequence[int]) -> None:
        """Note that claimed slots are sent what this thread has to say to what it was shown."""
        with self._lock:
            self._outstanding += len(ids)
            for i in ids:
                self._holders[i] = None
            self._mine.batch = None

    def leave(self, missed: Sequence[int] = ()) -> None:
        """Note that what was posted is on its way, but for slots that were not reached."""
        with self._lock:
            for i in missed:
                self._taken[i] = False
            self._outstanding -= len(missed)
            self._leave()
            if missed:  # fewer are pending, so fewer are enough for whoever receives
                self._condition.notify_all()

    def put(self, index: int, result: StepResult) -> None:
        """Bring an answer."""
        with self._lock:
            self._arrived.append((index, result))
            self._condition.notify_all()

    def take(self, least: int, most: int, timeout: float | None) -> list[tuple[int, StepResult]]:
        """Wait for answers and give them to this thread.

        Args:
            least: How many to wait for; or for all that are pending, where there are fewer.
            most: How many to take at most.
            timeout: Seconds to wait; then what is there is given.

        Raises:
            NoAsyncCallError: Nothing is pending, or another thread took the rest.
            ClosedEnvironmentError: The vector is closed, or was while waiting.
        """

        def enough() -> bool:
            return self.closed or len(self._arrived) >= min(least, self._outstanding)

        with self._lock:
            self.expect_open("recv")
            self._expect_pending()
            self._condition.wait_for(enough, None if timeout is None else min(timeout, threading.TIMEOUT_MAX))
            self.expect_open("recv")
            self._expect_pending()
            taken = [self._arrived.popleft() for _ in range(min(len(self._arrived), most))]
            self._outstanding -= len(taken)
            self._show([i for i, _ in taken], [result[0] for _, result in taken])
            self._condition.notify_all()  # fewer are pending, so fewer are enough for others
            return taken

    def _expect_pending(self) -> None:
        if not self._outstanding:
            raise NoAsyncCallError("recv() without a send() that is still to be answered", "recv")

    # --- closing ----------------------------------------------------------------------------------

    def close(self) -> None:
        """Refuse all that is asked from now on; whoever waits gets an error."""
        with self._lock:
            self.closed = True
            self._condition.notify_all()

    def wait_for_callers(self, seconds: float) -> bool:
        """Wait until no other thread is within a step, reset or send; gives whether that came true in time."""
        me = threading.get_ident()
        with self._lock:
            return self._condition.wait_for(lambda: all(caller == me for caller in self._callers), seconds)
