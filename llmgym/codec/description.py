"""What a codec does with a model, for people to read before they spend a night on it."""

from __future__ import annotations

from typing import Any

from llmgym.codec.base import ChatCodec
from llmgym.codec.tokenizer import with_backend
from llmgym.errors import CodecError
from llmgym.messages import Message, ToolCall, ToolSchema, assistant, system, tool_call, user

_TOOLS: tuple[ToolSchema, ...] = (
    {
        "type": "function",
        "function": {
            "name": "add",
            "description": "Add two numbers.",
            "parameters": {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}},
        },
    },
)
_ID = "functions.add:0"


def describe(codec: ChatCodec, tokenizer: Any) -> dict[str, Any]:
    """Say what a codec does, and show a conversation as the model sees it.

    Args:
        codec: The codec.
        tokenizer: Its tokenizer.

    Returns:
        `codec`, `calls` (who reads them), `tools` (who writes them), `stops` (texts of the tokens that end a turn),
        `results` and `users` (whether an episode goes on in one segment behind tool results and behind user messages),
        `reasoning` (behind which of the two a conversation that is rendered afresh still shows it), and `example`.
    """
    tokenizer = with_backend(tokenizer)
    said = assistant("", {"id": _ID, **tool_call("add", a=2, b=3)})
    results: list[Message] = [{"role": "tool", "tool_call_id": _ID, "name": "add", "content": "5"}]
    chat = [system("Use the tools."), user("What is 2 + 3?"), said, *results]
    return {
        "codec": type(codec).__name__,
        "calls": codec.call_form,
        "tools": "written by the template" if codec.native_tools else "described in the system message",
        "stops": [tokenizer.decode([index]) for index in codec.stop_token_ids],
        "results": _goes_on(codec, "tool"),
        "users": _goes_on(codec, "user"),
        "reasoning": _kept(codec, tokenizer),
        "example": tokenizer.decode(codec.open(chat, _TOOLS)),
    }


def _goes_on(codec: ChatCodec, role: str) -> str:
    return "one segment" if codec.can_extend([role], tools=True) else "a new segment"


def _kept(codec: ChatCodec, tokenizer: Any) -> str:
    """Where the reasoning of earlier turns is shown."""
    thought = "qzthoughtqz"
    call: ToolCall = {"id": _ID, **tool_call("add", a=2, b=3)}
    result: Message = {"role": "tool", "tool_call_id": _ID, "name": "add", "content": "5"}
    turns: dict[str, list[Message]] = {
        "tool results": [{**assistant("", call), "reasoning_content": thought}, result],
        "user messages": [{**assistant("5"), "reasoning_content": thought}, user("Go on.")],
    }
    kept: list[str] = []
    for what, turn in turns.items():
        try:
            shown = tokenizer.decode(codec.open([user("What is 2 + 3?"), *turn], _TOOLS))
        except CodecError:
            continue
        if thought in shown:
            kept.append(what)
    return f"kept behind {' and '.join(kept)}" if kept else "dropped"
