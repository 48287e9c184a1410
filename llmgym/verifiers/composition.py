"""One reward of several findings: a weighted sum, with gates; a product; the first failure.

What could not be scored leaves the whole unscored, as in `llmgym.rewards`, unless nothing depends on it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from llmgym.rewards import Part, Reward
from llmgym.verifiers.base import Verdict

#: What is composed: what a verifier found, a reward, or a number; None is unscored.
Finding = Verdict | Reward | float | None


def weighted(
    findings: Mapping[str, Finding],
    weights: Mapping[str, float] | None = None,
    *,
    gates: Mapping[str, tuple[str, float]] | None = None,
) -> Reward:
    """A part for each finding; the reward is their weighted sum.

    Args:
        findings: By name, such as `{"correct": verdict, "style": verdict}`.
        weights: Of the parts; 1 where nothing is said, and 0 makes a metric of it.
        gates: Parts that count only where another one is good enough: `{"style": ("correct", 1.0)}`. A part whose gate
            is closed is 0, whatever it is; one whose gate is unscored is unscored.

    Raises:
        ValueError: A weight or a gate names no finding.
    """
    weights, gates = weights or {}, gates or {}
    _check_names(findings, [*weights, *gates, *(gate for gate, _ in gates.values())])
    values = {name: score_of(finding) for name, finding in findings.items()}
    parts: dict[str, Part] = {}
    metrics = _metrics(findings)
    for name, value in values.items():
        gate, threshold = gates.get(name, (None, 0.0))
        opened = None if gate is None else values[gate]
        if gate is not None:
            value = None if opened is None else value if opened >= threshold else 0.0
        weight = weights.get(name, 1.0)
        if weight:
            parts[name] = Part(value, weight)
        elif value is not None:
            metrics[name] = value
    return Reward(metrics=metrics, **parts)


def product(findings: Mapping[str, Finding]) -> Reward:
    """The product of all, with each as a metric; unscored where any is."""
    values = {name: score_of(finding) for name, finding in findings.items()}
    scored = [value for value in values.values() if value is not None]
    whole = math.prod(scored) if scored and len(scored) == len(values) else None
    said = {name: value for name, value in values.items() if value is not None}
    return Reward(correct=whole, metrics={**_metrics(findings), **said})


def first_failure(findings: Mapping[str, Finding]) -> Reward:
    """What the first finding earns that is not 1, or 1; what comes after it does not count.

    The metric `passed` is the share that was passed, and `failed_NAME` names the one.
    """
    values = {name: score_of(finding) for name, finding in findings.items()}
    failed = next((name for name, value in values.items() if value is None or value < 1), None)
    if failed is None:
        return Reward(correct=1.0 if values else None, metrics={**_metrics(findings), "passed": 1.0})
    passed = list(values).index(failed) / len(values)
    metrics = {**_metrics(findings), "passed": passed, f"failed_{failed}": 1.0}
    return Reward(correct=values[failed], metrics=metrics)


def score_of(finding: Finding) -> float | None:
    """The number that a finding comes to; None where it is unscored."""
    if isinstance(finding, Verdict):
        return finding.score
    return Reward.of(finding).value


def _metrics(findings: Mapping[str, Finding]) -> dict[str, float]:
    """What the findings tell besides, each under its own name and theirs."""
    found: dict[str, float] = {}
    for name, finding in findings.items():
        if isinstance(finding, Verdict | Reward):
            metrics = finding.reward.metrics if isinstance(finding, Verdict) else finding.metrics
            found |= {f"{name}_{metric}": value for metric, value in metrics.items()}
    return found


def _check_names(findings: Mapping[str, Finding], names: list[str]) -> None:
    if unknown := [name for name in names if name not in findings]:
        raise ValueError(f"there is no finding {unknown[0]!r}; there is {', '.join(findings)}")
