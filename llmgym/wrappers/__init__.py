"""Wrappers of environments, grouped by mechanism; usable in code, in specs and by name in a run configuration."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from llmgym.env import ToolEnv
from llmgym.errors import ConfigError
from llmgym.wrappers.base import AnyToolEnv, RewardPart, ToolWrapper
from llmgym.wrappers.record import EpisodeStatistics, RecordTranscript
from llmgym.wrappers.reward import FormatReward, ScaleReward, ToolPenalty
from llmgym.wrappers.tasks import FilterTasks, load

__all__ = [
    # reward
    "ScaleReward",
    "FormatReward",
    "ToolPenalty",
    # tasks
    "FilterTasks",
    # records
    "RecordTranscript",
    "EpisodeStatistics",
    # writing wrappers
    "ToolWrapper",
    "RewardPart",
    "AnyToolEnv",
    # by name
    "WRAPPERS",
    "wrap",
]

WRAPPERS: dict[str, type[ToolWrapper]] = {
    cls.__name__: cls
    for cls in (ScaleReward, FormatReward, ToolPenalty, FilterTasks, RecordTranscript, EpisodeStatistics)
}


def wrap(env: ToolEnv, wrappers: Iterable[tuple[str, dict[str, Any]]]) -> AnyToolEnv:
    """Put wrappers around an environment, the first innermost.

    Args:
        env: The environment.
        wrappers: Name in `WRAPPERS`, or "module:Class", and arguments of each.

    Raises:
        ConfigError: There is no such wrapper, or it refuses its arguments.
    """
    wrapped: AnyToolEnv = env
    for name, arguments in wrappers:
        cls = WRAPPERS.get(name) or (load(name, "wrapper") if ":" in name else None)
        if not (isinstance(cls, type) and issubclass(cls, ToolWrapper)):
            known = ", ".join(WRAPPERS)
            raise ConfigError(f"there is no wrapper {name!r}; there is {known}, or module:Class of a ToolWrapper")
        try:
            wrapped = cls(wrapped, **arguments)
        except TypeError as error:
            raise ConfigError(f"wrapper {name}: {error}") from error
    return wrapped
