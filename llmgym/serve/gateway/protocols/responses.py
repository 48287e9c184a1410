"""OpenAI's Responses, as programs speak it to a gateway."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from typing import Any, Final

import msgspec
import orjson

from llmgym.messages import Message, ToolSchema
from llmgym.responses import from_items, from_tools, to_items
from llmgym.serve.gateway.conversation import NONE, Most, Reader
from llmgym.serve.gateway.recording import Asked, Node
from llmgym.serve.trouble import ServeError

PATH: Final = "/v1/responses"
WAITING: Final = b": waiting\n\n"  # there is no event for it that may come first
_IN: Final = "__"  # between a namespace and a name in it
_LEFT_OUT: Final = ("web_search", "web_search_preview")


class Text(msgspec.Struct, frozen=True):
    """How the text of a reply is wanted."""

    format: dict[str, Any] | None = None


class Body(msgspec.Struct, frozen=True):
    """What we look at in a request; how replies are sampled is the run's to say."""

    input: str | list[msgspec.Raw]
    instructions: str | None = None
    tools: msgspec.Raw = NONE
    max_output_tokens: Most | None = None
    stream: bool | None = None
    previous_response_id: str | None = None
    conversation: str | dict[str, Any] | None = None
    tool_choice: Any = None
    text: Text | None = None

    def asked(self, reader: Reader) -> Asked:
        """The same for any protocol.

        Raises:
            ServeError: It asks for what a gateway does not do.
            MessageError: The items or tools are malformed.
        """
        for name in ("previous_response_id", "conversation"):
            if getattr(self, name):
                raise ServeError("bad_request", f"{name}: this gateway keeps no state: send the whole input")
        if self.tool_choice not in (None, "auto", "none"):
            raise ServeError("bad_request", f"tool_choice={self.tool_choice!r:.100}: the policy chooses: leave it out")
        if self.text and self.text.format and self.text.format.get("type", "text") != "text":
            raise ServeError("bad_request", "text.format: the policy is not constrained: leave it out")
        tools = reader.tools(self.tools, _tools) if self.tool_choice != "none" else []
        said = [_text_part("user", self.input)] if isinstance(self.input, str) else self.input
        if self.instructions:
            said = [_text_part("system", self.instructions), *said]
        return Asked(reader.conversation(said, _read), tools, (), self.max_output_tokens)


decode = msgspec.json.Decoder(Body).decode


def body(node: Node, model: str, asked: Body) -> bytes:
    """A reply as a whole."""
    return orjson.dumps(_response(node, model, _items(node, asked), "completed"))


def events(node: Node, model: str, asked: Body) -> Iterator[bytes]:
    """A reply as a stream: each item whole, in the events that clients wait for."""
    number = itertools.count()

    def event(kind: str, **fields: Any) -> bytes:
        told = {"type": kind, "sequence_number": next(number), **fields}
        return b"event: " + kind.encode() + b"\ndata: " + orjson.dumps(told) + b"\n\n"

    begun = _response(node, model, [], "in_progress")
    yield event("response.created", response=begun)
    yield event("response.in_progress", response=begun)
    items = _items(node, asked)
    for place, item in enumerate(items):
        at = {"output_index": place, "item_id": item["id"]}
        yield event("response.output_item.added", output_index=place, item=_empty(item))
        if item["type"] == "message":
            for index, part in enumerate(item["content"]):
                inside = {**at, "content_index": index}
                yield event("response.content_part.added", **inside, part={**part, "text": ""})
                yield event("response.output_text.delta", **inside, delta=part["text"], logprobs=[])
                yield event("response.output_text.done", **inside, text=part["text"], logprobs=[])
                yield event("response.content_part.done", **inside, part=part)
        elif item["type"] == "function_call":
            yield event("response.function_call_arguments.delta", **at, delta=item["arguments"])
            yield event("response.function_call_arguments.done", **at, arguments=item["arguments"], name=item["name"])
        yield event("response.output_item.done", output_index=place, item=item)
    ended = _response(node, model, items, "completed")
    yield event(f"response.{ended['status']}", response=ended)


def _text_part(role: str, text: str) -> bytes:
    return orjson.dumps({"role": role, "content": text})


def _tools(given: list[Any]) -> list[ToolSchema]:
    """Functions, those of namespaces under names that have both; Codex's search in the web is left out."""
    functions: list[Any] = []
    for tool in given:
        kind = tool.get("type", "function")
        if kind == "function":
            functions.append(tool)
        elif kind == "namespace":
            inside = msgspec.convert(tool.get("tools"), list[dict[str, Any]])
            functions += [{**one, "name": f"{tool.get('name')}{_IN}{one.get('name')}"} for one in inside]
        elif kind not in _LEFT_OUT:
            raise ServeError("bad_request", f"a tool of the type {kind!r:.100}: this gateway has functions alone")
    return from_tools(functions)


def _read(items: list[Any]) -> list[Message]:
    return from_items(
        {**item, "name": f"{item['namespace']}{_IN}{item.get('name')}"}
        if isinstance(item, dict) and item.get("namespace")
        else item
        for item in items
    )


def _namespaces(asked: Body) -> list[str]:
    if b'"namespace"' not in bytes(asked.tools):
        return []
    return [tool["name"] for tool in msgspec.json.decode(asked.tools) if tool.get("type") == "namespace"]


def _items(node: Node, asked: Body) -> list[dict[str, Any]]:
    items, namespaces = to_items([node.message]), _namespaces(asked)
    for place, item in enumerate(items):
        item |= {"id": f"item_{node.number}_{place}", "status": "completed"}
        if item["type"] == "function_call":
            space = max((one for one in namespaces if item["name"].startswith(one + _IN)), key=len, default=None)
            if space is not None:
                item |= {"namespace": space, "name": item["name"].removeprefix(space + _IN)}
        for part in item.get("content", ()) if item["type"] == "message" else ():
            part |= {"annotations": [], "logprobs": []}
    return items


def _empty(item: dict[str, Any]) -> dict[str, Any]:
    """An item before anything of it has come."""
    nothing: dict[str, Any] = {"content": []} if item["type"] == "message" else {}
    if item["type"] == "function_call":
        nothing = {"arguments": ""}
    return {**item, "status": "in_progress", **nothing}


def _response(node: Node, model: str, output: list[dict[str, Any]], status: str) -> dict[str, Any]:
    said = len(node.generation.token_ids)
    cut = status == "completed" and node.generation.finish_reason == "length"
    ended = status == "completed"
    return {
        "id": f"resp_{node.number}",
        "object": "response",
        "created_at": int(time.time()),
        "status": "incomplete" if cut else status,
        "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
        "error": None,
        "instructions": None,
        "metadata": {},
        "model": model,
        "output": output,
        "parallel_tool_calls": True,
        "temperature": None,
        "top_p": None,
        "tool_choice": "auto",
        "tools": [],
        "usage": {
            "input_tokens": node.start,
            "input_tokens_details": {"cached_tokens": node.generation.cached_tokens},
            "output_tokens": said,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": node.start + said,
        }
        if ended
        else None,
    }
