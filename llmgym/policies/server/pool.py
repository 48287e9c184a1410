"""Which server gets a request: sticky by session, least loaded otherwise, none that is broken."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable

from llmgym.errors import PolicyError, PolicyUnavailable
from llmgym.policies.server.endpoint import Endpoint, Fault

_STRIKES = 3  # failures in a row that put a server aside
_SESSIONS = 1 << 17  # episodes whose server is remembered: nobody says when one has ended
_FIRST_PROBE_S, _LAST_PROBE_S = 0.2, 5.0  # waits between the probes of a server that is aside

_log = logging.getLogger("llmgym.policies.server")


class Pool:
    """Servers of one model, each in use or aside.

    A server is put aside when it cannot be reached, does not answer in time, or fails three times in a row. It is
    then probed until it is back; meanwhile its sessions move on, and stay where they went.
    """

    def __init__(self, endpoints: list[Endpoint], check: Callable[[Endpoint], Awaitable[None]]) -> None:
        """Start with every server in use.

        Args:
            endpoints: The servers.
            check: Probes one; raises `Fault` or `PolicyError` while it cannot be used.
        """
        self.endpoints = endpoints
        self._check = check
        self._strikes = dict.fromkeys(endpoints, 0)
        self._reviving: dict[Endpoint, asyncio.Task[None]] = {}
        self._why: dict[Endpoint, str] = {}
        self._sessions: OrderedDict[str, Endpoint] = OrderedDict()
        self._homes = dict.fromkeys(endpoints, 0)
        self._changed = asyncio.Event()
        self._closed = False

    def usable(self, endpoint: Endpoint) -> bool:
        """Whether a server is in use."""
        return endpoint not in self._reviving

    def why(self, endpoint: Endpoint) -> str | None:
        """Why a server is aside."""
        return self._why.get(endpoint)

    async def pick(self, session_id: str, avoid: Endpoint | None, patience: float) -> Endpoint:
        """Choose a server for a request of a session.

        Args:
            session_id: The session.
            avoid: Server on which the request just failed; taken where there is no other.
            patience: Seconds to wait for a server, where all are aside.

        Raises:
            PolicyUnavailable: All servers stayed aside.
            PolicyError: The policy was closed.
        """
        deadline = time.monotonic() + patience
        while not self._closed:
            usable = [endpoint for endpoint in self.endpoints if self.usable(endpoint)]
            if usable:
                return self._choose(session_id, [e for e in usable if e is not avoid] or usable)
            self._changed.clear()
            try:
                async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
                    await self._changed.wait()
            except TimeoutError:
                reasons = "; ".join(self._why.values())
                raise PolicyUnavailable(f"no server came back within {patience} s: {reasons}") from None
        raise PolicyError("the policy was closed")

    def _choose(self, session_id: str, usable: list[Endpoint]) -> Endpoint:
        home = self._sessions.get(session_id)
        if home not in usable:
            if home is not None:
                self._homes[home] -= 1
            # Sessions are counted too: an episode that is busy with a tool comes back to its server.
            home = min(usable, key=lambda endpoint: (endpoint.live, self._homes[endpoint]))
            self._sessions[session_id] = home
            self._homes[home] += 1
            if len(self._sessions) > _SESSIONS:
                self._homes[self._sessions.popitem(last=False)[1]] -= 1
        self._sessions.move_to_end(session_id)
        return home

    def succeeded(self, endpoint: Endpoint) -> None:
        """Note that a server gave an answer."""
        self._strikes[endpoint] = 0

    def failed(self, endpoint: Endpoint, fault: Fault) -> None:
        """Note that a server failed, and put it aside if that is too much."""
        if not fault.counts or self._closed:
            return
        self._strikes[endpoint] += 1
        if fault.broken or self._strikes[endpoint] >= _STRIKES:
            self.put_aside(endpoint, str(fault))

    def put_aside(self, endpoint: Endpoint, why: str) -> None:
        """Stop using a server until a probe succeeds."""
        if self.usable(endpoint):
            _log.warning("%s is put aside: %s", endpoint.address, why)
            self._why[endpoint] = why
            self._reviving[endpoint] = asyncio.create_task(self._revive(endpoint))

    def renew(self, endpoint: Endpoint, why: str) -> None:
        """Stop using a server until a probe succeeds, the first of which is due at once: it is another one."""
        if not self.usable(endpoint):
            self._reviving.pop(endpoint).cancel()
        self.put_aside(endpoint, why)

    async def _revive(self, endpoint: Endpoint) -> None:
        wait = _FIRST_PROBE_S
        while True:
            await asyncio.sleep(wait * random.uniform(0.5, 1.0))
            wait = min(wait * 1.5, _LAST_PROBE_S)
            try:
                await self._check(endpoint)
            except (Fault, PolicyError) as error:
                self._why[endpoint] = str(error)
            except Exception as error:  # noqa: BLE001 -- a server that is never probed again would be lost
                self._why[endpoint] = f"{endpoint.address}: {type(error).__name__}: {error}"
            else:
                break
        _log.warning("%s is back", endpoint.address)
        self._strikes[endpoint] = 0
        del self._reviving[endpoint], self._why[endpoint]
        self._changed.set()

    async def close(self) -> None:
        """Stop probing, and wake whoever waits."""
        self._closed = True
        self._changed.set()
        tasks = list(self._reviving.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
