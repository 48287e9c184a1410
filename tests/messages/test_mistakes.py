"""What models are told of JSON that is none."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgym.messages import explain_call, explain_json

PIECES = [
    "<tool_call>", "{", "[", "}", "]", '"', "'", "“", "\\", '\\"', '"a":', '"":"', "1", ",", " ", "é", "\ud800", "\n",
    "NaN", '{"name":"f"}', "True", "//", "```",
]  # fmt: skip
TEXTS = st.text(st.characters(exclude_categories=())) | st.lists(st.sampled_from(PIECES)).map("".join)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{'a': 1}", """JSON takes straight double quotes, "; at character 1 stands "'a': 1}\""""),
        ('{"a": \'x\'}', "JSON takes straight double quotes"),
        ('{"é": “x”}', "JSON takes straight double quotes, \"; at character 6 stands '“x”}'"),
        ('```json\n{}\n```', "JSON takes straight double quotes"),
        ('{"a": 1 , }', "JSON takes no comma before a closing bracket; at character 8 stands ', }'"),
        ('{"a": [1,]}', "JSON takes no comma before a closing bracket; at character 8"),
        ('{"a": True}', "JSON writes true for True; at character 6 stands 'True}'"),
        ('{"a": [None]}', "JSON writes null for None; at character 7"),
        ('{"a": -Infinity}', "JSON has no NaN and no Infinity; at character 6"),
        ('{a: 1}', "JSON takes a name in double quotes here; at character 1 stands 'a: 1}'"),
        ('{"a" 1}', "a colon is missing; at character 5 stands '1}'"),
        ('{"a": 1 "b": 2}', "a comma or a closing bracket is missing; at character 8"),
        ('{"a": 1, # one\n}', "JSON has no comments; at character 9"),
        ('{"a": .5}', "a value is missing; at character 6"),
        ('{"a": "x\ny"}', r"JSON writes a line break in a string as \n, a tab as \t; at character 8"),
        ('{"a": "\\d"}', r"JSON writes a backslash in a string as \\; at character 7"),
        ('{"a": 1', """the JSON ends too early, after '{"a": 1': a bracket or quote is missing"""),
        ('{"a": "open', """the string that begins at character 6 has no closing quote: '"open'"""),
        ('{"a": 1}}', "something follows the JSON value; at character 8 stands '}'"),
        ("[" * 100_000, "it is nested too deeply"),
        ('{"a": "\\ud800"}', "it holds half of a pair of surrogates"),
        ('{"NaN": "-Infinity", "a": NaN}', "JSON has no NaN and no Infinity; at character 26"),
        ('{"a": "1e999", "b": -1e999}', "a number is too large; at character 20 stands '-1e999}'"),
        ('{"a": ' + "1" * 5000 + ", b}", "JSON takes a name in double quotes here; at character 5008"),
    ],
)  # fmt: skip
def test_a_model_is_told_what_is_wrong_and_where(text: str, says: str) -> None:
    assert explain_json(text).startswith(says)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "this one is empty"),
        ('{"arguments": {}}', 'this one has no "name"'),
        ('{"name": 1}', "Expected `str`, got `int`"),
        ("7", "Expected `object`, got `int`"),
        ('{"name": "f", "arguments": {"ok": True}}', "JSON writes true for True; at character 34"),
        ("é\ud800", "a value is missing; at character 0"),
    ],
)
def test_a_model_is_told_why_json_is_no_call(text: str, says: str) -> None:
    assert explain_call(text).startswith('not a tool call; write {"name": <tool>, "arguments": {<arguments>}}: ' + says)


@given(TEXTS)
def test_every_text_can_be_explained(text: str) -> None:
    assert explain_call(text).startswith("not a tool call; write ")
    said = explain_json(text)
    json.dumps(said).encode()
    if place := re.search(r"; at character (\d+) stands (.+)\Z", said, re.DOTALL):
        assert repr(text[int(place[1]) :][:20]) == place[2]
