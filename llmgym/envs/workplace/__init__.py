"""Workplace: an assistant with the mails, calendar, customers, tasks and website figures of an office."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from llmgym.env import Episode
from llmgym.envs.office import OfficeEnv
from llmgym.envs.office.tables import Tables
from llmgym.envs.office.world import SIZES, make_office
from llmgym.envs.workplace import rows
from llmgym.envs.workplace.nemo_gym import NemoOffice, offered
from llmgym.envs.workplace.nemo_tables import find_folder, load
from llmgym.envs.workplace.requests import Requests, solve, tools_for
from llmgym.errors import ConfigError
from llmgym.messages import Message, assistant, tool_call
from llmgym.rewards import Reward
from llmgym.tasks import Task, TaskSet
from llmgym.tools import Tool


class Workplace(OfficeEnv):
    """Do what is asked in an office, with tools for mails, calendar, customers, tasks and website.

    ## Description

    Each task has an office of its own: a firm, its people, their mails, the calendar of one of them, customers, tasks
    on boards, and how often the website was visited. That one asks for something: to reply to somebody's last mail,
    forward, archive or delete mails, move, rename, create or cancel events, hand customers or tasks over, put off,
    close, create or delete them, plot or report figures; several such things at once, and some of them on a condition.
    Names have to be looked up, and so have "the last", "overdue" and "next Monday". What is asked is picked from the
    rows themselves, so that it is known which rows are meant, and that there are such.

    ## Actions

    Calls of 28 tools, any number of them in a message; then a message without a call, which ends the episode.

    - People and mails: `find_people`, `search_mails`, `read_mail`, `send_mail`, `reply_mail`, `forward_mail`,
      `move_mail`, `delete_mail`.
    - Calendar: `search_events`, `read_event`, `create_event`, `update_event`, `add_participant`, `cancel_event`.
    - Customers: `search_customers`, `read_customer`, `add_customer`, `update_customer`, `delete_customer`.
    - Tasks: `search_tasks`, `read_task`, `create_task`, `update_task`, `delete_task`.
    - Website: `count_visits`, `count_engaged_visits`, `average_visit`, `create_plot`.

    ## Observations

    Who the assistant works for and what time it is, then the request; then what each call gave, as JSON. A search shows
    at most 25 rows and says how many there are.

    ## Rewards

    1 where all tables are at the end as they should be, else 0. Rows that were there are compared by id, new ones by
    what they hold; the order of calls does not count, nor does looking things up, nor what the final message says.
    Texts are compared without regard to case, blanks, quotes around them and the mark at their end. In less than 5 % of
    the tasks nothing is to be changed.

    Metrics: `share` of the rows right, of those that were or should have been changed; `missing`, `extra` and `changed`
    rows that are wrong; `writes`; `tool_calls`, `tool_errors`.

    ## Episode End

    Terminates with the first message that calls no tool; truncates after `max_turns` messages, and is verified then
    too.

    ## Arguments

    - `size` ("medium"): how large offices are: "small" (6 people, 30 mails), "medium" (12, 120) or "large" (20, 200).
    - `goals` ((1, 2)): least and most things that a request asks for, at most 3.
    - `conditional` (0.25): share of the requests with a condition.
    - `simple` (False): only what takes few calls.
    - `all_tools` (True): offer all tools; otherwise those of the areas that the request is about.
    - `tasks`: a file of rows with `prompt`, `now`, `tables` and `answer`, the calls that do it. Or rows of NeMo
      Gym's workplace_assistant, whose `ground_truth` are calls of that server's tools; these are offered then.
    - `nemo_gym_tables` (that of an installed nemo-gym): the folder `csv_data` of that server, for such rows.

    ## Registered Variants

    - `llmgym/Workplace-v0`: one or two things, a quarter of them on a condition.
    - `llmgym/Workplace-easy-v0`: one simple thing in a small office, with the tools of its area.
    - `llmgym/Workplace-hard-v0`: three things, one of them on a condition mostly, in a large office.

    ## Version History

    - v0: first version.
    """

    max_turns = 20

    def __init__(
        self,
        *,
        size: str = "medium",
        goals: tuple[int, int] | list[int] = (1, 2),
        conditional: float = 0.25,
        simple: bool = False,
        all_tools: bool = True,
        tasks: TaskSet | str | Path | None = None,
        nemo_gym_tables: str | Path | None = None,
        **options: Any,
    ) -> None:
        """Make the environment.

        Args:
            size: How large offices are.
            goals: Least and most things that a request asks for.
            conditional: Share of the requests with a condition.
            simple: Ask only for what takes few calls.
            all_tools: Offer all tools; otherwise those of the areas that a request is about.
            tasks: Other requests.
            nemo_gym_tables: Folder of the tables of NeMo Gym's workplace_assistant, for rows of it.
            **options: Passed to `ToolEnv`.

        Raises:
            ConfigError: An argument is out of range.
        """
        if size not in SIZES:
            raise ConfigError(f"size is {size!r}; there is {', '.join(SIZES)}")
        if len(goals) != 2 or not 1 <= goals[0] <= goals[1] <= 3:
            raise ConfigError(f"goals is {goals!r}; give two numbers from 1 to 3, the smaller one first")
        if not 0 <= conditional <= 1:
            raise ConfigError(f"conditional is {conditional!r}; give a share from 0 to 1")
        self.all_tools, self.nemo_gym_tables = all_tools, nemo_gym_tables
        made = Requests(size, (goals[0], goals[1]), conditional, simple)
        super().__init__(tasks=TaskSet.generated(made) if tasks is None else tasks, **options)

    read_row = staticmethod(rows.read)

    @staticmethod
    def row_schema() -> dict[str, Any]:
        """The JSON Schema of a row with tables of its own."""
        return rows.SCHEMA

    def setup(self, task: Task) -> None:
        """Begin with the tables of the task."""
        self.nemo_gym = None
        if task.metadata.get("nemo_gym"):
            self.nemo_gym = NemoOffice(load(Path(self.nemo_gym_tables or find_folder())))
        else:
            super().setup(task)

    def opening(self, task: Task) -> list[Message]:
        """As in any office; a row of NeMo Gym says all of it."""
        return task.messages if self.nemo_gym else super().opening(task)

    def office_of(self, task: Task) -> Tables:
        """The office of a seed, or of a row."""
        if "tables" in task.metadata:
            return rows.tables_of(task)
        return make_office(task.metadata["office"], task.metadata["size"]).fresh()

    def offered(self, task: Task) -> list[Tool] | list[str]:
        """All tools, or those of the areas of the request, or those of a row of NeMo Gym."""
        if task.metadata.get("nemo_gym"):
            return offered(task)
        if self.all_tools or "plan" not in task.metadata:
            return list(self.tools)
        return tools_for(task.metadata["plan"])

    def verify(self, episode: Episode) -> Reward:
        """Compare the tables with those that the right calls make."""
        if self.nemo_gym:
            verdict, writes = self.nemo_gym.judge(episode.task.answer), len(self.nemo_gym.journal)
        else:
            verdict, writes = self.judge(episode.task.answer), len(self.office.journal)
        return Reward(correct=verdict.score, metrics={**verdict.metrics, "writes": float(writes)})

    def oracle(self, task: Task) -> Iterator[Message | str]:
        """Look up what the request names and do it, with what the tools answer; for a row, make its calls."""
        if "plan" not in task.metadata:
            for call in task.answer:
                yield assistant("", tool_call(call["name"], **call["arguments"]))
        else:
            solving = solve(task.metadata["plan"])
            answered: Any = None
            while True:
                try:
                    name, arguments = solving.send(answered)
                except StopIteration:
                    break
                yield assistant("", tool_call(name, **arguments))
                answered = orjson.loads(self.transcript[-1]["content"])
        yield "All of it is done."
