"""Requests to one server, repeated where that can help, and slower where the server is asked too much."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import random
import time
from collections.abc import AsyncGenerator, Callable
from typing import NamedTuple, TypeVar

from llmgym.policies.http import backoff
from llmgym.policies.openai import waits
from llmgym.policies.openai.address import Address
from llmgym.policies.openai.connection import Answer, Connection, connect
from llmgym.policies.openai.limiter import Limiter, Pace
from llmgym.policies.openai.trouble import Trouble

T = TypeVar("T")

_PROBE_S = 20.0
_BACKOFF_S, _LONGEST_BACKOFF_S = 0.5, 8.0
_CLOSED = Trouble("it was closed")
# Replies that a request may miss: the shares of others that were answered between its refusals, summed up. So many come
# by chance to one in a million (e^-14), however busy the server is; else the request exceeds the limit by itself. Since
# small ones may use up all that a large one waits for, it goes before them from the half on, and alone.
_MISSED, _ALONE = 14.0, 7.0

_log = logging.getLogger("llmgym.policies.openai")


class _Line(NamedTuple):
    """What an event loop has of the client."""

    life: AsyncGenerator[Connection]
    connection: Connection
    limiter: Limiter


class Client:
    """Asks one server.

    It serves any event loop, and several in turn: each has connections of its own, which end with it.
    """

    __slots__ = ("_address", "_closed", "_lines", "_max_retries", "_name", "_pace", "_patience", "_said", "_timeout")

    def __init__(self, name: str, address: Address, timeout: float, patience: float, max_retries: int) -> None:
        """Make the client; nothing is sent yet.

        Args:
            name: Whose it is, for the log.
            address: Of the server.
            timeout: Seconds for one try.
            patience: Seconds to wait for a server that limits us and answers nobody.
            max_retries: Tries after the first where the server fails; with 0, where it limits us too.
        """
        self._name, self._address = name, address
        self._timeout, self._max_retries, self._patience = timeout, max_retries, patience
        self._lines: dict[asyncio.AbstractEventLoop, _Line] = {}
        self._pace = Pace()
        self._closed = self._said = False

    async def models(self, read: Callable[[Answer], T | Trouble]) -> T | Trouble:
        """Ask what the server offers; one that hangs is found in seconds."""
        return await self._ask("GET", "/models", None, read, min(_PROBE_S, self._timeout), 1)

    async def ask(self, path: str, body: bytes, read: Callable[[Answer], T | Trouble]) -> T | Trouble:
        """Ask for a reply.

        Args:
            path: Behind the server's address.
            body: JSON.
            read: Reads an answer.
        """
        return await self._ask("POST", path, body, read, self._timeout, self._max_retries)

    async def _ask(
        self,
        method: str,
        path: str,
        body: bytes | None,
        read: Callable[[Answer], T | Trouble],
        seconds: float,
        tries: int,
    ) -> T | Trouble:
        url, failures, missed = self._address.url(path), 0, 0.0
        before, alone = None, False
        while not self._closed:
            line = await self._line()
            if (over := await line.limiter.enter(alone=alone)) is not None:
                return over
            sent = time.monotonic()
            try:
                answer = await line.connection.exchange(method, url, body, seconds)
                outcome = read(answer) if isinstance(answer, Answer) else answer
                again = self._note(outcome, answer, sent, line.limiter)
            finally:
                line.limiter.leave(alone=alone)
            if not isinstance(outcome, Trouble):
                return outcome
            if self._closed:
                break
            if outcome.limited:
                if not (again and tries):
                    return outcome
                share = 0.0 if before is None else _share(before, line.limiter.answers)
                before, missed = line.limiter.answers, missed + share
                if missed >= _MISSED:
                    said = f"{outcome.text}; again and again, while others are answered: does it exceed the limit?"
                    return dataclasses.replace(outcome, text=said, passing=False)
                alone = share > 0 and missed >= _ALONE
            elif not outcome.passing or outcome.spent or failures >= tries:
                return outcome
            else:
                await asyncio.sleep(random.uniform(0.75, 1) * backoff(_BACKOFF_S, failures, _LONGEST_BACKOFF_S))
                failures += 1
        return _CLOSED

    def _note(self, outcome: object, answer: Answer | Trouble, sent: float, limiter: Limiter) -> bool:
        """Tell the limiter what came of a request; whether it can be sent again, if it was one too many."""
        if isinstance(outcome, Trouble) and outcome.limited:
            again = limiter.refused(sent, outcome)
            if again and not self._said:
                self._said = True
                limits = waits.limits(answer.headers) if isinstance(answer, Answer) else ""
                _log.warning(
                    "%s: the server limits the run%s: %s. From here on at most %d requests run at a time, and more as "
                    "it takes them; waiting is no failure",
                    self._name,
                    f" ({limits})" if limits else "",
                    self._address.hide(outcome.text),
                    limiter.limit,
                )
            return again
        if isinstance(answer, Answer) and not (isinstance(outcome, Trouble) and outcome.passing):
            limiter.answered(waits.until_more(answer.headers))
        return False

    async def _line(self) -> _Line:
        """What the running event loop has, made when it first asks."""
        loop = asyncio.get_running_loop()
        line = self._lines.get(loop)
        if line is None:
            self._lines = {other: its for other, its in self._lines.items() if not other.is_closed()}
            life = connect(self._address)
            line = self._lines[loop] = _Line(life, await anext(life), Limiter(self._pace, self._patience))
        return line

    async def aclose(self) -> None:
        """Close the connections; what is pending ends with a trouble."""
        self._closed = True
        lines, self._lines = self._lines, {}
        here = asyncio.get_running_loop()
        for loop, line in lines.items():
            if loop is here:
                await _close(line)
            elif loop.is_running():
                await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(_close(line), loop))


def _share(before: tuple[int, int], now: tuple[int, int]) -> float:
    """Which share of other requests was answered between two refusals of one."""
    replies, refusals = now[0] - before[0], now[1] - before[1] - 1
    return replies / (replies + refusals) if replies else 0.0


async def _close(line: _Line) -> None:
    line.limiter.close(_CLOSED)
    await line.life.aclose()
