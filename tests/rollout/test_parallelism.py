"""The adaptive limit: against a simulated engine, and in a run."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgym.errors import ConfigError, PolicyError, PolicyUnavailable
from llmgym.policies.base import EngineLoad, Generation
from llmgym.rollout import session
from llmgym.rollout.parallelism import AdaptiveLimit
from tests.rollouts import Script, WordPolicy, Words, answer, letters, say


def engine(live: int, room: int, preemptions: int = 0) -> EngineLoad:
    """An engine that runs `room` requests and lets the others wait."""
    return EngineLoad(min(live, room), max(0, live - room), 0.5, preemptions)


@given(room=st.integers(8, 4000))
def test_it_settles_around_what_the_engine_has_room_for(room: int) -> None:
    limit = AdaptiveLimit()
    values = []
    for _ in range(600):
        limit.update(engine(limit.value, room), limit.value)
        values.append(limit.value)
    settled = values[300:]
    assert max(settled) <= room * 1.5 + 32  # room, its queue, a step, and a look too many
    assert sum(min(value, room) for value in settled) / len(settled) >= 0.7 * room


def test_it_doubles_until_there_is_a_queue_and_then_grows_by_steps() -> None:
    limit = AdaptiveLimit()
    values = [limit.value]
    for _ in range(12):
        limit.update(engine(limit.value, 200), limit.value)
        values.append(limit.value)
    assert values[:4] == [32, 64, 128, 256]
    assert values[4] == 256  # one look at a queue is no proof
    assert values[5] == 192
    assert values[6] == 208


def test_it_does_not_grow_where_it_is_not_the_limit() -> None:
    limit = AdaptiveLimit()
    limit.update(engine(3, 200), 3)
    assert limit.value == 32


def test_it_is_cut_once_for_one_crowd() -> None:
    limit = AdaptiveLimit()
    limit.update(engine(32, 8), 32)
    limit.update(engine(32, 8), 32)
    assert limit.value == 24
    limit.update(engine(32, 8), 32)  # those that are too many have not ended yet
    assert limit.value == 24
    limit.update(engine(24, 8), 24)
    assert limit.value == 18


@pytest.mark.parametrize("load", [EngineLoad(32, 0, 0.5, 1), EngineLoad(30, 1, 0.97, 0)])
def test_preemptions_and_a_full_cache_are_no_room(load: EngineLoad) -> None:
    limit = AdaptiveLimit()
    limit.update(EngineLoad(32, 0, 0.5, 0), 20)
    limit.update(load, 20)
    assert limit.value == 24


class Busy(WordPolicy):
    """An engine that answers `room` requests at a time."""

    def __init__(self, room: int) -> None:
        super().__init__(Words(), say)
        self.room, self.running, self.waiting, self.most, self.looks = asyncio.Semaphore(room), 0, 0, 0, 0

    async def generate(self, prompt_ids: Any, sampling: Any, *, request_id: str, session_id: str) -> Generation:
        self.waiting += 1
        async with self.room:
            self.waiting -= 1
            self.running += 1
            self.most = max(self.most, self.running + self.waiting)
            await asyncio.sleep(0.001)
            self.running -= 1
        return await super().generate(prompt_ids, sampling, request_id=request_id, session_id=session_id)

    async def load(self) -> EngineLoad:
        self.looks += 1
        if self.looks % 3 == 0:
            raise PolicyUnavailable("not now")
        return EngineLoad(self.running, self.waiting, 0.1, 0)


async def test_a_run_finds_how_much_its_engine_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "_LOOK_S", 0.002)
    policy = Busy(64)
    collector = letters(num_samples_in_parallel="auto", num_repeats=40)(policy=policy, codec=policy.codec)
    summary = await collector.collect()
    assert (summary["finished"], summary["reward"]["mean"]) == (26 * 40, 1.0)
    assert policy.most > 32  # where it starts
    assert collector.progress.limit > 32
    assert policy.looks > 3


async def test_a_complete_run_looks_at_no_engine(tmp_path: Path) -> None:
    async def load() -> EngineLoad:
        raise PolicyError("not started")

    policy, make = Busy(64), letters(num_samples_in_parallel="auto", num_tasks=2)
    for _ in range(2):
        assert (await make(policy=policy, codec=policy.codec, output=tmp_path).collect())["finished"] == 2
        policy.load = load  # type: ignore[method-assign]


async def test_a_policy_that_cannot_be_measured_needs_a_number() -> None:
    collector = letters(num_samples_in_parallel="auto")(policy=Script(answer))
    with pytest.raises(ConfigError, match="script does not know how busy it is; give a number"):
        await collector.collect()
