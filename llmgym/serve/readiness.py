"""Whether a server can do what it is there for: an episode of each environment has begun here."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping

import msgspec

from llmgym.concurrency import is_outside
from llmgym.redaction import redact_text
from llmgym.rollout.instances import Instances
from llmgym.serve.session import Answer
from llmgym.serve.sessions import Sessions

_AGAIN_S = 10.0


class Readiness:
    """See the module."""

    def __init__(self, sessions: Sessions) -> None:
        """Nothing is proven yet."""
        self._sessions = sessions
        self._why = dict.fromkeys(sessions.environments, "no episode has begun yet")

    def answer(self) -> Answer:
        """What those are told who run the server."""
        if self._sessions.ending:
            return 503, _said("ending", {})
        return (503, _said("not ready", self._why)) if self._why else (200, _said("ready", {}))

    async def prove(self) -> None:
        """Begin an episode of each environment, again and again where that fails."""
        while True:
            for name in list(self._why):
                try:
                    await _begin(await self._sessions.loaded(name))
                except BaseException as error:  # whatever an environment raises
                    if is_outside(error):
                        raise
                    self._why[name] = redact_text(f"{type(error).__name__}: {error}")[:300]
                else:
                    del self._why[name]
            if not self._why:
                return
            await asyncio.sleep(_AGAIN_S)


async def _begin(instances: Instances) -> None:
    """Begin an episode, and end it unscored."""
    env = await instances.acquire()
    try:
        await env.areset(seed=0)
        with contextlib.suppress(Exception):  # its end proves nothing
            await env.aend(verify=False)
    except BaseException:
        await instances.discard(env)
        raise
    await instances.release(env)


def _said(status: str, why: Mapping[str, str]) -> bytes:
    return msgspec.json.encode({"status": status, "why": why} if why else {"status": status})
