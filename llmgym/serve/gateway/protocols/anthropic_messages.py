"""Anthropic's Messages, as programs speak it to a gateway."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec
import orjson

from llmgym.messages import Message, ToolCall, ToolSchema, assistant, system, user
from llmgym.serve.gateway.recording import Asked, Node
from llmgym.serve.trouble import ServeError

PATH: Final = "/v1/messages"


class Body(msgspec.Struct, frozen=True):
    """What we look at in a request; how replies are sampled is the run's to say."""

    messages: list[dict[str, Any]]
    system: str | list[dict[str, Any]] | None = None
    tools: list[dict[str, Any]] | None = None
    max_tokens: int | None = None
    stop_sequences: list[str] | None = None
    stream: bool | None = None
    tool_choice: dict[str, Any] | None = None

    def asked(self) -> Asked:
        """The same for any protocol.

        Raises:
            ServeError: It asks for what a gateway does not do, or is malformed.
        """
        choice = (self.tool_choice or {}).get("type", "auto")
        if choice not in ("auto", "none"):
            raise ServeError("bad_request", f"tool_choice {choice!r:.100}: the policy chooses: leave it out")
        messages = [system(_text(self.system, "system"))] if self.system else []
        for given in self.messages:
            messages += _read(given)
        tools = [_tool(tool) for tool in self.tools or [] if choice != "none"]
        return Asked(messages, tools, tuple(self.stop_sequences or ()), self.max_tokens)


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
            delta = {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
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


def _read(given: Mapping[str, Any]) -> Iterator[Message]:
    """The chat messages of one of Anthropic's: results of tools stand in those of the user."""
    role, content = given.get("role"), given.get("content")
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
    if role not in ("user", "assistant", "system") or not isinstance(blocks, list):
        raise ServeError("bad_request", f"not a message with a role and content: {given!r:.200}")
    if role == "assistant":
        calls = [_call(block) for block in blocks if block.get("type") == "tool_use"]
        reasoning = "".join(block.get("thinking", "") for block in blocks if block.get("type") == "thinking")
        said = _text([block for block in blocks if block.get("type") == "text"], "content")
        yield assistant(said, *calls, reasoning=reasoning)
        return
    texts: list[dict[str, Any]] = []
    for block in blocks:
        if block.get("type") == "tool_result":
            content = block.get("content") or ""
            yield {
                "role": "tool",
                "content": _text(content, "tool_result"),
                "tool_call_id": str(block.get("tool_use_id")),
            }
        else:
            texts.append(block)
    if texts or not blocks:
        yield (system if role == "system" else user)(_text(texts, "content"))


def _text(content: str | list[dict[str, Any]], where: str) -> str:
    if isinstance(content, str):
        return content
    if other := [block.get("type") for block in content if block.get("type") != "text"]:
        raise ServeError("bad_request", f"{where} has a block of type {other[0]!r:.100}: the policy reads text alone")
    return "\n".join(str(block.get("text", "")) for block in content)


def _call(block: Mapping[str, Any]) -> ToolCall:
    function: Any = {"name": str(block.get("name")), "arguments": json.dumps(block.get("input") or {})}
    return {"id": str(block.get("id")), "type": "function", "function": function}


def _tool(tool: Mapping[str, Any]) -> ToolSchema:
    if "input_schema" not in tool:
        raise ServeError("bad_request", f"tool {tool.get('name')!r:.100} runs at the server, and this gateway has none")
    return {
        "type": "function",
        "function": {
            "name": str(tool.get("name")),
            "description": str(tool.get("description", "")),
            "parameters": tool["input_schema"],
        },
    }


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


def _arguments(text: str) -> dict[str, Any]:
    """Arguments as an object, which is all that this protocol has; what is none is told as it was written."""
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {"_malformed": text}


def _reason(node: Node) -> str:
    if node.generation.finish_reason == "length":
        return "max_tokens"
    return "tool_use" if node.message.get("tool_calls") else "end_turn"
