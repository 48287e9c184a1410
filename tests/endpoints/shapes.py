"""What a row of the conformance table is: what an endpoint answers, who answers so, and what llmgym must make of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.endpoints.server import Answer, completion, reply, says

Message = dict[str, Any]
Check = Callable[[dict[str, Any]], Any]


@dataclass(frozen=True)
class End:
    """What becomes of an episode.

    Attributes:
        status: Of the episode.
        reward: Of the episode; None where it is not scored.
        kind: Of its failure.
        calls: Of tools, that went well.
    """

    status: str
    reward: float | None
    kind: str | None = None
    calls: int = 0


RIGHT = End("completed", 1.0)
CALLED = End("completed", 1.0, calls=1)
TWICE = End("completed", 1.0, calls=2)
WRONG = End("completed", 0.0)
CUT = End("max_tokens", 0.0)
FULL = End("context_length", 0.0, calls=1)
LOST = End("policy_error", None, "policy")
AWAY = End("policy_error", None, "policy_unavailable")

SAID: Message = {"role": "assistant", "content": "$answer"}
FUNCTION = {"name": "$tool", "arguments": '{"a": $a, "b": $b}'}
OBJECT = {"name": "$tool", "arguments": {"a": "$a", "b": "$b"}}
ANSWER = {"content": "$answer"}


def call(function: Any = None, **fields: Any) -> dict[str, Any]:
    """The call that is right, with other fields."""
    return {"id": "c1", "type": "function", "function": FUNCTION if function is None else function} | fields


def calls(*given: Any, reason: Any = "tool_calls", **message: Any) -> Answer:
    """A reply with calls."""
    return says({"content": None, "tool_calls": list(given), **message}, reason)


def calling(id: str = "call_0_0", content: str = "", **function: str) -> Message:
    """The message of a reply with one call, as it is read; where a call has no id, the environment names it."""
    return {"role": "assistant", "content": content, "tool_calls": [call(FUNCTION | function, id=id)]}


def thinking(thoughts: str = "hm") -> Message:
    """The message of a reply with thoughts, as it is read."""
    return SAID | {"reasoning_content": thoughts}


def error(message: Any = "boom", **extra: Any) -> dict[str, Any]:
    """OpenAI's form of an error."""
    return {"error": {"message": message, **extra}}


GOOD, CALL = says(ANSWER), calls(call())
LISTED = reply({"object": "list", "data": [{"id": "m", "object": "model"}]})


@dataclass(frozen=True)
class Shape:
    """A row.

    Attributes:
        name: What is odd about it.
        source: Who is known to answer so and where that is written, or who can be expected to.
        answers: To the requests of a conversation, one after the other; the last one for ever.
        end: Of the episode.
        message: The first assistant message as it is read, of an episode that is scored.
        said: Stands in the error.
        logged: Stands in a warning of llmgym's log.
        after: To requests that hold a tool's result; None for `good`.
        good: What is right in every respect.
        refuses: Gives the words against a request that the server refuses, or None.
        policy: Options of the policy.
        model: The model that is asked for.
        models: To the question which models there are.
        sampling: `responses_create_params`.
    """

    name: str
    source: str
    answers: Answer | Sequence[Answer]
    end: End = RIGHT
    message: Message = field(default_factory=lambda: SAID)
    said: str = ""
    logged: str = ""
    after: Answer | None = None
    good: Answer = GOOD
    refuses: Check | None = None
    policy: dict[str, Any] = field(default_factory=dict)
    model: str = "m"
    models: Answer = LISTED
    sampling: dict[str, Any] = field(default_factory=dict)


def body(message: Message | None, reason: Any = "stop", **extra: Any) -> dict[str, Any]:
    """The body of a reply."""
    return completion(message, reason, **extra)
