"""The words of real servers for a conversation that is too long, and for other things that sound alike."""

from __future__ import annotations

import json
from typing import Any

import pytest

from llmgym.policies.openai.trouble import Trouble, reply_alone_too_long, too_long
from tests.endpoints.wordings import REPLY_ALONE, TOO_LONG

OTHER = [
    "tool_choice 'required' is not supported in the context of this model",
    "unknown parameter: context_window_hint",
    "context must be a string",
    "Invalid value for 'context_length'",
    "The model's context window is 8192 tokens; ask for less than 4097 tokens of reply",
    "Unable to read the maximum context length of this model",
    "max_tokens is too large: 100000. This model supports at most 16384 completion tokens",
    "`max_tokens` must be less than or equal to `8192`, the maximum value for `max_tokens` is less than the "
    "`context_window` for this model",
    "max_tokens=9000 cannot be greater than max_model_len=8192",
    "Rate limit reached on tokens per min (TPM): Limit 30000, Requested 48213. Please reduce the length of the "
    "messages",
    "ThrottlingException: Too many tokens, please wait before trying again.",
    "Invalid 'user': string too long. Expected a string with maximum length 64",
    "Invalid 'messages[2].tool_calls[0].id': string too long. Expected a string with maximum length 40",
    "the tool's description is too long",
    "Image is too large",
    "context deadline exceeded (Client.Timeout exceeded while awaiting headers)",
    "max_tokens: 8192 > 4096, which is the maximum allowed number of output tokens for m",
    "You exceeded your current quota, please check your plan",
    "response_format exceeds the context of this tool",
    "total tokens per request exceed the limit of your plan",
    "m (maximum context length: 8192) takes no tools",
]  # fmt: skip


@pytest.mark.parametrize("status", [200, 400, 413, 422, 500])
@pytest.mark.parametrize("said", [said for _, said in TOO_LONG], ids=[who for who, _ in TOO_LONG])
def test_too_long_in_the_words_of_every_server(said: Any, status: int) -> None:
    for body in ({"error": said}, {"object": "error", "message": said}, [{"error": said}], {"detail": {"error": said}}):
        trouble = Trouble.said(json.dumps(body), status)
        assert too_long(trouble), trouble
        assert not reply_alone_too_long(trouble, 256)


@pytest.mark.parametrize("said", OTHER)
def test_what_only_sounds_alike(said: str) -> None:
    assert not too_long(Trouble.said(json.dumps({"error": {"message": said}}), 400))


def test_words_of_our_own_mean_nothing() -> None:
    assert not too_long(Trouble("the prompt is too long"))


@pytest.mark.parametrize("said", REPLY_ALONE)
def test_a_reply_that_never_fits_is_no_long_conversation(said: str) -> None:
    trouble = Trouble.said(json.dumps({"message": said}), 400)
    assert too_long(trouble)
    assert reply_alone_too_long(trouble, 8000)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"error": {"message": "no", "type": "t", "code": "c"}}, "HTTP 418: no (c)"),
        ({"error": {"message": "no", "type": "t", "code": None}}, "HTTP 418: no (t)"),
        ({"error": {"message": "no", "code": 418}}, "HTTP 418: no"),
        ({"type": "error", "error": {"type": "overloaded", "message": "no"}}, "HTTP 418: no (overloaded)"),
        ({"error": "no"}, "HTTP 418: no"),
        ({"error": True, "message": "no"}, "HTTP 418: no"),
        ([{"error": {"message": "no", "status": "INVALID"}}], "HTTP 418: no (INVALID)"),
        ({"message": {"detail": [{"loc": ["body", "seed"], "msg": "Extra"}]}}, "HTTP 418: body seed: Extra"),
        ({"errors": [{"message": "no"}, {"message": "never"}, {"message": "no"}]}, "HTTP 418: no; never"),
        ({"error": {"message": "above", "metadata": {"raw": "below"}}}, "HTTP 418: above; below"),
        ({"why": "no"}, 'HTTP 418: {"why": "no"}'),
        ("no", 'HTTP 418: no'),
        ({"error": {"message": "x" * 900}}, "HTTP 418: " + "x" * 500),
    ],
)  # fmt: skip
def test_the_words_of_a_server_are_shown(body: Any, text: str) -> None:
    assert Trouble.said(json.dumps(body), 418).text == text


def test_how_long_it_asks_to_wait() -> None:
    assert Trouble.said("busy", 429, {"Retry-After": "3600"}) == Trouble(
        "HTTP 429: busy; it asks to wait 3600 s", words="busy", passing=True, limited=True, wait=3600
    )


@pytest.mark.parametrize(
    ("status", "error", "headers", "expected"),
    [
        (429, {"message": "slow down"}, {}, (True, True, False, None)),
        (429, {"message": "slow down, try again in 20ms"}, {}, (True, True, False, 0.02)),
        (429, {"message": "m", "status": "RESOURCE_EXHAUSTED", "details": [{"retryDelay": "37s"}]}, {},
         (True, True, False, 37)),
        (429, {"message": "You exceeded your current quota, please check your plan"}, {}, (True, True, False, None)),
        (429, {"message": "You exceeded your current quota", "code": "insufficient_quota"}, {"Retry-After": "1"},
         (True, False, True, 1)),
        (402, {"message": "Insufficient Balance"}, {}, (True, False, True, None)),
        (400, {"message": "Your credit balance is too low to access the API."}, {}, (True, False, True, None)),
        (429, {"message": "Request too large for m on tokens per min (TPM): Limit 3, Requested 4."}, {},
         (False, False, False, None)),
        (529, {"type": "overloaded_error", "message": "Overloaded"}, {}, (True, True, False, None)),
        (503, {"message": "busy"}, {}, (True, False, False, None)),
        (503, {"message": "busy, try again in 5s"}, {}, (True, False, False, None)),
        (503, {"message": "busy"}, {"Retry-After": "5"}, (True, True, False, 5)),
        (200, {"message": "slow", "code": 429}, {}, (True, True, False, None)),
        (200, {"message": "slow", "code": "rate_limit_exceeded"}, {}, (True, True, False, None)),
        (400, {"message": "rate limits are described in the docs"}, {}, (False, False, False, None)),
    ],
)  # fmt: skip
def test_what_a_server_that_has_enough_says(status: int, error: Any, headers: Any, expected: Any) -> None:
    found = Trouble.said(json.dumps({"error": error}), status, headers)
    assert (found.passing, found.limited, found.spent, found.wait) == expected
