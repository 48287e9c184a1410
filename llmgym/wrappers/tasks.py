"""Wrappers that choose the tasks."""

from __future__ import annotations

from typing import Any

import gymnasium

from llmgym.errors import ConfigError
from llmgym.loading import FUNCTION, load
from llmgym.tasks import FilteredTasks
from llmgym.wrappers.base import ToolWrapper


class FilterTasks(ToolWrapper):
    """Draws only some of the tasks; `reset` with a `task_id` finds them all.

    Args:
        env: The environment.
        metadata: Value, or list of allowed values, of fields of the tasks' metadata.
        predicate: "module:function" of a task that says whether to keep it.

    Raises:
        ConfigError: The metadata is no mapping, or there is no such function.
    """

    def __init__(
        self, env: gymnasium.Env[Any, Any], metadata: dict[str, Any] | None = None, predicate: str | None = None
    ) -> None:
        super().__init__(env, metadata=metadata, predicate=predicate)
        if metadata is not None and not isinstance(metadata, dict):
            raise ConfigError(f"FilterTasks: metadata maps names to values; it is {metadata!r:.100}")
        keep = load(predicate, "FilterTasks: predicate", kind=FUNCTION) if predicate else None
        # The core draws tasks by itself, so the set is put into it.
        core: Any = self.unwrapped
        core.draw_from(FilteredTasks(core.tasks, metadata or {}, keep))
