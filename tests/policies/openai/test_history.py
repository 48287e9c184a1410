from __future__ import annotations

import copy
import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgym.messages import Message, assistant, system, tool_call, user
from llmgym.policies.openai.history import EMPTY_CONTENT, NO_REASONING, NULL_CONTENT, SEVERAL_CALLS, Mender


def call(arguments: str, name: str = "add", **fields: Any) -> Any:
    return {"id": "c1", "type": "function", "function": {"name": name, "arguments": arguments}} | fields


def result(content: str = "3", call_id: str | None = "c1", name: str = "add") -> Message:
    message: Message = {"role": "tool", "content": content, "name": name}
    return message if call_id is None else {**message, "tool_call_id": call_id}


def sent(*messages: Message, refused: Any = ()) -> list[dict[str, Any]]:
    return Mender({"add", "a.b"}, refused, {}).mend(messages)


@pytest.mark.parametrize(
    "arguments", ['{"a": 1,  "a": 2}', "{}", ' {"é": "\\n"}', '{"a": 123456789012345678901234567890}']
)
def test_arguments_that_everybody_reads_are_sent_as_written(arguments: str) -> None:
    (message,) = sent(assistant("", call(arguments)))
    assert message["tool_calls"] == [call(arguments)]


@pytest.mark.parametrize(
    "arguments",
    ['{"a": 1', "", "3", "[1]", "null", '"text"', "{}{}", "{'a': 1}", '{"a": NaN}', '{"a": "\n"}', '{"a": "\\ud800"}',
     '{"a": "\ud800"}', '{"a":' * 3000, '{"a":' * 3000 + "1" + "}" * 3000, '{"a": 1e999}', "\ufeff{}"],
)  # fmt: skip
def test_other_arguments_are_quoted_in_an_object(arguments: str) -> None:
    (message,) = sent(assistant("", call(arguments)))
    text = message["tool_calls"][0]["function"]["arguments"]
    text.encode()
    expected = {"invalid_arguments": arguments.replace("\ud800", "\ufffd")} if arguments else {}
    assert json.loads(text) == expected


@pytest.mark.parametrize(
    ("name", "name_sent"),
    [("add", "add"), ("a.b", "a.b"), ("unknown-tool_2", "unknown-tool_2"), ("functions.add", "functions_add"),
     ("", "unnamed"), ("a b\n", "a_b_"), ("größe", "gr__e"), ("x" * 65, "x" * 64), ("\ud800", "_")],
)  # fmt: skip
def test_names_are_mended_in_the_call_and_its_result(name: str, name_sent: str) -> None:
    message, answer = sent(assistant("", call("{}", name)), result(name=name))
    assert message["tool_calls"][0]["function"]["name"] == name_sent
    assert answer == {"role": "tool", "tool_call_id": "c1", "name": name_sent, "content": "3"}


def test_ids_are_there_and_pair_calls_with_results() -> None:
    first = assistant("", tool_call("add", a=1), tool_call("add", a=2), call("{}", id="x"), call("{}", id="x"))
    answers = [result("1", None), result("2", None), result("3", "x"), result("4", "x")]
    message, *tools = sent(user("hi"), first, *answers)[1:]
    ids = [made["id"] for made in message["tool_calls"]]
    assert ids == ["c00001000", "c00001001", "x", "c00001003"]
    assert [(made["tool_call_id"], made["content"]) for made in tools] == list(zip(ids, "1234", strict=True))


def test_a_result_whose_call_had_no_id_takes_the_id_that_is_sent() -> None:
    message, answer = sent(assistant("", tool_call("add")), result("3", "call_0_0"))
    assert answer["tool_call_id"] == message["tool_calls"][0]["id"] == "c00000000"


def test_a_result_of_nothing_stays() -> None:
    assert sent(result("3", "y")) == [{"role": "tool", "tool_call_id": "y", "content": "3"}]


def test_forms_that_servers_take() -> None:
    thought: Message = {**assistant("", call("{}")), "reasoning_content": "hm"}
    conversation = [
        system("s"),
        user(""),
        thought,
        result(""),
        assistant(""),
        {**assistant("x"), "reasoning_content": "y"},
    ]
    called = {"role": "assistant", "tool_calls": [call("{}")]}
    answer = {"role": "tool", "tool_call_id": "c1", "name": "add"}

    def forms(*refused: str) -> list[dict[str, Any]]:
        return sent(*conversation, refused=refused)[1:]  # type: ignore[arg-type]

    assert forms() == [
        user(""), {**called, "content": None}, {**answer, "content": ""}, assistant(""), assistant("x")
    ]  # fmt: skip
    assert forms(NULL_CONTENT)[1] == {**called, "content": ""}
    assert forms(EMPTY_CONTENT) == [
        user("(empty)"), {**called, "content": None}, {**answer, "content": "(empty)"}, assistant("(empty)"),
        assistant("x"),
    ]  # fmt: skip
    assert forms(EMPTY_CONTENT, NULL_CONTENT)[1] == {**called, "content": "(empty)"}
    assert [message.get("reasoning_content") for message in forms(NO_REASONING)] == [None, "hm", None, "", "y"]


def test_several_calls_become_messages_of_their_own() -> None:
    calls = [call("{}", id="a"), call("{}", id="b"), call("{}", id="c")]
    conversation = [user("hi"), assistant("text", *calls), result("2", "b"), result("1", "a"), user("on"),
                    assistant("", call("{}", id="a")), result("4", "a")]  # fmt: skip
    found = sent(*conversation, refused={SEVERAL_CALLS})
    assert [(m["role"], m["content"], [c["id"] for c in m.get("tool_calls", ())]) for m in found] == [
        ("user", "hi", []),
        ("assistant", "text", ["a"]), ("tool", "1", []),
        ("assistant", None, ["b"]), ("tool", "2", []),
        ("assistant", None, ["c"]),
        ("user", "on", []),
        ("assistant", None, ["a"]), ("tool", "4", []),
    ]  # fmt: skip


TEXT = st.text(max_size=6) | st.sampled_from(["{}", '{"a": 1}', "add", "\ud800", "c1"])
CALLS = st.lists(
    st.fixed_dictionaries(
        {"function": st.fixed_dictionaries({"name": TEXT, "arguments": TEXT})},
        optional={"id": TEXT, "type": st.just("function")},
    ),
    max_size=3,
)
TURN = st.tuples(TEXT, CALLS, TEXT, st.booleans())


@given(st.lists(TURN, max_size=4), st.sets(st.sampled_from([NULL_CONTENT, EMPTY_CONTENT, NO_REASONING, SEVERAL_CALLS])))
def test_any_history_is_one_that_strict_servers_take(turns: list[Any], refused: set[str]) -> None:
    messages: list[Any] = [user("hi")]
    for content, calls, said, named in turns:
        messages.append({"role": "assistant", "content": content, **({"tool_calls": calls} if calls else {})})
        messages += [
            {"role": "tool", "content": said, **({"tool_call_id": made["id"]} if named and made.get("id") else {})}
            for made in calls
        ]
        messages.append(user(said))
    before = copy.deepcopy(messages)
    found = Mender((), refused, {}).mend(messages)
    assert messages == before
    json.dumps(found, ensure_ascii=False).encode()
    asked: list[str] = []
    for message in found:
        if message["role"] == "tool":
            assert message["tool_call_id"] in asked
            asked.remove(message["tool_call_id"])
        else:
            assert not asked, "a call without its result"
        for made in message.get("tool_calls", ()):
            assert re.fullmatch("[a-zA-Z0-9_-]{1,64}", made["function"]["name"])
            assert isinstance(json.loads(made["function"]["arguments"]), dict)
            asked.append(made["id"])
        assert len(set(asked)) == len(asked)
        assert SEVERAL_CALLS not in refused or len(message.get("tool_calls", ())) < 2
        if message["content"] is None:
            assert message["tool_calls"]
            assert NULL_CONTENT not in refused
        elif not message["content"]:
            assert EMPTY_CONTENT not in refused
    for end in range(len(messages)):  # what was sent stays as it was
        earlier = Mender((), refused, {}).mend(messages[: end + 1])
        if SEVERAL_CALLS not in refused:
            assert found[: len(earlier)] == earlier
