"""ErrorRecovery: find out and do what is asked with tools that fail, tell what is old, and change."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

from llmgym.env import Episode, ToolEnv
from llmgym.envs.error_recovery.problems import Problems
from llmgym.envs.error_recovery.stock import DOZEN, START, Service
from llmgym.errors import ToolError
from llmgym.messages import Message, assistant, tool_call
from llmgym.rewards import Reward
from llmgym.tasks import Task, TaskSet, one_column, row_schema, task_from_row
from llmgym.tools import tool
from llmgym.verifiers.numbers import final_number


class ErrorRecovery(ToolEnv):
    """Find out how much a store holds, and book deliveries, with tools that fail, tell what is old, and change.

    ## Description

    A service knows what stores hold. Its ledger is always right; its reports are old copies, and always wrong. On the
    way to the answer some of this happens: a tool is overloaded for one to three calls, or gone for good; the ledger
    gives its pages by numbers at first and by tokens then; later pages count in dozens; a thing is held by several
    towns. Where deliveries are to be booked, an answer is lost twice, once with the entry and once without, so that
    only the ledger tells what has to be booked again.

    ## Actions

    Calls of the tools, any number in a message; then a message without a call, which ends the episode and states a
    number.

    ## Observations

    What is asked for; what the calls answer, as JSON; or an error that says what to do, where anything can be done.

    ## Rewards

    1 where the last message states the number that is true at the end, and exactly the deliveries were booked that had
    to be, each once; else 0. The number is read as in Calculator. An episode that ends with a call earns 0.

    Metrics: `retries` (calls that repeat the failed call before them), `failures` (calls that the service answered with
    an error), `booked` (entries that were written), `tool_calls`, `tool_errors`.

    ## Episode End

    Terminates with the first message that calls no tool; truncates after `max_turns` messages.

    ## Arguments

    - `kinds` (both): "count", a number to be found out, and "book", two deliveries to be booked before.
    - `troubles` ([2, 3]): fewest and most things that go wrong, 1 to 6, besides the reports and lost answers.
    - `entries` ([5, 10]): fewest and most entries of a ledger, of which a page has four; 2 to 24.
    - `balance` (True): whether each entry has the balance; else changes have to be added up, some of them in dozens.
    - `tasks`: a file of rows whose metadata is what the generator makes.

    ## Registered Variants

    - `llmgym/ErrorRecovery-v0`: both kinds, two or three troubles, ledgers of up to ten entries with the balance.
    - `llmgym/ErrorRecovery-easy-v0`: a number to be found out, one trouble, ledgers of one page.
    - `llmgym/ErrorRecovery-hard-v0`: both kinds, four to six troubles, ledgers of 9 to 16 entries without the balance.

    ## Version History

    - v0: first version.
    """

    max_turns = 32
    system_prompt = (
        "You look after the stock of several stores with the tools of a service that is not in good order: calls may "
        "fail, and answers may be old. The ledger is always right; reports are copies of it that may be old. An error "
        "says what to do, if anything can be done. When you know the answer, reply without a call."
    )

    def __init__(
        self,
        *,
        kinds: Sequence[str] = ("count", "book"),
        troubles: Sequence[int] = (2, 3),
        entries: Sequence[int] = (5, 10),
        balance: bool = True,
        tasks: TaskSet | str | Path | None = None,
        **options: Any,
    ) -> None:
        """Make the environment.

        Args:
            kinds: What tasks ask for.
            troubles: How many things go wrong.
            entries: How many entries a ledger has.
            balance: Whether entries have the balance.
            tasks: Other tasks, with metadata as the generator makes it.
            **options: Passed to `ToolEnv`.

        Raises:
            ConfigError: An argument is out of range.
        """
        made = Problems(tuple(kinds), (min(troubles), max(troubles)), (min(entries), max(entries)), balance)
        super().__init__(tasks=TaskSet.generated(made) if tasks is None else tasks, **options)

    @staticmethod
    def read_row(row: dict[str, Any]) -> Task:
        """Make the task of a row that has what the generator gives its tasks."""
        task = task_from_row(row)
        if missing := [name for name in ("items", "troubles", "balance", "wanted") if name not in task.metadata]:
            raise ValueError(f"the metadata has no {missing[0]!r}; see what the generator makes by `llmgym show`")
        if not isinstance(task.answer, dict) or not {"number", "booked"} <= task.answer.keys():
            raise ValueError(f"answer is {task.answer!r:.100}; it has a `number` and what is `booked`")
        return task

    def setup(self, task: Task) -> None:
        """Start the service."""
        metadata = task.metadata
        self.service = Service(metadata["items"], metadata["troubles"], balance=metadata["balance"])
        self.failed_call: tuple[Any, ...] | None = None
        self._first_page: int | str = 1  # that the oracle begins with
        self.metrics.update({"retries": 0.0, "failures": 0.0})

    @staticmethod
    def row_schema() -> dict[str, Any]:
        """The JSON Schema of such a row."""
        answer = {"type": "object", "required": ["number", "booked"]}
        known = [one_column("answer", answer), one_column("expected_answer", answer, without=["answer"])]
        return {**row_schema(), "title": "A task of ErrorRecovery", "allOf": [{"anyOf": known}]}

    @tool
    def find_item(self, name: str) -> list[dict[str, str]]:
        """Find items by name, in the stores of all towns; gives their ids.

        Args:
            name: Name of the item, such as "lamp".
        """
        return self._asked("find", name)

    @tool
    def stock_report(self, item_id: str) -> dict[str, Any]:
        """The quantity of an item by the last report, and the day that the report is of.

        Args:
            item_id: Id of the item.
        """
        return self._asked("report", item_id)

    @tool
    def ledger(self, item_id: str, page: int | str = 1) -> dict[str, Any]:
        """A page of the ledger of an item: all that came and went, oldest first, four entries a page.

        Args:
            item_id: Id of the item.
            page: Number of the page, from 1; or what the ledger says to pass instead.
        """
        return self._asked("ledger", item_id, page)

    @tool
    def book(self, item_id: str, change: int, reference: str) -> dict[str, Any]:
        """Write an entry into the ledger of an item. It cannot be taken back.

        Args:
            item_id: Id of the item.
            change: Units that come, or go where it is negative.
            reference: Reference of the entry.
        """
        return self._asked("book", item_id, change, reference)

    def _asked(self, what: str, *arguments: Any) -> Any:
        """What the service answers; its failures, and calls that repeat a failed one, are counted."""
        call = (what, *arguments)
        if call == self.failed_call:
            self.count("retries")
        try:
            result = getattr(self.service, what)(*arguments)
        except ToolError:
            self.failed_call = call
            self.count("failures")
            raise
        self.failed_call = None
        return result

    def verify(self, episode: Episode) -> Reward:
        """Compare the stated number and what was booked with what is right."""
        answer = episode.task.answer
        stated = final_number(episode.final_text)
        booked = sorted(self.service.booked) == sorted(map(tuple, answer["booked"]))
        right = stated is not None and stated == answer["number"]
        return Reward(correct=float(right and booked), metrics={"booked": float(len(self.service.booked))})

    def oracle(self, task: Task) -> Iterator[Message | str]:
        """Try again what is overloaded, read ledgers to their ends, and book what they do not have."""
        total = 0
        deliveries = {item: (change, reference) for item, change, reference in task.answer["booked"]}
        for wanted in task.metadata["wanted"]:
            found = yield from self._insist("find_item", name=wanted["name"])
            code = next(one["item_id"] for one in found if one["town"] == wanted["town"])
            if code in deliveries:
                total += yield from self._deliver(code, *deliveries[code])
            else:
                total += sum(map(_change, (yield from self._read(code))))
        yield f"The ledger says so: {total}"

    def _deliver(self, code: str, change: int, reference: str) -> Generator[Message, None, int]:
        """Book a delivery once, and give how much there is then."""
        booked = yield from self._call("book", item_id=code, change=change, reference=reference)
        entries = yield from self._read(code)
        while booked is None and all(entry["reference"] != reference for entry in entries):
            booked = yield from self._call("book", item_id=code, change=change, reference=reference)
            entries = yield from self._read(code)
        return sum(map(_change, entries))

    def _read(self, code: str) -> Generator[Message, None, list[dict[str, Any]]]:
        """All entries of a ledger, by numbers of pages as long as these are served."""
        entries: list[dict[str, Any]] = []
        page: int | str | None = self._first_page
        while page is not None:
            answer = yield from self._call("ledger", item_id=code, page=page)
            if answer is None:
                if "has changed" in self.transcript[-1]["content"]:
                    entries, page, self._first_page = [], START, START
                continue
            entries += answer["entries"]
            following = answer["page"] + 1 if answer.get("page", 0) < answer.get("pages", 0) else None
            page = answer.get("next", following)
        return entries

    def _insist(self, name: str, /, **arguments: Any) -> Generator[Message, None, Any]:
        """Make a call until it works."""
        while (answer := (yield from self._call(name, **arguments))) is None:
            pass
        return answer

    def _call(self, name: str, /, **arguments: Any) -> Generator[Message, None, Any]:
        """Make a call; gives what it answers, None where it failed."""
        yield assistant("", tool_call(name, **arguments))
        text = self.transcript[-1]["content"]
        return json.loads(text) if text.startswith(("{", "[")) else None


def _change(entry: dict[str, Any]) -> int:
    return entry["change"] if "change" in entry else entry["change_in_dozens"] * DOZEN
