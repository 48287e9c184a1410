"""What must not be written into files: keys, passwords and tokens in configurations and addresses."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, Literal

#: What stands in a secret's place.
REDACTED: Final = "<redacted>"

# Words of a name that are enough for a secret, and endings of words that are written together.
_ALWAYS = frozenset(
    {"secret", "secrets", "password", "passwords", "passwd", "passphrase", "pwd", "authorization", "cookie", "cookies",
     "credential", "credentials", "bearer", "jwt"}
)  # fmt: skip
_ENDINGS = (
    "apikey",
    "apikeys",
    "authtoken",
    "accesstoken",
    "secretkey",
    "accesskey",
    "privatekey",
    "password",
    "secret",
)
# Keys and tokens of these kinds open nothing: columns, and what a tokenizer has.
_KEYS_OF_DATA = frozenset(
    {"answer", "cache", "chosen", "column", "data", "field", "foreign", "group", "id", "index", "input", "label", "map",
     "messages", "output", "partition", "primary", "prompt", "question", "rejected", "reward", "row", "score", "sort",
     "target", "task", "text"}
)  # fmt: skip
_TOKENS_OF_TEXT = frozenset(
    {"audio", "bos", "cls", "control", "end", "eos", "image", "mask", "pad", "sep", "special", "start", "stop", "think",
     "tool", "unk", "vocab"}
)  # fmt: skip
# Many tokens are those of a text, unless these words are before them.
_PLURAL = frozenset({"access", "api", "auth", "bearer", "hf", "refresh", "session"})

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_USERINFO = re.compile(r"(?<![A-Za-z0-9+.-])([A-Za-z][A-Za-z0-9+.-]*://)[^\s/?#@]+(?:@[^\s/?#@]+)*@(?=[^\s/?#@])")
_QUERY = re.compile(r"([?&;]|--)([A-Za-z0-9_.-]+)=([^\s&;#\"']+)")
_SCHEME = re.compile(r"\b(Bearer|Basic)\s+[A-Za-z0-9._~+/=-]{6,}", re.IGNORECASE)


def redact(data: Any) -> Any:
    """A copy of JSON data without its secrets.

    What stands under a name such as `password`, `Authorization`, `api_key` or `hf_token`, at any depth, is replaced,
    and so are credentials in URLs anywhere. Numbers under names with "key" or "token", such as `max_output_tokens`,
    stay.
    """
    if isinstance(data, Mapping):
        return {key: _hidden(value, _how(str(key))) for key, value in data.items()}
    if isinstance(data, list | tuple):
        before = ["", *data]
        return [
            REDACTED if isinstance(value, str) and _names_next(name, data) else redact(value)
            for name, value in zip(before, data, strict=False)
        ]
    return redact_text(data) if isinstance(data, str) else data


def redact_text(text: str) -> str:
    """A text without the credentials of URLs and of headers in it."""
    if "://" in text:
        text = _USERINFO.sub(rf"\1{REDACTED}@", text)
    if "=" in text:
        text = _QUERY.sub(lambda m: m[0] if _how(m[2]) is None else f"{m[1]}{m[2]}={REDACTED}", text)
    return _SCHEME.sub(rf"\1 {REDACTED}", text)


def _how(name: str) -> Literal["all", "text"] | None:
    """What is secret of a value with this name: all of it, its text, or nothing."""
    words = [word.lower() for word in _WORDS.findall(name)]
    if any(word in _ALWAYS or word.endswith(_ENDINGS) for word in words):
        return "all"
    for before, word in zip(["", *words], words, strict=False):
        if word in ("key", "keys") and before not in _KEYS_OF_DATA:
            return "text"
        if word == "token" and before not in _TOKENS_OF_TEXT:
            return "text"
        if word == "tokens" and before in _PLURAL:
            return "text"
    return None


def _names_next(name: object, row: list[Any] | tuple[Any, ...]) -> bool:
    """Whether an entry of a list names the one after it: `["--api-key", "..."]`, or a header as a pair."""
    return isinstance(name, str) and (name.startswith("-") or len(row) == 2) and _how(name) is not None


def _hidden(value: Any, how: Literal["all", "text"] | None) -> Any:
    """What stands for a secret; nothing is no secret, and under "key" or "token" numbers are counts or ids."""
    if how is None:
        return redact(value)
    if isinstance(value, Mapping):
        return {key: _hidden(inner, how) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_hidden(inner, how) for inner in value]
    if value is None or value == "" or isinstance(value, bool) or (how == "text" and isinstance(value, int | float)):
        return value
    return REDACTED
