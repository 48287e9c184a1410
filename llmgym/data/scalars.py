"""What an index knows of a row: names and numbers, and none of its texts."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

#: Of a metric; text is what JSON has no number for.
Number = float | Literal["NaN", "Infinity", "-Infinity"] | None

#: So many that even the sum of some has a place in a column.
Count = Annotated[int, msgspec.Meta(ge=-(1 << 31), lt=1 << 31)]


class Scalars(msgspec.Struct, gc=False):
    """The columns of a row that rows of every shape have.

    Attributes:
        id: Unique in a file; "" where rows have none, and their line takes its place.
        episode_id: The same for all agents of an episode; "" where it is the id.
        env_id: Its environment; "" where that is not known.
        task_id: Its task in the environment.
        group_id: The same for the repeats of a task.
        task_hash: Hash of the task's content; "" where that is not known.
        repeat: Which of the repeats.
        agent: Whose share of the episode.
        agents: How many agents the episode has.
        status: How it ended.
        reward: None where unscored.
        attempts: How often the episode was begun.
        num_turns: Assistant messages.
        num_sampled_tokens: Tokens that the policy sampled.
        num_context_tokens: All other tokens.
        num_tool_errors: Calls that were answered by an error.
        wall_s: Seconds that it took.
        failure: Kind of what went wrong; "" where nothing did.
        metrics: Named numbers.
    """

    id: str
    episode_id: str
    env_id: str
    task_id: str
    group_id: str
    task_hash: str = ""
    repeat: int = 0
    agent: str = "agent"
    agents: int = 1
    status: str = ""
    reward: float | None = None
    attempts: int = 1
    num_turns: int = 0
    num_sampled_tokens: int = 0
    num_context_tokens: int = 0
    num_tool_errors: int = 0
    wall_s: float | None = None
    failure: str = ""
    metrics: Mapping[str, Number] = {}

    def __post_init__(self) -> None:
        """See that the integers have a place in a column.

        Raises:
            ValueError: One has not.
        """
        for name in _INTEGERS:
            if not -_MOST < (value := getattr(self, name)) < _MOST:
                raise ValueError(f"`{name}` is {value:.3g}, which is more than there can be")


#: The columns of every row, and what they hold; None where that is not known.
FIXED: dict[str, type] = {
    "id": str, "episode_id": str, "env_id": str, "task_id": str, "group_id": str, "task_hash": str, "repeat": int,
    "agent": str, "agents": int, "status": str, "reward": float, "attempts": int, "num_turns": int,
    "num_sampled_tokens": int, "num_context_tokens": int, "num_tool_errors": int, "wall_s": float, "failure": str,
}  # fmt: skip
_INTEGERS = [name for name, kind in FIXED.items() if kind is int]
_MOST = 1 << 63


def metrics(rows: Sequence[Scalars]) -> dict[str, NDArray[np.float64]]:
    """The metrics of rows, by name; NaN where a row has none of a name."""
    return by_name([row.metrics for row in rows])


def by_name(rows: Sequence[Mapping[str, Number]]) -> dict[str, NDArray[np.float64]]:
    """The values of rows by their names; NaN where a row has none of a name."""
    names = dict.fromkeys(chain.from_iterable(rows))
    return {name: floats([row.get(name, math.nan) for row in rows]) for name in names}


def floats(values: Sequence[Number]) -> NDArray[np.float64]:
    """Numbers as an array; NaN for what is none."""
    try:
        return np.frombuffer(struct.pack(f"{len(values)}d", *values))  # in half of the time that NumPy takes
    except struct.error:  # None is among them, or text
        return np.array(values, np.float64)


def columns(rows: Sequence[Scalars]) -> dict[str, Sequence[Any]]:
    """The columns of rows, without metrics."""
    return {name: [getattr(row, name) for row in rows] for name in FIXED}


#: Where a row stands: its line, the byte that this starts at, and its bytes, the line's end left out.
PLACES = ("line", "byte_position", "byte_length")

#: What the texts and tokens of a row say, which is measured where it is first asked for: `data.quality.measures`.
MEASURED = (
    "num_chars", "num_calls", "num_malformed_calls", "num_hollow", "num_cut_off", "tool_error_kinds", "tail_repeat",
    "refusal", "runaway", "no_counts", "capture_mismatch", "prompt_hash", "reply_hash", "signature", "mean_logprob",
    "min_logprob", "is_entropy", "turn_tokens", "turn_logprobs", "unreadable",
)  # fmt: skip

#: Metrics of ours that are what a column is.
COUNTED = frozenset({"num_turns", "num_sampled_tokens", "num_context_tokens"})

#: A row of others whole, in Parquet.
ROW = "row"

#: What the names begin with that only queries of ours know, and so those of no metrics.
OURS = "llmgym_"

#: The columns that are no metrics.
COLUMNS = (*FIXED, *PLACES, "source", *MEASURED, ROW)


def column_of(metric: str, known: dict[str, str]) -> str:
    """The column of a metric, added to those that are known: its name, unless a column has it, whatever its case."""
    if metric not in known:
        taken = {name.lower() for name in (*COLUMNS, *known.values())}
        name = "".join(letter if letter.isprintable() else "_" for letter in metric)
        while not name or name.lower() in taken or name.lower().startswith(OURS):
            name = f"metric_{name}"
        known[metric] = name
    return known[metric]
