"""All that differs between the versions of verl that work, 0.7.0 and later.

An agent loop is made with arguments that differ, and passes them through to verl's base class unseen. What it is run
with and what servers answer is read here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmgym.policies.base import VersionSpan


def session_of(row: Mapping[str, Any]) -> int | None:
    """Number of an episode in its group. Only TransferQueue workers tell it, and they take any number of its rows."""
    return None if row.get("session_id") is None else int(row["session_id"])


def weights_of(output: Any) -> tuple[VersionSpan, ...]:
    """The weights that sampled a reply, numbered by verl's global steps; none where the server does not say.

    A reply that was interrupted by a weight update and resumed comes with the first and the last version, and not with
    where they change: all but its last token counts as sampled with the first, the stalest.
    """
    fields: Mapping[str, Any] = getattr(output, "extra_fields", {})
    first = fields.get("min_global_steps", fields.get("global_steps"))
    last = fields.get("max_global_steps", first)
    length = len(output.token_ids)
    if first is None or last is None:
        return ()
    if first == last or length < 2:
        return (VersionSpan(int(first), 0, length),)
    return VersionSpan(int(first), 0, length - 1), VersionSpan(int(last), length - 1, length)


def preempted(output: Any) -> int | None:
    """How often a request was put back for want of room; None where the server does not say."""
    return getattr(output, "num_preempted", None)


def cached_tokens(output: Any) -> int:
    """Prompt tokens that the server took from its prefix cache; 0 where it does not say."""
    return getattr(output, "extra_fields", {}).get("num_cached_tokens") or 0
