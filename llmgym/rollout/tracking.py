"""The hook by which a run tells trackers how it goes; whatever becomes of these, the run goes on."""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
from collections import Counter, defaultdict
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from llmgym.records import EpisodeRecord, record_of
from llmgym.rollout.config import GroupSettings
from llmgym.rollout.groups import counted
from llmgym.rollout.progress import Progress
from llmgym.rollout.summary import pass_at_k, powers
from llmgym.rollout.thresholds import reaches
from llmgym.rollout.trackers import Tracker
from llmgym.trajectory import FINISHED, Trajectory

_log = logging.getLogger("llmgym.rollout")
_EVERY_S = 10.0
_PATIENCE_S = 30.0  # for a tracker to send what it has, at the end

_ALL = "all"


@dataclass(slots=True)
class _Scores:
    """What is known of an environment, with pass@k as sums over tasks that grow with each episode."""

    episodes: int = 0
    scored: int = 0
    reward_sum: float = 0.0
    tasks: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    passed: dict[int, float] = field(default_factory=lambda: defaultdict(float))


class Scoreboard:
    """The numbers of a run as they are now; an episode costs the same however many there are."""

    def __init__(self, settings: GroupSettings, progress: Progress) -> None:
        """Begin with no episodes."""
        self._settings, self._progress = settings, progress
        self._ks = powers(settings.num_repeats)
        self._scores: defaultdict[str, _Scores] = defaultdict(_Scores)
        self._counts: dict[tuple[str, str], tuple[int, int]] = {}
        self._failures: Counter[str] = Counter()
        self._seconds = {"engine": 0.0, "env": 0.0}
        self._last = time.monotonic(), 0

    @property
    def episodes(self) -> int:
        """Episodes that have finished, in earlier sessions too."""
        return self._scores[_ALL].episodes

    def take_records(self, records: Iterable[EpisodeRecord]) -> None:
        """Count episodes of earlier sessions."""
        for record in records:
            self._count(record.env_id, record.task_hash or record.group_id, record.reward)

    def take(self, trajectories: Sequence[Trajectory]) -> None:
        """Count an episode that has ended for good, as its agents have it."""
        trajectory = counted(trajectories)
        self.take_record(record_of(trajectory), trajectory.failure.kind if trajectory.failure else "")

    def take_record(self, record: EpisodeRecord, kind: str) -> None:
        """The same of an episode of which there is a record.

        Args:
            record: The episode.
            kind: Kind of its failure; "" where it has none.
        """
        self._seconds["engine"] += record.timings.engine_s
        self._seconds["env"] += record.timings.env_s
        if record.status in FINISHED:
            self._count(record.env_id, record.task_hash or record.group_id, record.reward)
        else:
            self._failures[kind or record.status] += 1

    def _count(self, env_id: str, task: str, reward: float | None) -> None:
        places = (self._scores[_ALL], self._scores[env_id])
        for scores in places:
            scores.episodes += 1
            if reward is not None:
                scores.scored += 1
                scores.reward_sum += reward
        if reward is None:
            return
        number, solved = self._counts.get((env_id, task), (0, 0))
        more = number + 1, solved + reaches(reward, self._settings.success_threshold)
        self._counts[env_id, task] = more
        for k in self._ks:
            if more[0] >= k:
                gain = pass_at_k(*more, k) - (pass_at_k(number, solved, k) if number >= k else 0.0)
                for scores in places:
                    scores.tasks[k] += number < k
                    scores.passed[k] += gain

    def values(self) -> dict[str, float]:
        """All numbers by name; tokens per second since the last call."""
        progress, now = self._progress, time.monotonic()
        (before, tokens), self._last = self._last, (now, progress.tokens)
        found: dict[str, float] = {
            "episodes/finished": self.episodes,
            "episodes/unscored": self.episodes - self._scores[_ALL].scored,
            "episodes/failed": self._failures.total(),
            "episodes/live": progress.live,
            "tokens/sampled": progress.tokens,
            "tokens/per_second": (progress.tokens - tokens) / max(now - before, 1e-9),
            "turns": progress.turns,
            **{f"seconds/{kind}": seconds for kind, seconds in self._seconds.items()},
        }
        for name, scores in self._scores.items():
            if scores.scored:
                found[f"reward/{name}"] = scores.reward_sum / scores.scored
            found |= {f"pass_at_{k}/{name}": scores.passed[k] / number for k, number in scores.tasks.items()}
        return found | {f"failures/{kind}": count for kind, count in self._failures.items()}


@asynccontextmanager
async def tracked(trackers: Sequence[tuple[str, Callable[[], Tracker]]], board: Scoreboard) -> AsyncGenerator[None]:
    """Tell trackers what is on a scoreboard, every few seconds and at the end of the block.

    Args:
        trackers: Their names, and how each is made.
        board: The scoreboard.
    """
    lines = [_Line(name, make) for name, make in trackers]
    if not lines:
        yield
        return

    def tell() -> None:
        values, step = board.values(), board.episodes
        for line in lines:
            line.send(values, step)

    async def often() -> None:
        while True:
            await asyncio.sleep(_EVERY_S)
            tell()

    task = asyncio.create_task(often())
    try:
        yield
    finally:
        task.cancel()
        tell()
        await asyncio.to_thread(_end, lines)


def _end(lines: Sequence[_Line]) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    for line in lines:
        line.end(max(deadline - time.monotonic(), 0.0))


class _Line:
    """A tracker in a thread of its own, so that one that blocks holds nobody; one that fails is not asked again."""

    def __init__(self, name: str, make: Callable[[], Tracker]) -> None:
        self._name, self._make = name, make
        self._queue: queue.SimpleQueue[tuple[Mapping[str, float], int] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name=f"llmgym-track-{name}", daemon=True)
        self._thread.start()

    def send(self, values: Mapping[str, float], step: int) -> None:
        """Have numbers logged."""
        self._queue.put((values, step))

    def end(self, seconds: float) -> None:
        """Wait until all is logged, for so long."""
        self._queue.put(None)
        self._thread.join(seconds)
        if self._thread.is_alive():
            _log.warning(
                "the tracker %s did not end within %.0f s: what it has not sent is lost", self._name, _PATIENCE_S
            )

    def _work(self) -> None:
        try:
            tracker = self._make()
            while (item := self._queue.get()) is not None:
                tracker.log(*item)
            tracker.close()
        except (Exception, SystemExit) as error:  # noqa: BLE001 -- other people's code, which must not end a run
            said = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            _log.warning("the tracker %s failed, and is told no more; the run goes on: %s", self._name, said)
