from __future__ import annotations

import base64
import copy
import json
import pickle

import pytest

from llmgym.errors import ConfigError
from llmgym.policies.openai.address import Address


@pytest.mark.parametrize(
    ("url", "shown", "identity"),
    [
        ("http://gpu1:8000/v1", "http://gpu1:8000/v1", "http://gpu1/v1"),
        ("https://user:hunter22@host/v1/", "https://host/v1", "https://host/v1"),
        ("https://token1@host:8443", "https://host:8443", "https://host"),
        ("http://[::1]:8000/v1?api-key=hunter22", "http://[::1]:8000/v1", "http://[::1]/v1"),
        (" http://Host/a/b ", "http://host/a/b", "http://host/a/b"),
        (None, "https://api.openai.com/v1", "https://api.openai.com/v1"),
    ],
)
def test_an_address_is_shown_without_secrets(
    url: str | None, shown: str, identity: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    address = Address(url, "sk-secret")
    assert (address.shown, address.identity, repr(address)) == (shown, identity, f"Address({shown!r})")
    for copied in (copy.deepcopy(address), pickle.loads(pickle.dumps(address))):
        assert (copied.key, copied.headers()) == ("sk-secret", address.headers())
    with pytest.raises(TypeError):
        vars(address)


def test_both_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://u:hunter22@host/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret\n")
    address = Address(None, None)
    assert (address.key, address.url("/models")) == ("sk-secret", "http://host/v1/models")
    assert address.shown == "http://host/v1"
    assert address.hide("sk-secret for hunter22") == "*** for ***"


@pytest.mark.parametrize(
    "url", ["localhost:8000/v1", "ftp://host", "http://", "http://u:hunter22@[host", "host", "http://h:x"]
)
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(ConfigError, match="no address of a server") as error:
        Address(url, None)
    assert "hunter22" not in str(error.value)


def test_a_key_of_digits_is_a_text() -> None:
    with pytest.raises(ConfigError, match="api_key is of type int: write it in quotes") as error:
        Address(None, 12345678)  # type: ignore[arg-type]
    assert "12345678" not in str(error.value)


@pytest.mark.parametrize(
    "text",
    [
        "bad key sk-secret!",
        "at https://us%40er:p%40ss%2Fword@host/v1",
        "user us@er:p@ss/word@host",
        "password p@ss/word",
        f"Authorization: Basic {base64.b64encode(b'us@er:p@ss/word').decode()}",
        "token=q-secret",
        json.dumps({"got": ["Bearer sk-secret", "p%40ss%2Fword"]}),
    ],
)
def test_secrets_are_taken_out_of_texts(text: str) -> None:
    address = Address("https://us%40er:p%40ss%2Fword@host/v1?token=q-secret", "sk-secret")
    found = address.hide(text)
    assert found != text
    for secret in ("secret", "p@ss", "p%40ss", "dXNA"):
        assert secret not in found


def test_words_are_no_secrets() -> None:
    assert Address("http://a:b@host", "key").hide("bad key, a b") == "bad key, a b"
    assert Address("http://a:b@host", "key").hide("at http://a:b@host") == "at http://host"
