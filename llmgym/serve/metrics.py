"""What a server counts, for Prometheus. Labels are names of environments and kinds of failures, no client's words."""

from __future__ import annotations

import itertools
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

import prometheus_client as prometheus
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from llmgym.failures import Kind

_SECONDS = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
_BOUNDS = (*map(str, _SECONDS), "+Inf")


@dataclass(slots=True)
class _Counts:
    """The figures of an environment.

    Attributes:
        begun: Episodes that began.
        ended: Episodes that ended.
        failures: Failures, by kind.
        steps: Steps, by the first of the bounds that they did not take longer than.
        seconds: What all steps took.
    """

    begun: int = 0
    ended: int = 0
    failures: dict[Kind, int] = field(default_factory=dict)
    steps: list[int] = field(default_factory=lambda: [0] * len(_BOUNDS))
    seconds: float = 0.0


class Metrics(Collector):
    """The figures of one server; plain numbers, as only its event loop counts."""

    def __init__(self) -> None:
        """All are 0."""
        self._registry = prometheus.CollectorRegistry()
        self._sessions = 0
        self._of = defaultdict[str, _Counts](_Counts)
        self._registry.register(self)
        prometheus.ProcessCollector(registry=self._registry)  # memory, CPU and open files

    def sessions(self, number: int) -> None:
        """Note how many sessions there are."""
        self._sessions = number

    def begun(self, env: str) -> None:
        """Note an episode that began."""
        self._of[env].begun += 1

    def stepped(self, env: str, seconds: float, over: bool) -> None:
        """Note a step, and whether it ended its episode."""
        counts = self._of[env]
        counts.steps[bisect_left(_SECONDS, seconds)] += 1
        counts.seconds += seconds
        counts.ended += over

    def failed(self, env: str, kind: Kind) -> None:
        """Note a failure."""
        failures = self._of[env].failures
        failures[kind] = failures.get(kind, 0) + 1

    def page(self) -> bytes:
        """All figures, as Prometheus reads them."""
        return prometheus.generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """All figures, as Prometheus's client takes them."""
        yield GaugeMetricFamily("llmgym_sessions", "Sessions that live.", self._sessions)
        begun = CounterMetricFamily("llmgym_episodes", "Episodes that began.", labels=["env"])
        ended = CounterMetricFamily("llmgym_episodes_ended", "Episodes that ended.", labels=["env"])
        failures = CounterMetricFamily("llmgym_failures", "Failures of environments.", labels=["env", "kind"])
        steps = HistogramMetricFamily("llmgym_step_seconds", "What a step took.", labels=["env"])
        for env, counts in self._of.items():
            begun.add_metric([env], counts.begun)
            ended.add_metric([env], counts.ended)
            for kind, number in counts.failures.items():
                failures.add_metric([env, kind], number)
            steps.add_metric([env], list(zip(_BOUNDS, itertools.accumulate(counts.steps), strict=True)), counts.seconds)
        yield from (begun, ended, failures, steps)
