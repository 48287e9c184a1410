"""From groups, as they finish, to batches for a trainer."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass

from llmgym.batch import TokenBatch
from llmgym.rollout.groups import Group
from llmgym.rollout.thresholds import all_equal

_MANY = 64  # groups in a row without one to train on, of which a person should know

_log = logging.getLogger("llmgym.rollout")


@dataclass(slots=True)
class GroupFilter:
    """Which groups are worth training on, and how many were not; a warning is logged when none is for long.

    Attributes:
        drop_equal: Leave out groups whose episodes all earned the same, which have no advantage
            (dynamic sampling; Yu et al., "DAPO", 2025).
        max_staleness: Leave out groups with a token that weights sampled which are more than this
            many versions older than the newest seen; None keeps all.
        equal: Groups left out since their rewards were equal.
        stale: Groups left out since they were stale.
        unscored: Groups left out since no episode was scored or has tokens, or they are an opponent's.
    """

    drop_equal: bool = False
    max_staleness: int | None = None
    equal: int = 0
    stale: int = 0
    unscored: int = 0
    _newest: int = 0
    _in_a_row: int = 0

    def keeps(self, group: Group) -> bool:
        """Decide about a group, and count it where it is left out."""
        kept = self._judge(group)
        self._in_a_row = 0 if kept else self._in_a_row + 1
        if self._in_a_row and self._in_a_row % _MANY == 0:
            why = f"{self.equal} had equal rewards, {self.stale} were stale, {self.unscored} unscored"
            _log.warning("the last %d groups were all left out; so far %s", self._in_a_row, why)
        return kept

    def _judge(self, group: Group) -> bool:
        scored = [t for t in group.trajectories if t.trained]
        versions = [span.version for t in scored for reply in t.trained_replies for span in reply.versions]
        self._newest = max([self._newest, *versions])
        if not scored:
            self.unscored += 1
        elif self.drop_equal and all_equal([t.reward for t in scored if t.reward is not None]):
            self.equal += 1
        elif self.max_staleness is not None and min(versions, default=self._newest) < self._newest - self.max_staleness:
            self.stale += 1
        else:
            return True
        return False


async def batches(
    groups: AsyncIterator[Group], size: int, *, keep: GroupFilter | None = None, pad_id: int = 0
) -> AsyncGenerator[TokenBatch]:
    """Give a batch whenever there are enough groups.

    Episodes of later groups run on while the trainer has a batch, so that none waits for the slowest.

    Args:
        groups: Groups as they finish: `Collector.stream()`.
        size: Groups in a batch; the last one may have fewer.
        keep: Which groups to take.
        pad_id: Token on padding.
    """
    keep = keep or GroupFilter()
    ready: list[Group] = []
    async for group in groups:
        if keep.keeps(group):
            ready.append(group)
        if len(ready) == size:
            yield _batch(ready, pad_id)
            ready = []
    if ready:
        yield _batch(ready, pad_id)


def _batch(groups: list[Group], pad_id: int) -> TokenBatch:
    return TokenBatch.of((t for group in groups for t in group.trajectories), pad_id=pad_id)
