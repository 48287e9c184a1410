"""The columns that every environment reads."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgym.errors import TaskError
from llmgym.messages import system, user
from llmgym.tasks import Task, row_schema, task_from_row
from llmgym.tools import Tool

LOOK_UP = {"name": "look_up", "description": "Look up.", "parameters": {"type": "object", "properties": {}}}
REQUEST = {
    "input": [{"role": "user", "content": "Who is it?"}],
    "tools": [{"type": "function", "strict": True, **LOOK_UP}],
    "parallel_tool_calls": False,
}


@pytest.mark.parametrize(
    ("row", "task"),
    [
        ({"prompt": "p"}, Task(prompt="p")),
        ({"prompt": "p", "id": 7, "answer": 0}, Task(prompt="p", id="7", answer=0)),
        ({"prompt": "p", "level": 2, "metadata": {"x": 1}}, Task(prompt="p", metadata={"x": 1, "level": 2})),
        ({"prompt": "p", "level": 2, "metadata": {"level": 2}}, Task(prompt="p", metadata={"level": 2})),
        ({"prompt": "p", "metadata": {"x": None}}, Task(prompt="p", metadata={"x": None})),
        ({"prompt": [user("u")]}, Task(prompt=[user("u")])),
        ({"messages": [system("s"), user("u")]}, Task(prompt=[system("s"), user("u")])),
        ({"messages": [{"from": "human", "value": "u"}]}, Task(prompt=[user("u")])),
        ({"messages": [{"role": "developer", "content": [{"type": "text", "text": "s"}]}]}, Task(prompt=[system("s")])),
        ({"prompt": "p", "expected_answer": "7"}, Task(prompt="p", answer="7")),
        (
            {"prompt": "p", "answer": "so it is 7", "expected_answer": "7"},
            Task(prompt="p", answer="so it is 7", metadata={"expected_answer": "7"}),
        ),
        # What other rows have, as Arrow tells it.
        (
            {"id": None, "prompt": None, "messages": [user("u")], "answer": None, "metadata": None, "level": None},
            Task(prompt=[user("u")]),
        ),
        ({"prompt": "p", "messages": None, "responses_create_params": None}, Task(prompt="p")),
        ({"messages": [{"role": "user", "content": "u", "tool_calls": None, "name": None}]}, Task(prompt=[user("u")])),
    ],
)
def test_rows_are_read(row: dict[str, Any], task: Task) -> None:
    before = repr(row)
    assert task_from_row(row) == task
    assert repr(row) == before


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({}, "needs either `prompt` or `messages`.*; it has no column"),
        ({"question": "q"}, "needs either `prompt` or `messages`.*; it has question"),
        ({"prompt": None}, "needs either .*; it has no column"),
        ({"prompt": "p", "messages": [user("u")]}, "needs either `prompt` or `messages`"),
        ({"prompt": 3}, "`prompt`: messages are a list .* not 3"),
        ({"prompt": []}, "`prompt` has no message"),
        ({"messages": []}, "`messages` has no message"),
        (
            {"messages": '[{"role": "user"}]'},
            "`messages` is a list of messages, this is the text .*; a text is a `prompt`",
        ),
        ({"messages": [{"role": "robot", "content": ""}]}, "`messages`: message 0 has the role 'robot'"),
        ({"prompt": "p", "id": True}, "the id of a task is True"),
        ({"prompt": "p", "id": 1.5}, "the id of a task is 1.5"),
        ({"prompt": "p", "id": ["a"]}, r"the id of a task is \['a'\]"),
        ({"prompt": "p", "metadata": [1]}, r"`metadata` is an object, this is \[1\]"),
        ({"prompt": "p", "metadata": '{"x": 1}'}, "`metadata` is an object, this is '{\"x\": 1}'"),
        ({"prompt": "p", "metadata": {"level": 1}, "level": 2}, "`level` is a column, and .* in metadata; keep one"),
        ({"responses_create_params": "x"}, "`responses_create_params` is an object, this is 'x'"),
        ({"responses_create_params": {"temperature": 1}}, "has no `input`; it has temperature"),
        ({"responses_create_params": {"input": []}}, r"`responses_create_params.input` has no message"),
        ({"responses_create_params": {"input": 3}}, r"`responses_create_params.input`: messages are a list"),
        (
            {"responses_create_params": {"input": "q", "tools": [{"type": "web_search"}]}},
            r"`responses_create_params.tools`: tool 0 has the type 'web_search'",
        ),
        ({"responses_create_params": {"input": "q"}, "verifier_metadata": 3}, "`verifier_metadata` is an object"),
        (
            {"responses_create_params": REQUEST, "tools": [LOOK_UP]},
            "`tools` is a column, and another value is .* in verifier_metadata and responses_create_params",
        ),
    ],
)
def test_what_is_wrong_with_a_row_is_said_with_its_value(row: dict[str, Any], said: str) -> None:
    with pytest.raises((ValueError, TypeError, TaskError), match=said):
        task_from_row(row)


def test_a_row_of_nemo_gym() -> None:
    row = {
        "responses_create_params": {**REQUEST, "instructions": "Be brief.", "temperature": None},
        "expected_answer": "Ada",
        "verifier_metadata": {"unit_tests": [1], "agent": None},
        "agent_ref": {"type": "responses_api_agents", "name": "simple"},
        "prompt": "a column of the server's own",
    }
    task = task_from_row(row)
    assert task.prompt == [system("Be brief."), user("Who is it?")]
    assert task.answer == "Ada"
    assert task.metadata == {
        "agent_ref": {"type": "responses_api_agents", "name": "simple"},
        "prompt": "a column of the server's own",
        "unit_tests": [1],
        "agent": None,
        "tools": [{"type": "function", "function": {**LOOK_UP, "strict": True}}],
        "responses_create_params": {"parallel_tool_calls": False},
    }
    assert Tool.of_schema(task.metadata["tools"][0], lambda env: None).name == "look_up"
    inner = {"responses_create_params": {"input": "Who?"}, "verifier_metadata": {"expected_answer": "Ada"}}
    assert task_from_row(inner) == Task(prompt=[user("Who?")], answer="Ada")


# --- the schema ---------------------------------------------------------------------------------

OPENINGS = st.sampled_from([None, 3, "text", [], {}, True, [user("u")], [{"from": "human", "value": "u"}], [3], "[]"])
REQUESTS = st.sampled_from(
    [
        None,
        3,
        "text",
        {},
        {"input": "q"},
        {"input": []},
        {"input": None},
        REQUEST,
        {**REQUEST, "tools": None},
        {**REQUEST, "tools": 3},
    ]
)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "prompt": OPENINGS,
            "messages": OPENINGS,
            "responses_create_params": REQUESTS,
            "id": st.sampled_from([None, "a", 3, True, 1.5, []]),
            "metadata": st.sampled_from([None, {}, {"x": 1}, [], "x"]),
            "answer": st.sampled_from([None, 3, "x", []]),
            "more": st.sampled_from([None, 3]),
        },
    )
)
def test_the_schema_fits_what_is_read(row: dict[str, Any]) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = row_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    try:
        task_from_row(row)
    except (ValueError, TypeError, TaskError):
        read = False
    else:
        read = True
    assert jsonschema.Draft202012Validator(schema).is_valid(row) == read
