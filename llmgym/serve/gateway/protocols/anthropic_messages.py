"""Anthropic's Messages, as programs speak it to a gateway."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final, Literal

import msgspec
import orjson

from llmgym.errors import MessageError
from llmgym.messages import Message, ToolCall, ToolSchema, assistant, tool_call
from llmgym.serve.gateway.conversation import NONE, End, Most, Reader
from llmgym.serve.gateway.recording import Asked, Node
from llmgym.serve.trouble import ServeError

PATH: Final = "/v1/messages"
WAITING: Final = b'event: ping\ndata: {"type":"ping"}\n\n'
_BESIDE_TEXT = ("tool_use", "thinking", "redacted_thinking")  # in a message of the assistant
_MALFORMED = "_malformed"  # the argument that stands for arguments which are no object
_object = msgspec.json.Decoder(dict[str, Any]).decode


class Block(msgspec.Struct, frozen=True):
    """A part of a message."""

    type: str
    text: str = ""
    thinking: str = ""
    id: str = ""
    name: str = ""
    input: dict[str, Any] | None = None
    tool_use_id: str = ""
    content: str | list[Block] | None = None


class Given(msgspec.Struct, frozen=True):
    """A message."""

    role: Literal["user", "assistant", "system"]
    content: str | list[Block]


class Body(msgspec.Struct, frozen=True):
    """What we look at in a request; how replies are sampled is the run's to say."""

    messages: list[msgspec.Raw]
    system: str | list[Block] | None = None
    tools: msgspec.Raw = NONE
    max_tokens: Most | None = None
    stop_sequences: list[End] | None = None
    stream: bool | None = None
    tool_choice: dict[str, Any] | None = None
    mcp_servers: list[Any] | None = None

    def asked(self, reader: Reader) -> Asked:
        """The same for any protocol.

        Raises:
            ServeError: It asks for what a gateway does not do.
            MessageError: The messages are malformed.
        """
        choice = (self.tool_choice or {}).get("type", "auto")
        if choice not in ("auto", "none"):
            raise ServeError("bad_request", f"tool_choice {choice!r:.100}: the policy chooses: leave it out")
        if self.mcp_servers:
            raise ServeError("bad_request", "mcp_servers: this gateway runs no tools: give them to the program")
        said: list[msgspec.Raw | bytes] = [*self.messages]
        if self.system:
            said.insert(0, orjson.dumps({"role": "system", "content": _text(self.system)}))
        tools = reader.tools(self.tools, _tools) if choice != "none" else []
        return Asked(reader.conversation(said, _read), tools, tuple(self.stop_sequences or ()), self.max_tokens)


decode = msgspec.json.Decoder(Body).decode


def body(node: Node, model: str, asked: Body) -> bytes:
    """A reply as a whole."""
    return orjson.dumps(_message(node, model, _blocks(node), _reason(node), len(node.generation.token_ids)))


def events(node: Node, model: str, asked: Body) -> Iterator[bytes]:
    """A reply as a stream: each block whole, in the events that clients wait for."""
    yield _event("message_start", message=_message(node, model, [], None, 0))
    for index, block in enumerate(_blocks(node)):
        kind = block["type"]
        if kind == "tool_use":
            empty: dict[str, Any] = {**block, "input": {}}
            delta = {"type": "input_json_delta", "partial_json": orjson.dumps(block["input"]).decode()}
        else:
            empty = {"type": kind, kind: ""}
            delta = {"type": f"{kind}_delta", kind: block[kind]}
        yield _event("content_block_start", index=index, content_block=empty)
        yield _event("content_block_delta", index=index, delta=delta)
        yield _event("content_block_stop", index=index)
    said = {"output_tokens": len(node.generation.token_ids)}
    yield _event("message_delta", delta={"stop_reason": _reason(node), "stop_sequence": None}, usage=said)
    yield _event("message_stop")


# --- reading --------------------------------------------------------------------------------------


def _read(given: list[Any]) -> list[Message]:
    """Chat messages of Anthropic's."""
    try:
        return [message for one in msgspec.convert(given, list[Given]) for message in _messages(one)]
    except msgspec.ValidationError as error:
        raise MessageError(f"messages: {error}") from None


def _messages(given: Given) -> Iterator[Message]:
    """The chat messages of one: results of tools stand in those of the user."""
    blocks = [Block("text", given.content)] if isinstance(given.content, str) else given.content
    if given.role == "assistant":
        calls = [_call(block) for block in blocks if block.type == "tool_use"]
        reasoning = "".join(block.thinking for block in blocks if block.type == "thinking")
        yield assistant(
            _text([block for block in blocks if block.type not in _BESIDE_TEXT]), *calls, reasoning=reasoning
        )
        return
    results = [block for block in blocks if block.type == "tool_result"]
    for block in results:
        yield {"role": "tool", "content": _text(block.content or ""), "tool_call_id": block.tool_use_id}
    if len(results) < len(blocks) or not blocks:
        texts = [block for block in blocks if block.type != "tool_result"]
        yield {"role": given.role, "content": _text(texts)}


def _call(block: Block) -> ToolCall:
    given = block.input or {}
    text = given[_MALFORMED] if given.keys() == {_MALFORMED} else json.dumps(given)
    return tool_call(block.name, str(text), block.id)


def _text(content: str | list[Block]) -> str:
    if isinstance(content, str):
        return content
    if other := [block.type for block in content if block.type != "text"]:
        raise MessageError(f"a block of type {other[0]!r:.100}: the policy reads text alone")
    return "\n".join(block.text for block in content)


def _tools(given: list[Any]) -> list[ToolSchema]:
    if other := [tool.get("name") for tool in given if "input_schema" not in tool]:
        raise ServeError("bad_request", f"tool {other[0]!r:.100} runs at the server, and this gateway has none")
    return [
        {
            "type": "function",
            "function": {
                "name": str(tool.get("name")),
                "description": str(tool.get("description", "")),
                "parameters": tool["input_schema"],
            },
        }
        for tool in given
    ]


# --- writing --------------------------------------------------------------------------------------


def _event(kind: str, **fields: Any) -> bytes:
    return b"event: " + kind.encode() + b"\ndata: " + orjson.dumps({"type": kind, **fields}) + b"\n\n"


def _message(node: Node, model: str, content: list[dict[str, Any]], reason: str | None, said: int) -> dict[str, Any]:
    return {
        "id": f"msg_{node.number}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": content,
        "stop_reason": reason,
        "stop_sequence": None,
        "usage": {"input_tokens": node.start, "output_tokens": said},
    }


def _blocks(node: Node) -> list[dict[str, Any]]:
    said = node.message
    blocks: list[dict[str, Any]] = []
    if reasoning := said.get("reasoning_content"):
        blocks.append({"type": "thinking", "thinking": reasoning, "signature": ""})
    if said["content"]:
        blocks.append({"type": "text", "text": said["content"]})
    blocks += (
        {
            "type": "tool_use",
            "id": call.get("id", ""),
            "name": call["function"]["name"],
            "input": _arguments(call["function"]["arguments"]),
        }
        for call in said.get("tool_calls", ())
    )
    return blocks or [{"type": "text", "text": ""}]


def _arguments(text: str) -> Any:
    """Arguments as an object, which is all that this protocol has; what is none is told as it was written.

    An object stands as the model wrote it, to the last digit of its numbers.
    """
    try:
        _object(text)
    except (msgspec.DecodeError, RecursionError):
        return {_MALFORMED: text}
    return orjson.Fragment(text)


def _reason(node: Node) -> str:
    if node.generation.finish_reason == "length":
        return "max_tokens"
    return "tool_use" if node.message.get("tool_calls") else "end_turn"
