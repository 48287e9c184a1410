"""How models write tool calls and reasoning in text, for templates that `TemplateCodec` reads.

A format is chosen by proof, not by name: it is right for a template if it recovers the call that
the template itself rendered.
"""

from __future__ import annotations

import ast
import functools
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from keyword import iskeyword
from typing import Any, cast

import msgspec

from llmgym.messages import Message, ToolCall, ToolSchema, parse_tool_calls, tool_call, written_call
from llmgym.messages.calls import marks, read_calls, values


@dataclass(frozen=True, slots=True)
class ToolFormat:
    """One way to write tool calls.

    Attributes:
        name: For error messages and fingerprints.
        marker: Text that opens a call, which also ends reasoning that was left open; None if there is none.
        parse: Split text into content and calls.
        write: Write one call the way the model writes it.
    """

    name: str
    marker: str | None
    parse: Callable[[str], tuple[str, list[ToolCall]]]
    write: Callable[[ToolCall], str]


def arguments_of(call: ToolCall) -> dict[str, Any] | None:
    """Read a call's arguments as a JSON object; None where the call is not valid."""
    if not call["function"]["name"]:
        return None
    try:
        arguments = json.loads(call["function"]["arguments"], parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None
    return cast("dict[str, Any]", arguments) if isinstance(arguments, dict) else None


def template_call(call: ToolCall) -> dict[str, Any]:
    """Turn a valid call into what templates take: its arguments as an object."""
    return {"type": "function", **call, "function": {"name": call["function"]["name"], "arguments": arguments_of(call)}}


def inline_calls(message: Message, write: Callable[[ToolCall], str], every: bool = False) -> Message:
    """Move calls that are not valid, or every call, into the content, as text; no template can render the former."""
    calls = message.get("tool_calls") or []
    moved = [call for call in calls if every or arguments_of(call) is None]
    if not moved:
        return message
    texts = ([message["content"]] if message["content"] else []) + [write(call) for call in moved]
    inlined: Message = {**message, "content": "\n".join(texts)}
    inlined["tool_calls"] = [call for call in calls if call not in moved]
    return inlined


def with_tools(messages: Sequence[Message], tools: Sequence[ToolSchema]) -> list[Message]:
    """Say in plain messages what a template without tool support cannot say.

    Tool schemas go into the system message, calls into the assistant's content, results into user
    messages. Results and a user message next to each other become one message, for templates that
    demand that roles alternate.
    """
    plain: list[Message] = []
    if tools:
        plain.append({"role": "system", "content": _instructions(tools)})
        if messages and messages[0]["role"] == "system":
            plain[0]["content"] = f"{messages[0]['content']}\n\n{plain[0]['content']}"
            messages = messages[1:]
    after_result = False
    for message in messages:
        said = _plain(message)
        if after_result and said["role"] == "user":
            plain[-1] = {"role": "user", "content": f"{plain[-1]['content']}\n{said['content']}"}
        else:
            plain.append(said)
        after_result = message["role"] == "tool"
    return plain


def fold_system(messages: Sequence[Message]) -> list[Message]:
    """Put an opening system message in front of the first user message."""
    if len(messages) < 2 or messages[0]["role"] != "system" or messages[1]["role"] != "user":
        return list(messages)
    content = f"{messages[0]['content']}\n\n{messages[1]['content']}"
    return [{"role": "user", "content": content}, *messages[2:]]


def _plain(message: Message) -> Message:
    if message["role"] == "tool":
        return {"role": "user", "content": f"<tool_response>\n{message['content']}\n</tool_response>"}
    calls = message.get("tool_calls")
    if not calls:
        return message
    texts = ([message["content"]] if message["content"] else []) + [_write_hermes(call) for call in calls]
    said: Message = {"role": "assistant", "content": "\n".join(texts)}
    if "reasoning_content" in message:
        said["reasoning_content"] = message["reasoning_content"]
    return said


def _instructions(tools: Sequence[ToolSchema]) -> str:
    return _written_instructions(msgspec.json.encode(tools))


@functools.lru_cache(64)  # the environments of a run
def _written_instructions(tools: bytes) -> str:
    schemas = "\n".join(json.dumps(tool, ensure_ascii=False) for tool in json.loads(tools))
    return (
        "# Tools\n\nYou may call one or more functions to help with the user's request.\n\n"
        f"Function signatures are given within <tools></tools> tags:\n<tools>\n{schemas}\n</tools>\n\n"
        "For each function call, write a JSON object with the function's name and arguments within "
        "<tool_call></tool_call> tags:\n<tool_call>\n"
        '{"name": <function-name>, "arguments": <args-json-object>}\n</tool_call>'
    )


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _json_call(call: ToolCall, key: str) -> str:
    """Write a call as a JSON object; a call without a name is the text of the whole attempt."""
    name, arguments = call["function"]["name"], call["function"]["arguments"]
    return f'{{"name": {json.dumps(name, ensure_ascii=False)}, "{key}": {arguments}}}' if name else arguments


def _write_hermes(call: ToolCall) -> str:
    return f"<tool_call>\n{_json_call(call, 'arguments')}\n</tool_call>"


_LLAMA_ATTEMPT = re.compile(r'\{\s*"name"\s*:\s*"[^"\\]*"\s*,\s*"(?:parameters|arguments)"\s*:')


def _parse_llama(text: str) -> tuple[str, list[ToolCall]]:
    """Read a message that is one JSON object with a name and parameters, and nothing else."""
    body = text.removeprefix("<|python_tag|>").strip()
    if not body.startswith("{"):
        return text, []
    if call := written_call(body, bare=False):
        return "", [call]
    return ("", [tool_call("", body)]) if _LLAMA_ATTEMPT.match(body) else (text, [])


_MISTRAL = "[TOOL_CALLS]"
_MISTRAL_MARKS = marks(_MISTRAL)
_MISTRAL_NAME = re.compile(r"([^\[{]*+)(?:\[CALL_ID\]([^\[{]*+))?+\[ARGS\]")


def _parse_mistral(text: str) -> tuple[str, list[ToolCall]]:
    """Read `[TOOL_CALLS]` followed by a JSON list of calls, or by `name[ARGS]{...}`."""
    start = text.find(_MISTRAL)
    if start < 0:
        return text, []
    content, calls = text[:start].strip(), list[ToolCall]()
    while start < len(text):
        start += len(_MISTRAL)
        named = _MISTRAL_NAME.match(text, start)
        found, end = values(text, named.end() if named else start, _MISTRAL_MARKS)
        end = text.find(_MISTRAL, end)  # a marker in a string of JSON is no marker
        end = len(text) if end < 0 else end
        if named:
            arguments = text[named.end() : end].strip()
            calls.append(tool_call(named[1].strip(), arguments, (named[2] or "").strip() or None))
        else:
            whole = len(found) == 1 and found[0] == text[start:end].strip()
            calls += read_calls(found[0]) if whole else [tool_call("", text[start:end].strip())]
        start = end
    return content, calls


_PYTHONIC = "<|tool_call_start|>", "<|tool_call_end|>"


def _parse_pythonic(text: str) -> tuple[str, list[ToolCall]]:
    """Read `[name(x='a', n=1), ...]`, or JSON, between LFM2's marks; what is neither keeps its text."""
    content: list[str] = []
    calls: list[ToolCall] = []
    opened, closed = _PYTHONIC
    while opened in text:
        before, _, text = text.partition(opened)
        written, _, text = text.partition(closed)
        content.append(before)
        calls += _pythonic_calls(written.strip()) or read_calls(written.strip())
    return "".join([*content, text]).strip(), calls


def _pythonic_calls(text: str) -> list[ToolCall]:
    try:
        tree = ast.parse(text, mode="eval").body
        nodes = tree.elts if isinstance(tree, ast.List) else [tree]
        return [_pythonic_call(node) for node in nodes]
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError):
        return []


def _pythonic_call(node: ast.expr) -> ToolCall:
    if not isinstance(node, ast.Call) or node.args:
        raise ValueError("no call with arguments by name")
    arguments: dict[str, Any] = {}
    for keyword in node.keywords:  # `**{...}` for names that are none in Python
        value = _pythonic_value(keyword.value)
        arguments |= value if keyword.arg is None else {keyword.arg: value}
    return tool_call(ast.unparse(node.func), json.dumps(arguments, ensure_ascii=False, allow_nan=False))


def _pythonic_value(node: ast.expr) -> Any:
    """A literal of Python, or of JSON, which some models write."""
    if isinstance(node, ast.Name) and node.id in _JSON_NAMES:
        return _JSON_NAMES[node.id]
    if isinstance(node, ast.List | ast.Tuple):
        return [_pythonic_value(item) for item in node.elts]
    if isinstance(node, ast.Dict):
        keys = [ast.literal_eval(key) for key in node.keys if key is not None]
        return dict(zip(keys, map(_pythonic_value, node.values), strict=True))
    return ast.literal_eval(node)


_JSON_NAMES = {"true": True, "false": False, "null": None}


def _write_pythonic(call: ToolCall) -> str:
    arguments = arguments_of(call)
    if arguments is None:  # the text of the whole attempt
        return f"{_PYTHONIC[0]}{call['function']['arguments']}{_PYTHONIC[1]}"
    plain = all(key.isascii() and key.isidentifier() and not iskeyword(key) for key in arguments)
    listed = ", ".join(f"{key}={value!r}" for key, value in arguments.items()) if plain else f"**{arguments!r}"
    return f"{_PYTHONIC[0]}[{call['function']['name']}({listed})]{_PYTHONIC[1]}"


HERMES = ToolFormat("hermes", "<tool_call>", parse_tool_calls, _write_hermes)
MISTRAL = ToolFormat("mistral", _MISTRAL, _parse_mistral, lambda call: _MISTRAL + _json_call(call, "arguments"))
LLAMA = ToolFormat("llama", None, _parse_llama, lambda call: _json_call(call, "parameters"))
PYTHONIC = ToolFormat("pythonic", _PYTHONIC[0], _parse_pythonic, _write_pythonic)
FORMATS = (HERMES, MISTRAL, LLAMA, PYTHONIC)
