"""How many episodes run at once: a fixed number, or as many as keep the engine busy and do not crowd it."""

from __future__ import annotations

from llmgym.policies.base import EngineLoad

_START, _LEAST, _MOST = 32, 4, 8192
_STEP = 16
_CUT = 0.75
_FULL = 0.95  # share of the key-value cache from which the next long reply is likely to push another out
_QUEUE = 0.1  # share of the running requests that may wait: some should, so that a batch is never short of work


class AdaptiveLimit:
    """A limit that grows by a fixed step while the engine has room, and is cut by a quarter when it has not.

    Additive increase, multiplicative decrease, with doubling up to the first cut, as TCP has it (Chiu and Jain, 1989;
    Jacobson, 1988). The engine has no room when it puts requests back (preemption), when its key-value cache is nearly
    full with requests waiting, or when requests wait at two looks in a row.

    Attributes:
        value: Episodes that may run.
    """

    def __init__(self) -> None:
        """Start small."""
        self.value = _START
        self._doubling = True
        self._queued = False
        self._preemptions: int | None = None

    def update(self, load: EngineLoad, live: int) -> None:
        """Look at the engine.

        Args:
            load: How busy it is.
            live: Episodes that are running; some of them may be busy with their environment.
        """
        queued = load.waiting > max(2, _QUEUE * load.running)
        preempted = self._preemptions is not None and load.preemptions > self._preemptions
        full = load.kv_cache_usage >= _FULL and load.waiting > 0
        crowded = preempted or full or (queued and self._queued)
        self._preemptions, self._queued = load.preemptions, queued
        if crowded:
            self._doubling = False
            if live <= self.value:  # else the last cut has not had its effect yet
                self.value = max(_LEAST, int(self.value * _CUT))
        elif not queued and live >= self.value:
            self.value = min(_MOST, self.value * 2 if self._doubling else self.value + _STEP)
