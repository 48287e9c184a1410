"""What an index knows of a row: names and numbers, and none of its texts."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec


class Scalars(msgspec.Struct, gc=False):
    """The columns of a row that rows of every shape have.

    Attributes:
        id: Unique in a file; "" where rows have none, which takes the place of the line.
        env_id: Its environment; "" where that is not known.
        task_id: Its task in the environment.
        group_id: The same for the repeats of a task.
        task_hash: Hash of the task's content; "" where that is not known.
        repeat: Which of the repeats.
        agent: Whose share of the episode.
        status: How it ended.
        reward: None where unscored.
        attempts: How often the episode was begun.
        num_turns: Assistant messages.
        num_sampled_tokens: Tokens that the policy sampled.
        num_context_tokens: All other tokens.
        num_tool_errors: Calls that were answered by an error.
        wall_s: Seconds that it took; NaN where that is not known.
        failure: Kind of what went wrong; "" where nothing did.
        metrics: Named numbers; None for what is no number.
    """

    id: str
    env_id: str
    task_id: str
    group_id: str
    task_hash: str = ""
    repeat: int = 0
    agent: str = "agent"
    status: str = ""
    reward: float | None = None
    attempts: int = 1
    num_turns: int = 0
    num_sampled_tokens: int = 0
    num_context_tokens: int = 0
    num_tool_errors: int = 0
    wall_s: float = float("nan")
    failure: str = ""
    metrics: Mapping[str, float | None] = {}


#: The columns that are no metrics.
COLUMNS = tuple(name for name in Scalars.__struct_fields__ if name != "metrics")
TEXTS = frozenset({"id", "env_id", "task_id", "group_id", "task_hash", "agent", "status", "failure"})
FLOATS = frozenset({"reward", "wall_s"})
