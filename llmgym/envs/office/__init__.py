"""An office: its tables, the tools on them, and what environments in it share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from llmgym.env import ToolEnv
from llmgym.envs.office.counting import Counting
from llmgym.envs.office.dates import WEEKDAYS, day
from llmgym.envs.office.planning import Planning
from llmgym.envs.office.scheduling import Scheduling
from llmgym.envs.office.selling import Selling
from llmgym.envs.office.tables import Tables
from llmgym.messages import Message, system
from llmgym.tasks import Task
from llmgym.verifiers.base import Verdict

_PROMPT = """You are the assistant of {name} ({email}, {team}). Now it is {weekday}, {now}; weeks begin on Monday.
Do what you are asked with the tools, and nothing else. Look up addresses and ids: do not guess them.
Where the request gives a text in quotes, write exactly that text, without a greeting or signature.
When all is done, reply without calling a tool."""


class Desk(Scheduling, Selling, Planning, Counting):
    """All the tools, on tables: what an episode has, and what the right state is made with."""

    def __init__(self, office: Tables) -> None:
        """Work on tables."""
        self.office = office

    def carry_out(self, calls: Iterable[dict[str, Any]]) -> Tables:
        """Make calls, each with `name` and `arguments`, and give the tables."""
        for call in calls:
            getattr(self, call["name"])(**call["arguments"])
        return self.office


class OfficeEnv(Scheduling, Selling, Planning, Counting, ToolEnv):
    """What environments in an office share: `office`, the tables of the episode, and the tools on them."""

    def office_of(self, task: Task) -> Tables:
        """The tables that a task begins with."""
        raise NotImplementedError

    def setup(self, task: Task) -> None:
        """Begin with the tables of the task."""
        self.office = self.office_of(task)

    def opening(self, task: Task) -> list[Message]:
        """Who the assistant works for and what day it is, then the request."""
        messages = task.messages
        if messages[0]["role"] == "system":
            return messages
        me, now = self.office.me, self.office.now
        return [system(_PROMPT.format(**me, weekday=WEEKDAYS[day(now).weekday()], now=now)), *messages]

    def judge(self, calls: Iterable[dict[str, Any]]) -> Verdict:
        """Compare the tables with those that the right calls make of what was there."""
        return self.office.compare(Desk(self.office.fresh()).carry_out(calls))
