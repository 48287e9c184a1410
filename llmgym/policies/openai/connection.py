"""HTTP to one server, of one event loop: a request out, an answer of any kind in, nothing raised."""

from __future__ import annotations

import io
from collections.abc import AsyncGenerator, Mapping
from typing import Any, NamedTuple

from llmgym.policies.http import open_session, proxy_for
from llmgym.policies.openai.address import Address
from llmgym.policies.openai.trouble import Trouble

_CONNECT_S = 30.0
_KEEP_ALIVE_S = {"http": 4.0, "https": 30.0}  # uvicorn closes after 5 s; to connect anew with TLS is dear
_LARGEST = 64 << 20  # bytes of an answer: no reply has as many
_AT_ONCE = 1 << 20  # bytes of a request; aiohttp wants larger ones as a stream
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_HOPS = 3


class Answer(NamedTuple):
    """What came from a server.

    Attributes:
        data: The body.
        status: Of HTTP.
        headers: Of HTTP.
    """

    data: bytes
    status: int
    headers: Mapping[str, str]

    def read_as_trouble(self, address: Address) -> Trouble:
        """Read it as no reply; secrets are taken out before any of it is cut short."""
        return Trouble.said(address.hide(self.data.decode("utf-8-sig", "replace")), self.status, self.headers)


async def connect(address: Address) -> AsyncGenerator[Connection]:
    """Give a connection that is closed with this generator: at the latest with the event loop, which ends those."""
    keep_alive = _KEEP_ALIVE_S[address.shown.partition(":")[0]]
    session = open_session("OpenAIPolicy", "openai", keep_alive, None)
    try:
        yield Connection(session, address)
    finally:
        await session.close()


class Connection:
    """An aiohttp session, as far as it is used."""

    __slots__ = ("_headers", "_proxy", "_session")

    def __init__(self, session: Any, address: Address) -> None:
        """Send through a session, and through the proxy for an address.

        Raises:
            PolicyError: There is no key for the address, or it can be none.
        """
        self._session, self._proxy = session, proxy_for(address.shown)
        # Not the session's own headers: aiohttp gives those to the proxy too.
        self._headers = {"Accept": "application/json", "Content-Type": "application/json", "User-Agent": "llmgym"}
        self._headers |= address.headers()

    async def exchange(self, method: str, url: str, body: bytes | None, seconds: float) -> Answer | Trouble:
        """Send a request; leaving early, by cancellation, closes the connection."""
        import aiohttp

        timeout = aiohttp.ClientTimeout(total=seconds, sock_connect=min(seconds, _CONNECT_S))
        try:
            for _ in range(_HOPS):
                data = body if body is None or len(body) <= _AT_ONCE else io.BytesIO(body)
                async with self._session.request(
                    method,
                    url,
                    data=data,
                    headers=self._headers,
                    timeout=timeout,
                    allow_redirects=False,
                    proxy=self._proxy,
                ) as response:
                    if response.status not in _REDIRECTS:
                        return Answer(await _read(response), response.status, response.headers)
                    url = _target(response)
            return Trouble(f"it redirects {_HOPS} times")
        except _Refused as error:
            return Trouble(str(error))
        except aiohttp.ConnectionTimeoutError:
            return Trouble(f"Connection error: none within {timeout.sock_connect:g} s", passing=True)
        except TimeoutError:
            return Trouble(f"Request timed out: no answer within {seconds:g} s", passing=True)
        except (aiohttp.ClientConnectorCertificateError, aiohttp.ClientConnectorSSLError) as error:
            return Trouble(f"Connection error: {error}; SSL_CERT_FILE names the authorities to trust")
        except (aiohttp.ClientError, OSError, RuntimeError, ValueError) as error:  # a closed session: RuntimeError
            return Trouble(f"Connection error: {type(error).__name__}: {error}", passing=True)


class _Refused(Exception):
    """What is not to be read or followed."""


async def _read(response: Any) -> bytes:
    """The body, unpacked; a chunk for each read, since there may be no end to it."""
    parts: list[bytes] = []
    size = 0
    while part := await response.content.readany():
        parts.append(part)
        size += len(part)
        if size > _LARGEST:
            raise _Refused(f"HTTP {response.status}: the answer has more than {_LARGEST >> 20} MiB")
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _target(response: Any) -> str:
    """Where a redirect leads; the key goes to the same host alone, and from TLS only to TLS."""
    import yarl

    came = response.url
    try:
        target = came.join(yarl.URL(response.headers.get("Location", "")))
    except ValueError:
        target = came
    upgrade = came.scheme == "http" and target.scheme == "https"
    if target == came or target.host != came.host or not (upgrade or target.origin() == came.origin()):
        shown = target.with_user(None).with_query(None)
        raise _Refused(
            f"HTTP {response.status}: it redirects to {shown}; give that address as base_url, if you trust it"
        )
    return str(target)
