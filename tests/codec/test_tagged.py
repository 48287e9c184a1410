"""Arguments between tags: what a template writes of them comes back, to the character."""

from __future__ import annotations

import json
from functools import cache
from typing import Annotated, Any, Literal

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from llmgym.codec import ChatCodec, RendererCodec, codec_for
from llmgym.codec import tagged as module
from llmgym.codec.formats import arguments_of
from llmgym.codec.tagged import tagged_arguments
from llmgym.messages import Message, ToolSchema, assistant, tool_call, user
from tests.codec import families
from tests.codec.conversations import values_of

pytest.importorskip("renderers")

FAMILIES = [
    name for name in families.MATRIX if name.startswith(("qwen3.5", "qwen3.6", "qwen3.8", "glm4moe", "nemotron"))
]


OTHERS = {  # families without a template in trl: their control tokens, that which ends a turn, what opens calls
    "minimax-m2": (
        "<|endoftext|> ]~b] ]~!b[ [e~[ <think> </think> <minimax:tool_call> </minimax:tool_call>", "[e~[",
        "<minimax:tool_call>",
    ),
    "hy3": (
        " ".join(
            [f"<｜{word}:opensource｜>" for word in ("hy_begin_of_sentence", "hy_eos", "hy_User", "hy_Assistant",
                                                     "reasoning_mode")]
            + [f"<{end}{word}:opensource>" for end in ("", "/") for word in
               ("think", "tool_calls", "tool_call", "arg_key", "arg_value", "tool_responses", "tool_response")]
        ) + " <tool_sep:opensource>", "<｜hy_eos:opensource｜>", "<tool_calls:opensource>",
    ),
    "laguna-xs.2": (
        "〈|EOS|〉 <|endoftext|> <system> </system> <user> </user> <assistant> </assistant> <think> </think> "
        "<tool_call> </tool_call> <tool_response> </tool_response>", "〈|EOS|〉", "<tool_call>",
    ),
}  # fmt: skip


class Place(msgspec.Struct):
    x: int


def schema(**kinds: Any) -> ToolSchema:
    """A tool with such parameters, described as llmgym's own are."""
    struct = msgspec.defstruct("look", list(kinds.items()))
    (_, components) = msgspec.json.schema_components([struct], ref_template="#/$defs/{name}")
    look = components.pop("look")
    parameters = {"type": "object", "properties": look["properties"], "$defs": components}
    return {"type": "function", "function": {"name": "look", "description": "Look.", "parameters": parameters}}


LOOK = schema(
    s=str, o=str | None, e=Literal["1", "true", "null", " "], n=int, f=float | None, b=bool, l=list[Any],
    d=dict[str, Any], p=Place, u=Place | str, a=Annotated[str, msgspec.Meta(max_length=99)], i=Literal[1, 2],
)  # fmt: skip
PROPERTIES = LOOK["function"]["parameters"]["properties"]
PROPERTIES["t"], PROPERTIES["x"] = {"type": ["string", "null"]}, {"oneOf": [{"type": "string"}, {"type": "null"}]}

PIECES = [
    " ", "  ", "\t", "\n", "\n\n", "\r\n", "\xa0", "\u200b", "90210", "007", "1.10", "true", "True", "null", "[1]",
    "{}", '"', "'", "<", ">", "</parameter>", "</arg_value>", "<parameter", "é", "word", "a</parameter>b", "\\n", "1e5",
]  # fmt: skip
STRINGS = st.lists(st.sampled_from(PIECES), max_size=4).map("".join)
# Templates write the same for None and for these; and for a string that spells an object, the same as for the object.
WORDS = STRINGS.filter(lambda text: text not in ("null", "None"))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | STRINGS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(STRINGS, inner, max_size=2),
    max_leaves=4,
)
PLACES = st.builds(lambda x: {"x": x}, st.integers())
ARGUMENTS = st.fixed_dictionaries({}, optional={
    "s": STRINGS, "a": STRINGS, "o": st.none() | WORDS, "t": st.none() | WORDS, "x": st.none() | WORDS,
    "e": st.sampled_from(["1", "true", "null", " "]), "n": st.integers(), "b": st.booleans(),
    "i": st.sampled_from([1, 2]),
    "f": st.none() | st.floats(allow_nan=False, allow_infinity=False), "l": st.lists(JSON, max_size=2),
    "d": st.dictionaries(STRINGS, JSON, max_size=2), "p": PLACES,
    "u": PLACES | STRINGS.filter(lambda text: not text.strip().startswith("{")),
})  # fmt: skip


def ambiguous(arguments: dict[str, Any]) -> bool:
    """Whether a value has what looks like the end of it, with what follows such an end."""
    ends = ("\n</parameter>", "</parameter>\n", "</arg_value>")
    return any(end in f"{value}\n" for value in arguments.values() if isinstance(value, str) for end in ends)


@cache
def codec_of(family: str) -> tuple[ChatCodec, Any, str]:
    """A codec, its tokenizer, and what calls begin with."""
    if family not in OTHERS:
        tokenizer = families.tokenizer(family)
        return codec_for(tokenizer), tokenizer, "<tool_call>"
    from renderers.configs import config_from_name

    tokens, eos, mark = OTHERS[family]
    tokenizer = families.build(tuple(tokens.split()), (), eos, None, None, "test")
    return RendererCodec(tokenizer, config_from_name(family)), tokenizer, mark


@pytest.mark.parametrize("family", [*FAMILIES, *OTHERS])
@example(several=[{"s": "", "u": '""'}])
@given(several=st.lists(ARGUMENTS.filter(lambda arguments: not ambiguous(arguments)), min_size=1, max_size=2))
@settings(suppress_health_check=[HealthCheck.filter_too_much])
def test_what_a_template_writes_comes_back(family: str, several: list[dict[str, Any]]) -> None:
    codec, tokenizer, mark = codec_of(family)
    said = assistant("", *(tool_call("look", json.dumps(arguments)) for arguments in several))
    results: list[Message] = [{"role": "tool", "content": "r"} for _ in several]
    whole = tokenizer.decode(codec.open([user("Where?"), said, *results], [LOOK]), skip_special_tokens=False)
    turn = mark + whole.partition("Where?")[2].partition(mark)[2]
    for stop in codec.stop_token_ids:
        turn = turn.partition(tokenizer.decode([stop]))[0]
    ids = tokenizer.encode(turn, add_special_tokens=False)
    message = codec.parse(ids, codec.open([user("Where?")], [LOOK]), [LOOK])
    assert values_of(message) == [("look", arguments) for arguments in several]


def read(text: str, name: str = "look", number: int = 0) -> Any:
    arguments = tagged_arguments(text, name, number, [LOOK])
    return arguments if arguments is None else json.loads(arguments)


def qwen(key: str, value: str) -> str:
    return f"\n<function=look>\n<parameter={key}>\n{value}\n</parameter>\n</function>\n"


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("o", "90210", "90210"), ("o", "1.10", "1.10"), ("o", "true", "true"), ("o", "null", None), ("o", "None", None),
        ("s", "null", "null"), ("s", "  return  ", "  return  "), ("s", "a</parameter>b", "a</parameter>b"),
        ("s", "", ""), ("e", "1", "1"), ("i", "1", 1), ("n", " 5 ", 5), ("n", "5.0", 5.0), ("n", "1_000", "1_000"),
        ("b", "True", True), ("b", "false", False), ("b", "1", True), ("b", "yes", "yes"), ("f", "None", None),
        ("l", "['a']", "['a']"), ("l", '["a"]', ["a"]), ("d", '{"a": NaN}', '{"a": NaN}'),
        ("u", '{"x": 1}', {"x": 1}), ("u", "x", "x"), ("u", "[1]", "[1]"),
        ("unknown", "5", 5), ("unknown", "x y", "x y"),
    ],
)  # fmt: skip
def test_the_schema_says_what_is_a_string(key: str, text: str, value: Any) -> None:
    assert read(qwen(key, text)) == {key: value}
    assert read(f"look\n<arg_key>{key}</arg_key>\n<arg_value>{text}</arg_value>\n") == {key: value}
    assert read(f'<invoke name="look">\n<parameter name="{key}">{text}</parameter>\n</invoke>') == {key: value}


def test_numbers_keep_their_digits() -> None:
    digits = "123456789012345678901234567890"
    assert tagged_arguments(qwen("n", digits), "look", 0, [LOOK]) == f'{{"n": {digits}}}'
    assert tagged_arguments(qwen("f", "1.10"), "look", 0, [LOOK]) == '{"f": 1.10}'


def test_each_call_of_a_block_has_its_own_arguments() -> None:
    block = '<invoke name="look"><parameter name="s">a</parameter></invoke>\n<invoke name="other">\n' \
        '<parameter name="s"> b</parameter></invoke>'  # fmt: skip
    assert read(block) == {"s": "a"}
    assert read(block, "other", 1) == {"s": " b"}
    assert read(block, "look", 1) is read(block, "look", 2) is None


@pytest.mark.parametrize(
    "raw",
    ["", "look", '{"name": "look", "arguments": {"s": "<parameter=s>\\n1\\n</parameter>"}}',
     "<function=look>\n</function>", "call:look{s:<parameter=s>1</parameter>}"],
)  # fmt: skip
def test_what_is_not_between_tags_is_left_to_others(raw: str) -> None:
    assert read(raw) is None


@pytest.mark.parametrize(
    "raw",
    [
        "<function=look>\n<parameter=s>\nopen",
        "<function=look>\n<parameter=n>\n1\n</parameter>\n<parameter=s>\nopen\n</function>",
        "<function=look>\n<parameter=n>\n1\n</parameter>\n</function>\n<function=look>\n</function>",
        "<function=look>\n<parameter=n>\n1\n</parameter>\nso\n<parameter=s>\nx\n</parameter>\n</function>",
        "look\n<arg_key>n</arg_key>\n<arg_value>1</arg_value>\n<arg_key>s</arg_key>\n<arg_value>open",
        '<parameter name="n">1</parameter>\n<parameter name="s">open',
    ],
)
def test_what_is_read_in_part_alone_is_no_call(raw: str) -> None:
    """It would be another call than the model wrote."""
    assert tagged_arguments(raw, "look", 0, [LOOK]) == raw


@pytest.mark.parametrize("family", [*FAMILIES, *OTHERS])
def test_a_call_that_breaks_off_is_told_to_the_model(family: str) -> None:
    codec, tokenizer, mark = codec_of(family)
    said = assistant("", tool_call("look", n=1, s="qzsaidqz"))
    whole = tokenizer.decode(codec.open([user("Where?"), said, {"role": "tool", "content": "r"}], [LOOK]))
    turn = mark + whole.partition("Where?")[2].partition(mark)[2]
    before, _, after = turn.partition("qzsaidqz")
    close = after[: after.index(">") + 1]  # of the last argument
    for text in (turn, f"{before}qzsaidqz{after.removeprefix(close)}"):
        text = text[: min(text.find(stop) for i in codec.stop_token_ids if (stop := tokenizer.decode([i])) in text)]
        ids = tokenizer.encode(text, add_special_tokens=False)
        message = codec.parse(ids, codec.open([user("Where?")], [LOOK]), [LOOK])
        (call,) = message.get("tool_calls", [])
        assert (arguments_of(call) == {"n": 1, "s": "qzsaidqz"}) == (text in turn)
        assert (arguments_of(call) is None) == (text not in turn)


@pytest.mark.parametrize(
    ("family", "opened", "closed"),
    [
        ("qwen3.5-think", "<tool_call>\n", "\n</tool_call>"),
        ("nemotron-3-nano", "<tool_call>", "</tool_call>"),
        ("glm4moe", "<tool_call>", "</tool_call>"),
        ("gemma4-v5", "<|tool_call>", "<tool_call|>"),
        ("lfm2.5", "<|tool_call_start|>", "<|tool_call_end|>"),
    ],
)
def test_json_is_a_call_in_every_family(family: str, opened: str, closed: str) -> None:
    """It is what a model is told to write where its call was none."""
    tokenizer = families.tokenizer(family)
    codec = codec_for(tokenizer)
    prompt = codec.open([user("Where?")], [LOOK])
    thought = "</think>\n\n" * tokenizer.decode(prompt[-8:]).rstrip().endswith("<think>")
    text = f'{thought}{opened}{{"name": "look", "arguments": {{"s": "90210"}}}}{closed}'
    message = codec.parse(tokenizer.encode(text, add_special_tokens=False), prompt, [LOOK])
    assert values_of(message) == [("look", {"s": "90210"})]


def test_schemas_say_types_in_many_ways() -> None:
    def types(schema: Any, **root: Any) -> set[str]:
        return module._types(schema, root)

    assert types({"type": ["string", "null"]}) == {"string", "null"}
    assert types({"enum": ["a", None, 1.5]}) == {"string", "null", "number"}
    assert types({"const": True}) == {"boolean"}
    assert types({"$ref": "#/$defs/A"}, **{"$defs": {"A": {"type": "object"}}}) == {"object"}
    assert types({"anyOf": [{"type": "string"}, {"oneOf": [{"enum": [1]}]}]}) == {"string", "integer", "number"}
    nothing = [None, {}, {"anyOf": [{}, {"type": "null"}]}, {"$ref": "#/a/b"}, {"$ref": "#/loop"}, {"enum": []}]
    for schema in nothing:
        assert types(schema, loop={"$ref": "#/loop"}) == set()


@pytest.mark.parametrize(
    "parameters",
    [
        None, [], "x", {}, {"properties": None}, {"properties": []}, {"properties": {"a": None}},
        {"properties": {"a": True}}, {"properties": {"a": {"type": [{}]}}}, {"properties": {"a": {"enum": 5}}},
        {"properties": {"a": {"$ref": "#/none"}}},
    ],
)  # fmt: skip
@pytest.mark.parametrize("family", ["qwen3.5-think", "glm4moe"])
def test_a_schema_that_is_none_costs_no_call(family: str, parameters: Any) -> None:
    codec, tokenizer = codec_for(families.tokenizer(family)), families.tokenizer(family)
    written = {
        "qwen3.5-think": "<tool_call>\n<function=now>\n<parameter=a>\n5\n</parameter>\n</function>\n</tool_call>",
        "glm4moe": "<tool_call>now\n<arg_key>a</arg_key>\n<arg_value>5</arg_value>\n</tool_call>",
    }[family]
    tools: Any = [{"type": "function", "function": {"name": "now", "description": "", "parameters": parameters}}]
    found = codec.parse(tokenizer.encode(f"x</think>{written}", add_special_tokens=False), (), tools)
    assert [call["function"]["arguments"] for call in found.get("tool_calls", ())] == ['{"a": 5}']
