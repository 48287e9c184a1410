"""What came of scoring episodes again, as numbers."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from llmgym.data.verification.differences import OF_REWARD, Difference, DifferenceKind
from llmgym.data.verification.replay import Replay

_LISTED = 1_000  # differences of a kind that are kept


@dataclass
class Tally:
    """How the episodes of an environment fared.

    Attributes:
        verified: Those that were scored again, with a reward or without.
        same: Of these, those of which nothing is different.
        reward: Of these, those that earn something else, or have a reward that they had not, or none any more.
        unscored: Of these, those that have no reward now.
        failed: Those of which the environment failed, so that nothing is known.
        skipped: Those that could not be tried.
        compared: Those that have a reward both times.
        reward_was: Sum of the recorded rewards of these.
        reward_now: Sum of what they earn now.
    """

    verified: int = 0
    same: int = 0
    reward: int = 0
    unscored: int = 0
    failed: int = 0
    skipped: int = 0
    compared: int = 0
    reward_was: float = 0.0
    reward_now: float = 0.0

    def add(self, other: Tally) -> None:
        """Add another."""
        for each in fields(self):
            setattr(self, each.name, getattr(self, each.name) + getattr(other, each.name))

    def as_json(self) -> dict[str, Any]:
        """The counts, and means in place of the sums."""
        data = asdict(self)
        for name in ("was", "now"):
            total = data.pop(f"reward_{name}")
            data[f"mean_{name}"] = total / self.compared if self.compared else None
        return data


@dataclass
class Report:
    """What came of scoring episodes again.

    Attributes:
        environments: How the episodes of each fared.
        kinds: In how many episodes something is different, by kind.
        failures: In how many episodes the environment failed, by what it said.
        skipped: How many episodes could not be tried, by why.
        differences: What is different, of each kind the first thousand.
        left_out: Differences that are not listed.
    """

    environments: dict[str, Tally] = field(default_factory=dict)
    kinds: Counter[DifferenceKind] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    differences: list[Difference] = field(default_factory=list)
    left_out: int = 0

    def __post_init__(self) -> None:
        """Begin to count."""
        self._listed: Counter[DifferenceKind] = Counter()

    @property
    def total(self) -> Tally:
        """All environments together."""
        total = Tally()
        for tally in self.environments.values():
            total.add(tally)
        return total

    def skip(self, env_id: str, why: str) -> None:
        """Count an episode that could not be tried."""
        self._tally(env_id).skipped += 1
        self.skipped[why] += 1

    def add(self, replay: Replay) -> None:
        """Count an episode that was tried."""
        tally = self._tally(replay.was.env_id)
        if replay.failure is not None:
            tally.failed += 1
            self.failures[replay.now.error or replay.failure.kind] += 1
            return
        kinds: set[DifferenceKind] = {difference.kind for difference in replay.differences}
        was, now = replay.was.reward, replay.now.reward
        tally.verified += 1
        tally.same += not kinds
        tally.reward += bool(kinds & OF_REWARD)
        tally.unscored += now is None
        if was is not None and now is not None:
            tally.compared, tally.reward_was, tally.reward_now = (
                tally.compared + 1, tally.reward_was + was, tally.reward_now + now,
            )  # fmt: skip
        self.kinds.update(kinds)
        for difference in replay.differences:
            self._listed[difference.kind] += 1
            if self._listed[difference.kind] <= _LISTED:
                self.differences.append(difference)
            else:
                self.left_out += 1

    def as_json(self) -> dict[str, Any]:
        """All of it as JSON data."""
        return {
            **self.total.as_json(),
            "environments": {name: tally.as_json() for name, tally in self.environments.items()},
            "kinds": dict(self.kinds.most_common()),
            "failures": dict(self.failures.most_common()),
            "reasons": dict(self.skipped.most_common()),
            "differences": self.differences,
            "differences_left_out": self.left_out,
        }

    def _tally(self, env_id: str) -> Tally:
        return self.environments.setdefault(env_id, Tally())
