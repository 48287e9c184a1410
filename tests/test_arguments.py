"""Arguments: what the schema that a model is shown accepts is what is read."""

from __future__ import annotations

import json
from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated, Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgym.arguments import ArgumentDecoder
from llmgym.env import ToolEnv
from llmgym.errors import ToolError
from llmgym.tools import tool

jsonschema = pytest.importorskip("jsonschema")

Cents = Annotated[float, msgspec.Meta(multiple_of=0.01, ge=0, description="Money.")]


@dataclass
class Point:
    x: int
    y: float = 0.0


KINDS: dict[str, Any] = {
    "n": int, "f": float, "b": bool, "s": str, "l": Literal[1, 2, "a"], "o": int | None, "p": Point, "u": int | str,
    "cents": Cents, "maybe": Cents | None, "prices": list[Cents], "by_name": dict[str, Cents], "set": set[int],
    "words": frozenset[str], "pair": tuple[int, Cents], "either": list[Cents] | str, "sets": list[set[int | bool]],
    "short": Annotated[str, msgspec.Meta(max_length=2)], "few": Annotated[list[int], msgspec.Meta(max_length=2)],
    "even": Annotated[int, msgspec.Meta(multiple_of=2, ge=-4)], "any": Any, "points": list[Point] | None,
    "price": Cents | Literal["free"],
}  # fmt: skip
DECODER = ArgumentDecoder("f", [(name, kind, None) for name, kind in KINDS.items()])

NUMBERS = st.sampled_from(
    ["0", "1", "1.0", "2", "1e2", "-0.0", "3.5", "0.07", "19.99", "19.999", "5", "0.1", "-0.01", "1e-7"]
)
SCALARS = NUMBERS | st.integers().map(str) | st.sampled_from(["true", "null", '"a"', '"abc"', '"1"', '""'])
TEXTS = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]")
        | st.dictionaries(st.sampled_from(["x", "y", "z"]), inner, max_size=3).map(
            lambda items: "{" + ", ".join(f'"{name}": {item}' for name, item in items.items()) + "}"
        )
    ),
    max_leaves=5,
)


def multiple_of(_: Any, multiple: float, value: Any, __: Any) -> Any:
    """As written: jsonschema divides floats, of which few are multiples of 0.01."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if number and (Fraction(str(value)) / Fraction(str(multiple))).denominator != 1:
        yield jsonschema.ValidationError("no multiple")


VALIDATOR: Any = jsonschema.validators.extend(jsonschema.Draft202012Validator, {"multipleOf": multiple_of})


@given(st.sampled_from(sorted(KINDS)), TEXTS)
def test_what_the_schema_accepts_is_what_is_read(name: str, text: str) -> None:
    arguments = f'{{"{name}": {text}}}'
    accepts = VALIDATOR(DECODER.schema).is_valid(json.loads(arguments))
    try:
        found = DECODER.decode(arguments)
    except msgspec.ValidationError:
        assert not accepts
    else:
        assert accepts
        assert len(found) == len(KINDS)


class Shop(ToolEnv):
    """Tools that take numbers."""

    @tool
    def buy(self, amount: Cents, count: int = 1, floor: Literal[1, 2] = 1, tags: set[int] | None = None) -> str:
        """Buy."""
        return f"{amount}"


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ('{"amount": 19.99}', {"amount": 19.99}),
        ('{"amount": 5, "count": 1e2, "floor": 2.0}', {"amount": 5.0, "count": 100, "floor": 2}),
        ('{"amount": 0.07, "tags": [1.0, 2]}', {"amount": 0.07, "tags": {1, 2}}),
        ('{"amount": 0, "count": 1e22}', {"amount": 0.0, "count": 10**22}),
    ],
)
def test_numbers_are_what_json_schema_calls_them(arguments: str, found: dict[str, Any]) -> None:
    read = Shop.tools["buy"].parse(arguments)
    assert read == {"count": 1, "floor": 1, "tags": None, **found}
    assert all(type(read[name]) is type(value) for name, value in found.items())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ('{"amount": 19.999}', r"Expected a multiple of 0.01 - at `\$.amount`"),
        ('{"amount": 1, "tags": [1, 1.0]}', r"Expected no item twice - at `\$.tags`"),
        ('{"amount": 1, "count": 1.5}', r"Expected `int`, got `float` - at `\$.count`"),
        ('{"amount": 1, "floor": 3.0}', r"Invalid enum value 3 - at `\$.floor`"),
        ('{"amount": -0.01}', r"Expected `float` >= 0"),
        ('{"amount": 1.0, "count": "x"} x', r"Expected `int`, got `str`"),
        ('{"amount": ' + "1" * 5000 + "}", r"at `\$.amount`"),
    ],
)
def test_what_is_wrong_is_said(arguments: str, says: str) -> None:
    with pytest.raises(ToolError, match=f"invalid arguments for buy: .*{says}"):
        Shop.tools["buy"].parse(arguments)


def test_the_schema_is_as_the_types_say() -> None:
    amount = Shop.tools["buy"].schema["function"]["parameters"]["properties"]["amount"]
    assert amount == {"type": "number", "multipleOf": 0.01, "minimum": 0, "description": "Money."}
