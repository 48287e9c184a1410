"""The sessions of a server.

All fronts, whatever protocol they speak, are thin over these and `llmgym.serve.session`.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import OrderedDict
from collections.abc import Awaitable, Mapping
from typing import Any, TypeVar

from llmgym.adapters.remote.protocol import Close, Graded, Group, GroupGraded, Opened, Request, Reset
from llmgym.concurrency import shielded
from llmgym.rollout.group_rewards import rewards_of
from llmgym.rollout.instances import Instances, TaskSource
from llmgym.serve.metrics import Metrics
from llmgym.serve.session import Answer, Session, encode, refused
from llmgym.serve.trouble import ServeError

T = TypeVar("T")

_ENDED = 4096  # sessions whose last answer is kept after their end, for clients that did not get it
_STOPPING_S = 5.0  # for requests that are stopped


class Sessions:
    """The sessions of a server.

    Attributes:
        environments: Instances of what it serves, by name.
        ending: Whether no session and no episode may begin any more.
    """

    def __init__(
        self, environments: Mapping[str, Instances], *, most: int = 10_000, idle_s: float = 1800.0, metrics: Metrics
    ) -> None:
        """Begin with none.

        Args:
            environments: What there is.
            most: How many sessions there may be at once.
            idle_s: Seconds after which a session that is asked for nothing is ended.
            metrics: Told what happens.
        """
        self.environments, self._most, self._idle_s, self._metrics = environments, most, idle_s, metrics
        self.ending = False
        self._start = secrets.token_hex(4)
        self._reading: dict[str, asyncio.Future[Any]] = {}
        self._live: dict[str, Session] = {}
        self._ended: OrderedDict[str, Session] = OrderedDict()

    def __len__(self) -> int:
        """How many there are."""
        return len(self._live)

    async def take(self, request: Request, url: str = "") -> Answer:
        """Do what a request asks for; see `Session.take`.

        Args:
            request: What.
            url: Where this process is; a session that begins is told where it is itself.
        """
        try:
            if isinstance(request, Group):
                return 200, encode(await self.judge(request))
            if self.ending and isinstance(request, Reset):
                raise ServeError("overloaded", "this server is ending, and begins no more episodes")
            if isinstance(request, Reset) and not request.session:
                return await self._first(await self.open(request.env, url), request)
            session = self.find(request.session)
        except Exception as error:  # noqa: BLE001 -- whatever it is, the client is told
            return refused(error)
        answer = await session.take(request)
        if session.lost or isinstance(request, Close):
            await self._end(session)
        return answer

    async def _first(self, session: Session, request: Reset) -> Answer:
        """Begin the first episode of a session, which ends where that fails, or where its client has left."""
        answer = None
        try:
            answer = await session.take(request)
            return answer
        finally:
            if answer is None or answer[0] != 200:
                await self._end(session)

    async def judge(self, request: Group) -> GroupGraded:
        """Score the repeats of a task beside each other, on an instance of no session.

        Raises:
            ServeError: There is no such environment, or it does not score repeats beside each other.
            EnvironmentFailure: It failed.
        """
        instances = self.instances(request.env)
        if not instances.verifies_groups:
            raise ServeError("bad_request", f"{request.env} does not score repeats beside each other")
        if all(ended is None for ended in request.episodes):
            raise ServeError("bad_request", "none of the episodes has a score")
        rewards, calls = await rewards_of(instances, [ended and ended.episode for ended in request.episodes])
        return GroupGraded(rewards=[reward and Graded.of(reward) for reward in rewards], model_calls=calls)

    def instances(self, name: str) -> Instances:
        """The instances of an environment.

        Raises:
            ServeError: There is none of this name.
        """
        if name not in self.environments:
            there = ", ".join(self.environments)
            raise ServeError("bad_request", f"there is no environment {name!r:.200} here; there is {there}")
        return self.environments[name]

    async def loaded(self, name: str) -> Instances:
        """The instances of an environment, once its tasks are read: in a thread, as a table may have a million rows.

        Raises:
            ServeError: There is none of this name.
            TaskError: Its tasks cannot be read; they are tried again when next asked for.
        """
        instances = self.instances(name)
        if not self._is_loaded(name):
            if name not in self._reading or self._reading[name].done():
                work = asyncio.to_thread(lambda: instances.source.tasks.splits)
                self._reading[name] = asyncio.ensure_future(work)
            await asyncio.shield(self._reading[name])
        return instances

    async def source(self, name: str) -> TaskSource:
        """Where the tasks of an environment come from, once they are read; raises as `loaded` does."""
        return (await self.loaded(name)).source

    def _is_loaded(self, name: str) -> bool:
        reading = self._reading.get(name)
        return reading is not None and reading.done() and reading.exception() is None

    def is_instant(self, request: Request) -> bool:
        """Whether a request is done without a pause."""
        if isinstance(request, Group) or (isinstance(request, Reset) and not request.session):
            instances = self.environments.get(request.env)
            return instances is None or (self._is_loaded(request.env) and not instances.suspends)
        session = self._live.get(request.session)
        return session is None or not session.instances.suspends

    def new_id(self) -> str:
        """A name for a session, which nobody can guess."""
        return f"{self._start}-{secrets.token_urlsafe(18)}"

    async def open(self, name: str, url: str = "", session_id: str = "") -> Session:
        """Begin a session.

        Args:
            name: The environment.
            url: Where this process is, where its sessions are told.
            session_id: Its name, of `new_id`, where the client has it already.

        Raises:
            ServeError: There is no such environment, no room, or the server is ending.
            TaskError: Its tasks cannot be read.
            EnvironmentFailure: The environment cannot be made.
        """
        instances = await self.loaded(name)
        if self.ending:
            raise ServeError("overloaded", "this server is ending, and begins no more sessions")
        if len(self._live) >= self._most:
            raise ServeError("overloaded", f"there are {self._most} sessions already: close some, or raise --sessions")
        session_id = session_id or self.new_id()
        place = url and f"{url}/v1/sessions/{session_id}"
        session = Session(session_id, place, name, instances, await instances.acquire(), self._metrics)
        self._live[session.id] = session
        self._metrics.sessions(len(self._live))
        return session

    def find(self, session_id: str) -> Session:
        """A session that lives, or has ended so lately that its last answer is still known.

        Raises:
            ServeError: There is none.
        """
        session = self._live.get(session_id)
        if session is not None:
            session.touched = time.monotonic()
            return session
        if (session := self._ended.get(session_id)) is not None:
            return session
        if session_id.partition("-")[0] != self._start:
            why = "the server was started again since it began, and has lost it; or it is at another address"
        else:
            why = f"it was closed, failed, or asked for nothing in {self._idle_s:g} s"
        raise ServeError("unknown_session", f"there is no session {session_id!r:.60}: {why}")

    async def begin(self, request: Reset, session_id: str = "") -> tuple[Session, Opened]:
        """Begin a session and its first episode; raises as `open` and `Session.reset` do, without a session left."""
        session = await self.open(request.env, session_id=session_id)
        try:
            return session, await session.reset(request)
        except BaseException:
            await self._end(session)
            raise

    async def use(self, session: Session, work: Awaitable[T]) -> T:
        """Await what a session does, and end it where its instance cannot be used any more."""
        try:
            return await work
        finally:
            if session.lost:
                await self._end(session)

    async def close(self, session_id: str) -> None:
        """End a session; nothing happens where it has ended.

        Raises:
            ServeError: There was none.
        """
        await self._end(self.find(session_id))

    async def reap(self) -> None:
        """End those that are idle, for ever."""
        while True:
            await asyncio.sleep(min(self._idle_s / 4, 30.0))
            oldest = time.monotonic() - self._idle_s
            idle = [session for session in self._live.values() if session.touched < oldest and not session.busy]
            await asyncio.gather(*map(self._end, idle))

    async def settle(self, seconds: float) -> None:
        """Begin no more episodes, and let requests that are under way end.

        Args:
            seconds: After which they are stopped.
        """
        self.ending = True
        await self._quiet(seconds)
        for session in self._live.values():
            session.abandon()
        await self._quiet(_STOPPING_S)

    async def _quiet(self, seconds: float) -> None:
        """Wait until no request is under way, so long at most."""
        ends, quiet = time.monotonic() + seconds, 0
        while quiet < 2 and time.monotonic() < ends:  # twice, so that the last answer is sent too
            await asyncio.sleep(0.05)
            quiet = 0 if any(session.busy for session in self._live.values()) else quiet + 1

    async def aclose(self) -> None:
        """End all sessions, and the environments."""
        self.ending = True
        await asyncio.gather(*map(self._end, list(self._live.values())))
        for instances in self.environments.values():
            await instances.aclose()

    async def _end(self, session: Session) -> None:
        if self._live.pop(session.id, None) is None:
            return
        self._ended[session.id] = session
        if len(self._ended) > _ENDED:
            self._ended.popitem(last=False)
        self._metrics.sessions(len(self._live))
        await shielded(session.close())
