"""Calls as models write them in text."""

from __future__ import annotations

import json
import random
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgym.messages import calls as module
from llmgym.messages import parse_tool_calls, scrub, tool_call
from llmgym.messages.calls import find_outside, marks, read_calls, values, written_call

TAGS = st.sampled_from(["<tool_call>", "</tool_call>", "<tool_call>{", '"', "\\", "{}[],", "</think>"])
TEXT = st.text(max_size=5) | st.lists(TAGS, max_size=4).map("".join)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
CALLS = st.lists(st.tuples(TEXT, st.dictionaries(TEXT, JSON, max_size=3)), min_size=1, max_size=3)
PROSE = st.text(st.characters(exclude_characters='<>{}[]"'), max_size=4)


def block(*objects: object) -> str:
    return f"<tool_call>{''.join(map(json.dumps, objects))}</tool_call>"


def read(text: str) -> list[tuple[str, Any]]:
    return [(call["function"]["name"], json.loads(call["function"]["arguments"])) for call in parse_tool_calls(text)[1]]


def parts(text: str) -> tuple[str, list[tuple[str, str]]]:
    content, calls = parse_tool_calls(text)
    return content, [(call["function"]["name"], call["function"]["arguments"]) for call in calls]


def write(calls: list[tuple[str, Any]], how: str, ascii_only: bool) -> str:
    key = "parameters" if how == "parameters" else "arguments"
    objects = [
        json.dumps({"name": name, key: json.dumps(given) if how == "text" else given}, ensure_ascii=ascii_only)
        for name, given in calls
    ]
    if how == "list":
        objects = ["[" + ", ".join(objects) + "]"]
    if how in ("one block", "list"):
        return "<tool_call>\n" + "\n".join(objects) + "\n</tool_call>"
    close = "" if how == "open" else "\n</tool_call>"
    return "".join(f"<tool_call>\n{one}{close}\n" for one in objects)


@given(
    CALLS,
    st.sampled_from(["blocks", "one block", "list", "open", "parameters", "text"]),
    st.booleans(),
    PROSE,
    PROSE,
)
def test_calls_are_read_however_they_are_written(
    calls: list[tuple[str, Any]], how: str, ascii_only: bool, before: str, after: str
) -> None:
    """Whatever stands in their strings, tags and quotes included."""
    text = f"{before}{write(calls, how, ascii_only)}{after}"
    assert read(text) == calls
    assert "".join(parse_tool_calls(text)[0].split()) == "".join(f"{before}{after}".split())


@given(CALLS, PROSE, PROSE)
def test_a_broken_call_does_not_touch_the_good_ones(calls: list[tuple[str, Any]], before: str, after: str) -> None:
    good = write(calls, "blocks", False)
    content, read = parts(f"{good}<tool_call>{{'oops</tool_call>{good}")
    assert content == ""
    assert [name for name, _ in read] == [*(name for name, _ in calls), "", *(name for name, _ in calls)]
    assert read[len(calls)] == ("", "{'oops")


def test_the_digits_of_a_number_survive() -> None:
    digits = '{"n": 123456789012345678901234567890, "x": 1.10, "e": 1e2}'
    assert parts(f'<tool_call>{{"name": "f", "arguments": {digits}}}') == ("", [("f", digits)])


@pytest.mark.parametrize(
    ("written", "arguments"),
    [
        ({"name": "f"}, "{}"),
        ({"name": "f", "arguments": None}, "{}"),
        ({"name": "f", "arguments": ""}, "{}"),
        ({"name": "f", "arguments": "null"}, "{}"),
        ({"name": "f", "arguments": {}}, "{}"),
        ({"name": "f", "arguments": '{"a": "é"}'}, '{"a": "é"}'),
        ({"name": "f", "parameters": {"a": 1}}, '{"a": 1}'),
        ({"name": "f", "arguments": None, "parameters": {"a": 1}}, '{"a": 1}'),
        ({"name": "f", "arguments": {"a": 1}, "parameters": {"b": 2}}, '{"a": 1}'),
        ({"type": "function", "function": {"name": "f", "arguments": {"a": 1}}}, '{"a": 1}'),
        ({"type": "function", "name": "f", "arguments": {"a": 1}, "id": 7}, '{"a": 1}'),
        ({"name": "f", "arguments": [1]}, "[1]"),
    ],
)
def test_arguments_in_all_their_forms(written: Any, arguments: str) -> None:
    assert parse_tool_calls(block(written)) == ("", [tool_call("f", arguments)])


@pytest.mark.parametrize(
    "broken",
    [
        "", "{", "[]", "[1, 2]", "7", '"f"', '{"name": 1}', '{"arguments": {}}', "null", '{"name": "f"} x',
        "[" * 10_000, "{'name': 'f'}", '{"name": "f", "arguments": {"a": 1,}}', '{"name": "f", "arguments": {"a": 1}',
        '{"name": "f", "arguments": {"a": "x\ny"}}', '{"name": "f", "arguments": {"a": "open}}', '{"name": "f"}}',
        '```{"name": "f"}``` x', "```", '{"name": "f", "arguments": {"ok": True}}', '{“name”: “f”}', '{name: "f"}',
        '{"name": "f", "arguments": {"text": "a </tool_call> b",}}', '{"name": "f", "arguments": {"a": NaN}}',
    ],
)  # fmt: skip
def test_a_broken_block_keeps_its_text_under_an_empty_name(broken: str) -> None:
    assert parts(f"a <tool_call>{broken}</tool_call>") == ("a", [("", broken)])
    assert parts(f"a <tool_call>{broken}</tool_call> {block({'name': 'g'})}") == ("a", [("", broken), ("g", "{}")])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f'x {block({"name": "a"})} y <tool_call>{{"name": "b"}}', ("x  y", [("a", "{}"), ("b", "{}")])),
        ('<tool_call>{"name": "a"} and so <tool_call>{"name": "b"}', ("and so", [("a", "{}"), ("b", "{}")])),
        ('<tool_call>{"name": "a"}, {"name": "b"}</tool_call>', ("", [("a", "{}"), ("b", "{}")])),
        ('<tool_call>{"name": "a"} {"name": </tool_call>x', ("x", [("a", "{}"), ("", '{"name":')])),
        ('<tool_call>{"name": "a"} {"name": ', ("", [("a", "{}"), ("", '{"name":')])),
        ('<tool_call>[{"name": "a"}, {"oops": 1}]</tool_call>', ("", [("a", "{}"), ("", '{"oops": 1}')])),
        ("<tool_call>{oops <tool_call>{'x</tool_call>", ("", [("", "{oops"), ("", "{'x")])),
        ("no call </tool_call>", ("no call </tool_call>", [])),
        (" untouched \n", (" untouched \n", [])),
        ('<tool_call>\n```json\n{"name": "a"}\n```\n</tool_call>x', ("x", [("a", "{}")])),
        ('<tool_call>```\n{"name": "a"}\n{"name": "b"}```', ("", [("a", "{}"), ("b", "{}")])),
    ],
)
def test_blocks_end_where_they_should(text: str, expected: Any) -> None:
    assert parts(text) == expected


PIECES = [
    "<tool_call>", "</tool_call>", "<", "{", "[", "}", "]", '"', "\\", '\\"', '"a":', '"":"', "1", ",", " ", "é",
    "\ud800", '{"name":"f"}', "</think>", "<think>", "```", "```json\n",
]  # fmt: skip


@given(st.lists(st.sampled_from(PIECES)).map("".join))
def test_no_text_is_lost_or_read_twice(text: str) -> None:
    """Each character is content, or in a call, or white space, or a tag."""
    content, calls = parse_tool_calls(text)
    kept = content + "".join(call["function"]["name"] + call["function"]["arguments"] for call in calls)
    for piece in ("1", "é", "\\"):
        assert kept.count(piece) <= text.count(piece)
    if not any(call["function"]["name"] for call in calls):
        assert kept.count("1") == text.count("1")


def test_hostile_text_is_walked_through_a_few_times_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    class Counted:
        """The same pattern, which counts the characters that it goes over."""

        walked = 0

        def match(self, text: str, start: int) -> Any:
            step = pattern.match(text, start)
            assert step is not None
            open_string = step[1] is None and text.startswith('"', step.end())  # looked for its end, in vain
            Counted.walked += (len(text) if open_string else step.end()) - start
            return step

    pattern: re.Pattern[str] = module._HERMES
    monkeypatch.setattr(module, "_HERMES", Counted())
    chosen = random.Random(1)
    for _ in range(300):
        unit = "".join(chosen.choices(PIECES, k=chosen.randint(1, 8)))
        text = scrub(unit * 200)
        Counted.walked = 0
        parse_tool_calls(text)
        assert Counted.walked <= 3 * len(text), unit


def test_values_end_at_what_is_no_value() -> None:
    pattern = marks("[MARK]")
    text = '{"a": "[MARK]"} , [1, {"b": []}] then {"c": 1}'
    assert values(text, 0, pattern) == (['{"a": "[MARK]"}', '[1, {"b": []}]'], text.index(" then"))
    assert values("[1, [MARK]2]", 0, pattern) == ([], 0)


def test_a_tag_in_a_call_is_not_outside() -> None:
    call = block({"name": "write", "arguments": {"text": "</think>"}})
    assert find_outside(f"{call}{call}", "</think>") == -1
    assert find_outside(f"{call} </think>", "</think>") == len(call) + 1
    assert find_outside(f"</think>{call}", "</think>") == 0
    assert find_outside("<tool_call> hm </think>", "</think>") == len("<tool_call> hm ")


def test_one_object_is_read_with_its_id() -> None:
    assert written_call('{"id": "c", "name": "f", "arguments": {}}') == tool_call("f", "{}", "c")
    assert written_call('{"name": "f"}') == tool_call("f")
    assert written_call('{"name": "f"}', bare=False) is None
    assert written_call('{"name": "f", "arguments": null}', bare=False) == tool_call("f")
    assert written_call("[]") is written_call("f") is None
    assert read_calls('[{"name": "f", "id": "c"}]') == [tool_call("f", "{}", "c")]
