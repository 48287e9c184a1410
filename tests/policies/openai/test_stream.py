from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgym.policies.openai.stream import joined


def events(*data: Any) -> str:
    return "".join(f"data: {event if isinstance(event, str) else json.dumps(event)}\n\n" for event in data)


def chunk(delta: dict[str, Any], reason: str | None = None, **fields: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": reason}], **fields}


def part(**fields: Any) -> dict[str, Any]:
    return chunk({"tool_calls": [fields]})


def test_text_and_calls_are_put_together() -> None:
    text = ": a comment\n\n" + events(
        chunk({"role": "assistant", "content": "a"}, model="m"),
        chunk({"reasoning_content": "h"}), chunk({"reasoning_content": "m", "content": None}),
        chunk({"content": "b"}),
        part(index=0, id="c1", function={"name": "add", "arguments": ""}),
        part(index=1, id="c2", function={"name": "sub", "arguments": "{}"}),
        part(index=0, function={"arguments": '{"a": 1'}), part(index=0, function={"arguments": "}"}),
        chunk({}, "tool_calls"),
        {"choices": [], "usage": {"prompt_tokens": 7}},
        "[DONE]",
    )  # fmt: skip
    assert joined(text) == {
        "model": "m",
        "usage": {"prompt_tokens": 7},
        "choices": [
            {
                "finish_reason": "tool_calls",
                "message": {
                    "content": "ab",
                    "reasoning_content": "hm",
                    "tool_calls": [
                        {"id": "c1", "function": {"name": "add", "arguments": '{"a": 1}'}},
                        {"id": "c2", "function": {"name": "sub", "arguments": "{}"}},
                    ],
                },
            }
        ],
    }


@pytest.mark.parametrize("indices", [(0, 0, 0), (None, None, None), (0, 0, 1)])
def test_calls_are_told_apart_by_their_ids_where_their_indices_do_not(indices: tuple[int | None, ...]) -> None:
    pieces = [
        part(index=index, id=f"c{number}", function={"name": "add", "arguments": f'{{"a": {number}'})
        for number, index in enumerate(indices)
    ]
    rest = part(index=indices[-1], id="c2", function={"arguments": "}"})
    found = joined(events(*pieces, rest, chunk({}, "tool_calls")))
    assert found is not None
    calls = found["choices"][0]["message"]["tool_calls"]
    assert [call["id"] for call in calls] == ["c0", "c1", "c2"]
    assert {call["function"]["name"] for call in calls} == {"add"}
    assert calls[-1]["function"]["arguments"] == '{"a": 2}'


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_text_may_have_ends_of_lines_of_its_own(end: str) -> None:
    said = "a\u2028b\u2029c\x85d\x0be\x0cf\x1cg"
    lines = [json.dumps(event, ensure_ascii=False) for event in (chunk({"content": said}), chunk({}, "stop"))]
    found = joined("".join(f"data: {line}{end}{end}" for line in lines))
    assert found is not None
    assert found["choices"][0]["message"] == {"content": said}


def test_a_whole_reply_in_one_event() -> None:
    choice = {"index": 0, "message": {"content": "x"}, "finish_reason": "stop"}
    found = joined(events({"choices": [choice]}, "[DONE]"))
    assert found is not None
    assert found["choices"] == [{"message": {"content": "x"}, "finish_reason": "stop"}]


def test_the_last_event_of_a_response_holds_it_all() -> None:
    text = events({"type": "response.created", "response": {}}, {"type": "response.completed", "response": {"id": 1}})
    assert joined(text) == {"id": 1}


def test_an_error_among_events() -> None:
    assert joined(events(chunk({"content": "a"}), {"error": {"message": "no"}})) == {"error": {"message": "no"}}


@pytest.mark.parametrize("text", ["{}", "", "hello", "[1]", "<html>data: x</html>"])
def test_what_is_no_stream(text: str) -> None:
    assert joined(text) is None


@pytest.mark.parametrize(
    "text",
    [
        events(chunk({"content": "a"}), "[DONE]"), events("[DONE]"), ": wait\n\n", "data: {torn",
        events({"choices": ["x"]}), events({"choices": 3}), events({"type": "response.completed"}),
        events(part(index=[], function={"name": "x"})), events(part(function=["x"])), events(chunk({"tool_calls": 3})),
    ],
)  # fmt: skip
def test_a_stream_that_is_no_whole_reply(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        joined(text)


@given(st.text(max_size=40))
def test_any_text_after_data_is_a_reply_or_none(text: str) -> None:
    with contextlib.suppress(ValueError):
        joined(f"data: {text}\n\ndata: {json.dumps(chunk({}, 'stop'))}\n\n")
