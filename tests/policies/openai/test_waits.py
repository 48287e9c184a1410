from __future__ import annotations

from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgym.policies.openai.waits import asked, limits, seconds, until_more

NOW = 1_795_877_999.0


@pytest.mark.parametrize(
    ("text", "wait"),
    [
        ("20", 20), ("0", 0), ("1.5", 1.5), (" 7 ", 7), ("6m0s", 360), ("20ms", 0.02), ("1h2m3.5s", 3723.5), ("1s", 1),
        (formatdate(NOW + 9, usegmt=True), 9), (formatdate(NOW - 9, usegmt=True), 0), ("2026-11-28T15:00:09Z", 10),
        ("1795878000", 1), ("1795878001000", 2), ("1795877000", 0),
        ("", None), ("soon", None), ("-1", None), ("5 apples", None), ("Sat, 99 Nov 2026 15:00:00 GMT", None),
    ],
)  # fmt: skip
def test_a_wait_in_any_form(text: str, wait: float | None) -> None:
    assert seconds(text, NOW) == (None if wait is None else pytest.approx(wait))


@given(st.text(max_size=20) | st.from_regex(r"[0-9hms.]{1,8}", fullmatch=True))
def test_any_text_is_a_wait_or_none(text: str) -> None:
    found = seconds(text, NOW)
    assert found is None or found >= 0
    assert asked({"Retry-After": text}) == found or found


@pytest.mark.parametrize(
    ("words", "wait"),
    [
        ("Rate limit reached for m: Limit 3, Used 3. Please try again in 1.2s. Visit ...", 1.2),
        ("Please try again in 6m0s.", 360),
        ("Please try again in 20ms.", 0.02),
        ("Please retry after 26 seconds.", 26),
        ("Please retry in 37.4s.", 37.4),
        ("try again in 5 minutes", 300),
        ("try again in 300 milliseconds", 0.3),
        ('{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "37s"}', 37),
        ("Please try again later.", None),
        ("Retry after a while", None),
    ],
)
def test_a_wait_in_words(words: str, wait: float | None) -> None:
    assert asked({}, words) == (None if wait is None else pytest.approx(wait))
    assert asked({"Retry-After": "3"}, words) == 3
    assert asked({"Retry-After": "3", "retry-after-ms": "1500"}, words) == 1.5
    assert asked({"retry-after-ms": "soon"}) is None


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({}, 0),
        ({"x-ratelimit-remaining-requests": "9", "x-ratelimit-reset-requests": "1s"}, 0),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "1s"}, 1),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "20ms"}, 0.02),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "6m0s"}, 60),
        ({"anthropic-ratelimit-input-tokens-remaining": "0",
          "anthropic-ratelimit-input-tokens-reset": "2000-01-01T00:00:00Z"}, 0),
        ({"ratelimit-remaining": "0", "ratelimit-reset": "7"}, 7),
        ({"x-ratelimit-remaining-requests": "0"}, 0),
    ],
)  # fmt: skip
def test_how_long_nothing_is_left(headers: dict[str, str], wait: float) -> None:
    assert until_more(headers) == wait


def test_limits_in_words() -> None:
    assert (
        limits({"x-ratelimit-limit-requests": "500", "x-ratelimit-limit-tokens": "30000"})
        == "500 requests, 30,000 tokens"
    )
    assert limits({"anthropic-ratelimit-input-tokens-limit": "1000"}) == "1,000 input tokens"
    assert limits({"x-ratelimit-limit-requests": "many"}) == ""
