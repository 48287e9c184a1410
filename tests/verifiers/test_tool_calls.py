from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgym.errors import TaskError
from llmgym.messages import ToolCall, assistant, tool_call
from llmgym.verifiers import tool_calls
from llmgym.verifiers.tool_calls import check, fits, from_bfcl, prove, write_calls
from tests.verifiers.test_trees import trees

ONE = {"name": "f", "arguments": {"n": 1}}
TWO = {"name": "f", "arguments": {"n": 2}}
WIDE = {"name": "f", "arguments": {"n": {"$any": [1, 2]}}}


def calls(*numbers: int) -> list[ToolCall]:
    return [tool_call("f", n=number) for number in numbers]


@pytest.mark.parametrize("made", [(1, 2), (2, 1)])
@pytest.mark.parametrize("reference", [[WIDE, ONE], [ONE, WIDE]])
def test_calls_that_can_be_paired_are_whatever_their_order(made: tuple[int, ...], reference: list[Any]) -> None:
    assert check(assistant("", *calls(*made)), reference, mode="order_free")
    assert check(assistant("", *calls(*made)), reference, mode="subset")
    assert check(assistant("", *calls(*made)), reference, mode="f1")


@pytest.mark.parametrize(
    ("made", "mode", "score"),
    [
        ((1, 2), "exact", 1),
        ((2, 1), "exact", 0),
        ((2, 1), "order_free", 1),
        ((1,), "exact", 0),
        ((1,), "order_free", 0),
        ((1,), "subset", 0),
        ((1,), "f1", 2 / 3),
        ((1, 2, 3), "exact", 0),
        ((1, 2, 3), "order_free", 0),
        ((3, 2, 1), "subset", 1),
        ((1, 2, 3), "f1", 0.8),
        ((1, 1), "order_free", 0),
        ((1, 1), "f1", 0.5),
        ((3, 4), "f1", 0),
    ],
)
def test_modes(made: tuple[int, ...], mode: tool_calls.Mode, score: float) -> None:
    verdict = check(assistant("", *calls(*made)), [ONE, TWO], mode=mode)
    assert verdict.score == pytest.approx(score)
    assert verdict.metrics["calls"] == len(made)


def test_arguments_may_be_an_object_as_chat_templates_have_them() -> None:
    for role, score in (("assistant", 1), ("user", 0)):
        call = {"type": "function", "function": ONE}
        made: Any = {"role": role, "content": [{"type": "text", "text": "I look."}], "tool_calls": [call]}
        assert check(made, [ONE]).score == score
        assert check(made, [TWO]).score == 0


def test_where_no_call_is_right_a_message_must_say_something() -> None:
    for mode in ("exact", "order_free", "subset", "f1"):
        assert check("I have no tool for that.", [], mode=mode)
        assert check(assistant("So:", *calls(1)), [], mode=mode).reason == "wrong"
    assert check(" ", []).reason == "no_answer"
    assert check("f(n=1)", [ONE]).reason == "no_answer"


@pytest.mark.parametrize(
    ("value", "wanted", "same"),
    [
        (1.0, 1, True),
        (True, 1, False),
        (1, True, False),
        ("1", 1, False),
        (None, {"$optional": 1}, False),
        (2, {"$any": [1, 2]}, True),
        ([2, 1], [1, 2], False),
        ([2, 1], {"$unordered": [1, 2]}, True),
        ([1, 1], {"$unordered": [1, 2]}, False),
        ([1, 2], {"$unordered": [{"$any": [1, 2]}, 1]}, True),
        ("  NEW york", {"$text": "New York"}, True),
        ("  NEW york", "New York", False),
        ({"a": 1}, {"a": 1, "b": {"$optional": 2}}, True),
        ({"a": 1, "b": 2}, {"a": 1, "b": {"$optional": 2}}, True),
        ({"a": 1, "b": 3}, {"a": 1, "b": {"$optional": 2}}, False),
        ({"a": 1, "c": 2}, {"a": 1, "b": {"$optional": 2}}, False),
        ({}, {"a": 1}, False),
        ({"a": [{"b": 1}]}, {"a": [{"b": {"$any": [1]}}]}, True),
        (123456789012345678901234567890, 123456789012345678901234567891, False),
    ],
)
def test_values(value: object, wanted: object, same: bool) -> None:
    assert fits(value, wanted) is same


def test_options_of_values() -> None:
    assert fits(1.01, 1, tolerance=0.02)
    assert not fits(1.03, 1, tolerance=0.02)
    assert fits("ＡＢ  c", "ab C", strings="normalized")
    assert not fits("1.5", "15", strings="normalized")
    assert fits("San Francisco, CA", "san francisco ca", strings="bfcl")
    assert fits("1.5", "15", strings="bfcl")  # its weak point
    assert fits("it's", 'it"s', strings="bfcl")


@pytest.mark.parametrize("text", ['{"n": 1', '{"n": 1, "n": 1}', "[1]", "NaN", '{"n": 1e999}', "{'n': 1}", "null"])
def test_arguments_that_are_no_object_fit_nothing(text: str) -> None:
    verdict = check(assistant("", tool_call("f", text)), [ONE])
    assert (verdict.score, verdict.reason) == (0, "unparsable")
    assert verdict.metrics == {"calls": 1, "unparsable": 1, "matched": 0}


def test_a_call_without_arguments_and_text_as_models_write_it() -> None:
    assert check(assistant("", tool_call("f", "")), [{"name": "f"}])
    assert check('<tool_call>{"name": "f", "arguments": {"n": 1}}</tool_call>', [ONE])
    assert check('<tool_call>{"name": "f", "arguments": {"n": </tool_call>', [ONE]).reason == "unparsable"


def test_what_is_no_message_or_too_long_is_wrong() -> None:
    assert check({"role": "assistant", "content": 3}, []).reason == "unparsable"  # type: ignore[typeddict-item]
    assert check(assistant("", tool_call("f", "1" * 70_000)), [ONE]).reason == "too_long"
    assert check(assistant("a" * 70_000), []).reason == "too_long"


@pytest.mark.parametrize(
    ("reference", "why"),
    [
        ("f", "right calls are a list"),
        ([{"f": {}}], "has a `name`"),
        ([{"name": "f", "arguments": [1]}], "an object by parameter"),
        ([{"name": "f", "arguments": {"$any": [1]}}], "an object by parameter"),
        ([{"name": "f", "arguments": {"a": {"$any": []}}}], r"\$any takes a list"),
        ([{"name": "f", "arguments": {"a": {"$unordered": 3}}}], r"\$unordered takes a list"),
        ([{"name": "f", "arguments": {"a": {"$text": 3}}}], r"\$text takes a text"),
        ([{"name": "f", "arguments": {"a": {"$anyof": [1]}}}], "'.anyof' is none of"),
        ([{"name": "f", "arguments": {"a": float("nan")}}], "a number is too large"),
    ],
)
def test_references_that_cannot_be_matched_are_found(reference: Any, why: str) -> None:
    with pytest.raises(TaskError, match=why):
        prove(reference)
    verdict = check("x", reference)
    assert (verdict.score, verdict.reason) == (None, "invalid_reference")


def test_options_that_there_are_not() -> None:
    with pytest.raises(ValueError, match="'sorted' is none of exact, order_free"):
        check("x", [], mode="sorted")  # type: ignore[arg-type]


def test_references_of_bfcl() -> None:
    reference = from_bfcl(
        [{"f": {"city": ["Paris", "Paris, FR"], "unit": ["C", ""], "at": [{"x": [1, 2], "y": [""]}]}}]
    )
    prove(reference)
    right = [
        {"city": "paris fr", "at": {"x": 2}},
        {"city": "Paris", "unit": "c", "at": {"x": 1}},
    ]
    for arguments in right:
        assert check(assistant("", tool_call("f", json.dumps(arguments))), reference, strings="bfcl")
    for arguments in ({"city": "Paris"}, {"city": "Rome", "at": {"x": 1}}, {"city": "Paris", "at": {"x": 1, "z": 1}}):
        assert not check(assistant("", tool_call("f", json.dumps(arguments))), reference, strings="bfcl")
    number = from_bfcl([{"f": {"n": [1, ""]}}])
    assert [bool(check(assistant("", tool_call("f", text)), number)) for text in ("{}", '{"n": 1}', '{"n": ""}')] == [
        1,
        1,
        0,
    ]
    for wrong in ([{"f": {"a": 1}}], [{"f": {"a": [1]}, "g": {}}], [{"f": {"a": []}}], ["f"]):
        with pytest.raises(ValueError, match="BFCL"):
            from_bfcl(wrong)  # type: ignore[list-item]


arguments = st.dictionaries(
    st.text(st.characters(exclude_characters="$", exclude_categories=("Cs",))), trees, max_size=3
)
references = st.lists(
    st.fixed_dictionaries({"name": st.sampled_from("fg"), "arguments": arguments}), min_size=1, max_size=4
)


@given(references)
def test_right_calls_fit_themselves_in_any_mode(reference: list[dict[str, Any]]) -> None:
    try:
        prove(reference)
    except TaskError:
        return  # a key that begins with `$` somewhere inside
    made = write_calls(reference)
    for mode in ("exact", "order_free", "subset", "f1"):
        assert check(assistant("", *made), reference, mode=mode)
    for mode in ("order_free", "subset", "f1"):
        assert check(assistant("", *made[::-1]), reference, mode=mode)
    assert check(assistant("", *made, tool_call("h")), reference, mode="exact").score == 0


@given(st.text(), st.text())
def test_no_text_raises(content: str, text: str) -> None:
    for answer in (content, assistant(content, tool_call("f", text)), f"<tool_call>{content}"):
        assert check(answer, [ONE]).score is not None
        assert check(answer, []).score is not None
