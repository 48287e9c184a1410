"""A place for an actor: the one that is there, and another one when that is lost."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, ClassVar, Generic, TypeVar

from llmgym.distributed.cluster import ClusterError

T = TypeVar("T")

START_S = 1800.0  # for an actor to load a model, and as much for the cluster to find a place for it
_SAY_S = 60.0  # between two lines about an actor that is not ready
_PAUSES_S = (0.0, 1.0, 5.0, 15.0, 30.0)  # before each try to start one

_log = logging.getLogger("llmgym.distributed")


class Lost(Exception):
    """An actor has died, or is silent."""


class Place(Generic[T]):
    """An actor, whichever it is at present.

    Attributes:
        number: Its number.
        node: Where it runs.
    """

    kind: ClassVar[str]

    def __init__(self, ray: Any, number: int, patience: float) -> None:
        """Name it; nothing is started.

        Args:
            ray: Ray, which has a cluster.
            number: Its number.
            patience: Seconds without a word after which it counts as lost.
        """
        self.number, self.node = number, ""
        self._ray, self._patience = ray, patience
        self._actor: Any = None

    async def up(self) -> T:
        """Start an actor in the place of the one that was there, and wait until it is ready.

        Raises:
            ClusterError: It was lost again and again.
            LLMGymError: It refuses to run, which another one would, too.
        """
        why = ""
        for pause in _PAUSES_S:
            await asyncio.sleep(pause)
            self.kill()
            telling = asyncio.create_task(self._tell())
            try:
                return await self._start()
            except Lost as error:
                why = str(error)
                _log.warning("%s %d was lost before it was ready: %s", self.kind, self.number, why)
            finally:
                telling.cancel()
        raise ClusterError(
            f"{self.kind} {self.number} was lost {len(_PAUSES_S)} times before it was ready: {why}; Ray keeps its log "
            "on its machine, in /tmp/ray/session_latest/logs"
        )

    async def _start(self) -> T:
        raise NotImplementedError

    async def _tell(self) -> None:
        while True:
            await asyncio.sleep(_SAY_S)
            free = self._ray.available_resources()
            said = ", ".join(f"{free[name]:g} {name}" for name in ("CPU", "GPU") if free.get(name)) or "no processor"
            _log.warning("%s %d is not ready yet; the cluster has %s free", self.kind, self.number, said)

    async def _answer(self, ref: Any, seconds: float) -> Any:
        from ray.exceptions import RayError, RayTaskError

        try:
            async with asyncio.timeout(seconds):
                return await ref
        except TimeoutError:
            raise Lost(f"no word for {seconds:.0f} s") from None
        except RayTaskError:
            raise
        except RayError as error:
            raise Lost(str(error).strip().partition("\n")[0]) from error

    def kill(self) -> None:
        """End its process, if there is one."""
        actor, self._actor = self._actor, None
        if actor is not None:
            self._ray.kill(actor)
