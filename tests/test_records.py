"""Rows of format 1: every field comes back, the start is enough for a summary, and errors name what is wrong."""

from __future__ import annotations

import base64
import json
import math
from contextlib import suppress
from typing import Any

import msgspec
import numpy as np
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmgym.chat import ModelCall, Usage
from llmgym.errors import StoreError
from llmgym.messages import assistant, system, tool_call, user
from llmgym.records import (
    REST,
    UnstorableError,
    dump_row,
    failure_of,
    load_row,
    read_failure,
    read_record,
    read_records,
    record_of,
    rollout_schema,
)
from llmgym.records.row import ROW_FIELDS, EpisodeRecord, Row
from llmgym.rewards import Part, Reward
from llmgym.tasks import Task
from llmgym.trajectory import Trajectory, Turn, segment_of
from tests.records import check_equal, errors, finite, number, text, trajectories

made = settings(suppress_health_check=[HealthCheck.data_too_large])
SCHEMA = rollout_schema()
FIRST = [
    "format", "id", "episode_id", "agent", "agents", "env_id", "group_id", "repeat", "task_hash", "status", "reward",
    "counts", "timings", "usage", "tool_errors", "seed",
]  # fmt: skip


@made
@given(trajectories())
def test_a_row_gives_its_trajectory_back(trajectory: Trajectory) -> None:
    line = dump_row(trajectory)
    assert line.endswith(b"}\n")
    assert line.count(b"\n") == 1
    back = load_row(line)
    check_equal(back, trajectory)
    assert dump_row(back) == line


@made
@given(trajectories())
def test_a_row_fits_its_schema_and_has_all_of_its_fields(trajectory: Trajectory) -> None:
    row = orjson.loads(dump_row(trajectory))
    assert errors(SCHEMA, row, SCHEMA) == []
    assert row.keys() == ROW_FIELDS | trajectory.metrics.keys()
    assert SCHEMA["properties"].keys() == ROW_FIELDS
    assert list(row)[: len(FIRST)] == FIRST


@made
@given(trajectories())
def test_the_start_of_a_row_is_enough_for_a_record(trajectory: Trajectory) -> None:
    line = dump_row(trajectory)
    record = read_record(line)
    assert record == msgspec.json.decode(line, type=EpisodeRecord)
    assert record == record_of(trajectory)
    names = ("id", "episode_id", "agent", "agents", "env_id", "repeat", "status", "reward", "usage", "tool_errors")
    assert [getattr(record, name) for name in names] == [getattr(trajectory, name) for name in names]
    assert record.task_hash == (trajectory.task.content_hash if trajectory.task else "")
    failure = failure_of(trajectory)
    assert msgspec.structs.replace(read_failure(line), error=failure.error) == failure


@made
@given(st.lists(trajectories(), min_size=1, max_size=4))
def test_the_starts_of_many_rows_are_read_at_once_or_not_at_all(found: list[Trajectory]) -> None:
    lines = [dump_row(trajectory) for trajectory in found]
    records = read_records([line[: line.index(REST)] for line in lines])
    assert records is None or records == [read_record(line) for line in lines]
    if not any("seed" in {**t.usage, **t.tool_errors, **t.timings} for t in found):
        assert records is not None


def row(**fields: Any) -> dict[str, Any]:
    return orjson.loads(dump_row(Trajectory("e", "t", 0, 1, **fields)))


# --- the seed documents' fields -----------------------------------------------------------------


def test_a_row_has_the_fields_that_datasets_expect() -> None:
    call = {"id": "call_0", **tool_call("add", a=1)}
    answer: Any = {"role": "tool", "tool_call_id": "call_0", "name": "add", "content": "1"}
    thought: Any = {**assistant("one"), "reasoning_content": "hm"}
    schema: Any = {"type": "function", "function": {"name": "add", "description": "Add.", "parameters": {}}}
    found = row(
        messages=[system("s"), user("u"), assistant("", call), answer, thought], opening=2, tools=[schema],
        sampling={"temperature": 0.2}, metrics={"lookups": 3.0}, reward=1.0, task=Task(id="t", prompt="u", answer=1),
    )  # fmt: skip
    assert (found["id"], found["group_id"], found["reward"]) == ("e/t/0", "e/t", 1.0)
    assert found["lookups"] == found["metrics"]["lookups"] == 3.0
    assert found["responses_create_params"] == {
        "input": [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}],
        "tools": [{"type": "function", "name": "add", "description": "Add.", "parameters": {}}],
        "temperature": 0.2,
    }
    assert [item["type"] for item in found["output"]] == [
        "function_call",
        "function_call_output",
        "reasoning",
        "message",
    ]
    assert found["output"][0] == {"type": "function_call", "call_id": "call_0", "name": "add", "arguments": '{"a":1}'}
    assert found["task"] == {"id": "t", "prompt_at": 1, "answer": 1}
    assert found["task_hash"] == Task(prompt="u", answer=1).content_hash
    json.dumps(found)


@pytest.mark.parametrize(
    ("prompt", "messages", "kept"),
    [
        ("u", [user("u")], {"prompt_at": 0}),
        ("u", [system("s"), user("u")], {"prompt_at": 1}),
        ([user("u")], [system("s"), user("u")], {"prompt_at": 1, "prompt_is_text": False}),
        ([user("a"), assistant("b"), user("c")], None, {"prompt_at": 0, "prompt_is_text": False}),
        ("u", [user("u, please")], {"prompt": "u"}),
        ("u", [user("u"), user("more")], {"prompt": "u"}),
        ("", [], {"prompt": ""}),
        ([], [user("u")], {"prompt": []}),
    ],
)  # fmt: skip
def test_a_prompt_is_stored_once(prompt: Any, messages: list[Any] | None, kept: dict[str, Any]) -> None:
    messages = prompt if messages is None else messages
    trajectory = Trajectory("e", "t", 0, 1, messages=messages, opening=len(messages), task=Task(id="t", prompt=prompt))
    line = dump_row(trajectory)
    assert orjson.loads(line)["task"] == {"id": "t", **kept}
    assert load_row(line).task == trajectory.task


def test_a_turn_holds_what_is_not_usual() -> None:
    turn = Turn(0.0, "stop", 0.00012345678, 0.0)
    found = row(turns=[turn, Turn(None, "length", 1.0, 2.0, 1, 2, 3, 4)])
    assert found["turns"] == [
        {"engine_s": 0.000123, "env_s": 0.0},
        {"reward": None, "finish_reason": "length", "engine_s": 1.0, "env_s": 2.0, "segment": 1, "start": 2, "end": 3,
         "cached_tokens": 4},
    ]  # fmt: skip


@given(st.lists(st.floats(-60, 0, width=32), max_size=20))
def test_log_probabilities_are_exact(logprobs: list[float]) -> None:
    end = 1 + len(logprobs)
    found = row(segments=[segment_of(range(end), [(1, end)] if logprobs else [], logprobs)])["segments"][0]
    assert found.keys() == {"ids", "sampled", "logprobs"}
    assert np.frombuffer(base64.b64decode(found["logprobs"]), "<f4").tolist() == logprobs


# --- metrics and parts --------------------------------------------------------------------------


@given(st.dictionaries(st.sampled_from(sorted(ROW_FIELDS)) | text, number, max_size=8))
def test_no_metric_is_lost_and_none_touches_a_field(metrics: dict[str, float]) -> None:
    plain, found = row(), row(metrics=metrics)
    assert {name: found[name] for name in ROW_FIELDS - {"metrics"}} == {
        name: plain[name] for name in ROW_FIELDS - {"metrics"}
    }
    for name, value in metrics.items():
        assert name in found["metrics"]
        if name not in ROW_FIELDS:
            assert found[name] == (value if math.isfinite(value) else None)


def test_numbers_that_json_has_not_are_text_under_metrics_and_null_beside() -> None:
    found = row(metrics={"a": math.nan, "b": math.inf, "c": -math.inf, "d": 10**30, "e": True, "f": np.float32(0.5)})
    assert found["metrics"] == {"a": "NaN", "b": "Infinity", "c": "-Infinity", "d": 1e30, "e": 1, "f": 0.5}
    assert [found[name] for name in "abcdef"] == [None, None, None, 1e30, 1, 0.5]


parts = st.dictionaries(
    st.text("abc", min_size=1, max_size=3),
    st.builds(Part, st.none() | st.floats(-1e6, 1e6), st.floats(-10, 10)),
    min_size=1,
    max_size=4,
)


@given(parts)
def test_the_verifiers_share_can_be_computed_from_a_row(given_parts: dict[str, Part]) -> None:
    stored = row(reward_parts=given_parts)["reward_parts"]
    shares = [None if p["value"] is None else p["value"] * p["weight"] for p in stored.values()]
    again = None if None in shares else math.fsum(shares)
    assert again == Reward(**given_parts).value


# --- what a row cannot hold ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"metrics": {"odd": 1j}}, "odd is 1j, which is no number"),
        ({"metrics": {"odd": "1"}}, "odd is '1', which is no number"),
        ({"metrics": {"odd": np.zeros(2)}}, "which is no number"),
        ({"reward": math.nan}, "a reward is NaN"),
        ({"turns": [Turn(math.inf, "stop", 0.0, 0.0)]}, "a reward is Infinity"),
        ({"sampling": {"temperature": math.nan}}, "temperature is nan"),
        ({"usage": {"agent": Usage(1, 1, math.inf)}}, "the cost of agent is inf"),
        ({"messages": [{"role": "user"}], "opening": 1}, "content"),
        ({"messages": [user("\ud800")]}, "surrogates"),
        ({"messages": [user(object())]}, "not JSON serializable"),  # type: ignore[arg-type]
        ({"task": Task(answer=object())}, "object"),
        ({"tools": [{"type": "function"}]}, "function"),
        ({"timings": {"wall_s": math.inf}}, "infinity"),
    ],
)
def test_what_cannot_be_stored_is_one_error(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(UnstorableError, match=f"e/t/0 cannot be stored: .*{said}"):
        dump_row(Trajectory("e", "t", 0, 1, **fields))


def test_credentials_in_an_error_are_not_written() -> None:
    assert (
        row(error="cannot reach https://me:pass@host/v1\udcff")["error"]
        == "cannot reach https://<redacted>@host/v1\ufffd"
    )


# --- readers ------------------------------------------------------------------------------------


#: Fields that rows of earlier versions do not have.
LATER = ("compactions", "branches", "played", "model_calls", "failure", "error", "attempts", "policy", "trainable")


@pytest.mark.parametrize("name", [name for name in Row.__struct_fields__ if name not in LATER])
def test_a_missing_field_is_named_with_its_place(name: str) -> None:
    found = row()
    del found[name]
    with pytest.raises(StoreError, match=rf"^f:3: not a rollout: Object missing required field `{name}`$"):
        load_row(orjson.dumps(found), "f:3")


@pytest.mark.parametrize("name", ["input", "tools"])
def test_a_missing_part_of_the_request_is_named(name: str) -> None:
    found = row()
    del found["responses_create_params"][name]
    with pytest.raises(StoreError, match=rf"^f:3: not a rollout: .*'{name}'"):
        load_row(orjson.dumps(found), "f:3")


def test_fields_that_are_not_known_are_left_alone() -> None:
    found = row(segments=[segment_of([1, 2], [(1, 2)], [-1.0])], metrics={"own": 1.0})
    found |= {"later": [1], "task": found["task"] | {"later": 1}}
    found["segments"][0]["later"] = {}
    back = load_row(orjson.dumps(found, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS))
    check_equal(back, load_row(orjson.dumps(row(segments=back.segments, metrics={"own": 1.0}))))


@pytest.mark.parametrize("version", [0, 2, 17])
@pytest.mark.parametrize("change", [{}, {"id": None}, {"turns": 3}])
def test_another_format_is_refused_by_its_version(version: int, change: dict[str, Any]) -> None:
    line = orjson.dumps(row() | {"format": version} | change) + b"\n"
    for read in (load_row, read_record, read_failure):
        if change == {"turns": 3} and read is not load_row:
            continue
        with pytest.raises(StoreError, match=rf"^f:1: a row of format {version}; .* reads format 1"):
            read(line, "f:1")


@pytest.mark.parametrize(
    "line", [b"", b"{", b"null", b"[]", b"7", b'{"format":1}', b'{"format":"1"}', b"\xff", b"[" * 5000]
)
def test_what_is_no_row_is_refused(line: bytes) -> None:
    for read in (load_row, read_record, read_failure):
        with pytest.raises(StoreError, match=r"^f:1: not a rollout"):
            read(line, "f:1")


@pytest.mark.parametrize(
    "change",
    [
        {"segments": [{"ids": [1], "sampled": [[0, 1]], "logprobs": ""}]},
        {"segments": [{"ids": [1], "sampled": [[0, 1]], "logprobs": "AAA="}]},
        {"segments": [{"ids": [2**40], "sampled": [], "logprobs": ""}]},
        {"output": [{"type": "nothing"}]},
        {"task": {"id": "t", "prompt_at": 3}},
        {"status": "gone"},
    ],
)
def test_a_damaged_row_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(StoreError, match=r"^f:1: not a rollout"):
        load_row(orjson.dumps(row() | change), "f:1")


@given(st.binary(max_size=30), st.integers(0, 400))
def test_damage_anywhere_is_a_row_or_an_error(junk: bytes, place: int) -> None:
    line = dump_row(Trajectory("e", "t", 0, 1, messages=[user("u")], opening=1, task=Task(prompt="u")))
    place %= len(line)
    broken = line[:place] + junk + line[place + len(junk) :]
    for read in (load_row, read_record, read_failure):
        with suppress(StoreError):
            read(broken)


def test_calls_of_models_are_kept() -> None:
    asked = ModelCall("judge", "gpt", [user("right?")], assistant("yes"), Usage(3, 1, 0.01, 1), 0.5)
    found = row(model_calls=[asked], usage={"judge": asked.usage})
    assert found["model_calls"] == [
        {"role": "judge", "model": "gpt", "messages": [user("right?")], "reply": assistant("yes"),
         "usage": {"input_tokens": 3, "output_tokens": 1, "cost": 0.01, "calls": 1}, "seconds": 0.5},
    ]  # fmt: skip


@given(st.dictionaries(text, finite, max_size=3))
def test_other_spacing_and_order_read_the_same(timings: dict[str, float]) -> None:
    """What another program wrote again, as `json` does by default, is as good."""
    trajectory = Trajectory("e", "t", 0, 1, metrics={"m": 1.0}, usage={"agent": Usage(1, 2)})
    line = dump_row(trajectory)
    again = json.dumps(orjson.loads(line)).encode() + b"\n"
    assert read_record(again) == read_record(line)
    check_equal(load_row(again), trajectory)
