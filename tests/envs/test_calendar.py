from __future__ import annotations

import itertools
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgym.envs.calendar import Calendar
from llmgym.envs.calendar.conversations import Conversations, states
from llmgym.envs.calendar.replies import Unreadable, read_calendar, read_clock
from llmgym.envs.calendar.schedules import Event, faults, schedule
from llmgym.errors import ConfigError, TaskError
from llmgym.messages import Message
from llmgym.tasks import Task
from llmgym.verifiers.structured.schemas import find_faults
from tests.envs.checks import DEGENERATE, oracle_rewards, play, policy_reward

VARIANTS: dict[str, dict[str, Any]] = {
    "base": {},
    "easy": {"turns": [2, 2], "events": 2, "refusals": 0, "chains": 0, "max_turns": 4},
    "hard": {"turns": [9, 12], "events": 7, "hours": [10, 16], "refusals": 0.2, "chains": 0.3, "max_turns": 15},
}


@pytest.fixture(params=VARIANTS)
def arguments(request: pytest.FixtureRequest) -> dict[str, Any]:
    return VARIANTS[request.param]


@pytest.mark.parametrize("split", ["train", "test"])
def test_the_oracle_earns_the_maximum(arguments: dict[str, Any], split: str) -> None:
    assert oracle_rewards(Calendar(**arguments, split=split)) == [1.0] * 20


ALWAYS_NOON = json.dumps([{"event_id": 1, "start_time": "12:00"}])
LISTS = {
    "none": lambda env, turn: "none",
    "noon": lambda env, turn: ALWAYS_NOON,
    "all at noon": lambda env, turn: json.dumps([{"event_id": i + 1, "start_time": "12:00"} for i in range(turn + 1)]),
    "one after the other": lambda env, turn: json.dumps(
        [{"event_id": i + 1, "start_time": f"{10 + i}:30"} for i in range(min(turn + 1, 9))]
    ),
    "the last one again": lambda env, turn: next(
        (m["content"] for m in reversed(env.transcript) if m["role"] == "assistant"), next(iter(env.oracle(env.task)))
    ),
    "every time": lambda env, turn: json.dumps(
        [{"event_id": 1, "start_time": f"{hour:02d}:{minute}"} for hour in range(9, 17) for minute in ("00", "30")]
    ),
}


@pytest.mark.parametrize("policy", [*DEGENERATE, *LISTS])
def test_degenerate_policies_earn_next_to_nothing(arguments: dict[str, Any], policy: str) -> None:
    act = {**DEGENERATE, **LISTS}[policy]
    assert policy_reward(Calendar(**arguments), act, 25) <= 0.05


def test_tasks_are_many(arguments: dict[str, Any]) -> None:
    env = Calendar(**arguments)
    assert len({env.tasks.draw("train", 0, i).content_hash for i in range(200)}) == 200


def solution(env: Calendar) -> list[Any]:
    assert env.task is not None
    return [None if reply == "none" else json.loads(str(reply)) for reply in env.oracle(env.task)]


def said(reply: Any) -> str:
    return "none" if reply is None else json.dumps(reply)


def shifted(reply: list[Any]) -> list[Any]:
    return [{**entry, "start_time": "23:45"} if at == 0 else entry for at, entry in enumerate(reply)]


@pytest.mark.parametrize(
    "change",
    [
        lambda reply: reply[:-1],
        lambda reply: [*reply, {"event_id": 99, "start_time": "16:45"}],
        lambda reply: [*reply, *reply],
        lambda reply: [{**entry, "event_id": entry["event_id"] + 1} for entry in reply],
        lambda reply: [{**entry, "start_time": reply[0]["start_time"]} for entry in [*reply, {"event_id": 50}]],
        shifted,
        lambda reply: None,
        lambda reply: [{**entry, "duration": 5} for entry in reply],
    ],
)
def test_a_last_reply_that_is_nearly_right_earns_nothing(change: Any) -> None:
    env, tried = Calendar(), 0
    for seed in range(60):
        env.reset(seed=seed)
        *start, last = solution(env)
        if last is not None:
            tried += 1
            assert play(env, [*map(said, start), said(change(last)), *["?"] * 9]) == 0
    assert tried > 30


def test_an_impossible_wish_is_answered_with_none_and_nothing_else() -> None:
    env, tried = Calendar(), 0
    for seed in range(120):
        env.reset(seed=seed)
        replies = solution(env)
        if None in replies[1:]:
            at = replies.index(None)
            tried += 1
            assert play(env, [*map(said, replies[:at]), said(replies[at - 1]), "none", "none"]) == 0
    assert tried > 20


def one_day(*events: Event) -> Task:
    answer = [{"set": [event.to_json() for event in events]}]
    return Task(prompt="Add them.", answer=answer, metadata={"day": {"from": 540, "to": 1020}, "turns": []})


TWO = one_day(Event(1, "tea", 30, 540, 720), Event(2, "talk", 60, 630, 1020, after=(1,)))


@pytest.mark.parametrize(
    ("reply", "right"),
    [
        ('[{"event_id": 1, "start_time": "09:00"}, {"event_id": 2, "start_time": "10:30"}]', True),
        ('[{"event_id": 2, "start_time": "15:07"}, {"event_id": 1, "start_time": "9:01"}]', True),
        ('```json\n[{"event_id": "1", "start_time": "9:00 AM"},\n'
         '{"event_id": "2", "start_time": "2 p.m."}]\n```', True),
        ('Here it is:\n[{"event_id": 1, "start_time": "09:00", "duration": 30, "event_name": "tea"}, '
         '{"event_id": 2, "start_time": "2026-03-02T10:30:00", "duration": 60.0}]\nAnything else?', True),
        ('[{"event_id": 1, "start_time": "09:00"}]\nNo, wait:\n'
         '[{"event_id": 1, "start_time": "11:30"}, {"event_id": 2, "start_time": "12:00"}]', True),
        ('<think>[{"event_id": 1, "start_time": "23:00"}]</think>'
         '[{"event_id": 1, "start_time": "11:30"}, {"event_id": 2, "start_time": "12:00"}]', True),
        ('[{"event_id": 1, "start_time": "11:31"}, {"event_id": 2, "start_time": "12:01"}]', False),
        ('[{"event_id": 1, "start_time": "10:15"}, {"event_id": 2, "start_time": "10:30"}]', False),
        ('[{"event_id": 1, "start_time": "11:45"}, {"event_id": 2, "start_time": "10:30"}]', False),
        ('[{"event_id": 1, "start_time": "08:59"}, {"event_id": 2, "start_time": "10:30"}]', False),
        ('[{"event_id": 1, "start_time": "09:00"}, {"event_id": 2, "start_time": "16:01"}]', False),
        ('[{"event_id": 1, "start_time": "09:00", "duration": 45}, {"event_id": 2, "start_time": "10:30"}]', False),
        ('[{"event_id": 1, "start_time": "09:00"}]', False),
        ("[]", False),
        ("none", False),
    ],
)  # fmt: skip
def test_a_calendar_is_judged_by_what_it_has_to_keep_to(reply: str, right: bool) -> None:
    env = Calendar()
    env.reset(options={"task": TWO})
    assert play(env, [reply]) == right


@pytest.mark.parametrize(
    "reply", ["none", "None.", "**none**", "NONE", "`none`", "It does not fit.\nnone", "None: no room.",
              'none\n\nAs before: [{"event_id": 1, "start_time": "09:00"}]'],
)  # fmt: skip
def test_ways_to_say_none(reply: str) -> None:
    assert read_calendar(reply) is None


@pytest.mark.parametrize(
    "reply",
    [
        "", "I cannot do that.", "nonetheless", "[1, 2]", '[{"event_id": 1}]', '[{"start_time": "09:00"}]',
        '[{"event_id": true, "start_time": "09:00"}]', '[{"event_id": 1, "start_time": 9}]',
        '[{"event_id": 1, "start_time": "25:00"}]', '[{"event_id": 1, "start_time": "09:00"},, ]', "[{]",
        '[{"event_id": 1, "start_time": "09:00"}, {"event_id": 1, "start_time": "10:00"}]',
        "[" * 100_000, "[{" + " " * 60_000, json.dumps([{"event_id": i, "start_time": "09:00"} for i in range(51)]),
    ],
)  # fmt: skip
def test_what_is_no_calendar_costs_a_turn_and_is_answered(reply: str) -> None:
    with pytest.raises(Unreadable):
        read_calendar(reply)
    env = Calendar()
    env.reset(options={"task": TWO})
    (answer,), reward, terminated, truncated, _ = env.step(reply)
    assert "JSON list" in answer["content"]
    assert (reward, terminated, truncated) == (0, False, False)
    assert env.metrics["unreadable"] == 1


@given(st.text(max_size=200))
def test_any_text_is_read(text: str) -> None:
    with suppress(Unreadable):
        read_calendar(text)


@pytest.mark.parametrize(
    ("text", "minutes"),
    [
        ("09:30", 570), ("9:30", 570), ("9.30", 570), ("9:30am", 570), ("12am", 0), ("12 PM", 720), ("2:15 p.m.", 855),
        ("23:59:59", 1439), ("9", None), ("13 pm", None), ("24:00", None), ("9:60", None), ("nine", None), ("", None),
    ],
)  # fmt: skip
def test_clocks(text: str, minutes: int | None) -> None:
    assert read_clock(text) == minutes


def brute(events: list[Event]) -> bool:
    """Whether any order of the events, each as early as it can be, keeps to everything."""
    for order in itertools.permutations(events):
        now, starts = 0, {}
        for event in order:
            starts[event.id] = max(now, event.earliest)
            now = starts[event.id] + event.minutes
        if not faults(events, starts):
            return True
    return False


@st.composite
def days(draw: st.DrawFn) -> list[Event]:
    events: list[Event] = []
    for key in range(draw(st.integers(1, 5))):
        low, size = draw(st.integers(0, 12)), draw(st.integers(1, 8))
        after = (draw(st.integers(0, key - 1)),) if key and draw(st.booleans()) else ()
        events.append(Event(key, "", draw(st.integers(1, 4)), low, low + size, after))
    return events


@given(days())
def test_the_search_finds_a_schedule_where_there_is_one(events: list[Event]) -> None:
    found = schedule(events)
    assert (found is not None) == brute(events)
    assert found is None or not faults(events, found)


def test_conversations_hold_what_they_promise() -> None:
    made = Conversations((9, 12), 7, (10, 16), 0.2, 0.3)
    seen: set[str] = set()
    for seed in range(60):
        task = made(np.random.default_rng(seed))
        assert len(task.answer) == len(task.metadata["turns"]) + 1
        events: list[Event] = []
        for change, state in zip(task.answer, states(task.answer), strict=True):
            seen.update(change)
            if state is None:
                assert events
                continue
            events = state
            assert schedule(events) is not None
            assert len(events) <= 7
    assert seen == {"set", "drop", "impossible"}


def row(**state: Any) -> dict[str, Any]:
    conversation: list[Message] = [
        {"role": "system", "content": "You keep a calendar."},
        {"role": "user", "content": "Add tea (event id: 0), an hour."},
        {
            "role": "assistant",
            "content": '[{"event_id": 0, "event_name": "tea", "start_time": "10:00", "duration": 60}]',
        },
        {"role": "user", "content": "Add a talk (event id: 1), half an hour, after 2pm."},
    ]
    events = {
        "0": {"event_id": 0, "duration": 60, "constraint": None, "min_time": "10:00", "max_time": "16:00"},
        "1": {
            "event_id": 1,
            "duration": 30,
            "constraint": "after 2pm",
            "min_time": "10:00",
            "max_time": "16:00",
            **state,
        },
    }
    return {"responses_create_params": {"input": conversation, "tools": []}, "exp_cal_state": events}


def own(tmp_path: Path, given: dict[str, Any]) -> Any:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(given))
    return Calendar(tasks=path)


@pytest.mark.parametrize(
    ("constraint", "start", "right"),
    [
        ("after 2pm", "14:00", True), ("after 2pm", "13:45", False), ("after 2pm", "15:45", False),
        ("before 2:15pm", "13:45", True), ("before 2:15pm", "14:00", False), ("at 11:15am", "11:15", True),
        ("at 11:15am", "11:30", False), ("between 12:15pm and 1pm", "12:30", True),
        ("between 12:15pm and 1pm", "12:45", False),
        (None, "10:30", False), (None, "11:00", True),
    ],
)  # fmt: skip
def test_rows_of_nemo_gym(tmp_path: Path, constraint: str | None, start: str, right: bool) -> None:
    assert not find_faults(row(constraint=constraint), Calendar.row_schema())
    env = own(tmp_path, row(constraint=constraint))
    observation, _ = env.reset(seed=0)
    assert [message["role"] for message in observation] == ["system", "user", "assistant", "user"]
    reply = [
        {"event_id": 0, "event_name": "tea", "start_time": "10:00", "duration": 60},
        {"event_id": 1, "event_name": "talk", "start_time": start, "duration": 30},
    ]
    assert play(env, [json.dumps(reply)]) == right
    env.reset(seed=0)
    assert play(env, env.oracle(env.task)) == 1


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({**row(), "exp_cal_state": {}}, "any reply would be right"),
        (row(constraint="after 3:45pm"), "no calendar keeps to"),
        (row(constraint="around noon"), "around noon"),
        (row(min_time="soon"), "no time"),
        (row(duration=0), "duration"),
        ({"responses_create_params": row()["responses_create_params"]}, "exp_cal_state"),
    ],
)
def test_malformed_rows(tmp_path: Path, given: dict[str, Any], said: str) -> None:
    with pytest.raises(TaskError, match=rf"rows\.jsonl:1: .*{said}"):
        own(tmp_path, given).reset(seed=0)


@pytest.mark.parametrize(
    "arguments", [{"turns": [1, 2]}, {"turns": [5, 4]}, {"events": 9}, {"hours": [9, 10]}, {"refusals": 0.9}]
)
def test_wrong_arguments_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="is"):
        Calendar(**arguments)
