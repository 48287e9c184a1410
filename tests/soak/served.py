"""An environment at servers that are killed and frozen: what an episode earns tells whether all was done once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import gymnasium

from llmgym.env import Episode, ToolEnv
from llmgym.tasks import RowTasks, Task
from llmgym.tools import tool


class Sums:
    """Numbered rows: how many calls there are to be made."""

    def rows(self) -> Iterable[tuple[str, dict[str, Any]]]:
        """Give them."""
        for number in range(100_000):
            yield f"row {number}", {"id": f"{number:06}", "prompt": f"add {number % 5 + 2} numbers", "answer": None}

    def __str__(self) -> str:
        return "sums"


class Summing(ToolEnv):
    """Add 1, 2, 3 ... by as many calls."""

    tasks = RowTasks(Sums())

    def setup(self, task: Task) -> None:
        self.total = 0

    @tool
    async def add(self, number: int) -> str:
        """Add a number."""
        await asyncio.sleep(0.03)
        self.total += number
        return f"total {self.total}"

    def verify(self, episode: Episode) -> float:
        """Pay where all calls were made, each once."""
        count = int(str(episode.task.prompt).split()[1])
        return float(self.total == count * (count + 1) // 2 and episode.final_text == f"done {self.total}")


gymnasium.register("test/Summing-v0", entry_point=f"{__name__}:Summing")


def reply(prompt: str) -> str:
    """What the policy says: the next call, or the total."""
    count = int(prompt.partition("<user> add ")[2].split(" ")[0])
    answers = prompt.split("<tool> total ")[1:]
    if len(answers) < count:
        return f'<tool_call>{{"name": "add", "arguments": {{"number": {len(answers) + 1}}}}}</tool_call>'
    return f"done {answers[-1].split(' ')[0]}"
