"""A time budget: no episode is started that would probably not end before the allocation does."""

from __future__ import annotations

import logging
import time
from bisect import insort
from collections.abc import Iterable

from llmgym.records import EpisodeRecord

_MARGIN = 0.95  # of the episodes so far are no longer than what is left when one is started
_KEPT = 4096  # lengths, of which the percentile is taken

_log = logging.getLogger("llmgym.rollout")


class Budget:
    """How long a session may go on starting episodes."""

    def __init__(self, seconds: float | None, records: Iterable[EpisodeRecord]) -> None:
        """Start the clock.

        Args:
            seconds: The budget; None for no end.
            records: Episodes of earlier sessions, which say how long episodes take.
        """
        self._ends = None if seconds is None else time.monotonic() + seconds
        self._lengths: list[float] = []
        self._said = False
        if self._ends is not None:
            self._lengths = sorted(record.timings.wall_s for record in records)[-_KEPT:]

    def note(self, seconds: float) -> None:
        """Note how long an episode took."""
        if self._ends is not None and len(self._lengths) < _KEPT:
            insort(self._lengths, seconds)

    @property
    def margin_s(self) -> float:
        """Seconds in which nearly every episode ends."""
        return self._lengths[int(_MARGIN * (len(self._lengths) - 1))] if self._lengths else 0.0

    def is_spent(self) -> bool:
        """Whether an episode that is started now would probably be too late."""
        if self._ends is None or time.monotonic() + self.margin_s < self._ends:
            return False
        if not self._said:
            self._said = True
            _log.warning("the time budget ends: no more episodes are started; the same command goes on with the rest")
        return True
