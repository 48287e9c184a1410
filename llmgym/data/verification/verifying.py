"""Many stored episodes scored again at once, in the order of their files."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from llmgym.chat import ChatPolicy
from llmgym.data.dataset import Dataset
from llmgym.data.engine import ROLLOUTS
from llmgym.data.verification.environments import Environments
from llmgym.data.verification.games import replay_game
from llmgym.data.verification.recorded import recorded_calls
from llmgym.data.verification.replay import Replay, replay, score
from llmgym.data.verification.report import Report
from llmgym.records import dump_row
from llmgym.rollout.description import FILE
from llmgym.rollout.group_rewards import verify_group
from llmgym.rollout.instances import Instances
from llmgym.trajectory import Trajectory

T = TypeVar("T")
Keep = Callable[[bytes], None]


@dataclass(slots=True)
class _Job:
    """A stored episode.

    Attributes:
        lines: As it is stored: a line for each agent.
        was: The same.
        instances: Its environment, or why it cannot be tried.
        group: Names those that are scored beside each other.
    """

    lines: list[bytes]
    was: list[Trajectory]
    instances: Instances | str
    group: tuple[int, str]


async def verify(
    data: Dataset,
    *,
    models: Mapping[str, ChatPolicy] | None = None,
    parallel: int = 64,
    always_replay: bool = False,
    keep: Keep | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Score stored episodes again.

    Args:
        data: The episodes, of one or several runs.
        models: Models for roles of environments, such as a judge; others say again what they said.
        parallel: Episodes that run at once.
        always_replay: Replay also where the transcript is enough.
        keep: Given the rows of the episodes that were scored, with what they earn now: byte for byte as they were
            where that is the same.
        progress: Told how many episodes are done, and of how many.

    Raises:
        StoreError: The description of a run cannot be read.
        UnreadableError: A file is another one by now.
    """
    report, total, done = Report(), sum(index.meta.rows for index in data.indexes), 0
    async with AsyncExitStack() as stack:
        jobs = _jobs(data, models or {}, stack)
        waiting: dict[tuple[int, str], tuple[Instances, list[tuple[bytes, Replay]]]] = {}
        attempts = _in_order((_attempt(job, always_replay) for job in jobs), parallel)
        async with aclosing(attempts) as results:
            async for job, made in results:
                done += len(job.was)
                if progress is not None:
                    progress(done, total)
                if isinstance(made, str):
                    for was in job.was:
                        report.skip(was.env_id, made)
                    continue
                rows = list(zip(job.lines, made, strict=True))
                if isinstance(job.instances, Instances) and job.instances.verifies_groups:
                    waiting.setdefault(job.group, (job.instances, []))[1].extend(rows)
                    continue
                for line, replayed in rows:
                    _settle(line, replayed, report, keep)
        for instances, members in waiting.values():
            await _score_group(instances, members)
            for line, replayed in members:
                _settle(line, replayed, report, keep)
    return report


def _jobs(data: Dataset, models: Mapping[str, ChatPolicy], stack: AsyncExitStack) -> Iterator[_Job]:
    selection = data.select()
    for number, (index, spans) in enumerate(zip(data.indexes, selection.spans, strict=True)):
        environments = Environments(_run_of(index.path), models)
        stack.push_async_callback(environments.aclose)
        partial: dict[str, _Job] = {}  # episodes of which there are some agents so far
        for span, line in zip(spans, index.fetch(spans), strict=True):
            was = index.shape.trajectory(line, index.place(span))
            new = _Job([], [], environments.get(was.env_id), (number, was.group_id))
            job = partial.setdefault(was.episode_id, new) if was.agents > 1 else new
            job.lines.append(line.strip() + b"\n")  # as a store has it, whoever wrote the file again
            job.was.append(was)
            if len(job.was) == was.agents:
                partial.pop(was.episode_id, None)
                yield job
        yield from partial.values()


def _run_of(path: Path) -> Path | None:
    """The run folder that a file belongs to."""
    return path.parent if path.name == ROLLOUTS and (path.parent / FILE).exists() else None


async def _attempt(job: _Job, always_replay: bool) -> tuple[_Job, list[Replay] | str]:
    """Score an episode again, or say why it cannot be tried."""
    first, instances = job.was[0], job.instances
    if isinstance(instances, str):
        return job, instances
    if first.task is None:
        return job, "its row does not have the task"
    if len(job.was) < first.agents:
        return job, "the rows of its other agents are not there"
    if first.agents > 1:
        return job, await replay_game(instances, job.was, first.task)
    by_transcript = instances.verifies_transcripts and not always_replay
    made = await (score if by_transcript else replay)(instances, first, first.task)
    if made.failure is not None and made.failure.kind == "model_role":
        return job, made.now.error or "a model gave no reply"
    return job, [made]


async def _score_group(instances: Instances, members: list[tuple[bytes, Replay]]) -> None:
    """Have the repeats of a task score each other, as far as they did not fail."""
    members = sorted((pair for pair in members if pair[1].failure is None), key=lambda pair: pair[1].now.repeat)
    calls = [call for _, made in members for call in made.was.model_calls]
    with recorded_calls(calls):
        scored = await verify_group(instances, [made.now for _, made in members], (), 1)
    found = {trajectory.repeat: trajectory for trajectory in scored}
    for _, made in members:
        made.now = found.get(made.now.repeat, made.now)


def _settle(line: bytes, made: Replay, report: Report, keep: Keep | None) -> None:
    """Count an episode, and give its row to who keeps it."""
    made.compare_scores()
    report.add(made)
    if keep is not None and made.failure is None:
        changed = any(difference.kind in _SCORES for difference in made.differences)
        keep(dump_row(made.rescored()) if changed else line)


_SCORES = ("reward", "scored", "unscored", "part", "metric")


async def _in_order(work: Iterator[Awaitable[T]], parallel: int) -> AsyncGenerator[T]:
    """The results of work in its order, so much of it at once."""
    running: deque[asyncio.Future[T]] = deque()
    try:
        for one in work:
            running.append(asyncio.ensure_future(one))
            if len(running) >= parallel:
                yield await running.popleft()
        while running:
            yield await running.popleft()
    finally:
        for one in running:
            one.cancel()
        await asyncio.gather(*running, return_exceptions=True)
