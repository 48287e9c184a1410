"""What a server counts, for Prometheus. Labels are names of environments and kinds of failures, no client's words."""

from __future__ import annotations

import prometheus_client as prometheus

from llmgym.failures import Kind

_SECONDS = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)


class Metrics:
    """The figures of one server."""

    def __init__(self) -> None:
        """All are 0."""
        self._registry = registry = prometheus.CollectorRegistry()
        self._sessions = prometheus.Gauge("llmgym_sessions", "Sessions that live.", registry=registry)
        prometheus.ProcessCollector(registry=registry)  # memory, CPU and open files
        names = ["env"]
        self._episodes = prometheus.Counter("llmgym_episodes", "Episodes that began.", names, registry=registry)
        self._ended = prometheus.Counter("llmgym_episodes_ended", "Episodes that ended.", names, registry=registry)
        self._failures = prometheus.Counter(
            "llmgym_failures", "Failures of environments.", ["env", "kind"], registry=registry
        )
        self._steps = prometheus.Histogram(
            "llmgym_step_seconds", "What a step took.", names, registry=registry, buckets=_SECONDS
        )
        self._of: dict[str, tuple[prometheus.Counter, prometheus.Counter, prometheus.Histogram]] = {}

    def sessions(self, number: int) -> None:
        """Note how many sessions there are."""
        self._sessions.set(number)

    def begun(self, env: str) -> None:
        """Note an episode that began."""
        self._children(env)[0].inc()

    def stepped(self, env: str, seconds: float, over: bool) -> None:
        """Note a step, and whether it ended its episode."""
        _, ended, steps = self._children(env)
        steps.observe(seconds)
        if over:
            ended.inc()

    def failed(self, env: str, kind: Kind) -> None:
        """Note a failure."""
        self._failures.labels(env, kind).inc()

    def page(self) -> bytes:
        """All figures, as Prometheus reads them."""
        return prometheus.generate_latest(self._registry)

    def _children(self, env: str) -> tuple[prometheus.Counter, prometheus.Counter, prometheus.Histogram]:
        if env not in self._of:
            self._of[env] = self._episodes.labels(env), self._ended.labels(env), self._steps.labels(env)
        return self._of[env]
