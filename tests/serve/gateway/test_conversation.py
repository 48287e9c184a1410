"""Reading what programs send: a conversation that goes on is read on from where it was known, to the same messages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgym.errors import MessageError
from llmgym.messages import Message
from llmgym.serve.gateway.conversation import Reader
from llmgym.serve.gateway.protocols import anthropic_messages, chat_completions, responses
from llmgym.serve.gateway.recording import Asked

CALL = {"name": "look", "arguments": '{"at": 1}'}


def chat(steps: Sequence[int]) -> dict[str, Any]:
    messages: list[Any] = [{"role": "system", "content": "be brief"}]
    for number, step in enumerate(steps):
        made = [
            [{"role": "user", "content": f"question {step}"}],
            [{"role": "user", "content": [{"type": "text", "text": "parts"}]}, {"role": "developer", "content": "hm"}],
            [{"role": "assistant", "content": f"answer {step}"}],
            [
                {"role": "assistant", "content": None, "tool_calls": [{"id": f"c{number}", "function": CALL}]},
                {"role": "tool", "tool_call_id": f"c{number}", "content": "seen"},
            ],
        ]
        messages += made[step % 4]
    return {"messages": messages}


def items(steps: Sequence[int]) -> dict[str, Any]:
    given: list[Any] = []
    for number, step in enumerate(steps):
        made = [
            [{"role": "user", "content": f"question {step}"}],
            [{"type": "reasoning", "summary": [{"type": "summary_text", "text": "so"}]}],
            [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": f"answer {step}"}]}],
            [
                {"type": "function_call", "call_id": f"c{number}", **CALL},
                {"type": "function_call_output", "call_id": f"c{number}", "output": "seen"},
            ],
        ]
        given += made[step % 4]
    return {"input": given, "instructions": "be brief"}


def blocks(steps: Sequence[int]) -> dict[str, Any]:
    messages: list[Any] = []
    for number, step in enumerate(steps):
        made = [
            [{"role": "user", "content": f"question {step}"}],
            [{"role": "system", "content": [{"type": "text", "text": "hm", "cache_control": {"type": "ephemeral"}}]}],
            [
                {
                    "role": "assistant",
                    "content": [{"type": "thinking", "thinking": "so"}, {"type": "text", "text": "yes"}],
                }
            ],
            [
                {
                    "role": "assistant",
                    "content": [{"type": "tool_use", "id": f"c{number}", "name": "look", "input": {"at": 1}}],
                },
                {
                    "role": "user",
                    "content": [
                        {"type": "tool_result", "tool_use_id": f"c{number}", "content": "seen"},
                        {"type": "text", "text": "go on"},
                    ],
                },
            ],
        ]
        messages += made[step % 4]
    return {"messages": messages, "system": [{"type": "text", "text": "be brief"}]}


FORMS: list[tuple[Any, Callable[[Sequence[int]], dict[str, Any]]]] = [
    (chat_completions, chat),
    (responses, items),
    (anthropic_messages, blocks),
]


def asked(dialect: Any, body: dict[str, Any], reader: Reader) -> Asked:
    return dialect.decode(orjson.dumps(body)).asked(reader)


@given(st.sampled_from(FORMS), st.lists(st.lists(st.integers(0, 7), max_size=4), min_size=1, max_size=5))
def test_reading_on_gives_what_reading_anew_does(form: Any, more: list[list[int]]) -> None:
    dialect, write = form
    reader, steps = Reader(), [0]
    for new in more:
        steps = [*steps, *new]
        body = write(steps)
        found, anew = (asked(dialect, body, one).conversation for one in (reader, Reader()))
        assert found.since(0) == anew.since(0)
        assert (found.identity, found.length) == (anew.identity, anew.length)
        assert asked(dialect, body, reader).conversation.since(0) == anew.since(0)


@pytest.mark.parametrize("form", FORMS)
def test_what_was_read_is_not_read_again(form: Any) -> None:
    dialect, write = form
    reader = Reader()
    first = asked(dialect, write([0, 3, 0]), reader).conversation
    again = asked(dialect, write([0, 3, 0, 3]), reader).conversation
    assert any(at is first for at in again)


@pytest.mark.parametrize("form", FORMS)
def test_results_have_the_name_of_their_call(form: Any) -> None:
    dialect, write = form
    results = [message for message in asked(dialect, write([0, 3]), Reader()).messages if message["role"] == "tool"]
    assert [result.get("name") for result in results] == ["look"]


def test_a_result_that_comes_later_has_the_name_of_its_call() -> None:
    reader, body = Reader(), chat([0])
    calls = [{"id": name, "function": {**CALL, "name": name}} for name in ("one", "two")]
    body["messages"] += [
        {"role": "assistant", "tool_calls": calls},
        {"role": "tool", "tool_call_id": "one", "content": "1"},
    ]
    asked(chat_completions, body, reader)
    body["messages"].append({"role": "tool", "tool_call_id": "two", "content": "2"})
    assert asked(chat_completions, body, reader).messages[-1]["name"] == "two"


def test_system_messages_that_come_late_get_the_role_that_the_model_takes() -> None:
    body = chat([0, 1])
    for role in ("system", "user"):
        found: list[Message] = asked(chat_completions, body, Reader(role)).messages
        assert [message["role"] for message in found] == ["system", "user", "user", role]


def test_errors_count_from_the_first_message() -> None:
    reader = Reader()
    asked(chat_completions, chat([0]), reader)
    wrong = chat([0])
    wrong["messages"].append({"role": "king", "content": "x"})
    with pytest.raises(MessageError, match="message 2 has the role 'king'"):
        asked(chat_completions, wrong, reader)
    for dialect, body in ((chat_completions, {"messages": []}), (responses, {"input": []})):
        with pytest.raises(MessageError, match="there are no messages"):
            asked(dialect, body, reader)


def test_arguments_that_are_no_object_come_back_as_they_were() -> None:
    use = {"type": "tool_use", "id": "c", "name": "look", "input": {"_malformed": "[1"}}
    body = {"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": [use]}]}
    found = asked(anthropic_messages, body, Reader()).messages[-1]
    assert [call["function"]["arguments"] for call in found.get("tool_calls", ())] == ["[1"]
