"""Where a server is and the key to it: what may be shown of them, and what never.

Servers repeat keys in their errors, clients repeat addresses, and both end up in run folders and logs. So both are kept
in an object that shows neither, and that takes them out of other people's texts.
"""

from __future__ import annotations

import base64
import os
import urllib.parse

from llmgym.errors import ConfigError

_DEFAULT = "https://api.openai.com/v1"
_SHORTEST = 6  # characters: what is shorter is a word that occurs in any text


class Address:
    """Address and key of a server.

    Attributes:
        shown: The address without user, password and query, such as "http://gpu1:8000/v1".
        identity: The same without the port, which a server may change and stay what it is.
    """

    __slots__ = ("_hidden", "_key", "_url", "identity", "shown")

    def __init__(self, url: str | None, key: str | None) -> None:
        """Take an address, by default `OPENAI_BASE_URL` or OpenAI's, and a key, by default `OPENAI_API_KEY`.

        Raises:
            ConfigError: It is no http(s) address.
        """
        self._url = (url or os.environ.get("OPENAI_BASE_URL") or _DEFAULT).strip()
        self._key = key
        try:
            parts = urllib.parse.urlsplit(self._url)
            host, port = parts.hostname, parts.port
        except ValueError:
            parts = host = port = None
        if parts is None or parts.scheme not in ("http", "https") or not host:
            example = "http://localhost:8000/v1"
            raise ConfigError(f"base_url {_harmless(self._url)!r} is no address of a server; write it like {example}")
        host = f"[{host}]" if ":" in host else host
        self.identity = f"{parts.scheme}://{host}{parts.path}".rstrip("/")
        self.shown = f"{parts.scheme}://{host}{f':{port}' if port else ''}{parts.path}".rstrip("/")
        self._hidden = _secrets_of(parts)

    def __repr__(self) -> str:
        return f"Address({self.shown!r})"

    def reveal(self) -> tuple[str, str | None]:
        """The address as it was given, and the key, for the client alone."""
        return self._url, (self._key or os.environ.get("OPENAI_API_KEY") or "").strip() or None

    def hide(self, text: str) -> str:
        """The text without the secrets."""
        for userinfo in (secret for secret in self._hidden if secret.endswith("@")):
            text = text.replace(userinfo, "")
        key = self.reveal()[1]
        for secret in sorted({*self._hidden, key or ""}, key=len, reverse=True):
            if len(secret) >= _SHORTEST:
                text = text.replace(secret, "***")
        return text


def _harmless(url: str) -> str:
    """An address that cannot be read, without what may be a password."""
    return url.rpartition("@")[2].partition("?")[0]


def _secrets_of(parts: urllib.parse.SplitResult) -> tuple[str, ...]:
    """What an address holds that is nobody's business; user and password as one end with "@"."""
    found = [value for _, value in urllib.parse.parse_qsl(parts.query)]
    if "@" in parts.netloc:
        user, password = parts.username or "", parts.password or ""
        plain = f"{urllib.parse.unquote(user)}:{urllib.parse.unquote(password)}"
        basic = base64.b64encode(plain.encode("utf-8", "replace")).decode()
        found += [f"{parts.netloc.rpartition('@')[0]}@", f"{plain}@", basic]
        found += [password or user, urllib.parse.unquote(password or user)]
    return tuple(dict.fromkeys(found))
