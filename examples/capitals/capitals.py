"""The environment of the README, whole: look up the capital of a country."""

from __future__ import annotations

from llmgym import Episode, Message, Reward, Task, TaskSet, ToolEnv, assistant, tool, tool_call
from llmgym.verifiers import lists

CAPITALS = {"France": "Paris", "Japan": "Tokyo", "Peru": "Lima", "Kenya": "Nairobi"}


class Capitals(ToolEnv):
    """Find the capital of a country by looking it up."""

    tasks = TaskSet.jsonl("capitals.jsonl")

    @tool
    def look_up(self, country: str) -> str:
        """Look up the capital of a country.

        Args:
            country: English name of the country.
        """
        return CAPITALS[country]

    def verify(self, episode: Episode) -> Reward:
        """1 where the final message names the capital, and no other one."""
        named = "|".join(CAPITALS.values())
        return lists.check(episode.final_text, [episode.task.answer], item=named).reward

    def oracle(self, task: Task) -> list[Message | str]:
        """Look it up, then say it."""
        return [assistant("", tool_call("look_up", country=task.metadata["country"])), f"It is {task.answer}."]
