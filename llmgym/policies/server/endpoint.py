"""One server: what it offers, found by asking it, and requests to it."""

from __future__ import annotations

import asyncio
import time
import urllib.parse
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import msgspec

from llmgym.chat import Sampling
from llmgym.errors import ConfigError, ContextLengthExceeded, PolicyError, PolicyUnavailable
from llmgym.policies.base import EngineLoad, LogprobsMode
from llmgym.policies.server.wire import PATHS, Api, Call, Reply, decode, encode

_PROBE_PROMPT = [1, 2, 3]  # ids that every vocabulary has
_SAME_LOGPROB = 0.02  # of one token, asked for twice: the noise of batching is a hundred times smaller
# vLLM says "forbidden" of the API that only --enable-scale-out opens.
_ELSEWHERE = frozenset(
    {
        HTTPStatus.FORBIDDEN,
        HTTPStatus.NOT_FOUND,
        HTTPStatus.METHOD_NOT_ALLOWED,
        HTTPStatus.GONE,
        HTTPStatus.NOT_IMPLEMENTED,
    }
)
_SILENCE_S = 60.0  # without any reply, after which a server has to show that it is alive
_BUSY = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS})
_CONTEXT = (
    "maximum context length",
    "maximum model length",
    "max_model_len",
    "max_tokens must be at least 1, got 0",  # what a full prompt leaves: llmgym asks for one or more
)


class Fault(Exception):
    """A try failed in a way that another try, or another server, may mend.

    Attributes:
        broken: The server cannot be used until a probe says otherwise.
        counts: It speaks against the server, as being busy does not.
    """

    def __init__(self, said: str, *, broken: bool = False, counts: bool = True) -> None:
        """Say what happened."""
        super().__init__(said)
        self.broken = broken
        self.counts = counts


@dataclass(frozen=True, slots=True)
class Offer:
    """What a server offers.

    Attributes:
        api: API through which it takes and gives tokens.
        model: Model, as it calls it.
        root: Where it loaded the model from: a folder on its machine or a Hub id.
        context_length: Most tokens of prompt and reply together; None where it does not say.
        logprobs_mode: Measured; None where that could not be done.
    """

    api: Api
    model: str
    root: str
    context_length: int | None
    logprobs_mode: LogprobsMode | None


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds to wait: for a connection, for a reply, for a reply to a probe."""

    connect: float
    total: float
    probe: float


def parse_addresses(addresses: str | list[str]) -> list[str]:
    """Check addresses and give them without what follows host and port, but for a path prefix.

    Raises:
        ConfigError: One is no http(s) address, holds a password, or is there twice.
    """
    given = addresses.split(",") if isinstance(addresses, str) else addresses
    found: list[str] = []
    for address in (address.strip() for address in given):
        url = urllib.parse.urlsplit(address)
        try:
            valid = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
        except ValueError:  # the port is no number
            valid = False
        if not valid or url.query or url.fragment:
            raise ConfigError(f"{address!r} is not the address of a server; give one such as http://localhost:8000")
        if url.username is not None or url.password is not None:
            raise ConfigError(f"the address of {url.hostname} holds a password; set VLLM_API_KEY instead")
        address = address.rstrip("/").removesuffix("/v1").rstrip("/")
        if address in found:
            raise ConfigError(f"{address} is given twice")
        found.append(address)
    if not found:
        raise ConfigError("give the address of a server, such as http://localhost:8000")
    return found


class Endpoint:
    """One server.

    Attributes:
        address: Scheme, host and port.
        offer: What it offered at the last good probe.
        live: Requests that it is working on.
    """

    def __init__(self, address: str, http: Any, timeouts: Timeouts) -> None:
        """Name a server, to be asked over an aiohttp session."""
        self.address = address
        self.offer: Offer | None = None
        self.live = 0
        self._http, self._timeouts = http, timeouts
        self._heard = 0.0
        self._listening: asyncio.Future[tuple[int, bytes]] | None = None

    async def generate(self, call: Call) -> Reply:
        """Send one request.

        Raises:
            Fault: It may be repeated.
            ContextLengthExceeded: The server says that there is no room.
            PolicyError: The server refuses it, or answers nonsense.
        """
        assert self.offer is not None
        asking = asyncio.ensure_future(self._ask(self.offer.api, call, self._timeouts.total))
        try:
            while not (await asyncio.wait({asking}, timeout=_SILENCE_S))[0]:
                await self._expect_life()
            return asking.result()
        finally:
            asking.add_done_callback(_read)
            asking.cancel()

    async def _expect_life(self) -> None:
        """Raise `Fault` if the server is silent: a long reply takes minutes, and so should not finding that out."""
        if time.monotonic() - self._heard <= _SILENCE_S:
            return
        if self._listening is None or self._listening.done():  # one question for all that wait
            self._listening = asyncio.ensure_future(self._fetch("GET", "/v1/models", None, {}, self._timeouts.probe))
            self._listening.add_done_callback(_read)
        await asyncio.shield(self._listening)

    async def probe(self, model: str | None) -> Offer:
        """Find out what the server offers, by asking it for single tokens.

        Args:
            model: Model that it must offer; None takes the first.

        Raises:
            Fault: It cannot be reached or is not ready.
            PolicyUnavailable: It refuses to say what it offers.
            PolicyError: It does not offer the model, or lacks something that llmgym needs.
        """
        cards = await self._cards()
        names = [card.id for card in cards]
        if model is not None and model not in names:
            raise PolicyError(f"{self.address} does not offer {model!r}; it offers {', '.join(names[:20])}")
        card = cards[names.index(model) if model is not None else 0]
        length = next((c.max_model_len for c in (card, *cards) if c.max_model_len is not None), None)
        api, first = await self._choose_api(card.id)
        mode = await self._measure_mode(api, card.id, first)
        return Offer(api, card.id, card.root or card.id, length, mode)

    async def load(self) -> EngineLoad:
        """How busy the server says it is.

        Raises:
            Fault: It cannot be asked now.
            PolicyError: It does not offer vLLM's metrics.
        """
        status, body = await self._fetch("GET", "/metrics", None, {}, self._timeouts.probe)
        if status != HTTPStatus.OK:
            raise PolicyError(f"{self.address}/metrics: {_said(status, body)}; give num_samples_in_parallel a number")
        try:
            return read_metrics(body.decode())
        except (LookupError, ValueError) as error:
            said = f"{self.address}/metrics are not those of a vLLM server ({error})"
            raise PolicyError(f"{said}; give num_samples_in_parallel a number") from None

    async def _choose_api(self, model: str) -> tuple[Api, Reply]:
        call = _one_token(model, temperature=0.1)
        refusals: list[str] = []
        for api in PATHS:
            try:
                return api, await self._ask(api, call, self._timeouts.probe)
            except _Absent as absent:
                refusals.append(str(absent))
        paths = " nor ".join(PATHS.values())
        raise PolicyError(f"{self.address} offers neither {paths}; llmgym needs one of them: {'; '.join(refusals)}")

    async def _measure_mode(self, api: Api, model: str, cold: Reply) -> LogprobsMode | None:
        """Ask again at another temperature: only processed log-probabilities depend on it."""
        hot = await self._ask(api, _one_token(model, temperature=2.0), self._timeouts.probe)
        if cold.likeliest is None or hot.likeliest is None:
            return None
        return "raw" if abs(cold.likeliest - hot.likeliest) < _SAME_LOGPROB else "processed"

    async def _cards(self) -> list[_Card]:
        status, body = await self._fetch("GET", "/v1/models", None, {}, self._timeouts.probe)
        if status != HTTPStatus.OK:
            raise PolicyUnavailable(f"{self.address}/v1/models: {_said(status, body)}")
        try:
            cards = msgspec.json.decode(body, type=_Cards).data
        except msgspec.MsgspecError as error:
            raise PolicyUnavailable(f"{self.address}/v1/models is not that of a model server: {error}") from None
        if not cards:
            raise PolicyError(f"{self.address} offers no model")
        return cards

    async def _ask(self, api: Api, call: Call, seconds: float) -> Reply:
        # A router in front of several engines may go by the session; a header takes no control characters.
        headers = {"Content-Type": "application/json", "X-Session-ID": urllib.parse.quote(call.session_id)}
        status, body = await self._fetch("POST", PATHS[api], encode(api, call), headers, seconds)
        if status == HTTPStatus.OK:
            try:
                return decode(api, call, body)
            except ValueError as error:
                raise PolicyError(f"{self.address}{PATHS[api]}: request {call.request_id}: the reply {error}") from None
        said = f"{self.address}{PATHS[api]}: {_said(status, body)}"
        if status in _ELSEWHERE:
            raise _Absent(said, broken=True)
        if status in _BUSY:
            raise Fault(said, counts=False)
        if any(words in said for words in _CONTEXT):
            raise ContextLengthExceeded(said)
        raise PolicyError(said)

    async def _fetch(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str], seconds: float
    ) -> tuple[int, bytes]:
        """Exchange one request; leaving early, by timeout or cancellation, closes the connection.

        The engine takes that as the request's end.
        """
        import aiohttp

        limits = aiohttp.ClientTimeout(total=seconds, sock_connect=self._timeouts.connect)
        try:
            async with self._http.request(
                method, self.address + path, data=body, headers=headers, timeout=limits, allow_redirects=False
            ) as response:
                data = await response.read()
            self._heard = time.monotonic()
        except aiohttp.ConnectionTimeoutError:
            said = f"{self.address}: no connection within {self._timeouts.connect} s"
            raise Fault(said, broken=True) from None
        except TimeoutError:
            raise Fault(f"{self.address}{path}: no reply within {seconds} s", broken=True) from None
        except aiohttp.ClientConnectorError as error:
            raise Fault(f"{self.address}: {error}", broken=True) from None
        except (aiohttp.ClientError, OSError, RuntimeError) as error:  # aiohttp's session is closed: RuntimeError
            raise Fault(f"{self.address}{path}: {type(error).__name__}: {error}") from None
        if response.status >= HTTPStatus.INTERNAL_SERVER_ERROR and response.status != HTTPStatus.NOT_IMPLEMENTED:
            raise Fault(f"{self.address}{path}: {_said(response.status, data)}")
        return response.status, data


def read_metrics(text: str) -> EngineLoad:
    """Read vLLM's metrics in Prometheus' text format; a server of several engines has a line for each.

    Raises:
        LookupError: A metric is missing.
        ValueError: A value is no number.
    """
    values: dict[str, list[float]] = {}
    for line in text.splitlines():
        name, _, rest = line.partition("{") if "{" in line else line.partition(" ")
        if name.startswith("vllm:"):
            values.setdefault(name, []).append(float(rest.rpartition(" ")[2]))

    def of(name: str) -> list[float]:
        if name not in values:
            raise LookupError(f"{name} is missing")
        return values[name]

    return EngineLoad(
        running=int(sum(of("vllm:num_requests_running"))),
        waiting=int(sum(of("vllm:num_requests_waiting"))),
        kv_cache_usage=max(of("vllm:kv_cache_usage_perc")),
        preemptions=int(sum(of("vllm:num_preemptions_total"))),
    )


def _read(task: asyncio.Future[Any]) -> None:
    """Mark a task's error as seen: whoever wanted to know may be gone."""
    if not task.cancelled():
        task.exception()


class _Absent(Fault):
    """The server does not have what was asked for, at least not there and not now."""


class _Card(msgspec.Struct):
    id: str
    root: str | None = None
    max_model_len: int | None = None


class _Cards(msgspec.Struct):
    data: list[_Card]


class _Error(msgspec.Struct):
    message: str = ""


class _Refusal(msgspec.Struct):
    error: _Error | str | None = None
    message: str = ""


def _one_token(model: str, temperature: float) -> Call:
    sampling = Sampling(temperature=temperature, max_tokens=1, seed=0)
    return Call(model, _PROBE_PROMPT, sampling, "llmgym-probe", "llmgym-probe", probing=True)


def _said(status: int, body: bytes) -> str:
    """A refusal in words."""
    try:
        refusal = msgspec.json.decode(body, type=_Refusal)
    except msgspec.MsgspecError:
        text = ""
    else:
        error = refusal.error
        text = error.message if isinstance(error, _Error) else error or refusal.message
    text = text or body[:300].decode(errors="replace")
    return f"{status} {text}".strip()
