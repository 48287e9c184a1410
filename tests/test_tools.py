"""Tools: schema from signature and docstring, arguments, results."""

from __future__ import annotations

import contextlib
import copy
import json
import pickle
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgym.env import ToolEnv
from llmgym.errors import ToolError
from llmgym.messages import tool_call
from llmgym.tools import MAX_RESULT_CHARS, parse_docstring, render_result, tool
from tests.environments import Adder


@dataclass
class Point:
    """A place."""

    x: int
    y: int = 0


class Documented(ToolEnv):
    """Tools to describe."""

    @tool
    def look(self, city: str, unit: Literal["C", "F"] = "C", limit: Annotated[int, msgspec.Meta(ge=1)] = 3) -> str:
        """Look up the weather
        of a city.

        Args:
            city: Name of the city,
                in English.
            unit: Temperature unit.

        Returns:
            Text that is no part of the description.
        """
        return f"{city} {unit} {limit}"

    @tool
    async def move(self, to: Point) -> None:
        """Move."""

    @tool
    def rest(self) -> None:
        """Rest."""

    def helper(self) -> None:
        """No tool."""


class Renamed(Documented):
    """Replaces one tool, takes one away, adds one."""

    rest = None  # type: ignore[assignment]

    @tool
    def look(self, place: str) -> str:  # type: ignore[override]
        """Look."""
        return place

    @tool
    def extra(self) -> None:
        """Extra."""


def parameters(name: str) -> dict[str, Any]:
    return Documented.tools[name].schema["function"]["parameters"]


def test_the_schema_comes_from_signature_and_docstring() -> None:
    function = Documented.tools["look"].schema["function"]
    assert function["description"] == "Look up the weather of a city."
    properties = function["parameters"]["properties"]
    assert properties["city"] == {"type": "string", "description": "Name of the city, in English."}
    assert properties["unit"]["enum"] == ["C", "F"]
    assert properties["unit"]["description"] == "Temperature unit."
    assert properties["unit"]["default"] == "C"
    assert properties["limit"]["minimum"] == 1
    assert function["parameters"]["required"] == ["city"]
    assert function["parameters"]["additionalProperties"] is False


def test_types_that_a_tool_refers_to_are_in_its_schema() -> None:
    assert parameters("move")["properties"]["to"]["$ref"] == "#/$defs/Point"
    assert parameters("move")["$defs"]["Point"]["required"] == ["x"]
    assert parameters("rest")["properties"] == {}


def test_schemas_are_json() -> None:
    for each in Documented.tools.values():
        assert json.loads(json.dumps(each.schema)) == each.schema


def test_a_parameter_whose_default_is_none_may_be_null() -> None:
    class Lookup(ToolEnv):
        @tool
        def look(self, city: str = None) -> None:  # type: ignore[assignment]  # noqa: RUF013
            """Look."""

        @tool
        def find(self, what: Any = None) -> None:
            """Find."""

    look = Lookup.tools["look"]
    assert look.schema["function"]["parameters"]["properties"]["city"]["anyOf"] == [
        {"type": "string"},
        {"type": "null"},
    ]
    assert look.parse('{"city": null}') == look.parse("{}") == {"city": None}
    assert Lookup.tools["find"].schema["function"]["parameters"]["properties"]["what"] == {"default": None}


def test_subclasses_replace_remove_and_add_tools() -> None:
    assert list(Documented.tools) == ["look", "move", "rest"]
    assert list(Renamed.tools) == ["look", "move", "extra"]
    assert list(Renamed.tools["look"].schema["function"]["parameters"]["properties"]) == ["place"]


def test_an_abstract_base_class_may_be_mixed_in() -> None:
    class Base(ABC):
        @abstractmethod
        def work(self) -> None: ...

    class Mixed(ToolEnv, Base):
        @tool
        def work(self) -> None:
            """Work."""

    class Deeper(Mixed):
        pass

    assert list(Deeper.tools) == ["work"]


def test_a_parameter_without_annotation_is_refused() -> None:
    with pytest.raises(TypeError, match="'city' needs a type annotation"):

        class Untyped(ToolEnv):
            @tool
            def look(self, city):  # type: ignore[no-untyped-def]
                """Look."""


def test_a_starred_parameter_is_refused() -> None:
    with pytest.raises(TypeError, match="starred"):

        class Starred(ToolEnv):
            @tool
            def look(self, *cities: str) -> None:
                """Look."""


def test_a_blocking_tool_cannot_be_async() -> None:
    with pytest.raises(TypeError, match="cannot be `async`"):

        class Confused(ToolEnv):
            @tool(blocking=True)
            async def look(self) -> None:
                """Look."""


def test_arguments_are_checked_and_converted() -> None:
    assert Documented.tools["look"].parse('{"city": "Oslo"}') == {"city": "Oslo", "unit": "C", "limit": 3}
    assert Documented.tools["move"].parse('{"to": {"x": 1}}') == {"to": Point(1)}
    assert Documented.tools["rest"].parse("") == {}


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ("{", "not valid JSON"),
        ('{"city": "\\ud800"}', "not valid JSON"),
        ("[" * 100_000, "arguments"),
        ("{}", "city"),
        ('{"city": 3}', "city"),
        ('{"city": "a", "unit": "K"}', "unit"),
        ('{"city": "a", "limit": 0}', "limit"),
        ('{"city": "a", "planet": "b"}', "planet"),
        ("[]", "array"),
    ],
)
def test_wrong_arguments_are_explained_to_the_model(arguments: str, why: str) -> None:
    with pytest.raises(ToolError, match=why):
        Documented.tools["look"].parse(arguments)


@given(st.text())
def test_any_arguments_are_read_or_refused(arguments: str) -> None:
    with contextlib.suppress(ToolError):
        assert isinstance(Documented.tools["look"].parse(arguments), dict)


@given(st.text(), st.sampled_from(["C", "F"]), st.integers(1, 2**63 - 1))
def test_valid_arguments_come_back(city: str, unit: str, limit: int) -> None:
    text = tool_call("look", city=city, unit=unit, limit=limit)["function"]["arguments"]
    assert Documented.tools["look"].parse(text) == {"city": city, "unit": unit, "limit": limit}


@given(st.text())
def test_any_docstring_can_be_read(text: str) -> None:
    description, notes = parse_docstring(text)
    assert "\n" not in description
    assert all(notes)


@pytest.mark.parametrize(
    ("result", "text"),
    [
        ("plain é", "plain é"),
        (None, "null"),
        (3, "3"),
        ({"a": [1, 2.5, True]}, '{"a":[1,2.5,true]}'),
        ({1: "a"}, '{"1":"a"}'),
        (Point(1, 2), '{"x":1,"y":2}'),
        (np.arange(3), "[0,1,2]"),
        (2**100, str(2**100)),
    ],
)
def test_results_are_text_or_json(result: Any, text: str) -> None:
    assert render_result(result) == text


def test_a_dataclass_that_came_as_an_argument_keeps_its_defaults() -> None:
    point = Documented.tools["move"].parse('{"to": {"x": 1}}')["to"]
    assert render_result([point]) == '[{"x":1,"y":0}]'


@pytest.mark.parametrize("result", [object(), {1, 2}, b"bytes", {"a": object()}])
def test_a_result_that_is_not_json_is_named(result: Any) -> None:
    with pytest.raises(ToolError, match=type(result).__name__):
        render_result(result)


def test_a_long_result_keeps_both_ends() -> None:
    text = render_result("a" + "x" * 50_000_000 + "z")
    assert text.startswith("a")
    assert text.endswith("z")
    assert len(text) < MAX_RESULT_CHARS + 100
    assert str(50_000_002 - MAX_RESULT_CHARS) in text


@given(st.recursive(st.text(st.characters(exclude_categories=())), lambda inner: st.lists(inner, max_size=3)))
def test_a_result_can_always_be_stored(result: Any) -> None:
    render_result(result).encode()


def test_a_tool_survives_pickling() -> None:
    made = Adder.tools["add"]
    again = pickle.loads(pickle.dumps(made))
    assert again.schema == made.schema
    assert again.parse('{"a": 1, "b": 2}') == made.parse('{"a": 1, "b": 2}')
    assert copy.deepcopy(made) is made
