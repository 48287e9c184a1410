"""A person in the model's place."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgym.chat import Sampling
from llmgym.errors import PolicyError
from llmgym.messages import assistant, tool_call, user
from llmgym.policies.human import HumanPolicy, misread, read_line, type_name, usage
from llmgym.registry import list_envs, make_core
from tests.environments import Adder


def schema(name: str, properties: dict[str, Any] | None = None, required: tuple[str, ...] = ()) -> Any:
    parameters = {"type": "object", "properties": properties or {}, "required": list(required)}
    return {"type": "function", "function": {"name": name, "description": "", "parameters": parameters}}


ADD = schema("add", {"a": {"type": "integer"}, "b": {"type": "integer"}}, ("a", "b"))


async def say(policy: HumanPolicy, messages: Any = None, tools: Any = (ADD,)) -> Any:
    reply = await policy.chat(messages or [user("1 + 1?")], tools, Sampling(), request_id="r", session_id="s")
    return reply.message


def typing(monkeypatch: pytest.MonkeyPatch, *lines: str) -> list[str]:
    """Let somebody type some lines; gives what is shown before each."""
    shown: list[str] = []
    waiting = list(lines)

    def read(prompt: str) -> str:
        shown.append(prompt)
        if not waiting:
            raise EOFError
        return waiting.pop(0)

    monkeypatch.setattr("builtins.input", read)
    return shown


async def test_a_person_writes_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    typing(monkeypatch, 'add {"a":1}')
    assert await say(HumanPolicy()) == assistant("", tool_call("add", a=1))
    typing(monkeypatch)
    with pytest.raises(PolicyError, match="the input has ended"):
        await say(HumanPolicy())


async def test_a_person_sees_what_is_new(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = typing(monkeypatch, "ok", "ok")
    await say(HumanPolicy(), [user("old"), assistant("hm"), user("new"), user("newer")])
    assert "old" not in shown[0]
    assert shown[0].index("new") < shown[0].index("newer") < shown[0].index("> ")
    await say(HumanPolicy())
    assert 'add {"a": 1, "b": 2}' in shown[1]


async def test_what_says_nothing_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = typing(monkeypatch, "", "ad {}", "2")
    assert await say(HumanPolicy()) == assistant("2")
    assert "or call a tool, such as add" in shown[1]
    assert "did you mean add?" in shown[2]


def test_lines_are_text_or_calls() -> None:
    def call(arguments: str) -> Any:
        return assistant("", {"type": "function", "function": {"name": "add", "arguments": arguments}})

    assert read_line("add", [ADD]) == call("{}")
    assert read_line("  add {broken ", [ADD]) == call("{broken")
    assert read_line('add{"a": 1}', [ADD]) == call('{"a": 1}')
    assert read_line("add 1 2", [ADD]) == call("1 2")
    assert read_line("adding things", [ADD]) == assistant("adding things")
    assert read_line('add {"a": 1}', []) == assistant('add {"a": 1}')


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("", 'write an answer, or call a tool, such as add {"a": 1, "b": 2}'),
        (" \t", "write an answer"),
        ('ad {"a": 1}', "there is no tool 'ad'; did you mean add?"),
        ("ad {broken", "did you mean add?"),
        ('fetch {"a": 1}', "there is no tool 'fetch'; there is add"),
    ],
)
def test_lines_that_say_nothing(line: str, said: str) -> None:
    assert said in (misread(line, [ADD]) or "")


@pytest.mark.parametrize(
    "line", ["7", "ad", "ad 1", "add {broken", r"\boxed{7}", "the set {1, 2}", "so: {x}", "f{x}", "{7}"]
)
def test_lines_that_say_something(line: str) -> None:
    assert misread(line, [ADD]) is None
    assert misread('ad {"a": 1}', []) is None


@given(st.text(max_size=30))
def test_any_line_is_read(line: str) -> None:
    assert read_line(line, [ADD])["role"] == "assistant"
    misread(line, [ADD])


# --- showing tools ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("properties", "required", "shown"),
    [
        ({}, (), "t {}"),
        ({"a": {"type": "integer"}, "b": {"type": "number"}}, ("a", "b"), 't {"a": 1, "b": 2}'),
        (
            {"a": {"type": "integer", "minimum": 5}, "b": {"type": "integer", "maximum": 0}},
            ("a", "b"),
            't {"a": 5, "b": 0}',
        ),
        ({"a": {"type": "string"}, "b": {"type": "boolean"}}, ("a",), 't {"a": "..."}'),
        ({"a": {"type": "boolean"}}, (), 't {"a": true}'),
        ({"a": {"enum": ["C", "F"]}}, ("a",), 't {"a": "C"}'),
        ({"a": {"anyOf": [{"type": "null"}, {"type": "integer"}]}}, ("a",), 't {"a": 1}'),
        ({"a": {"type": "array", "items": {"type": "string"}}}, ("a",), 't {"a": ["..."]}'),
        (
            {"a": {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "null"}]}},
            ("a",),
            't {"a": [1, null]}',
        ),
        (
            {"a": {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}},
            ("a",),
            't {"a": {"x": 1}}',
        ),
        ({"a": {"type": ["integer", "null"]}}, ("a",), 't {"a": 1}'),
        ({"a": {}}, ("a",), 't {"a": "..."}'),
    ],
)
def test_how_to_call_a_tool(properties: dict[str, Any], required: tuple[str, ...], shown: str) -> None:
    assert usage(schema("t", properties, required)) == shown


def test_schemas_that_hold_themselves_end_somewhere() -> None:
    tool = schema("t", {"a": {"$ref": "#/$defs/Tree"}}, ("a",))
    tree = {"type": "object", "properties": {"left": {"$ref": "#/$defs/Tree"}}, "required": ["left"]}
    tool["function"]["parameters"]["$defs"] = {"Tree": tree}
    assert usage(tool).startswith('t {"a": {"left": ')


@pytest.mark.parametrize(
    ("parameter", "name"),
    [
        ({"type": "integer"}, "integer"),
        ({"enum": ["C", "F"]}, "C or F"),
        ({"const": 3}, "3"),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, "integer or null"),
        ({"type": "array", "items": {"type": "number"}}, "array of number"),
        ({"$ref": "#/$defs/Place"}, "Place"),
        ({"type": ["string", "null"]}, "string or null"),
        ({}, "any"),
    ],
)
def test_names_of_types(parameter: dict[str, Any], name: str) -> None:
    assert type_name(parameter) == name


def test_what_is_shown_is_a_call_that_fits() -> None:
    cores = [make_core(entry.id) for entry in list_envs() if entry.id.startswith("llmgym/")]
    for core in (*cores, Adder()):
        for tool in core.tools.values():
            shown = usage(tool.schema)
            assert misread(shown, [tool.schema]) is None
            [call] = read_line(shown, [tool.schema])["tool_calls"]
            assert call["function"]["name"] == tool.schema["function"]["name"]
            assert (
                tool.parse(call["function"]["arguments"]).items() >= json.loads(call["function"]["arguments"]).items()
            )
