from __future__ import annotations

import asyncio
import math
from itertools import chain, repeat
from types import SimpleNamespace

import pytest

from llmgym.concurrency import watched
from llmgym.policies.openai import limiter as limiter_module
from llmgym.policies.openai.limiter import Limiter, Pace
from llmgym.policies.openai.trouble import Trouble

NO_MORE = Trouble("no more")


def refusal(wait: float | None = None) -> Trouble:
    return Trouble("too many", passing=True, limited=True, wait=wait)


class Server:
    """Takes so many requests at once, and refuses others."""

    def __init__(self, limiter: Limiter, room: int) -> None:
        self.limiter, self.room = limiter, room
        self.live = self.most = self.refused = self.answered = 0

    async def ask(self) -> Trouble | None:
        loop = asyncio.get_running_loop()
        while True:
            if (over := await self.limiter.enter()) is not None:
                return over
            sent = loop.time()
            self.live += 1
            self.most = max(self.most, self.live)
            crowded = self.live > self.room
            await asyncio.sleep(0)
            self.live -= 1
            if not crowded:
                self.answered += 1
                self.limiter.answered(0)
                self.limiter.leave()
                return None
            self.refused += 1
            again = self.limiter.refused(sent, refusal(0.001))
            self.limiter.leave()
            if not again:
                return NO_MORE


async def test_without_a_refusal_there_is_no_limit() -> None:
    server = Server(Limiter(Pace(), 60), 10_000)
    await asyncio.gather(*(server.ask() for _ in range(500)))
    assert (server.most, server.answered) == (500, 500)
    assert server.limiter.limit == math.inf


async def test_all_are_answered_by_a_server_that_takes_few() -> None:
    server = Server(Limiter(Pace(), 60), 4)
    found = await asyncio.gather(*(server.ask() for _ in range(300)))
    assert found == [None] * 300
    assert server.limiter.limit < 16
    assert server.refused < 2 * 300


async def test_a_pause_that_ends_while_it_is_looked_at_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = chain([0.9, 0.95], repeat(1.1))
    monkeypatch.setattr(limiter_module, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    assert await asyncio.wait_for(Limiter(Pace(limit=1.0, until=1.0), 60).enter(), 5) is None


async def test_a_server_may_refuse_for_days() -> None:
    limiter = Limiter(Pace(refusals=5000), 1e6)
    assert await limiter.enter() is None
    assert limiter.refused(asyncio.get_running_loop().time(), refusal())


async def test_one_crowd_is_one_cut() -> None:
    pace = Pace()
    limiter = Limiter(pace, 60)
    now = asyncio.get_running_loop().time()
    for _ in range(8):
        assert await limiter.enter() is None
    for _ in range(8):
        assert limiter.refused(now, refusal(0.001))
    assert pace.limit == 4
    assert limiter.refused(pace.cut, refusal(0.001))  # what was sent since then speaks against the new limit
    assert pace.limit == 2


async def test_the_limit_grows_by_one_for_as_many_replies_as_there_may_be() -> None:
    pace = Pace(limit=4.0)
    limiter = Limiter(pace, 60)
    for _ in range(4):
        await limiter.enter()
    for _ in range(5):
        limiter.answered(0)
    assert 5 <= pace.limit < 5.2
    limiter.leave()
    limiter.leave()
    limiter.answered(0)  # nobody waits: it says nothing about more
    assert pace.limit < 5.2


async def test_turns_come_in_order_once_the_pause_is_over() -> None:
    limiter = Limiter(Pace(), 60)
    await limiter.enter()
    limiter.answered(0.05)
    order: list[int] = []

    async def one(number: int) -> None:
        await limiter.enter()
        order.append(number)

    tasks = [asyncio.create_task(one(number)) for number in range(5)]
    await asyncio.sleep(0)
    tasks[1].cancel()
    assert not order
    await asyncio.wait(tasks)
    assert order == [0, 2, 3, 4]


async def test_a_turn_that_comes_too_late_is_passed_on() -> None:
    limiter = Limiter(Pace(limit=1.0), 60)
    await limiter.enter()
    late, next_one = asyncio.create_task(limiter.enter()), asyncio.create_task(limiter.enter())
    await asyncio.sleep(0)
    limiter.leave()  # the turn of the first
    late.cancel()
    assert await asyncio.wait_for(next_one, 1) is None


async def test_a_limit_that_does_not_pass_ends_all_that_wait() -> None:
    pace = Pace()
    limiter = Limiter(pace, patience=0.05)
    now = asyncio.get_running_loop().time()
    await limiter.enter()
    assert limiter.refused(now, refusal(0.01))
    waiting = asyncio.create_task(limiter.enter())
    await asyncio.sleep(0)
    assert not limiter.refused(now, refusal(3600))
    assert await waiting == refusal(3600)


async def test_patience_begins_anew_with_a_reply_and_after_a_rest() -> None:
    pace = Pace()
    limiter = Limiter(pace, patience=10)
    now = asyncio.get_running_loop().time()
    pace.refused_since = pace.until = now - 9
    assert not limiter.refused(now - 1, refusal(2))
    limiter.answered(0)
    assert limiter.refused(now, refusal(2))
    pace.refused_since, pace.until = now - 1000, now - 100
    assert limiter.refused(now, refusal(2))


async def test_without_a_word_the_waits_grow() -> None:
    pace = Pace()
    limiter = Limiter(pace, 600)
    waits = []
    for _ in range(9):
        now = asyncio.get_running_loop().time()
        pace.until = 0
        limiter.refused(now, refusal())
        waits.append(round(pace.until - now, 1))
    assert waits == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]


class Watch:
    def __init__(self) -> None:
        self.log: list[str] = []

    def hold(self) -> None:
        self.log.append("hold")

    def release(self) -> None:
        self.log.append("release")


@pytest.mark.parametrize("cancelled", [False, True])
async def test_only_waiting_holds_a_watch(cancelled: bool) -> None:
    watch, limiter = Watch(), Limiter(Pace(limit=1.0), 60)
    with watched(watch):
        await limiter.enter()
        assert not watch.log
        waiting = asyncio.create_task(limiter.enter())
        await asyncio.sleep(0)
        assert watch.log == ["hold"]
        waiting.cancel() if cancelled else limiter.leave()
        await asyncio.wait({waiting})
    assert watch.log == ["hold", "release"]
