"""Wrappers of environments, grouped by mechanism; usable in code, in specs and by name in a run configuration."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

from llmgym.env import ToolEnv
from llmgym.errors import ConfigError, LLMGymError
from llmgym.loading import Kind, described, load
from llmgym.wrappers.base import AnyToolEnv, RewardPart, ToolWrapper
from llmgym.wrappers.record import EpisodeStatistics, RecordTranscript
from llmgym.wrappers.reward import FormatReward, ScaleReward, ToolPenalty
from llmgym.wrappers.tasks import FilterTasks

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
    "find_wrapper",
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
        cls = find_wrapper(name)
        try:
            wrapped = cls(wrapped, **copy.deepcopy(arguments))  # instances share nothing
        except LLMGymError:
            raise
        except (Exception, SystemExit) as error:  # its constructor may be the user's code
            raise ConfigError(f"wrapper {name}: {described(error)}") from error
    return wrapped


def find_wrapper(name: str) -> type[ToolWrapper]:
    """The class of a wrapper: by its name in `WRAPPERS`, or "module:Class".

    Raises:
        ConfigError: There is none.
    """
    if name in WRAPPERS:
        return WRAPPERS[name]
    if ":" not in name and "." not in name:
        known = ", ".join(WRAPPERS)
        raise ConfigError(f"there is no wrapper {name!r}; there is {known}, or module:Class of a ToolWrapper")
    return load(name, "wrapper", kind=_WRAPPER)


_WRAPPER = Kind(
    "a subclass of llmgym.wrappers.ToolWrapper",
    lambda found: isinstance(found, type) and issubclass(found, ToolWrapper),
)
