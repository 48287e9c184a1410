"""A request and how far it has come."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from llmgym.chat import Sampling
from llmgym.errors import PolicyError
from llmgym.policies.base import Generation
from llmgym.policies.stop_strings import Watch

Ids = NDArray[np.int64]


@dataclass(eq=False, slots=True)
class Request:
    """A request and how far it has come.

    Attributes:
        prompt: Ids of the prompt, a copy of the caller's.
        limit: Most tokens to sample.
        sampled: Ids that were sampled.
        filled: How many ids of prompt and reply have their keys and values in the store.
        cached: How many of them were copied there.
        withdrawn: The coroutine that asked waits no more; set from its own thread.
        watch: Looks for stop strings; None where there are none.
    """

    prompt: Ids
    limit: int
    sampling: Sampling
    request_id: str
    session_id: str
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Generation]
    random: random.Random
    sampled: list[int] = field(default_factory=list[int])
    logprobs: list[float] = field(default_factory=list[float])
    filled: int = 0
    cached: int = 0
    withdrawn: bool = False
    watch: Watch | None = None

    @property
    def reach(self) -> int:
        """Most tokens that prompt and reply can come to."""
        return len(self.prompt) + self.limit

    @property
    def unfilled(self) -> Ids:
        """What is left to prefill: the prompt without its last token and without what is in the store."""
        return self.prompt[self.filled : -1]

    @property
    def last(self) -> int:
        """The token that the next one follows."""
        return self.sampled[-1] if self.sampled else int(self.prompt[-1])

    @property
    def stopped(self) -> bool:
        """Whether a stop token was sampled, or the rest of a stop string."""
        if not self.sampled:
            return False
        if self.sampled[-1] in self.sampling.stop_token_ids:
            return True
        return self.watch is not None and self.watch.sees(self.sampled)

    @property
    def done(self) -> bool:
        """Whether the reply is complete."""
        return self.stopped or len(self.sampled) >= self.limit

    @property
    def abandoned(self) -> bool:
        """Whether nobody waits for the reply; once true, it stays true."""
        return self.withdrawn or self.loop.is_closed()

    def filled_ids(self) -> Ids:
        """Return the ids whose keys and values are in the store."""
        return np.concatenate((self.prompt, np.array(self.sampled, np.int64)))[: self.filled]

    def append(self, token: int, logprob: float) -> None:
        """Take in what was sampled from the logits of the last token, which is now in the store."""
        self.filled += 1
        self.sampled.append(token)
        self.logprobs.append(logprob)

    def succeed(self) -> None:
        """Hand the reply to the event loop that waits for it."""
        reply = Generation(
            token_ids=self.sampled,
            logprobs=self.logprobs,
            finish_reason="stop" if self.stopped else "length",
            cached_tokens=self.cached,
        )
        self._settle(lambda: self.future.done() or self.future.set_result(reply))

    def fail(self, error: PolicyError) -> None:
        """Hand an error to the event loop that waits."""
        self._settle(lambda: self.future.done() or self.future.set_exception(error))

    def _settle(self, callback: Callable[[], object]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self.loop.call_soon_threadsafe(callback)
