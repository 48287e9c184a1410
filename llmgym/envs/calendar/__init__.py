"""Calendar: keep the schedule of a day over several turns, or say that what is asked for cannot be done."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from llmgym.env import Episode, ToolEnv
from llmgym.envs.calendar import rows
from llmgym.envs.calendar.conversations import Conversations, states
from llmgym.envs.calendar.replies import Unreadable, read_calendar, write_clock
from llmgym.envs.calendar.schedules import Event, faults, schedule
from llmgym.errors import ConfigError
from llmgym.messages import Message, system
from llmgym.rewards import Reward
from llmgym.tasks import Task, TaskSet

_RULES = """You keep my calendar of one day, from {low} to {high}. It is empty at first; each of my messages adds,
changes or cancels an event. Reply with the whole calendar as a JSON list such as
[{{"event_id": 101, "start_time": "{low}"}}, {{"event_id": 102, "start_time": "14:30"}}]
- No two events overlap, and all are within the day.
- What I have said of an event holds until I change it. Within that, move events as you like to make room.
- "Over by" and "ending at" are about the end of an event, "between" about both ends, all other times about its start.
- If what I ask for cannot be done, reply only with the word none; the calendar then stays as it was before."""


class Calendar(ToolEnv):
    """Keep the schedule of a day over several turns, or say that what is asked for cannot be done.

    ## Description

    A user adds events to a day, moves them, makes them longer or shorter, and cancels them, one thing in each message.
    Events have a length, and some a time, an earliest start, a latest end, or another event that they come after. The
    schedule has to keep to all that was said so far. Conversations are made from a schedule that nobody is shown, so
    that it can be done; in some turns it cannot, and a search over all schedules has proven that.

    ## Actions

    Text with the whole calendar after each message of the user: a JSON list of events with `event_id` and `start_time`
    ("14:30"; "2:30 pm" is understood too). A `duration`, in minutes, is not needed, but must be right. Where what is
    asked for cannot be done: the word "none". The last list of a reply counts. A reply with neither costs a turn, and
    is answered with what was missing. There are no tools.

    ## Observations

    The rules as a system message, then one message of the user at a time.

    ## Rewards

    1 where the reply to every message is a calendar with just the events that there are, in which none overlap and all
    that was said is kept, or "none" where there is no such calendar; else 0. Any calendar that keeps to it is right.

    Metrics: `turns_right`, the share of the user's messages that were answered right; `unreadable` replies.

    ## Episode End

    Terminates with the reply to the last message, or with the first wrong one; truncates after `max_turns` messages.

    ## Arguments

    - `turns` ((4, 6)): least and most messages of the user.
    - `events` (4): most events at a time, 2 to 8.
    - `hours` ((9, 17)): when the day begins and ends.
    - `refusals` (0.2): how often a message asks for what cannot be done, once there are two events.
    - `chains` (0.15): how often an event has to come after another one.
    - `tasks`: a file of rows of NeMo Gym's calendar, whose `exp_cal_state` says what the one reply has to keep to. A
      row whose state is empty, or cannot be kept to, is refused.

    ## Registered Variants

    - `llmgym/Calendar-v0`: four to six messages, up to four events.
    - `llmgym/Calendar-easy-v0`: two events, one message each; both can be done.
    - `llmgym/Calendar-hard-v0`: nine to twelve messages, up to seven events in six hours.

    ## Version History

    - v0: first version.
    """

    max_turns = 9

    def __init__(
        self,
        *,
        turns: tuple[int, int] | list[int] = (4, 6),
        events: int = 4,
        hours: tuple[int, int] | list[int] = (9, 17),
        refusals: float = 0.2,
        chains: float = 0.15,
        tasks: TaskSet | str | Path | None = None,
        **options: Any,
    ) -> None:
        """Make the environment.

        Args:
            turns: Least and most messages of the user.
            events: Most events at a time.
            hours: When the day begins and ends.
            refusals: How often a message asks for what cannot be done.
            chains: How often an event has to come after another one.
            tasks: Rows of NeMo Gym's calendar.
            **options: Passed to `ToolEnv`.

        Raises:
            ConfigError: An argument is out of range.
        """
        if len(turns) != 2 or not 2 <= turns[0] <= turns[1] <= 20:
            raise ConfigError(f"turns is {turns!r}; give two numbers from 2 to 20, the smaller one first")
        if not 2 <= events <= 8:
            raise ConfigError(f"events is {events}; give a number from 2 to 8")
        if len(hours) != 2 or not 0 <= hours[0] <= hours[1] - 5 <= 19:
            raise ConfigError(f"hours is {hours!r}; give two hours of a day, at least 5 apart")
        if not (0 <= refusals <= 0.5 and 0 <= chains <= 1):
            raise ConfigError(f"refusals is {refusals} and chains is {chains}; at most 0.5 and 1")
        made = Conversations((turns[0], turns[1]), events, (hours[0], hours[1]), refusals, chains)
        super().__init__(tasks=TaskSet.generated(made) if tasks is None else tasks, **options)

    read_row = staticmethod(rows.read)

    @staticmethod
    def row_schema() -> dict[str, Any]:
        """The JSON Schema of a row of NeMo Gym's calendar."""
        return rows.SCHEMA

    def setup(self, task: Task) -> None:
        """Begin with an empty calendar."""
        self.wanted, self.left = list(states(task.answer)), task.metadata.get("turns", [])
        self.right = 0
        self.metrics["unreadable"] = 0.0

    def opening(self, task: Task) -> list[Message]:
        """The rules, where the task has none of its own, and the first message."""
        if "day" not in task.metadata:
            return task.messages
        day = task.metadata["day"]
        rules = _RULES.format(low=write_clock(day["from"]), high=write_clock(day["to"]))
        return [system(rules), *task.messages]

    def respond(self, message: Message) -> str | None:
        """Say the next thing, unless the reply was wrong, or ask for a calendar where there is none."""
        events = self.wanted[self.right]
        try:
            said = read_calendar(message["content"] or "")
        except Unreadable as problem:
            self.count("unreadable")
            return (
                f'Sorry, {problem}. Reply with the whole calendar as a JSON list, or with "none" if it cannot be done.'
            )
        if not _is_right(said, events):
            return None
        self.right += 1
        return self.left[self.right - 1] if self.right < len(self.wanted) else None

    def verify(self, episode: Episode) -> Reward:
        """Pay where every message was answered right."""
        share = self.right / len(self.wanted)
        return Reward(correct=float(share == 1), metrics={"turns_right": share})

    def oracle(self, task: Task) -> Iterator[str]:
        """The schedule in which each event is as early as it can be."""
        for events in states(task.answer):
            starts = None if events is None else schedule(events)
            if starts is None:
                yield "none"
            else:
                entries = sorted(starts.items(), key=lambda item: item[1])
                yield json.dumps([{"event_id": key, "start_time": write_clock(at)} for key, at in entries])


def _is_right(said: dict[int, tuple[int, Any]] | None, events: list[Event] | None) -> bool:
    if said is None or events is None:
        return said is None and events is None
    lengths = {event.id: event.minutes for event in events}
    if any(minutes is not None and minutes != lengths.get(key) for key, (_, minutes) in said.items()):
        return False
    return not faults(events, {key: start for key, (start, _) in said.items()})
