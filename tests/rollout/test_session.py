"""Spare episodes and stragglers."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from pathlib import Path
from typing import Any

import orjson
import pytest

from llmgym.policies.base import Generation
from llmgym.rollout import runner
from llmgym.rollout.budget import Budget
from llmgym.rollout.stop import Stop
from tests.rollouts import LETTERS, WordPolicy, Words, letters, say, shout_first


class Uneven(WordPolicy):
    """Answers repeats 0 and 2 of a task at once; the others call a tool, then wait until they are cancelled."""

    def __init__(self) -> None:
        super().__init__(Words(), say)
        self.cancelled = 0
        self.stuck: asyncio.Event = asyncio.Event()

    async def generate(self, prompt_ids: Any, sampling: Any, *, request_id: str, session_id: str) -> Generation:
        repeat, turn = int(session_id.rpartition("/")[2]), int(request_id.rpartition("/")[2])
        if repeat in (0, 2):
            await self.stuck.wait()
            self.reply = say
        elif turn == 0:
            self.reply = shout_first
        else:
            self.stuck.set()
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                self.cancelled += 1
                raise
        return await super().generate(prompt_ids, sampling, request_id=request_id, session_id=session_id)


def rows(folder: Path) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in (folder / "rollouts.jsonl").read_bytes().splitlines()]


async def test_stragglers_are_dropped(tmp_path: Path) -> None:
    policy = Uneven()
    make = letters(num_repeats=2, num_spare_repeats=2, num_tasks=1)
    collector = make(policy=policy, codec=policy.codec, output=tmp_path / "run")
    groups = [group async for group in collector.stream()]
    assert [[(t.repeat, t.status, t.reward) for t in group.trajectories] for group in groups] == [
        [(0, "completed", 1.0), (2, "completed", 1.0)]
    ]
    assert policy.cancelled == collector.progress.stragglers == 2
    assert collector.progress.live == collector.progress.failed == 0
    assert {row["repeat"] for row in rows(tmp_path / "run")} == {0, 2}
    again = make(policy=policy, codec=policy.codec, output=tmp_path / "run")
    asked = len(policy.requests)
    assert [group.rewards async for group in again.stream()] == [[1.0, 1.0]]
    assert len(policy.requests) == asked  # it was whole
    assert again.progress.resumed == 2


async def test_stragglers_are_kept_with_what_they_have(tmp_path: Path) -> None:
    policy = Uneven()
    make = letters(num_repeats=2, num_spare_repeats=2, num_tasks=1, stragglers="keep")
    collector = make(policy=policy, codec=policy.codec, output=tmp_path / "run")
    [group] = [group async for group in collector.stream()]
    assert [t.status for t in group.trajectories] == ["completed", "straggler", "completed", "straggler"]
    for straggler in group.trajectories[1::2]:
        assert straggler.reward == 0.25  # its tool call earned that; what is there was verified
        assert len(straggler.turns) == 1
        assert straggler.sampled_tokens == straggler.turns[0].end - straggler.turns[0].start > 0
        assert straggler.messages[-1]["role"] == "tool"
    assert Counter(row["status"] for row in rows(tmp_path / "run")) == {"completed": 2, "straggler": 2}
    assert (collector.progress.finished, collector.progress.stragglers) == (2, 2)
    assert collector.summary is not None
    assert collector.summary["statuses"] == {"completed": 2, "straggler": 2}


async def test_a_spare_stands_in_for_an_episode_that_failed() -> None:
    async def flaky(prompt: str) -> str:
        await asyncio.sleep(0)
        if next(turns) % 3 == 0:
            raise RuntimeError("no idea")
        return say(prompt)

    turns = iter(range(10_000))
    policy = WordPolicy(Words(), flaky)
    collector = letters(num_repeats=3, num_spare_repeats=3, max_attempts=1)(policy=policy, codec=policy.codec)
    groups = [group async for group in collector.stream()]
    assert len(groups) == 26
    assert all(sum(t.finished for t in group.trajectories) == 3 for group in groups)
    assert collector.progress.failed > 0
    assert collector.progress.finished == 78
    assert collector.progress.owed == 0


async def test_nobody_waits_for_an_episode_that_is_to_be_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "_BACKOFF_S", 3600.0)
    first = iter([True])
    policy = WordPolicy(Words(), lambda prompt: 1 / 0 if next(first, False) else say(prompt))
    for stragglers in ("drop", "keep"):
        make = letters(num_tasks=1, num_repeats=2, num_spare_repeats=1, stragglers=stragglers)
        collector = make(policy=policy, codec=policy.codec)
        summary = await asyncio.wait_for(collector.collect(), 60)
        assert summary["statuses"] == {"completed": 2}
        first = iter([True])


async def test_pauses_between_tries_do_not_grow_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    async def once(attempt: int) -> int:
        return attempt

    monkeypatch.setattr(runner, "_BACKOFF_S", 0.5)
    monkeypatch.setattr(asyncio, "sleep", sleep)
    assert await runner.retried(once, lambda _: "policy_error", 2000, Stop()) == 2000
    assert 10 < max(pauses) < 60


async def test_a_pause_between_tries_may_end_late(monkeypatch: pytest.MonkeyPatch) -> None:
    async def once(attempt: int) -> int:
        if attempt == 1:
            asyncio.get_running_loop().call_soon(time.sleep, 1.1)  # as where thousands of episodes begin
        return attempt

    monkeypatch.setattr(runner, "_BACKOFF_S", 0.01)
    assert await runner.retried(once, lambda _: "env_error", 2, Stop()) == 2


async def test_a_whole_group_is_given_though_its_spare_came_after_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    waiting: list[str] = []
    spent = asyncio.Event()

    def is_spent(budget: Budget) -> bool:
        asked.append(len(asked))
        if len(asked) > 3:  # for the task, and for each of three episodes
            spent.set()
        return spent.is_set()

    async def one_waits(prompt: str) -> str:
        if len(asked) == 3 and not waiting:
            waiting.append(prompt)
            await spent.wait()
        return say(prompt)

    monkeypatch.setattr(Budget, "is_spent", is_spent)
    policy = WordPolicy(Words(), one_waits)
    settings: dict[str, Any] = {"num_repeats": 2, "num_spare_repeats": 1, "num_samples_in_parallel": 2}
    collector = letters(**settings, stragglers="keep", num_tasks=1)(policy=policy, codec=policy.codec)
    assert [group.rewards async for group in collector.stream()] == [[1.0, 1.0]]


async def test_a_group_that_cannot_become_whole_is_given_as_it_is() -> None:
    collector = letters(num_repeats=2, num_spare_repeats=1, max_attempts=1, faults={"b": "setup raise"})(
        policy=(policy := WordPolicy(Words(), say)), codec=policy.codec
    )
    groups = {group.id: group async for group in collector.stream()}
    assert [t.status for t in groups[f"{LETTERS}/b"].trajectories] == ["env_error"] * 3
    assert len(groups) == 26


@pytest.mark.parametrize("stragglers", ["drop", "keep"])
@pytest.mark.parametrize("parallel", [1, 3, 64])
async def test_whatever_the_timing_each_group_is_given_once_and_whole(
    stragglers: str, parallel: int, tmp_path: Path
) -> None:
    async def slow(prompt: str) -> str:
        for _ in range(hash((prompt, next(turns))) % 7):
            await asyncio.sleep(0)
        return say(prompt)

    turns = iter(range(10_000))
    policy = WordPolicy(Words(), slow)
    collector = letters(num_repeats=2, num_spare_repeats=2, num_samples_in_parallel=parallel, stragglers=stragglers)(
        policy=policy, codec=policy.codec, output=tmp_path / "run"
    )
    groups = [group async for group in collector.stream()]
    assert Counter(group.id for group in groups) == {f"{LETTERS}/{chr(c)}": 1 for c in range(97, 123)}
    stored = Counter(row["id"] for row in rows(tmp_path / "run"))
    given = Counter(t.id for group in groups for t in group.trajectories)
    assert stored == given
    assert set(given.values()) == {1}
    for group in groups:
        statuses = [t.status for t in group.trajectories]
        assert statuses.count("completed") >= 2 if stragglers == "keep" else statuses == ["completed"] * 2
