"""Secrets are not written, and what is none stays."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgym.redaction import REDACTED, redact, redact_text
from tests.records import json as json_data


@pytest.mark.parametrize(
    "name",
    [
        "api_key", "apiKey", "API-KEY", "x-api-key", "key", "APIKey", "apikey", "OPENAI_API_KEY", "aws_access_key_id",
        "privateKey", "token", "hf_token", "HF_TOKEN", "accessToken", "access.token", "api_tokens", "authToken",
        "secret", "client_secret", "clientSecret", "SECRET", "password", "db_password", "Passwd", "mypassword",
        "Authorization", "Proxy-Authorization", "cookie", "Set-Cookie", "cookies", "credentials", "token2",
    ],
)  # fmt: skip
def test_what_has_the_name_of_a_secret_is_hidden_at_any_depth(name: str) -> None:
    for value in ("sk-hush", ["sk-hush", {"inner": "sk-hush"}], {"inner": ("sk-hush",)}):
        data: Any = {"policy_options": [{"depth": {name: value, "model": "m"}}]}
        hidden = redact(data)
        assert "hush" not in str(hidden)
        assert REDACTED in str(hidden)
        assert hidden["policy_options"][0]["depth"]["model"] == "m"
        assert data["policy_options"][0]["depth"][name] == value  # a copy


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_output_tokens", 256), ("num_tokens", 3), ("tokens", {"sampled": 3, "context": 4}), ("token_count", 7),
        ("sampled_tokens", 1.5), ("tokenizer", "smollm2"), ("stop_token_ids", [1, 2]), ("eos_token", "</s>"),
        ("special_tokens", ["<a>"]), ("keyboard", "qwerty"), ("monkey", "see"), ("secretary", "Ann"), ("keywords", "a"),
        ("answer_key", "answer"), ("sort_key", "id"), ("author", "me"), ("api_key", None), ("token", ""), ("token", 5),
        ("max_tokens", None), ("use_auth_token", True), ("tool_errors", {"KeyError": {"count": 1}}),
    ],
)  # fmt: skip
def test_what_is_no_secret_stays(name: str, value: Any) -> None:
    assert redact({name: value}) == {name: value}


def test_a_password_may_be_a_number() -> None:
    assert redact({"password": 1234, "pin": 1234}) == {"password": REDACTED, "pin": 1234}


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("http://me:hush@host:80/v1", "http://<redacted>@host:80/v1"),
        ("see https://hush@host and postgresql+psycopg://u:hu@sh@db/x.", "see https://<redacted>@host and postgresql+psycopg://<redacted>@db/x."),
        ("https://host/v1?api_key=hush&x=1&token=hush", "https://host/v1?api_key=<redacted>&x=1&token=<redacted>"),
        ("serve --api-key=hush --port=1", "serve --api-key=<redacted> --port=1"),
        ("Authorization: Bearer hushhush", "Authorization: Bearer <redacted>"),
        ("http://host/a@b", "http://host/a@b"),
        ("hf://datasets/org/name@main", "hf://datasets/org/name@main"),
        ("mail me@host, 1 + 1 = 2", "mail me@host, 1 + 1 = 2"),
    ],
)  # fmt: skip
def test_credentials_in_text_are_hidden(text: str, clean: str) -> None:
    assert redact_text(text) == clean
    assert redact({"base_url": [text]}) == {"base_url": [clean]}


def test_lists_that_name_a_secret_hide_what_follows() -> None:
    data = [["serve", "--api-key", "hush", "--port", "1"], [["Authorization", "hush"], ["Accept", "json"]]]
    hidden = [["serve", "--api-key", REDACTED, "--port", "1"], [["Authorization", REDACTED], ["Accept", "json"]]]
    assert redact(data) == hidden
    assert redact(["key", "a", "b"]) == ["key", "a", "b"]


@given(json_data)
def test_what_was_cleaned_stays_as_it_is(data: Any) -> None:
    assert redact(redact(data)) == redact(data)


@given(st.text("ab:/@?=&-.", max_size=200))
def test_any_text_is_cleaned_once(text: str) -> None:
    clean = redact_text(text)
    assert redact_text(clean) == clean
