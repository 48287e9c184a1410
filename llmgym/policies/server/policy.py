"""The policy: starts, retries, stops."""

from __future__ import annotations

import asyncio
import math
import os
import random
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from llmgym.chat import Sampling
from llmgym.errors import ConfigError, PolicyError, PolicyUnavailable
from llmgym.policies.base import EngineLoad, Generation, LogprobsMode, room_for_reply
from llmgym.policies.http import backoff, open_session
from llmgym.policies.models import load_tokenizer, resolve
from llmgym.policies.server.endpoint import Endpoint, Fault, Offer, Timeouts, parse_addresses
from llmgym.policies.server.pool import Pool
from llmgym.policies.server.wire import Call

_BACKOFF_S, _MAX_BACKOFF_S = 0.1, 5.0
_KEEP_ALIVE_S = 4.0  # shorter than the 5 s of vLLM's server, which else closes a connection as it is taken up again


class ServerPolicy:
    """Samples from one or many `vllm serve` addresses that offer the same model; token ids in, token ids out.

    ```python
    policy = ServerPolicy("http://gpu1:8000,http://gpu2:8000")
    ```

    `start` asks each server for single tokens and uses `/inference/v1/generate` where it is offered
    (`vllm serve MODEL --enable-scale-out`), else `/v1/completions`. The requests of an episode go to one server, for
    its prefix cache. A request that fails is repeated, on another server where there is one: sampling has no side
    effect. A server that fails is put aside and probed until it is back.

    A policy serves the event loop that started it. It raises the process's limit of open files if it can: each
    request that is running has a connection of its own.

    Attributes:
        name: The addresses.
        model: The model as the servers call it; "" before `start` unless given.
        tokenizer: Tokenizer of the model, None before `start`.
        context_length: Most tokens of prompt and reply together that all servers allow, 0 before `start`.
        logprobs_mode: As stated, else as measured at `start`; vLLM gives "raw" ones unless it is told otherwise.
    """

    def __init__(
        self,
        addresses: str | list[str],
        *,
        model: str | None = None,
        tokenizer: Any = None,
        context_length: int | None = None,
        logprobs_mode: LogprobsMode | None = None,
        api_key: str | None = None,
        timeout: float = 600.0,
        connect_timeout: float = 10.0,
        probe_timeout: float = 30.0,
        unavailable_timeout: float = 300.0,
        max_retries: int = 4,
    ) -> None:
        """Name the servers; `start` talks to them.

        Args:
            addresses: Such as "http://localhost:8000"; several in a list, or separated by commas.
            model: Model that the servers must offer; None takes the first that they offer.
            tokenizer: Short name, folder or Hub id of the tokenizer, or a tokenizer; None takes the folder, or else
                the Hub id, from which the servers say that they loaded the model.
            context_length: Most tokens of prompt and reply together, if less than the servers allow.
            logprobs_mode: What `--logprobs-mode` the servers run with; None measures it.
            api_key: By default `VLLM_API_KEY`. It is never written to a run folder.
            timeout: Seconds for one try of a request.
            connect_timeout: Seconds to get a connection.
            probe_timeout: Seconds for each request of a probe.
            unavailable_timeout: Seconds to wait for a server to come back, where all are gone or busy.
            max_retries: Tries after the first; that a server is busy (429) costs none before `unavailable_timeout`.

        Raises:
            ConfigError: An address or option makes no sense.
        """
        self._addresses = parse_addresses(addresses)
        for option, value in (("timeout", timeout), ("connect_timeout", connect_timeout),
                              ("probe_timeout", probe_timeout)):  # fmt: skip
            if not 0 < value < math.inf:
                raise ConfigError(f"{option}={value} must be a finite number of seconds above 0")
        if not 0 <= unavailable_timeout < math.inf or max_retries < 0:
            raise ConfigError(f"{unavailable_timeout=} and {max_retries=} must be finite and at least 0")
        if logprobs_mode not in ("raw", "processed", None):
            raise ConfigError(f"{logprobs_mode=} must be 'raw' or 'processed'")
        self.name = ",".join(self._addresses)
        self.model = model or ""
        self.tokenizer: Any = None
        self.context_length = 0
        self.logprobs_mode: LogprobsMode = logprobs_mode or "raw"
        self._asked = (model, tokenizer, context_length, logprobs_mode)
        self._api_key = api_key
        self._timeouts = Timeouts(connect_timeout, timeout, probe_timeout)
        self._unavailable_timeout, self._max_retries = unavailable_timeout, max_retries
        self._http: Any = None
        self._pool: Pool | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def servers(self) -> dict[str, str]:
        """State of each server: "up", or why it is aside."""
        pool = self._pool
        return {e.address: pool.why(e) or "up" for e in pool.endpoints} if pool is not None else {}

    async def start(self) -> None:
        """Probe the servers and load the tokenizer; calling it again does nothing.

        Servers that cannot be reached are put aside, as long as there is one that can.

        Raises:
            MissingExtraError: aiohttp is not installed, or what the tokenizer needs.
            PolicyUnavailable: No server can be reached.
            PolicyError: A server offers another model than asked or than its siblings, or lacks something that llmgym
                needs; or the tokenizer cannot be loaded.
        """
        loop = asyncio.get_running_loop()
        if self._pool is not None and self._loop is not None and not self._loop.is_closed():
            if self._loop is not loop:
                raise PolicyError(f"{self.name} runs in another event loop; close it there, or make a second policy")
            return
        self._http, self._loop = self._session(), loop
        try:
            endpoints = [Endpoint(address, self._http, self._timeouts) for address in self._addresses]
            away = await self._probe_all(endpoints)
            if self.tokenizer is None:
                root = next(endpoint.offer.root for endpoint in endpoints if endpoint.offer is not None)
                self.tokenizer = await asyncio.to_thread(_load_tokenizer, self._asked[1], root)
        except BaseException:
            await self._http.close()
            self._http = None
            raise
        self._pool = Pool(endpoints, self._check)
        for endpoint, why in away.items():
            self._pool.put_aside(endpoint, why)

    def _session(self) -> Any:
        key = self._api_key or os.environ.get("VLLM_API_KEY")
        headers = {"Authorization": f"Bearer {key}"} if key else None
        return open_session("ServerPolicy", "server", _KEEP_ALIVE_S, headers)

    async def _probe_all(self, endpoints: list[Endpoint]) -> dict[Endpoint, str]:
        """Take up what the servers offer; give those that cannot be reached, and why."""
        model = self._asked[0]
        results = await asyncio.gather(*(e.probe(model) for e in endpoints), return_exceptions=True)
        away: dict[Endpoint, str] = {}
        for endpoint, result in zip(endpoints, results, strict=True):
            if isinstance(result, Offer):
                endpoint.offer = result
            elif isinstance(result, (Fault, PolicyUnavailable)):
                away[endpoint] = str(result)
            else:
                raise result
        offers = {e.address: e.offer for e in endpoints if e.offer is not None}
        if not offers:
            raise PolicyUnavailable(f"no server can be used: {'; '.join(away.values())}")
        self._settle(offers)
        for endpoint in endpoints:
            if endpoint.offer is not None:
                self._refuse_stranger(endpoint.address, endpoint.offer)
        return away

    def _settle(self, offers: dict[str, Offer]) -> None:
        """What the policy is, from what its servers offer."""
        _, _, wanted, stated = self._asked
        first = next(iter(offers.values()))
        lengths = [offer.context_length for offer in offers.values() if offer.context_length is not None]
        if not lengths and wanted is None:
            raise PolicyError(f"{self.name} does not say how long its context is; give context_length")
        if wanted is not None and wanted > min(lengths, default=wanted):
            raise ConfigError(f"context_length={wanted}, but {self.name} allows {min(lengths)}")
        self.model = first.model
        self.context_length = wanted or min(lengths)
        self.logprobs_mode = stated or first.logprobs_mode or "raw"

    def _refuse_stranger(self, address: str, offer: Offer) -> None:
        if offer.model != self.model:
            raise PolicyError(
                f"{address} offers {offer.model!r}, its siblings {self.model!r}; name the `model` that all of them "
                "offer, or leave out the server"
            )
        if offer.context_length is not None and offer.context_length < self.context_length:
            raise PolicyError(
                f"{address} allows {offer.context_length} tokens of context; this run counts on {self.context_length}"
            )
        if offer.logprobs_mode not in (self.logprobs_mode, None):
            raise PolicyError(
                f"{address} gives {offer.logprobs_mode} log-probabilities instead of {self.logprobs_mode} ones; start "
                f"it with --logprobs-mode {self.logprobs_mode}_logprobs"
            )

    async def _check(self, endpoint: Endpoint) -> None:
        """Probe a server that was aside; it may have been started anew, with anything."""
        offer = await endpoint.probe(self.model)
        self._refuse_stranger(endpoint.address, offer)
        endpoint.offer = offer

    def move(self, addresses: Sequence[str]) -> None:
        """Say where the servers are now, in the order in which they were given; one that has moved is probed first."""
        pool = self._running()
        for endpoint, address in zip(pool.endpoints, addresses, strict=True):
            if endpoint.address != address:
                pool.renew(endpoint, f"{endpoint.address} has moved to {address}")
                endpoint.address = address

    async def close(self) -> None:
        """Close the connections; pending requests end with `PolicyError`."""
        pool, http = self._pool, self._http
        self._pool = self._http = None
        if pool is not None and self._loop is asyncio.get_running_loop():
            await pool.close()
        if http is not None:
            await http.close()

    async def generate(
        self, prompt_ids: Sequence[int], sampling: Sampling, *, request_id: str, session_id: str
    ) -> Generation:
        """Sample one reply; cancelling the awaiting task closes the connection, and the engine aborts the request.

        Raises:
            ContextLengthExceeded: No room for a reply.
            PolicyUnavailable: All tries failed, or no server was there for too long.
            PolicyError: A server refused the request or answered nonsense; or the policy is not started or was closed.
        """
        pool = self._running()
        sampling = self._checked(prompt_ids, sampling, request_id)
        failed: Endpoint | None = None
        said, attempt, failures = "", 0, 0
        patience = time.monotonic() + self._unavailable_timeout
        while failures <= self._max_retries:
            if attempt:
                await asyncio.sleep(random.uniform(0.5, 1.0) * backoff(_BACKOFF_S, attempt, _MAX_BACKOFF_S))
            endpoint = await pool.pick(session_id, failed, self._unavailable_timeout)
            # An engine may know the first try still when the second comes.
            name = f"{request_id}~{attempt}" if attempt else request_id
            call = Call(self.model, prompt_ids, sampling, name, session_id)
            endpoint.live += 1
            try:
                reply = await endpoint.generate(call)
            except Fault as fault:
                if pool is not self._pool:
                    raise PolicyError(f"request {request_id}: the policy was closed") from None
                pool.failed(endpoint, fault)
                failed, said, attempt = endpoint, str(fault), attempt + 1
                failures += fault.counts or time.monotonic() > patience  # to be busy is no failure
            else:
                pool.succeeded(endpoint)
                return reply.generation
            finally:
                endpoint.live -= 1
        raise PolicyUnavailable(f"request {request_id} failed {attempt} times, the last time with: {said}")

    async def load(self) -> EngineLoad:
        """How busy the servers in use are, by their `/metrics`.

        Raises:
            PolicyUnavailable: None of them could be asked.
            PolicyError: One does not offer vLLM's metrics, or the policy is not started or was closed.
        """
        pool = self._running()
        endpoints = [endpoint for endpoint in pool.endpoints if pool.usable(endpoint)]
        answers = await asyncio.gather(*(endpoint.load() for endpoint in endpoints), return_exceptions=True)
        loads = [answer for answer in answers if isinstance(answer, EngineLoad)]
        for answer in answers:
            if isinstance(answer, BaseException) and not isinstance(answer, Fault):
                raise answer
        if not loads:
            why = "; ".join(map(str, answers)) or "all are aside"
            raise PolicyUnavailable(f"no server could be asked how busy it is: {why}")
        return EngineLoad(
            running=sum(load.running for load in loads),
            waiting=sum(load.waiting for load in loads),
            kv_cache_usage=max(load.kv_cache_usage for load in loads),
            preemptions=sum(load.preemptions for load in loads),
        )

    def _running(self) -> Pool:
        if self._pool is None:
            raise PolicyError(f"{self.name} is not running; await its start() first")
        if self._loop is not asyncio.get_running_loop():
            raise PolicyError(f"{self.name} was started in another event loop; start it in this one")
        return self._pool

    def _checked(self, prompt_ids: Sequence[int], sampling: Sampling, request_id: str) -> Sampling:
        """Check a request here, where the message can be good, and keep its reply within the context."""
        sampling.check(request_id)
        if len(prompt_ids) == 0:
            raise PolicyError(f"request {request_id}: the prompt is empty")
        room = room_for_reply(self, prompt_ids, request_id, "serve with a longer --max-model-len")
        if sampling.max_tokens <= room:
            return sampling
        return replace(sampling, max_tokens=room)


def _load_tokenizer(given: Any, root: str) -> Any:
    if given is not None and not isinstance(given, (str, Path)):
        return given
    name = root if given is None else str(given)
    source = root if given is None and root.startswith("/") else resolve(name)  # a folder of the server's is not ours
    hint = "" if given is not None else ", from which the server loaded its model; give `tokenizer`"
    return load_tokenizer(source, "the tokenizer of ServerPolicy", hint)
