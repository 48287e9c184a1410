"""What every trainer's adapter must keep, checked on the rows that the trainer got against what the engine was asked.

A test builds its dataset of `Trouble` in `calm`, runs it through an adapter with a `Recording` (tests/exactness.py) as
the engine, turns what the trainer got into `Row`s, and calls `check`. Engines that no adapter may trip over:
`FuzzPolicy`, and `hindered`.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium

from llmgym.env import Episode
from llmgym.errors import PolicyError
from llmgym.policies import Generation, Sampling
from llmgym.rewards import Reward
from llmgym.tasks import RowTasks, Task
from llmgym.tools import tool
from llmgym.trainers.common import Sample
from tests.exactness import Recording, Request, Talk

TROUBLE = "tests.trainers.contract:test/Trouble-v0"

#: Tasks of `Trouble` that end in a reward, and those that must not.
GOOD = ("good-0", "good-1", "good-2", "good-3")
BAD = ("setup", "respond", "verify", "unscored")


@contextlib.contextmanager
def calm() -> Iterator[None]:
    """Let nothing fail in `Trouble`, in this process: for building datasets, which reset each task once."""
    Trouble.failing = False
    try:
        yield
    finally:
        Trouble.failing = True


class _Rows:
    def rows(self) -> Iterable[tuple[str, dict[str, Any]]]:
        for name in (*GOOD, *BAD):
            yield name, {"id": name, "prompt": f"Say {name}, \U0001f642."}

    def __str__(self) -> str:
        return "troubles"


class Trouble(Talk):
    """Talk with a reward in every turn, where the tasks in `BAD` fail in the hook that they are named after."""

    tasks = RowTasks(_Rows())
    failing = True

    def _fail(self, hook: str, task: Task | None) -> None:
        assert task is not None
        if self.failing and task.id == hook:
            raise KeyError("lost")

    def setup(self, task: Task) -> None:
        self._fail("setup", task)

    @tool
    def echo(self, text: str) -> str:
        """Give the text back.

        Args:
            text: Any text.
        """
        self.reward(0.25)
        return text

    def respond(self, message: Any) -> str:
        self._fail("respond", self.task)
        self.reward(0.125)
        return super().respond(message)

    def verify(self, episode: Episode) -> Reward:
        self._fail("verify", episode.task)
        unscored = episode.task.id == "unscored"
        return Reward(calls=None if unscored else float(len(episode.tool_calls)))


gymnasium.register("test/Trouble-v0", entry_point="tests.trainers.contract:Trouble")


def hindered(policy: Any, hinder: Callable[[str], bool]) -> Any:
    """The same policy, but requests whose id satisfies `hinder` fail."""

    class Hindered:
        def __getattr__(self, name: str) -> Any:
            return getattr(policy, name)

        async def generate(self, prompt_ids: Sequence[int], sampling: Sampling, **ids: str) -> Generation:
            await asyncio.sleep(0)
            if hinder(ids["request_id"]):
                raise PolicyError("no engine")
            return await policy.generate(prompt_ids, sampling, **ids)

    return Hindered()


@dataclass(frozen=True)
class Row:
    """One row as a trainer got it.

    Attributes:
        session: Session that the engine knows the episode by: its id, such as "test/Trouble-v0/good-0/3".
        group: Whatever the trainer groups by.
        prompt_ids: Prompt.
        completion_ids: Completion.
        loss_mask: What is trained of it.
        logprobs: One for each token of it; None where the trainer takes none.
        reward: None where the trainer was told that there is none.
        rewards: One for each token of the completion; None where the trainer takes one for all.
    """

    session: str
    group: Any
    prompt_ids: Sequence[int]
    completion_ids: Sequence[int]
    loss_mask: Sequence[int]
    logprobs: Sequence[float] | None
    reward: float | None
    rewards: Sequence[float] | None = None


def row_of(sample: Sample, group: Any = None) -> Row:
    """The row of a sample, for adapters that pass it on as it is."""
    episode = sample.trajectory
    return Row(
        session=episode.id if episode.attempts == 1 else f"{episode.id}/{episode.attempts}",
        group=episode.group_id if group is None else group,
        prompt_ids=sample.prompt_ids,
        completion_ids=sample.completion_ids,
        loss_mask=sample.loss_mask,
        logprobs=sample.logprobs,
        reward=sample.reward,
        rewards=sample.rewards,
    )


def check(rows: Sequence[Row], recording: Recording) -> None:
    """Check all rows that a trainer got of some episodes."""
    for row in rows:
        check_shape(row)
        check_tokens(row, recording.requests.get(row.session, []))
    check_sums(rows)
    check_groups(rows, recording)


def check_sums(rows: Sequence[Row]) -> None:
    """What is handed over for an episode, in however many rows, sums to its reward."""
    sums: dict[str, list[float]] = {}
    rewards = {row.session: row.reward for row in rows}
    for row in rows:
        if row.rewards is not None and row.reward is not None:
            sums.setdefault(row.session, []).extend(row.rewards)
    for session, given in sums.items():
        assert abs(math.fsum(given) - (rewards[session] or 0.0)) < 1e-9, f"{session}: {math.fsum(given)} in all"


def check_shape(row: Row) -> None:
    """Nothing is empty, all is aligned, and what failed or was not scored is not trained."""
    length = len(row.completion_ids)
    assert length
    assert row.prompt_ids
    assert len(row.loss_mask) == length
    assert set(row.loss_mask) <= {0, 1}
    assert row.logprobs is None or len(row.logprobs) == length
    assert row.rewards is None or len(row.rewards) == length
    if row.reward is None:
        assert not any(row.loss_mask)


def check_tokens(row: Row, requests: Sequence[Request]) -> None:
    """Ids are the engine's own; the mask is 1 on those it sampled and no others; log-probabilities stand at them."""
    ids = [*row.prompt_ids, *row.completion_ids]
    turns = turns_in(ids, requests)
    if not turns:  # a row that only fills a place
        assert not any(row.loss_mask)
        return
    sampled = {place for start, end, _ in turns for place in range(start, end)}
    assert turns[0][0] == len(row.prompt_ids), "the prompt is what the engine had before it first sampled"
    assert turns[-1][1] == len(ids), "a row ends with a sampled token"
    expected = [int(place in sampled) for place in range(len(row.prompt_ids), len(ids))]
    if row.reward is not None:
        assert list(row.loss_mask) == expected
    if row.logprobs is not None:
        given = {start + i: value for start, _, turn in turns for i, value in enumerate(turn.generation.logprobs)}
        for place, value in enumerate(row.logprobs, len(row.prompt_ids)):
            assert abs(value - given.get(place, 0.0)) < 1e-5
    if row.rewards is not None:
        ends = {end - 1 - len(row.prompt_ids) for _, end, _ in turns}
        assert all(place in ends for place, reward in enumerate(row.rewards) if reward), "a reward inside a turn"


def turns_in(ids: Sequence[int], requests: Sequence[Request]) -> list[tuple[int, int, Request]]:
    """The requests that a row of ids holds, each with where its reply starts and ends."""
    found: list[tuple[int, int, Request]] = []
    for request in requests:
        start = len(request.prompt_ids)
        reply = list(request.generation.token_ids)
        if list(ids[:start]) == list(request.prompt_ids) and list(ids[start : start + len(reply)]) == reply and reply:
            found.append((start, start + len(reply), request))
    return found


def check_groups(rows: Sequence[Row], recording: Recording) -> None:
    """Members of a group are different episodes of one task that start alike."""
    groups: dict[Any, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.group, []).append(row)
    for members in groups.values():
        tasks = {row.session.rpartition("/")[0] for row in members if row.session in recording.requests}
        assert len({task for task in tasks if task}) <= 1, f"a group of different tasks: {tasks}"
        openings = {
            recording.requests[row.session][0].prompt_ids for row in members if row.session in recording.requests
        }
        assert len(openings) <= 1, "members of a group start differently"


def check_turn_rewards(row: Row, requests: Sequence[Request], turn_rewards: Sequence[float]) -> None:
    """The reward of each turn stands at the last token that was sampled in it."""
    assert row.rewards is not None
    turns = turns_in([*row.prompt_ids, *row.completion_ids], requests)
    expected = [0.0] * len(row.completion_ids)
    for (_, end, _), reward in zip(turns, turn_rewards, strict=True):
        expected[end - 1 - len(row.prompt_ids)] += reward
    assert list(row.rewards) == expected
