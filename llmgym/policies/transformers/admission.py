"""Which waiting requests join the batch next, and what they can reuse."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

from llmgym.policies.transformers.kept import Entry, Source, common, longest_prefix
from llmgym.policies.transformers.request import Ids, Request
from llmgym.policies.transformers.runner import PASS_TOKENS

_SLACK = 256  # padding that a prefill pass may always have, beside a quarter of its real tokens
_WORTH_WAITING = 32  # a prompt waits a step when another then saves it this many tokens of prefill


@dataclass(frozen=True, slots=True)
class Admission:
    """A request that may join, how much of its prompt is known, and where."""

    request: Request
    shared: int
    source: Source | None

    @property
    def prompt(self) -> Ids:
        """What has to be in the store before the first token is sampled."""
        return self.request.prompt[:-1]

    @property
    def work(self) -> int:
        """Tokens left to prefill."""
        return len(self.prompt) - self.shared


@dataclass(frozen=True, slots=True)
class Limits:
    """Most rows of a batch, and most cells: its rows times the longest reach among them."""

    rows: int
    cells: int

    def admit(self, waiting: Iterable[Request], rows: Sequence[Request], kept: Iterable[Entry]) -> list[Admission]:
        """Choose requests that fit, are about equally long to prefill, and cannot spare each other work.

        The first in the queue is always chosen when it fits, so none starves.

        Args:
            waiting: The queue.
            rows: The running batch.
            kept: What finished requests left.
        """
        group: list[Admission] = []
        reach = max((request.reach for request in rows), default=0)
        sources: list[tuple[Ids, Source]] = [
            *((request.prompt[: request.filled], row) for row, request in enumerate(rows)),
            *((entry.ids, entry) for entry in kept),
        ]
        for request in islice(waiting, self.rows - len(rows)):
            count = len(rows) + len(group) + 1
            if count > 1 and count * max(reach, request.reach) > self.cells:
                break
            candidate = Admission(request, *longest_prefix(request.prompt[:-1], sources))
            if _joins(candidate, group):
                group.append(candidate)
                reach = max(reach, request.reach)
        return group


def _joins(candidate: Admission, group: Sequence[Admission]) -> bool:
    """Say whether a request is better prefilled with a group than after it."""
    if not group:
        return True
    if any(common(candidate.prompt, other.prompt) >= candidate.shared + _WORTH_WAITING for other in group):
        return False
    work = [admission.work for admission in (*group, candidate)]
    return len(work) * max(work) <= min(PASS_TOKENS, 1.25 * sum(work) + _SLACK)
