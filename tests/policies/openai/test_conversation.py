from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgym.messages import Message, assistant, tool_call, user
from llmgym.policies.openai import conversation
from llmgym.policies.openai.chat_completions import write
from llmgym.policies.openai.conversation import Conversations
from llmgym.policies.openai.history import EMPTY_CONTENT, NULL_CONTENT, SEVERAL_CALLS, Kept, Mender

NAMES = frozenset({"add"})


def decoded(parts: list[msgspec.Raw]) -> list[Any]:
    return [msgspec.json.decode(part) for part in parts]


TURNS = st.lists(
    st.tuples(st.sampled_from(["", "x", "é\ud800"]), st.lists(st.sampled_from(["{}", "{", '{"a": 1}']), max_size=2)),
    max_size=5,
)
REFUSED = st.frozensets(st.sampled_from([NULL_CONTENT, EMPTY_CONTENT, SEVERAL_CALLS]))


@given(TURNS, st.lists(REFUSED, min_size=6, max_size=6))
def test_what_grows_is_what_is_written_at_once(turns: list[Any], refused: list[frozenset[str]]) -> None:
    conversations = Conversations(write)
    messages: list[Message] = [user("hi")]
    for (content, calls), out in zip([("", []), *turns], refused, strict=False):
        given_calls = [tool_call("add", text) for text in calls]
        messages += [
            assistant(content, *given_calls),
            *({"role": "tool", "content": content, "name": "add"} for _ in calls),
        ]
        messages.append(user("on"))
        found = conversations.parts("s", [message.copy() for message in messages], NAMES, out)
        assert decoded(found) == Mender(NAMES, out, {}).mend(messages)


def test_a_history_that_was_changed_is_written_anew() -> None:
    conversations = Conversations(write)
    first = [user("a"), assistant("b"), user("c")]
    conversations.parts("s", first, NAMES, frozenset())
    for other in ([user("x"), assistant("b"), user("c"), user("d")], [user("a"), assistant("b")], first):
        assert decoded(conversations.parts("s", list(other), NAMES, frozenset())) == other


def test_what_the_server_wants_back_is_with_its_reply_alone() -> None:
    conversations = Conversations(write)
    message = assistant("b", tool_call("add", "{}"), tool_call("add", "{}"))
    fields = {"reasoning_details": [{"data": "x"}], "tool_calls": [{}, {"extra_content": {"google": 1}}]}
    conversations.keep("s", 1, Kept(message, fields))
    named = assistant("b", tool_call("add", "{}", "c1"), tool_call("add", "{}", "c2"))
    for refused in (frozenset[str](), frozenset({NULL_CONTENT})):
        sent = decoded(conversations.parts("s", [user("a"), named, user("c")], NAMES, refused))[1]
        assert sent["reasoning_details"] == [{"data": "x"}]
        assert [call.get("extra_content") for call in sent["tool_calls"]] == [None, {"google": 1}]
    other = decoded(conversations.parts("s", [user("a"), assistant("z"), user("c")], NAMES, frozenset()))
    assert other[1] == assistant("z")


def test_calls_of_which_the_server_wants_nothing_back_stay() -> None:
    """Some came as `tool_calls`, others as parts of the content."""
    conversations = Conversations(write)
    message = assistant("", tool_call("add", "{}", "c1"), tool_call("add", "{}", "c2"))
    conversations.keep("s", 1, Kept(message, {"tool_calls": [{"extra_content": 1}]}))
    sent = decoded(conversations.parts("s", [user("a"), message, user("c")], NAMES, frozenset()))[1]
    assert [(call["id"], call.get("extra_content")) for call in sent["tool_calls"]] == [("c1", 1), ("c2", None)]


def test_what_the_server_wants_back_goes_along_where_older_messages_are_left_out() -> None:
    conversations = Conversations(write)
    messages = [user("go")]
    for turn in range(4):
        reply = assistant("", tool_call("add", "{}" if turn != 2 else '{"a": 2}'))
        conversations.parts("s", messages.copy(), NAMES, frozenset())
        conversations.keep("s", len(messages), Kept(reply, {"tool_calls": [{"extra_content": turn}]}))
        messages += [reply, {"role": "tool", "content": "3", "name": "add"}]

    def signatures(shown: list[Message]) -> list[Any]:
        sent = decoded(conversations.parts("s", shown, NAMES, frozenset()))
        return [call["extra_content"] for message in sent for call in message.get("tool_calls", ())]

    assert signatures(messages.copy()) == [0, 1, 2, 3]
    assert signatures([user("go"), *messages[3:]]) == [1, 2, 3]
    assert signatures([user("go"), *messages[5:]]) == [2, 3]


def test_the_oldest_are_forgotten_where_there_is_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversation, "_ROOM", 1000)
    conversations = Conversations(write)
    for number in range(50):
        messages = [user("x" * 100), assistant("b"), user(str(number))]
        assert decoded(conversations.parts(str(number), messages, NAMES, frozenset())) == messages
        assert conversations._size <= 1000
    assert 0 < len(conversations._known) < 10


def test_a_first_turn_is_not_remembered() -> None:
    conversations = Conversations(write)
    conversations.parts("s", [user("a"), user("b")], NAMES, frozenset())
    assert not conversations._known
