"""Rows of others, in the shapes that they are written in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("duckdb")

from llmgym.data import BadRowsError, Dataset
from llmgym.data.shapes import nemo_gym
from llmgym.responses import from_items, to_items
from llmgym.trajectory import Trajectory
from tests import records


def opened(tmp_path: Path, *rows: Any, skip_bad: bool = False) -> Dataset:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return Dataset.open([path], skip_bad=skip_bad)


def episodes(data: Dataset) -> list[Trajectory]:
    return list(data.trajectories(data.select()))


CALL = {"type": "function_call", "call_id": "c1", "name": "calculator", "arguments": '{"expression": "47 * 23"}'}
SEEDS = {
    "responses_create_params": {
        "input": [{"role": "user", "content": "What is 47 × 23?"}],
        "tools": [{"type": "function", "name": "calculator"}],
    },
    "output": [
        {"type": "function_call", "name": "calculator", "arguments": '{"expression": "47 * 23"}'},
        {"type": "function_call_output", "output": "1081"},
        {"type": "message", "content": [{"text": "The answer is 1,081"}]},
    ],
    "reward": 1.0,
    "accuracy": 1.0,
}


def test_rows_as_the_guides_of_nemo_gym_have_them(tmp_path: Path) -> None:
    data = opened(tmp_path, SEEDS, {**SEEDS, "reward": 0})
    assert data.query("select id, reward, num_turns, accuracy from rows order by line") == [
        ("line 1", 1.0, 2, 1.0), ("line 2", 0.0, 2, 1.0),
    ]  # fmt: skip
    (group,) = data.groups()  # of one task, for their openings are equal
    assert (group.size, group.pass_rate) == (2, 0.5)
    first = episodes(data)[0]
    assert [message["role"] for message in first.messages] == ["user", "assistant", "tool", "assistant"]
    assert first.messages[-1]["content"] == "The answer is 1,081"
    assert (first.opening, first.reward, first.turns[-1].reward) == (1, 1.0, 1.0)
    assert first.tools[0]["function"]["name"] == "calculator"


def nemo(task: int | None = 3, repeat: int | None = 1, **more: Any) -> dict[str, Any]:
    """A row as NeMo Gym 0.5 to 0.7 write it."""
    message = {"type": "message", "id": "m", "role": "assistant", "status": "completed"}
    return {
        "responses_create_params": {
            "background": None,
            "input": [{"role": "system", "content": "Be brief.", "type": "message"}, {"role": "user", "content": "hi"}],
            "temperature": 1.0,
            "tools": [{"type": "function", "name": "look", "parameters": {}, "strict": True, "description": None}],
        },
        "response": {
            "id": "r",
            "object": "response",
            "output": [
                {"type": "reasoning", "id": "x", "summary": [{"type": "summary_text", "text": "hm"}]},
                {**CALL, "name": "look", "prompt_token_ids": [1, 2], "generation_token_ids": [3, 4],
                 "generation_log_probs": [-0.5, -0.25]},
                {"type": "function_call_output", "call_id": "c1", "output": "a lamp"},
                {**message, "content": [{"type": "output_text", "text": "A lamp.", "annotations": []}],
                 "prompt_token_ids": [1, 2, 3, 4, 5], "generation_token_ids": [6], "generation_log_probs": [-1.0]},
            ],
        },
        "reward": 1.0,
        "is_correct": True,
        "id": "q7",
        "task_id": "t",
        "truncated": False,
        "agent_ref": {"type": "responses_api_agents", "name": "simple_agent"},
        **({"_ng_task_index": task} if task is not None else {}),
        **({"_ng_rollout_index": repeat} if repeat is not None else {}),
        **more,
    }  # fmt: skip


def test_rows_of_nemo_gym(tmp_path: Path) -> None:
    data = opened(tmp_path, nemo(), nemo(repeat=2, reward=0, mask_sample=True), nemo(task=None, repeat=None))
    assert data.query(
        "select id, env_id, group_id, repeat, reward, num_turns, num_sampled_tokens, is_correct, truncated from rows "
        "order by line"
    )[:2] == [
        ("simple_agent/3/1", "simple_agent", "simple_agent/3", 1, 1.0, 2, 3, 1.0, 0.0),
        ("simple_agent/3/2", "simple_agent", "simple_agent/3", 2, None, 2, 3, 1.0, 0.0),
    ]  # fmt: skip
    first = episodes(data)[0]
    assert first.messages[2]["reasoning_content"] == "hm"
    (segment,) = first.segments
    assert segment.ids.tolist() == [1, 2, 3, 4, 5, 6]
    assert segment.sampled.tolist() == [False, False, True, True, False, True]
    np.testing.assert_array_equal(segment.logprobs[segment.sampled], np.float32([-0.5, -0.25, -1.0]))
    assert [(turn.start, turn.end) for turn in first.turns] == [(2, 4), (5, 6)]


def test_rows_of_nemo_gym_that_are_odd(tmp_path: Path) -> None:
    text = nemo()
    text["responses_create_params"]["input"] = "hi"
    bad = nemo()
    bad["response"]["output"] = [["a", "list"]]
    data = opened(tmp_path, text, bad, nemo(reward="x"), nemo(response={"output": None}), skip_bad=True)
    assert [problem.line for problem in data.problems] == [2, 3, 4]
    assert "`reward` is 'x', which is no number" in data.problems[1].reason
    assert episodes(data)[0].messages[0] == {"role": "user", "content": "hi"}


@given(st.lists(records.messages, max_size=6))
def test_turns_are_counted_as_they_are_read(messages: list[Any]) -> None:
    items = to_items(messages)
    assert nemo_gym._turns(items) == sum(message["role"] == "assistant" for message in from_items(items))


def test_rows_of_tasks_are_no_rollouts(tmp_path: Path) -> None:
    row = nemo()
    del row["response"], row["reward"]
    with pytest.raises(Exception, match=r"its rows have .*; what is read is llmgym's rollouts, .*NeMo Gym's rollouts"):
        opened(tmp_path, row)


V0 = {
    "example_id": 4,
    "prompt": [{"role": "user", "content": "2 + 2?"}],
    "completion": [{"role": "assistant", "content": "4"}],
    "answer": "4",
    "info": {},
    "reward": 1.0,
    "error": None,
    "timing": {"generation_ms": 5.0, "total_ms": 1500.0},
    "is_completed": True,
    "is_truncated": False,
    "stop_condition": "done",
    "metrics": {"right": 1.0, "length": 3},
    "right": 1.0,
    "tool_defs": [{"name": "look", "description": "Look.", "parameters": {"type": "object"}}],
    "token_usage": {"input_tokens": 9.0, "output_tokens": 2.0},
}


def test_results_of_verifiers_0(tmp_path: Path) -> None:
    data = opened(
        tmp_path, V0, {**V0, "reward": 0.0, "error": {"error": "ModelError"}},
        {**V0, "is_truncated": True, "reward": 0.5}, {**V0, "prompt": "2 + 2?", "completion": "4"},
    )  # fmt: skip
    assert data.query(
        'select reward, status, failure, wall_s, num_sampled_tokens, "right" from rows order by line'
    ) == [
        (1.0, "completed", "", 1.5, 2, 1.0),
        (None, "env_error", "error", 1.5, 2, 1.0),  # a function that raises scores 0
        (0.5, "max_tokens", "", 1.5, 2, 1.0),
        (1.0, "completed", "", 1.5, 2, 1.0),
    ]
    (group,) = data.groups()
    assert (group.group_id, group.size, group.scored) == ("/4", 4, 3)
    assert [t.messages for t in episodes(data)] == [V0["prompt"] + V0["completion"]] * 4


def node(parent: int | None, role: str, content: str, sampled: bool = False, **more: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"message": {"role": role, "content": content}, "sampled": sampled, **more}
    return found if parent is None else {"parent": parent, **found}


V1 = {
    "id": "e1",
    "env": {"id": "look", "name": "Look"},
    "task": {"type": "rows", "data": {"x": 1}, "key": "k1", "hash": "abc"},
    "group": {"id": "g1"},
    "errors": [],
    "traces": [
        {
            "nodes": [
                node(None, "user", "look", token_ids=[1, 2], mask=[False, False]),
                node(0, "assistant", "another answer", True, token_ids=[9], mask=[True], logprobs=[-3.0]),
                {
                    **node(0, "assistant", "", True, token_ids=[3, 4], mask=[True, True], logprobs=[-0.5, -0.25]),
                    "message": {
                        "role": "assistant", "content": "",
                        "tool_calls": [{"id": "c1", "name": "look", "arguments": '{"at": "it"}'}],
                    },
                },
                {
                    **node(2, "tool", "a lamp", token_ids=[5], mask=[False]),
                    "message": {"role": "tool", "tool_call_id": "c1", "content": "a lamp"},
                },
                node(3, "assistant", "A lamp.", True, token_ids=[6, 7], mask=[True, True], logprobs=[-1.0, -2.0]),
            ],
            "rewards": {"right": {"score": 1.0, "weight": 0.5}, "short": {"score": 0.5, "weight": 1.0}},
            "metrics": {"length": 3},
            "tools": [{"name": "look", "description": "Look.", "parameters": {"type": "object"}}],
            "stop_condition": "done",
        }
    ],
}  # fmt: skip


def test_traces_of_verifiers_1(tmp_path: Path) -> None:
    unscored: Any = json.loads(json.dumps(V1 | {"id": "e2"}))
    unscored["traces"][0]["rewards"]["short"] = None
    broken: Any = json.loads(json.dumps(V1 | {"id": "e3"}))
    broken["traces"][0]["nodes"][1]["parent"] = broken["traces"][0]["nodes"][4]["parent"] = 4
    failed = {**V1, "id": "e4", "traces": [], "errors": ["lost"]}
    data = opened(tmp_path, V1, unscored, broken, failed, skip_bad=True)
    assert [problem.line for problem in data.problems] == [3]
    assert data.query(
        "select id, group_id, reward, num_turns, num_sampled_tokens, num_context_tokens, num_leaves, status "
        "from rows order by line"
    ) == [
        ("e1", "g1", 1.0, 2, 4, 3, 2.0, "completed"),
        ("e2", "g1", None, 2, 4, 3, 2.0, "completed"),
        ("e4", "g1", None, 0, 0, 0, 0.0, "env_error"),
    ]
    first = episodes(data)[0]
    assert [m["role"] for m in first.messages] == ["user", "assistant", "tool", "assistant"]
    assert first.messages[1]["tool_calls"][0]["function"] == {"name": "look", "arguments": '{"at": "it"}'}
    (segment,) = first.segments
    assert segment.ids.tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert segment.spans == [[2, 4], [5, 7]]


def test_trajectories_of_atif_of_others(tmp_path: Path) -> None:
    document = {
        "schema_version": "ATIF-v1.4",
        "session_id": "s1",
        "agent": {"name": "terminus", "version": "2"},
        "steps": [
            {"step_id": 1, "source": "user", "message": [{"type": "text", "text": "look"}]},
            {
                "step_id": 2, "source": "agent", "message": "", "reasoning_content": "hm",
                "tool_calls": [{"tool_call_id": "c1", "function_name": "look", "arguments": {"at": "it"}}],
                "observation": {"results": [{"source_call_id": "c1", "content": "a lamp"}]},
                "metrics": {"prompt_token_ids": [1, 2], "completion_token_ids": [3], "logprobs": [-0.5]},
            },
            {
                "step_id": 3, "source": "agent", "message": "A lamp.",
                "metrics": {"prompt_token_ids": [8, 9], "completion_token_ids": [7], "logprobs": [-0.25]},
            },
        ],
        "final_metrics": {"total_cost_usd": 0.5, "extra": {"reward": 1}},
    }  # fmt: skip
    path = tmp_path / "trajectory.json"
    path.write_text(json.dumps(document, indent=2))
    data = Dataset.open([path])
    assert data.query("select id, env_id, reward, num_turns, total_cost_usd from rows") == [
        ("s1", "terminus", 1.0, 2, 0.5)
    ]
    (found,) = episodes(data)
    assert [m["role"] for m in found.messages] == ["user", "assistant", "tool", "assistant"]
    assert found.messages[2] == {"role": "tool", "content": "a lamp", "tool_call_id": "c1", "name": "look"}
    assert [segment.ids.tolist() for segment in found.segments] == [[1, 2, 3], [8, 9, 7]]  # its history was rewritten


def test_chats(tmp_path: Path) -> None:
    chat: dict[str, Any] = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}
    data = opened(tmp_path, chat, {**chat, "id": "mine", "reward": 1, "score": 0.5}, {"messages": 3}, skip_bad=True)
    assert data.query("select id, reward, num_turns, score from rows order by line") == [
        ("line 1", None, 1, None), ("mine", 1.0, 1, 0.5),
    ]  # fmt: skip
    assert len({t.group_id for t in episodes(data)}) == 1
    with pytest.raises(BadRowsError, match=r"rows.jsonl:3: no row of chats: messages are a list"):
        opened(tmp_path, chat, chat, {"messages": 3})


def chat(content: str, **fields: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": content}, {"role": "assistant", "content": "4"}]
    return {"messages": messages, **fields}


@pytest.mark.parametrize("name", ["task_id", "group_id"])
def test_ids_that_are_numbers_are_ids_and_no_metrics(tmp_path: Path, name: str) -> None:
    data = opened(tmp_path, *(chat("abcd"[at], reward=1 - at % 2, **{name: at // 2}) for at in range(4)))
    assert [(group.size, group.pass_rate) for group in data.groups()] == [(2, 0.5)] * 2
    assert len(data.select(group_where="pass_rate = 0.5")) == 4
    assert data.query(f"select distinct {name} from rows order by 1") == [("0",), ("1",)]
    assert data.indexes[0].meta.metrics == {}


def test_an_id_of_0_is_one_in_other_shapes(tmp_path: Path) -> None:
    steps = [{"source": "user", "message": "a"}, {"source": "agent", "message": "b"}]
    atif = {"schema_version": "ATIF-v1.4", "trajectory_id": 0, "steps": steps, "extra": {"task_id": 0, "env_id": 0}}
    found = opened(tmp_path, atif).query("select id, env_id, task_id, group_id from rows")
    assert found == [("0", "0", "0", "0/0")]
    trace = {**V1, "id": 0, "env": {"id": 0}, "task": {"key": 0, "hash": 0}, "group": {"id": 0}}
    found = opened(tmp_path, trace).query("select id, env_id, task_id, task_hash, group_id from rows")
    assert found == [("0", "0", "0", "0", "0")]
    assert opened(tmp_path, {**V0, "env_id": 0}).query("select group_id from rows") == [("0/4",)]


def test_an_id_that_is_empty_is_none(tmp_path: Path) -> None:
    data = opened(tmp_path, *(chat("a", id="", task_id="", group_id="", env_id="") for _ in range(2)))
    assert data.query("select id from rows order by line") == [("line 1",), ("line 2",)]
    (group,) = data.groups()
    assert group.size == 2
    assert group.group_id != "/"
