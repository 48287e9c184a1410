r"""Calls as models write them in text: JSON objects, in the Hermes format between `<tool_call>` tags.

A block ends where its JSON ends, not at the first thing that looks like a closing tag: models write about tags, too.
So JSON values are walked through from bracket to bracket, strings as wholes, without reading them. A walk stops at the
first thing that JSON cannot have in its place: a tag or a backslash outside a string, or a quote that nothing closes.
That is why hostile text costs time in proportion to its length: of two walks that begin at different tags, one sees as
outside a string what the other sees as inside, so that one of them stops at the next tag.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from llmgym.messages.message import ToolCall, tool_call

OPEN, CLOSE = "<tool_call>", "</tool_call>"
_TAG = re.compile(f"{OPEN}|{CLOSE}")
_BROKEN = (msgspec.DecodeError, UnicodeError, RecursionError)
_FIRST = re.compile(r"\s*+(?:```\w*+\s*+)?+(?=[{\[])")
_NEXT = re.compile(r"\s*+(?:,\s*+)?+(?=[{\[])")


class _WrittenCall(msgspec.Struct):
    """A call as JSON, its arguments as the text that the model wrote: a number of thirty digits keeps them."""

    name: str | msgspec.UnsetType = msgspec.UNSET
    arguments: msgspec.Raw = msgspec.Raw()
    parameters: msgspec.Raw = msgspec.Raw()
    function: msgspec.Raw = msgspec.Raw()
    id: msgspec.Raw = msgspec.Raw()


#: Reads JSON text as an object that may be a call, or raises.
read_object = msgspec.json.Decoder(_WrittenCall).decode
_decode_list = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_text = msgspec.json.Decoder(str).decode


def marks(*texts: str) -> re.Pattern[str]:
    """A pattern for `values`: from anywhere outside a string to behind the next bracket, or to what stops a walk.

    Args:
        *texts: What stops one; each begins with `<` or a bracket.
    """
    mark = "|".join(map(re.escape, texts))
    inside = r'[^"\\{}\[\]<]++|"[^"\\]*+(?:\\.[^"\\]*+)*+"'
    return re.compile(rf"(?:{inside}|(?!{mark})<)*+((?!{mark})[{{}}\[\]])?+", re.DOTALL)


_HERMES = marks(OPEN, CLOSE)


def values(text: str, start: int, pattern: re.Pattern[str]) -> tuple[list[str], int]:
    """Walk through the JSON objects and lists that follow one another, apart from commas and blanks.

    Args:
        text: What the model wrote.
        start: Where to begin.
        pattern: From `marks`, of what cannot stand between them.

    Returns:
        Their texts, whose brackets match in number, and where the last one ends.
    """
    found: list[str] = []
    ahead = _FIRST
    while begin := ahead.match(text, start):
        end = _end(text, begin.end(), pattern)
        if end is None:
            break
        found.append(text[begin.end() : end])
        start, ahead = end, _NEXT
    return found, start


def _end(text: str, start: int, pattern: re.Pattern[str]) -> int | None:
    depth = 0
    while (step := pattern.match(text, start)) and (bracket := step[1]):
        start = step.end()
        depth += 1 if bracket in "{[" else -1
        if depth == 0:
            return start
    return None


@dataclass(slots=True)
class _Block:
    """Where a block begins and ends, the texts of JSON that it holds, and what is no JSON."""

    start: int
    end: int
    values: list[str]
    broken: str | None = None


def _blocks(text: str) -> Iterator[_Block]:
    """The `<tool_call>` blocks of a text, in order.

    One that nothing closes before the next, or at all, ends where its JSON ends.
    """
    tags = [(tag.start(), tag.end(), tag[0] == CLOSE) for tag in _TAG.finditer(text)]
    tags.append((len(text), len(text), False))
    done = 0
    for index, (start, inside, closes) in enumerate(tags[:-1]):
        if closes or start < done:
            continue
        found, end = values(text, inside, _HERMES)
        at = index + 1
        while tags[at][0] < end:
            at += 1
        tag, after, closed = tags[at]
        rest = text[end:tag].strip().removesuffix("```").lstrip(", \t\r\n")
        done = after if closed else tag
        if found and (not rest or rest.startswith(("{", "["))):  # a good call stays one where the next is broken
            yield _Block(start, done, found, rest or None)
        elif found and not closed:
            done = end
            yield _Block(start, done, found)
        else:
            yield _Block(start, done, [], text[inside:tag].strip())


def parse_tool_calls(text: str) -> tuple[str, list[ToolCall]]:
    r"""Split Hermes-style text into content and tool calls.

    Each `<tool_call>{"name": ..., "arguments": {...}}</tool_call>` block becomes a call, or several where it holds
    several objects or a list of them. `parameters` counts as `arguments`, which may be null, missing, or a text of
    JSON. A block need not be closed, and a Markdown fence around the JSON is none of it. What is no such JSON keeps its
    text as `arguments` with an empty name, so that the environment can answer what is wrong with it; see
    `explain_call`.

    Args:
        text: What the model wrote.

    Returns:
        The text outside the blocks, stripped, and the calls in order.
    """
    if OPEN not in text:
        return text, []
    content: list[str] = []
    calls: list[ToolCall] = []
    done = 0
    for block in _blocks(text):
        content.append(text[done : block.start])
        done = block.end
        for value in block.values:
            calls += read_calls(value)
        if block.broken is not None:
            calls.append(tool_call("", block.broken))
    content.append(text[done:])
    for call in calls:
        call.pop("id", None)  # the format has none: the environment numbers calls
    return "".join(content).strip(), calls


def find_outside(text: str, tag: str) -> int:
    """Where a text first has a tag outside its blocks of calls; -1 if nowhere."""
    at = text.find(tag)
    if at >= 0 and OPEN in text[:at]:
        for block in _blocks(text):
            if at < block.start:
                break
            if at < block.end and block.values:
                at = text.find(tag, block.end)
    return at


def read_calls(text: str) -> list[ToolCall]:
    """Read a JSON object, or a list of objects, as calls; what is none keeps its text under an empty name."""
    if not text.startswith("["):
        return [written_call(text) or tool_call("", text)]
    try:
        objects = [bytes(raw).decode() for raw in _decode_list(text)]
    except _BROKEN:
        objects = []
    calls = [written_call(one) for one in objects]
    if not any(calls):
        return [tool_call("", text)]
    return [call or tool_call("", one) for call, one in zip(calls, objects, strict=True)]


def written_call(text: str, *, bare: bool = True) -> ToolCall | None:
    """Read a JSON object with a name and arguments, or parameters, as a call; None if it is none.

    Args:
        text: What the model wrote.
        bare: Whether a name without either is a call.
    """
    try:
        call = read_object(text)
        if call.name is msgspec.UNSET and call.function:  # OpenAI's chat format
            call = read_object(call.function)
        if call.name is msgspec.UNSET or not (bare or call.arguments or call.parameters):
            return None
        arguments = _arguments(call.arguments) or _arguments(call.parameters) or "{}"
        call_id = bytes(call.id)
        return tool_call(call.name, arguments, _decode_text(call_id) if call_id.startswith(b'"') else None)
    except _BROKEN:
        return None


def _arguments(raw: msgspec.Raw) -> str:
    """The text of arguments, without the quotes where they are a string of JSON; empty if there are none."""
    text = bytes(raw).decode()
    if text.startswith('"'):
        text = _decode_text(text)
    return "" if text.strip() in ("", "null") else text
