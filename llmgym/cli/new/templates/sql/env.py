"""Questions about a table, answered by a query."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from llmgym import Episode, LLMGymError, Message, Reward, Task, TaskSet, ToolEnv, ToolError, assistant, tool, tool_call
from llmgym.verifiers import sql

_TABLE = "sales (id integer, shop text, item text, pieces integer, price integer)"
_SHOPS = ("north", "south", "east", "west", "harbour", "market")
_ITEMS = ("bread", "butter", "cheese", "honey", "milk", "salt", "tea")

# A question and the query that is right. What a question does not tell, a query cannot know.
_QUESTIONS = (
    ("How many pieces of {item} did each shop sell? Give shop and pieces.",
     "select shop, sum(pieces) from sales where item = '{item}' group by shop"),
    ("What did the shop {shop} take with {item} in all (pieces times price)?",
     "select sum(pieces * price) from sales where shop = '{shop}' and item = '{item}'"),
    ("Which shops have a sale of {item} of more than {pieces} pieces? Name each once.",
     "select distinct shop from sales where item = '{item}' and pieces > {pieces}"),
    ("List the ids of the sales in which the shop {shop} sold more than {pieces} pieces at a price below {price}.",
     "select id from sales where shop = '{shop}' and pieces > {pieces} and price < {price}"),
)  # fmt: skip


@dataclass(frozen=True)
class Questions:
    """Makes tasks: what it gives depends on the generator that it is given, and on nothing else.

    Attributes:
        rows: How many rows a table has.
    """

    rows: int

    def __call__(self, rng: np.random.Generator) -> Task:
        """Make a task: a question, its query, and two tables; the model sees the first, and both have to agree."""
        while True:
            question, query = _QUESTIONS[rng.integers(len(_QUESTIONS))]
            names: dict[str, Any] = {"shop": str(rng.choice(_SHOPS)), "item": str(rng.choice(_ITEMS))}
            names |= {"pieces": int(rng.integers(5, 15)), "price": int(rng.integers(5, 15))}
            tables, query = [self._table(rng), self._table(rng)], query.format(**names)
            try:
                sql.prove(query, databases=[database_of(rows) for rows in tables])
            except (
                LLMGymError
            ):  # such as one that gives nothing, or the same on both: it would tell good from bad badly
                continue
            prompt = f"{question.format(**names)}\n\nThe table: {_TABLE}"
            return Task(prompt=prompt, answer=query, metadata={"tables": tables})

    def _table(self, rng: np.random.Generator) -> list[dict[str, Any]]:
        names = rng.choice(_SHOPS, self.rows).tolist(), rng.choice(_ITEMS, self.rows).tolist()
        drawn = zip(range(1, self.rows + 1), *names, *rng.integers(1, 20, (2, self.rows)).tolist(), strict=True)
        return [dict(zip(("id", "shop", "item", "pieces", "price"), row, strict=True)) for row in drawn]


def database_of(rows: list[dict[str, Any]]) -> sql.SQLite:
    """The database that the rows of a table make."""
    return sql.SQLite.of_tables({"sales": rows})


class Scaffolded(ToolEnv):
    """Answer a question about a table by a query.

    ## Description

    A table of sales, and a question about it. The answer is not a number but the query that finds it: it is run on the
    table, and on another one that is never shown, so that writing down what a tool showed earns nothing.

    ## Actions

    Calls of `query`, which shows what a query gives; then a reply that is the final query, in a fence or alone.

    ## Observations

    The question and the table's columns; then the result of each call.

    ## Rewards

    1 where the final query gives the right rows on both tables, else 0, as `llmgym.verifiers.sql` compares them.

    ## Episode End

    With the first reply without a call; truncates after `max_turns` messages.

    ## Arguments

    - `rows` (60): how many rows a table has, at least 20.
    """

    system_prompt = "Try queries with the tool. Your last reply is one SQLite query, and nothing else."
    max_turns = 6
    verify_in = "thread"

    def __init__(self, *, rows: int = 60, tasks: TaskSet | str | None = None, **options: Any) -> None:
        """Make the environment.

        Args:
            rows: How many rows a table has.
            tasks: Other questions: rows with `prompt`, `answer` and `tables` as generated ones have them.
            **options: Passed to `ToolEnv`.
        """
        super().__init__(tasks=TaskSet.generated(Questions(rows)) if tasks is None else tasks, **options)

    def setup(self, task: Task) -> None:
        """Open the databases: the state of an episode is made here, anew for each."""
        self.shown, self.hidden = map(database_of, task.metadata["tables"])

    @tool(blocking=True)
    def query(self, query: str) -> str:
        """Run a query, and show its first twenty rows.

        Args:
            query: A SELECT of SQLite.
        """
        try:
            rows = self.shown.run(query, max_rows=1000, seconds=1.0).rows
        except sql.QueryError as error:
            raise ToolError(str(error)) from None
        lines = [", ".join(map(str, row)) for row in rows[:20]]
        return "\n".join([*lines, f"({len(rows)} rows)"])

    def verify(self, episode: Episode) -> Reward:
        """Run the final query beside the right one."""
        return sql.check(episode.final_text, episode.task.answer, databases=[self.shown, self.hidden]).reward

    def oracle(self, task: Task) -> list[Message | str]:
        """Try the query, and give it."""
        return [assistant("", tool_call("query", query=task.answer)), f"```sql\n{task.answer}\n```"]
