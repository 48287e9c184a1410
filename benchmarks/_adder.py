"""An environment as small as those that packages show for theirs: one tool, which adds two numbers."""

from __future__ import annotations

import gymnasium

from llmgym import Episode, Task, TaskSet, ToolEnv, tool


class Adder(ToolEnv):
    """See the module."""

    tasks = TaskSet.generated(lambda rng: Task(prompt="What is 12 + 30?"))

    @tool
    def add(self, a: float, b: float) -> float:
        """Add two numbers."""
        return a + b

    def verify(self, episode: Episode) -> float:
        """Pay for anything."""
        return 1.0


gymnasium.register("Adder-v0", entry_point=f"{__name__}:Adder")
