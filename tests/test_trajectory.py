"""Segments, rows of `rollouts.jsonl`, and the way back."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgym.messages import assistant, system, tool_call, user
from llmgym.policies.base import Generation, VersionSpan
from llmgym.trajectory import (
    ROW_FIELDS,
    Segment,
    SegmentBuilder,
    Trajectory,
    Turn,
    dump_row,
    responses_items,
    segment_of,
)

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
finite = st.floats(allow_nan=False, allow_infinity=False)
seconds = st.floats(0, 1e6)
float32 = st.floats(allow_nan=False, allow_infinity=False, width=32)
reward = st.none() | finite


@st.composite
def segments(draw: st.DrawFn) -> Segment:
    sampled = draw(st.lists(st.booleans(), max_size=20))
    ids = draw(st.lists(st.integers(0, 2**31 - 1), min_size=len(sampled), max_size=len(sampled)))
    logprobs = [draw(float32) if own else 0.0 for own in sampled]
    return Segment(np.array(ids, np.int32), np.array(sampled, np.bool_), np.array(logprobs, np.float32))


versions = st.lists(st.builds(VersionSpan, *[st.integers(0, 99)] * 3), max_size=3).map(tuple)
turns = st.builds(
    Turn,
    reward=reward,
    finish_reason=st.sampled_from(["stop", "length", "abort"]),
    engine_s=seconds,
    env_s=seconds,
    segment=st.integers(0, 3),
    start=st.integers(0, 99),
    end=st.integers(0, 99),
    cached_tokens=st.integers(0, 99),
    versions=versions,
)
calls = st.builds(lambda name, value: tool_call(name, value=value), text, text)
messages = st.one_of(
    st.builds(user, text),
    st.builds(system, text),
    st.builds(assistant, text, calls, calls),
    st.builds(assistant, text),
    st.builds(lambda content, i: {"role": "tool", "tool_call_id": i, "name": "f", "content": content}, text, text),
    st.builds(lambda content, r: {**assistant(content), "reasoning_content": r}, text, text),
)
schemas = st.builds(
    lambda name, about: {
        "type": "function",
        "function": {"name": name, "description": about, "parameters": {"type": "object", "properties": {}}},
    },
    text,
    text,
)
trajectories = st.builds(
    Trajectory,
    env_id=text,
    task_id=text,
    repeat=st.integers(0, 99),
    seed=st.integers(0, 2**31),
    status=st.sampled_from(["completed", "max_tokens", "env_error"]),
    messages=st.lists(messages, max_size=5),
    opening=st.integers(0, 5),
    tools=st.lists(schemas, max_size=2),
    sampling=st.fixed_dictionaries({"temperature": finite, "top_p": finite, "max_output_tokens": st.integers(1, 9)}),
    turns=st.lists(turns, max_size=3),
    segments=st.lists(segments(), max_size=3),
    reward=reward,
    reward_parts=st.dictionaries(text, reward, max_size=3),
    metrics=st.dictionaries(text.filter(lambda name: name not in ROW_FIELDS), finite, max_size=3),
    timings=st.dictionaries(text, seconds, max_size=3),
    error=st.none() | text,
    attempts=st.integers(1, 5),
)


@given(trajectories)
def test_a_row_gives_its_trajectory_back(trajectory: Trajectory) -> None:
    line = dump_row(trajectory)
    assert line.count(b"\n") == 1
    back = Trajectory.from_row(orjson.loads(line))
    for name in set(Trajectory.__slots__) - {"segments"}:
        assert getattr(back, name) == getattr(trajectory, name), name
    assert len(back.segments) == len(trajectory.segments)
    for one, other in zip(back.segments, trajectory.segments, strict=True):
        for name in ("ids", "sampled", "logprobs"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
            assert getattr(one, name).dtype == getattr(other, name).dtype
    assert dump_row(back) == line


def test_a_metric_named_like_a_field_does_not_touch_the_field() -> None:
    trajectory = Trajectory("e", "t", 0, 1, reward=0.5)
    trajectory.metrics = dict.fromkeys(ROW_FIELDS, 9.0) | {"own": 2.0}
    back = Trajectory.from_row(orjson.loads(dump_row(trajectory)))
    assert (back.reward, back.status, back.env_id, back.segments) == (0.5, "completed", "e", [])
    assert back.metrics == {"own": 2.0}


def test_a_metric_that_is_not_a_number_stays_that() -> None:
    back = Trajectory.from_row(orjson.loads(dump_row(Trajectory("e", "t", 0, 1, metrics={"ratio": math.nan}))))
    assert math.isnan(back.metrics["ratio"])


def test_a_row_has_the_fields_that_datasets_expect() -> None:
    call = tool_call("add", a=1)
    call["id"] = "call_0"
    answer: Any = {"role": "tool", "tool_call_id": "call_0", "name": "add", "content": "1"}
    thought: Any = {**assistant("one"), "reasoning_content": "hm"}
    schema: Any = {"type": "function", "function": {"name": "add", "description": "Add.", "parameters": {}}}
    row = Trajectory(
        "llmgym/X-v0", "t", 2, 1, messages=[system("s"), user("u"), assistant("", call), answer, thought], opening=2,
        tools=[schema], sampling={"temperature": 0.2}, metrics={"lookups": 3.0}, reward=1.0,
    ).to_row()  # fmt: skip
    assert row["id"] == "llmgym/X-v0/t/2"
    assert row["group_id"] == "llmgym/X-v0/t"
    assert row["lookups"] == 3.0
    assert row["responses_create_params"] == {
        "input": [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}],
        "tools": [{"type": "function", "name": "add", "description": "Add.", "parameters": {}}],
        "temperature": 0.2,
    }
    assert [item["type"] for item in row["output"]] == ["function_call", "function_call_output", "reasoning", "message"]
    assert row["output"][0] == {"type": "function_call", "call_id": "call_0", "name": "add", "arguments": '{"a":1}'}
    json.dumps(row)


def test_an_empty_reply_is_an_item_too() -> None:
    [item] = responses_items(assistant(""))
    assert item["content"] == [{"type": "output_text", "text": ""}]


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), max_size=6))
def test_a_built_segment_is_what_was_put_in(parts: list[tuple[int, int]]) -> None:
    builder = SegmentBuilder([1, 2, 3])
    ids, sampled, logprobs, end = [1, 2, 3], [False] * 3, [0.0] * 3, 3
    for own, other in parts:
        builder.add_sampled(Generation([7] * own, [-1.5] * own, "stop"))
        ids, sampled, logprobs = ids + [7] * own, sampled + [True] * own, logprobs + [-1.5] * own
        end = len(ids)
        builder.add_context([8] * other)
        ids, sampled, logprobs = ids + [8] * other, sampled + [False] * other, logprobs + [0.0] * other
    segment = builder.build()
    assert segment.ids.tolist() == ids[:end]
    assert segment.sampled.tolist() == sampled[:end]
    assert segment.logprobs.tolist() == logprobs[:end]


def test_a_segment_refuses_log_probabilities_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match="cannot assign"):
        segment_of([1, 2, 3], [(1, 3)], [-1.0, -1.0, -1.0])
