"""Where a server is and the key to it: what may be shown of them, and what never.

Servers repeat keys in their errors, clients repeat addresses, and both end up in run folders and logs. So both are kept
in an object that shows neither, and that takes them out of other people's texts.
"""

from __future__ import annotations

import os
import re
import urllib.parse

from llmgym.errors import ConfigError, PolicyError, PolicyUnavailable
from llmgym.policies.http import basic

_DEFAULT = "https://api.openai.com/v1"
_SHORTEST = 6  # characters: what is shorter is a word that occurs in any text
_PASTED = re.compile("/(?:chat/completions|responses)/?$")  # as Azure's portal and curl's examples have it
_AZURE = (".openai.azure.com", ".cognitiveservices.azure.com", ".services.ai.azure.com", ".azure-api.net")
_VERSION = "api-version"  # in the query of Azure's addresses
_USERINFO = re.compile(r"(?<=://)[^\s/@'\"]*@")
_ACCOUNT = {"OpenAI-Organization": "OPENAI_ORG_ID", "OpenAI-Project": "OPENAI_PROJECT_ID"}


class Address:
    """Address and key of a server.

    Attributes:
        shown: The address without user, password and query, such as "http://gpu1:8000/v1".
        identity: The same without the port, which a server may change and stay what it is.
        azure: Whether it is of Azure, where models are called as whoever deployed them likes.
    """

    __slots__ = ("_hidden", "_key", "_url", "azure", "identity", "shown")

    def __init__(self, url: str | None, key: str | None) -> None:
        """Take an address, by default `OPENAI_BASE_URL` or OpenAI's, and a key, by default `OPENAI_API_KEY`.

        Raises:
            ConfigError: It is no http(s) address, or the key is no text.
        """
        for name, given in (("base_url", url), ("api_key", key)):
            if not isinstance(given, str | None):  # YAML reads 123 as a number
                raise ConfigError(f"{name} is of type {type(given).__name__}: write it in quotes")
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
        self.azure = host.endswith(_AZURE) or _VERSION in urllib.parse.parse_qs(parts.query)
        host = f"[{host}]" if ":" in host else host
        path = _PASTED.sub("", parts.path)
        self.identity = f"{parts.scheme}://{host}{path}".rstrip("/")
        self.shown = f"{parts.scheme}://{host}{f':{port}' if port else ''}{path}".rstrip("/")
        self._hidden = _secrets_of(parts)

    def __repr__(self) -> str:
        return f"Address({self.shown!r})"

    @property
    def key(self) -> str | None:
        """The key, for the client alone."""
        return (self._key or os.environ.get("OPENAI_API_KEY") or "").strip() or None

    def url(self, path: str) -> str:
        """Where a request goes, for the client alone: the path comes before the query, as Azure has one."""
        query = urllib.parse.urlsplit(self._url).query
        return f"{self.shown}{path}?{query}" if query else f"{self.shown}{path}"

    def headers(self) -> dict[str, str]:
        """Who asks, for the client alone.

        Raises:
            PolicyUnavailable: There is no key.
            PolicyError: It can be none.
        """
        key = self.key
        if key is None:
            raise PolicyUnavailable(
                f"no key for {self.shown}: set OPENAI_API_KEY or give api_key (any word, if it asks for none)"
            )
        if not (key.isascii() and key.isprintable()):
            raise PolicyError(f"the key for {self.shown} holds a character that no key has: a line break, or an accent")
        made = {header: os.environ[name] for header, name in _ACCOUNT.items() if os.environ.get(name)}
        userinfo = urllib.parse.urlsplit(self._url).netloc.rpartition("@")[0]
        if userinfo:
            return made | {"Authorization": basic(_plain(userinfo))}
        if self.azure and not key.startswith("eyJ"):  # else it is a token of Entra's
            return made | {"api-key": key}
        return made | {"Authorization": f"Bearer {key}"}

    def hide(self, text: str) -> str:
        """The text without the secrets."""
        text = _USERINFO.sub("", text)
        for userinfo in (secret for secret in self._hidden if secret.endswith("@")):
            text = text.replace(userinfo, "")
        for secret in sorted({*self._hidden, self.key or ""}, key=len, reverse=True):
            if len(secret) >= _SHORTEST:
                text = text.replace(secret, "***")
        return text


def _harmless(url: str) -> str:
    """An address that cannot be read, without what may be a password."""
    return url.rpartition("@")[2].partition("?")[0]


def _plain(userinfo: str) -> str:
    """User and password as they were before they stood in an address."""
    user, _, password = userinfo.partition(":")
    return f"{urllib.parse.unquote(user)}:{urllib.parse.unquote(password)}"


def _secrets_of(parts: urllib.parse.SplitResult) -> tuple[str, ...]:
    """What an address holds that is nobody's business; user and password as one end with "@"."""
    found = [value for name, value in urllib.parse.parse_qsl(parts.query) if name != _VERSION]
    userinfo = parts.netloc.rpartition("@")[0]
    if userinfo:
        user, password = parts.username or "", parts.password or ""
        plain = _plain(userinfo)
        found += [f"{userinfo}@", f"{plain}@", basic(plain).removeprefix("Basic ")]
        found += [password or user, urllib.parse.unquote(password or user)]
    return tuple(dict.fromkeys(found))
