"""Questions about a stock room, which tools answer piece by piece."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from llmgym import Episode, Message, Reward, Task, TaskSet, ToolEnv, ToolError, assistant, tool, tool_call
from llmgym.verifiers import numbers

_ITEMS = (
    "bolt",
    "cable",
    "drill",
    "fan",
    "hinge",
    "lamp",
    "nail",
    "pipe",
    "pump",
    "rope",
    "saw",
    "screw",
    "tap",
    "valve",
)
_PHRASINGS = (
    "What is the whole stock of {items} worth?",
    "I want to buy all that you have of {items}. What does that cost?",
    "How much is the stock of {items} worth in all?",
)


@dataclass(frozen=True)
class Questions:
    """Makes tasks: what it gives depends on the generator that it is given, and on nothing else.

    Attributes:
        asked: How many items a question is about.
    """

    asked: int

    def __call__(self, rng: np.random.Generator) -> Task:
        """Make a task: a stock room, and a question whose answer is not in the prompt."""
        stock = {name: {"pieces": int(rng.integers(2, 60)), "price": int(rng.integers(2, 90))} for name in _ITEMS}
        asked = [str(name) for name in rng.choice(_ITEMS, self.asked, replace=False)]
        prompt = _PHRASINGS[rng.integers(len(_PHRASINGS))].format(items=_listed([f"{name}s" for name in asked]))
        answer = sum(stock[name]["pieces"] * stock[name]["price"] for name in asked)
        return Task(prompt=prompt, answer=answer, metadata={"stock": stock, "asked": asked})


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


class Scaffolded(ToolEnv):
    """Find out what the stock of some items is worth.

    ## Description

    A stock room holds pieces of fourteen items, each at a price. The question is what all pieces of some of them are
    worth; tools tell how many there are, and what one costs.

    ## Actions

    Calls of `pieces` and `price`, any number of them; then a reply without a call, which states the sum.

    ## Observations

    The question; then the result of each call.

    ## Rewards

    1 where the number that the last reply states is the sum, else 0, as `llmgym.verifiers.numbers` reads it.

    ## Episode End

    With the first reply without a call; truncates after `max_turns` messages.

    ## Arguments

    - `asked` (2): how many items a question is about, 1 to 14.
    """

    system_prompt = "Answer with the tools' help. When you know the number, reply with it alone."
    max_turns = 12

    def __init__(self, *, asked: int = 2, tasks: TaskSet | str | None = None, **options: Any) -> None:
        """Make the environment.

        Args:
            asked: How many items a question is about.
            tasks: Other questions: rows with `prompt`, `answer`, and `stock` and `asked` as generated ones have them.
            **options: Passed to `ToolEnv`.
        """
        super().__init__(tasks=TaskSet.generated(Questions(asked)) if tasks is None else tasks, **options)

    def setup(self, task: Task) -> None:
        """Fill the stock room: the state of an episode is made here, anew for each."""
        self.stock = task.metadata["stock"]

    @tool
    def pieces(self, item: str) -> int:
        """Say how many pieces of an item there are.

        Args:
            item: Its name, such as "lamp".
        """
        return self._find(item)["pieces"]

    @tool
    def price(self, item: str) -> int:
        """Say what one piece of an item costs.

        Args:
            item: Its name, such as "lamp".
        """
        return self._find(item)["price"]

    def _find(self, item: str) -> dict[str, int]:
        name = item.strip().lower()
        found = self.stock.get(name) or self.stock.get(name.removesuffix("s"))
        if found is None:
            raise ToolError(f"there is no {item[:40]!r}; there is {', '.join(self.stock)}")
        return found

    def verify(self, episode: Episode) -> Reward:
        """Compare the number that the last reply states with the sum."""
        return numbers.check(episode.final_text, episode.task.answer).reward

    def oracle(self, task: Task) -> Iterator[Message | str]:
        """Ask for each item, and add up what the tools say."""
        total = 0
        for name in task.metadata["asked"]:
            yield assistant("", tool_call("pieces", item=name), tool_call("price", item=name))
            count, price = (int(message["content"]) for message in self.transcript[-2:])
            total += count * price
        yield str(total)
