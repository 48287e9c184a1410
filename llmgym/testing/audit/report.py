"""What an audit found: a row for each policy, findings, and figures of the tasks."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

AT = 0.999  # of the ceiling: what counts as the whole of it
_RARE = 0.01  # chance that a fault is said where there is none
_WORST = 3  # examples of a finding


@dataclass(frozen=True, slots=True)
class Play:
    """One episode of a policy.

    Attributes:
        task_id: The task.
        reward: What it earned; None where it was left unscored.
        said: What the policy said.
        trouble: Why it failed, or how it went past a limit; empty where it did not.
        held_s: Seconds for which it held the event loop, and so all other episodes.
    """

    task_id: str
    reward: float | None
    said: str
    trouble: str = ""
    held_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Row:
    """What a policy earned.

    Attributes:
        name: Group and policy, such as "blind/echo".
        label: What it said or did, in words.
        plays: Its episodes.
        ceiling: What the oracle earns.
    """

    name: str
    label: str
    plays: tuple[Play, ...]
    ceiling: float

    @property
    def rewards(self) -> list[float]:
        """What its scored episodes earned."""
        return [play.reward for play in self.plays if play.reward is not None]

    @property
    def shares(self) -> list[float]:
        """The same as shares of the ceiling."""
        return [reward / self.ceiling for reward in self.rewards] if self.ceiling > 0 else []

    @property
    def share(self) -> float:
        """Mean share of the ceiling."""
        return statistics.fmean(self.shares)

    @property
    def mean(self) -> float:
        """Mean reward; NaN where nothing was scored."""
        return statistics.fmean(self.rewards) if self.rewards else math.nan

    @property
    def most(self) -> float:
        """Greatest reward; NaN where nothing was scored."""
        return max(self.rewards, default=math.nan)

    @property
    def at_ceiling(self) -> int:
        """How many episodes earned as much as the oracle."""
        return sum(share >= AT for share in self.shares)

    @property
    def unscored(self) -> int:
        """How many episodes have no reward."""
        return len(self.plays) - len(self.rewards)

    def exceeds(self, rate: float, amounts: Sequence[float]) -> bool:
        """Whether the mean of amounts is above a rate, and that is no chance of so few episodes."""
        if not amounts or statistics.fmean(amounts) <= rate:
            return False
        return chance(len(amounts), math.ceil(sum(amounts) - 1e-9), rate) < _RARE

    def paid(self) -> tuple[Play, ...]:
        """A few of the episodes that earn the ceiling."""
        return tuple(play for play in self.plays if (play.reward or 0) >= AT * self.ceiling)[:_WORST]

    def worst(self, *, best: bool = True) -> tuple[Play, ...]:
        """The episodes that show most: those that earned the most, or the least."""
        scored = [play for play in self.plays if play.reward is not None]
        return tuple(sorted(scored, key=lambda play: play.reward or 0.0, reverse=best)[:_WORST])


def chance(tries: int, hits: int, rate: float) -> float:
    """How likely as many hits or more are among so many tries."""

    def exactly(n: int) -> float:  # by logarithms, since a float does not hold the ways to choose among thousands
        ways = math.lgamma(tries + 1) - math.lgamma(n + 1) - math.lgamma(tries - n + 1)
        return math.exp(ways + n * math.log(rate) + (tries - n) * math.log1p(-rate))

    return math.fsum(exactly(n) for n in range(hits, tries + 1))


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong, or worth a look.

    Attributes:
        name: Which check: a policy's name, or one of tasks or verifier.
        text: What is wrong, and what to do.
        grave: Whether it is a fault; else somebody should look at it.
        examples: The episodes that show it.
        allowed: Why it is no fault here, as the registry says; empty where it does not.
    """

    name: str
    text: str
    grave: bool = True
    examples: tuple[Play, ...] = ()
    allowed: str = ""

    @property
    def status(self) -> Literal["fault", "allowed", "note"]:
        """What becomes of it."""
        return "allowed" if self.allowed else "fault" if self.grave else "note"


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What an audit of an environment found.

    Attributes:
        env_id: The environment.
        ceiling: What its oracle earns; None where it has none.
        tasks: How many tasks were played, by split.
        rows: Policies, and what they earned.
        findings: What is wrong or worth a look.
        facts: Figures of the tasks by name.
        variants: What reference policies earn in each variant.
        notes: What was not looked at, and why.
    """

    env_id: str
    ceiling: float | None
    tasks: Mapping[str, int]
    rows: tuple[Row, ...] = ()
    findings: tuple[Finding, ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict[str, str])
    variants: Sequence[Mapping[str, Any]] = ()
    notes: Sequence[str] = ()

    @property
    def faults(self) -> tuple[Finding, ...]:
        """The findings that are faults, and that nobody allowed."""
        return tuple(finding for finding in self.findings if finding.status == "fault")

    def as_json(self) -> dict[str, Any]:
        """The same as JSON data."""
        return {
            "env_id": self.env_id,
            "ceiling": self.ceiling,
            "tasks": dict(self.tasks),
            "policies": [_row(row) for row in self.rows],
            "findings": [
                {
                    "name": finding.name,
                    "status": finding.status,
                    "text": finding.text,
                    "allowed": finding.allowed,
                    "examples": [_play(play) for play in finding.examples],
                }
                for finding in self.findings
            ],
            "facts": dict(self.facts),
            "variants": [dict(variant) for variant in self.variants],
            "notes": list(self.notes),
        }


def _row(row: Row) -> dict[str, Any]:
    return {
        "name": row.name,
        "label": row.label,
        "episodes": len(row.plays),
        "mean": _number(row.mean),
        "max": _number(row.most),
        "at_ceiling": row.at_ceiling,
        "unscored": row.unscored,
    }


def _play(play: Play) -> dict[str, Any]:
    said = play.said.encode("utf-8", "replace").decode()
    return {"task_id": play.task_id, "reward": play.reward, "said": said, "trouble": play.trouble}


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value
