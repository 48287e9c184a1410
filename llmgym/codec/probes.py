"""Probe conversations: what a chat template is shown to learn, and prove, how it renders."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from llmgym.messages import Message, ToolCall, ToolSchema, tool_call

# Words made of letters only, so that no filter of a template changes them: what the probed turn says and thinks,
# what an earlier turn thinks, what comes after the probed turn, and a tool.
SAID, THOUGHT, EARLIER, RESULT, TOOL = "qzsaidqz", "qzthoughtqz", "qzearlierqz", "qzresultqz", "qztoolqz"

TOOLS: tuple[ToolSchema, ...] = (
    {
        "type": "function",
        "function": {
            "name": TOOL,
            "description": "Probe.",
            "parameters": {
                "type": "object",
                "properties": {
                    "n": {"type": "integer"},
                    "b": {"type": "boolean"},
                    "o": {"type": "object"},
                    "l": {"type": "array"},
                    "s": {"type": "string"},
                    "x": {"type": "string"},
                },
            },
        },
    },
)

Style = Literal["none", "field", "text"]  # no reasoning, `reasoning_content`, `<think>` in the content
STYLES: tuple[Style, ...] = ("none", "field", "text")


def message(role: Literal["system", "user", "tool"], content: str = RESULT) -> Message:
    """Make a message that is not the assistant's."""
    return {"role": role, "content": content}


def history(style: Style, calls: bool = False, turns: bool = False, opening: bool = False) -> list[Message]:
    """Make the conversation before the probed turn.

    Args:
        style: How its assistant turns reason.
        calls: Whether it ends with a call and its result.
        turns: Whether it has an earlier exchange.
        opening: Whether it has a system message.
    """
    start = [message("system", "w")] if opening else []
    exchange = [message("user", "u"), _turn(style, "y", EARLIER)] if turns else []
    cycle = [_turn(style, "", EARLIER, [_call("v", "call_8")]), *answers("call_8", text="r")] if calls else []
    return [*start, *exchange, message("user", "x"), *cycle]


def says(style: Style) -> Message:
    """Make a probed turn of plain content."""
    return _turn(style, SAID, THOUGHT)


def asks(style: Style, *call_ids: str) -> Message:
    """Make a probed turn of calls."""
    calls = [_call("v", call_id) for call_id in call_ids[:-1]] + [_call(SAID, call_ids[-1])]
    return _turn(style, "", THOUGHT, calls)


def calls() -> Iterator[Message]:
    """Make turns of calls of many sorts, the plainest first; the last argument of the last call is `SAID`."""
    yield asks("none", "call_1")
    for arguments in (
        {"n": 3, "b": True},
        {"o": {"a": [1, {"b": None}], "c": "d"}, "l": ["p", 2]},
        {"s": "two\nlines, \"quotes\", 'others', a \\ and é 数"},
    ):
        yield _turn("none", "", "", [{"id": "call_1", **tool_call(TOOL, **arguments, x=SAID)}])
    yield _turn("none", "", "", [{"id": "call_9", **tool_call(TOOL)}, _call(SAID, "call_1")])
    yield asks("none", "call_2", "call_1")
    yield _turn("none", "before", "", [_call(SAID, "call_1")])
    yield asks("field", "call_1")


def results(said: Message) -> list[Message]:
    """Make the results of a turn's calls."""
    return answers(*(call.get("id", "") for call in said.get("tool_calls", ())))


def answers(*call_ids: str, text: str = RESULT) -> list[Message]:
    """Make the results of calls."""
    return [
        {"role": "tool", "content": text, "name": _tool_of(call_id), "tool_call_id": call_id} for call_id in call_ids
    ]


def asked(results: Sequence[Message]) -> Message:
    """Make the turn of calls that results answer, each with the argument `SAID`."""
    calls: list[ToolCall] = [
        {"id": result.get("tool_call_id", ""), **tool_call(result.get("name", TOOL), n=7, x=SAID)} for result in results
    ]
    return _turn("none", "", "", calls)


def news(roles: Sequence[str], *call_ids: str) -> list[Message]:
    """Make new messages of these roles, with one result for each call."""
    made: list[Message] = []
    for role in roles:
        made += answers(*call_ids) if role == "tool" else [{"role": role, "content": RESULT}]  # pyright: ignore[reportAssignmentType]
    return made


def trials(roles: Sequence[str], style: Style) -> Iterator[tuple[list[Message], Message, list[Message]]]:
    """Yield conversations on which a continuation has to hold: history, probed turn, new messages."""
    for before in (
        history(style),
        history(style, opening=True),
        history(style, turns=True),
        history(style, calls=True),
        history(style, calls=True, turns=True, opening=True),
    ):
        yield before, asks(style, "call_2"), news(roles, "call_2")
        if "tool" in roles:
            yield before, asks(style, "call_3", "call_4"), news(roles, "call_3", "call_4")
        else:
            yield before, says(style), news(roles)


def _turn(style: Style, content: str, thought: str, calls: Sequence[ToolCall] = ()) -> Message:
    made: Message = {"role": "assistant", "content": content}
    if style == "text":
        made["content"] = f"<think>\n{thought}\n</think>\n\n{content}"
    if style == "field":
        made["reasoning_content"] = thought
    if calls:
        made["tool_calls"] = list(calls)
    return made


def _call(value: str, call_id: str) -> ToolCall:
    return {"id": call_id, **tool_call(_tool_of(call_id), x=value)}


def _tool_of(call_id: str) -> str:
    """Another name for another call: a template that looks names up by id must not pass as one that does not."""
    return TOOL if call_id == "call_1" else f"{TOOL}{call_id[-1]}"
