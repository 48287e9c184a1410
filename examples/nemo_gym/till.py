"""The environment of till_server.py as one of llmgym, with the rows of the same file."""

from __future__ import annotations

from llmgym import Episode, Message, Task, TaskSet, ToolEnv, assistant, tool, tool_call


class Till(ToolEnv):
    """Add up what a customer buys."""

    tasks = TaskSet.jsonl("till.jsonl")

    def setup(self, task: Task) -> None:
        self.total = 0

    @tool
    def add_item(self, price: int, count: int = 1) -> dict[str, int]:
        """Add to the bill.

        Args:
            price: Of one piece.
            count: How many pieces.
        """
        self.total += price * count
        return {"total": self.total}

    def verify(self, episode: Episode) -> float:
        return float(self.total == episode.task.metadata["expected_total"])

    def oracle(self, task: Task) -> list[Message | str]:
        calls = [tool_call("add_item", price=price, count=count) for price, count in task.metadata["items"]]
        return [assistant("", *calls), f"That is {task.metadata['expected_total']}."]
