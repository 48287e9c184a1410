"""Chat Completions, as programs speak it to a gateway."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, Final

import msgspec
import orjson

from llmgym.messages import read_messages
from llmgym.responses import from_tools
from llmgym.serve.gateway.conversation import NONE, End, Most, Reader
from llmgym.serve.gateway.recording import Asked, Node
from llmgym.serve.trouble import ServeError

PATH: Final = "/v1/chat/completions"
#: LangChain gives up after two minutes without a chunk, and a comment is none.
WAITING: Final = b'data: {"id":"","object":"chat.completion.chunk","created":0,"model":"","choices":[]}\n\n'


class Body(msgspec.Struct, frozen=True):
    """What we look at in a request; how replies are sampled is the run's to say."""

    messages: list[msgspec.Raw]
    tools: msgspec.Raw = NONE
    functions: list[Any] | None = None
    stop: End | list[End] | None = None
    max_tokens: Most | None = None
    max_completion_tokens: Most | None = None
    stream: bool | None = None
    stream_options: dict[str, Any] | None = None
    n: int | None = None
    logprobs: bool | None = None
    tool_choice: Any = None
    response_format: dict[str, Any] | None = None

    def asked(self, reader: Reader) -> Asked:
        """The same for any protocol.

        Raises:
            ServeError: It asks for what a gateway does not do.
            MessageError: The messages or tools are malformed.
        """
        if (self.n or 1) != 1:
            raise ServeError("bad_request", f"n={self.n}: this gateway gives one choice; ask several times")
        if self.tool_choice not in (None, "auto", "none"):
            raise ServeError("bad_request", f"tool_choice={self.tool_choice!r:.100}: the policy chooses: leave it out")
        if self.logprobs:
            raise ServeError("bad_request", "logprobs: they are recorded, and told to no program: leave it out")
        if self.functions:
            raise ServeError("bad_request", "functions: this gateway has tools: send them as those")
        if self.response_format and self.response_format.get("type") != "text":
            raise ServeError("bad_request", "response_format: the policy is not constrained: leave it out")
        tools = reader.tools(self.tools, from_tools) if self.tool_choice != "none" else []
        stop = [self.stop] if isinstance(self.stop, str) else self.stop or []
        limit = self.max_completion_tokens or self.max_tokens
        return Asked(reader.conversation(self.messages, read_messages), tools, tuple(stop), limit)


decode = msgspec.json.Decoder(Body).decode


def body(node: Node, model: str, asked: Body) -> bytes:
    """A reply as a whole."""
    choice = {"index": 0, "message": _message(node), "finish_reason": _reason(node), "logprobs": None}
    return orjson.dumps({**_head(node, model, "chat.completion"), "choices": [choice], "usage": usage(node)})


def events(node: Node, model: str, asked: Body) -> Iterator[bytes]:
    """A reply as a stream: all of it in one event, which every client reads."""
    head = _head(node, model, "chat.completion.chunk")
    delta = _message(node)
    for place, call in enumerate(delta.get("tool_calls", ())):
        call["index"] = place
    for choice in ({"delta": delta, "finish_reason": None}, {"delta": {}, "finish_reason": _reason(node)}):
        yield _event({**head, "choices": [{"index": 0, "logprobs": None, **choice}]})
    if (asked.stream_options or {}).get("include_usage"):
        yield _event({**head, "choices": [], "usage": usage(node)})
    yield b"data: [DONE]\n\n"


def usage(node: Node) -> dict[str, int]:
    """What a reply took."""
    said = len(node.generation.token_ids)
    return {"prompt_tokens": node.start, "completion_tokens": said, "total_tokens": node.start + said}


def _event(data: dict[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(data) + b"\n\n"


def _head(node: Node, model: str, kind: str) -> dict[str, Any]:
    return {"id": f"chatcmpl-{node.number}", "object": kind, "created": int(time.time()), "model": model}


def _message(node: Node) -> dict[str, Any]:
    said = node.message
    found: dict[str, Any] = {"role": "assistant", "content": said["content"] or None}
    if calls := said.get("tool_calls"):
        found["tool_calls"] = [
            {"id": call.get("id"), "type": "function", "function": dict(call["function"])} for call in calls
        ]
    if reasoning := said.get("reasoning_content"):
        found["reasoning_content"] = reasoning
    return found


def _reason(node: Node) -> str:
    if node.generation.finish_reason == "length":
        return "length"
    return "tool_calls" if node.message.get("tool_calls") else "stop"
