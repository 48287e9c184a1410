"""Trajectories that hypothesis makes, and a validator of JSON Schema that is enough for rows."""

from __future__ import annotations

import math
import typing
from typing import Any

import numpy as np
from hypothesis import strategies as st

from llmgym.chat import ModelCall, Usage
from llmgym.failures import Failure, Kind, Outside, Stage
from llmgym.messages import assistant, tool_call, user
from llmgym.policies.base import VersionSpan
from llmgym.rewards import Part
from llmgym.tasks import Task
from llmgym.trajectory import Compaction, Played, Segment, Status, Trajectory, Turn

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
finite = st.floats(allow_nan=False, allow_infinity=False)
number = st.floats() | st.integers(-(2**63), 2**63 - 1)
float32 = st.floats(allow_nan=False, allow_infinity=False, width=32)
seconds = st.integers(0, 10**12).map(lambda micro: micro / 1e6)
reward = st.none() | finite
count = st.integers(0, 99)
#: What JSON holds; whole numbers of any size.
json = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | finite | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=6,
)
usages = st.builds(Usage, count, count, st.none() | st.floats(0, 10), count)

calls = st.builds(lambda name, value: tool_call(name, value=value), text, text) | st.builds(
    lambda name, arguments, own: {"id": own, "type": "function", "function": {"name": name, "arguments": arguments}},
    text,
    text,
    text,
)
messages = st.one_of(
    st.builds(user, text),
    st.builds(lambda content: {"role": "system", "content": content}, text),
    st.builds(lambda content, made: assistant(content, *made), text, st.lists(calls, max_size=3)),
    st.builds(lambda content, i: {"role": "tool", "tool_call_id": i, "name": "f", "content": content}, text, text),
    st.builds(lambda content: {"role": "tool", "content": content}, text),
    st.builds(lambda content, r, c: {**assistant(content, *c), "reasoning_content": r}, text, text, st.lists(calls)),
)
schemas = st.builds(
    lambda name, about, properties: {
        "type": "function",
        "function": {
            "name": name,
            "description": about,
            "parameters": {"type": "object", "properties": properties},
        },
    },
    text,
    text,
    st.dictionaries(text, st.dictionaries(text, text | st.integers(0, 9), max_size=2), max_size=2),
)


@st.composite
def segments(draw: st.DrawFn) -> Segment:
    sampled = draw(st.lists(st.booleans(), max_size=20))
    ids = draw(st.lists(st.integers(0, 2**31 - 1), min_size=len(sampled), max_size=len(sampled)))
    logprobs = [draw(float32) if own else 0.0 for own in sampled]
    own = draw(st.none() | st.lists(messages, max_size=2))
    role, delivered = draw(st.sampled_from(["agent", "title"]) | text), draw(st.booleans())
    return Segment(
        np.array(ids, np.int32), np.array(sampled, np.bool_), np.array(logprobs, np.float32), role, delivered, own
    )


turns = st.builds(
    Turn,
    reward=reward,
    finish_reason=st.sampled_from(["stop", "length", "abort"]),
    engine_s=seconds,
    env_s=seconds,
    segment=st.integers(0, 3),
    start=count,
    end=count,
    cached_tokens=count,
    versions=st.lists(st.builds(VersionSpan, count, count, count), max_size=3).map(tuple),
)
compactions = st.builds(Compaction, turn=count, start=count, cleared=count, note=text, summary=st.none() | turns)
tasks = st.builds(
    Task,
    id=text,
    prompt=text | st.lists(messages, max_size=3),
    answer=json,
    metadata=st.dictionaries(text, json, max_size=3),
)
failures = st.builds(
    Failure,
    st.sampled_from(typing.get_args(Kind)),
    st.sampled_from(typing.get_args(Stage)),
    st.sampled_from(typing.get_args(Outside)),
    text,
)
model_calls = st.builds(
    ModelCall,
    role=text,
    model=text,
    messages=st.lists(messages, max_size=2),
    reply=messages,
    usage=usages,
    seconds=seconds,
)
#: Names of metrics: any, and those that a row's fields have.
metric_names = text | st.sampled_from(["id", "reward", "turns", "metrics", "seed", "format", "failure", "input"])


@st.composite
def trajectories(draw: st.DrawFn) -> Trajectory:
    made = draw(
        st.builds(
            Trajectory,
            env_id=text,
            task_id=text,
            repeat=count,
            seed=st.integers(0, 2**63 - 1),
            status=st.sampled_from(typing.get_args(Status)),
            messages=st.lists(messages, max_size=5),
            tools=st.lists(schemas, max_size=2),
            sampling=st.fixed_dictionaries({"temperature": finite, "max_output_tokens": st.integers(1, 9)}),
            turns=st.lists(turns, max_size=3),
            segments=st.lists(segments(), max_size=2),
            compactions=st.lists(compactions, max_size=2),
            branches=st.lists(turns, max_size=2),
            played=st.none() | st.builds(Played, st.lists(messages, max_size=3), count, st.lists(schemas, max_size=1)),
            reward=reward,
            reward_parts=st.dictionaries(text, st.builds(Part, st.none() | number, number), max_size=3),
            metrics=st.dictionaries(metric_names, number, max_size=4),
            timings=st.dictionaries(text | st.just("wall_s"), seconds, max_size=3),
            error=st.none() | text,
            attempts=st.integers(1, 5),
            task=st.none() | tasks,
            failure=st.none() | failures,
            agent=text,
            agents=st.integers(1, 3),
            usage=st.dictionaries(text | st.just("seed"), usages, max_size=2),
            model_calls=st.lists(model_calls, max_size=2),
            tool_errors=st.dictionaries(text | st.just("seed"), count, max_size=2),
        )
    )
    made.opening = draw(st.integers(0, len(made.messages)))
    if made.task and draw(st.booleans()):  # as it mostly is: the opening ends in the task's messages
        made.messages[made.opening : made.opening] = made.task.messages
        made.opening += len(made.task.messages)
    return made


def same(one: Any, other: Any) -> bool:
    """Equal, where NaN equals NaN."""
    if isinstance(one, dict):
        return isinstance(other, dict) and one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    if isinstance(one, list):
        return isinstance(other, list) and len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, Part):
        return same([one.value, one.weight], [other.value, other.weight])
    if isinstance(one, float) and math.isnan(one):
        return math.isnan(other)
    return one == other


def check_equal(one: Trajectory, other: Trajectory) -> None:
    """See that two trajectories are equal in every field."""
    for name in set(Trajectory.__slots__) - {"segments"}:
        assert same(getattr(one, name), getattr(other, name)), name
    assert len(one.segments) == len(other.segments)
    for here, there in zip(one.segments, other.segments, strict=True):
        for name in ("ids", "sampled", "logprobs"):
            np.testing.assert_array_equal(getattr(here, name), getattr(there, name))
            assert getattr(here, name).dtype == getattr(there, name).dtype
        assert (here.role, here.delivered, here.messages) == (there.role, there.delivered, there.messages)


_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,), "array": (list,), "string": (str,), "boolean": (bool,), "null": (type(None),),
    "integer": (int,), "number": (int, float),
}  # fmt: skip
_KEYWORDS = {
    "$schema", "$id", "$defs", "$ref", "title", "description", "type", "properties", "required", "items",
    "prefixItems", "anyOf", "enum", "additionalProperties", "minimum", "maximum", "minItems", "maxItems", "default",
    "contentEncoding",
}  # fmt: skip


def errors(schema: dict[str, Any], value: Any, root: dict[str, Any], path: str = "$") -> list[str]:
    """What a schema has against a value; keywords that it does not know are an error of the schema."""
    assert schema.keys() <= _KEYWORDS, schema.keys() - _KEYWORDS
    if reference := schema.get("$ref"):
        return errors(root["$defs"][reference.rpartition("/")[2]], value, root, path)
    if kind := schema.get("type"):
        boolean = isinstance(value, bool) and kind != "boolean"
        if boolean or not isinstance(value, _TYPES[kind]):
            return [f"{path} is no {kind}"]
    found: list[str] = []
    if "anyOf" in schema and all(errors(one, value, root, path) for one in schema["anyOf"]):
        found.append(f"{path} is none of {schema['anyOf']}")
    if "enum" in schema and value not in schema["enum"]:
        found.append(f"{path} is none of {schema['enum']}")
    if ("minimum" in schema and value < schema["minimum"]) or ("maximum" in schema and value > schema["maximum"]):
        found.append(f"{path} is out of range")
    if isinstance(value, dict):
        found += _object_errors(schema, value, root, path)
    if isinstance(value, list):
        found += _array_errors(schema, value, root, path)
    return found


def _object_errors(schema: dict[str, Any], value: dict[str, Any], root: dict[str, Any], path: str) -> list[str]:
    found = [f"{path} has no {name}" for name in schema.get("required", ()) if name not in value]
    known, other = schema.get("properties", {}), schema.get("additionalProperties", True)
    for name, inner in value.items():
        if name in known:
            found += errors(known[name], inner, root, f"{path}.{name}")
        elif isinstance(other, dict):
            found += errors(other, inner, root, f"{path}.{name}")
        elif not other:
            found.append(f"{path} has {name}")
    return found


def _array_errors(schema: dict[str, Any], value: list[Any], root: dict[str, Any], path: str) -> list[str]:
    first = schema.get("prefixItems", [])
    found = [e for i, one in enumerate(first) for e in errors(one, value[i], root, f"{path}[{i}]")]
    if isinstance(schema.get("items"), dict):
        for i in range(len(first), len(value)):
            found += errors(schema["items"], value[i], root, f"{path}[{i}]")
    if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
        found.append(f"{path} has {len(value)} items")
    return found
