"""Sessions: instances of environments that clients have taken, and what they ask of them.

All fronts, whatever protocol they speak, are thin over these two classes.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import secrets
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any, TypeVar, cast

import msgspec
from gymnasium.error import ResetNeeded

from llmgym.adapters.remote.protocol import (
    STATUS,
    Call,
    Close,
    Closed,
    End,
    Failed,
    Graded,
    Group,
    GroupGraded,
    OfSession,
    Opened,
    Oracle,
    Request,
    Reset,
    Said,
    Step,
    Stepped,
)
from llmgym.concurrency import is_outside, shielded
from llmgym.env import StepResult
from llmgym.env.boundary import failure
from llmgym.env.episode import Report
from llmgym.errors import EnvironmentFailure, LLMGymError
from llmgym.messages import Message, ToolCall, ToolSchema
from llmgym.rollout.instances import Instances
from llmgym.serve.metrics import Metrics
from llmgym.serve.trouble import ServeError, error_of
from llmgym.tasks import Task
from llmgym.tasks.task import settled
from llmgym.wrappers import AnyToolEnv

T = TypeVar("T")

encode = msgspec.json.Encoder().encode
Answer = tuple[int, bytes]  # status and body

_ENDED = 4096  # sessions whose last answer is kept after their end, for clients that did not get it
_STOPPING_S = 5.0  # for requests that are stopped
_SPOILS = frozenset({"infrastructure", "timeout", "abandoned"})


def refused(error: Exception, report: Report | None = None) -> Answer:
    """The answer that an exception is; see `error_of`."""
    told = error_of(error, report)
    return STATUS[told.wrong], encode(Failed(error=told))


class Session:
    """An instance of an environment that a client has taken.

    Attributes:
        id: Its name, which nobody can guess.
        name: Name of the environment.
        instances: Where the instance comes from.
        url: Where it is, for clients that have found it elsewhere; may be empty.
        tools: Schemas of the tools of its episode.
        touched: When it last had something to do, in seconds of `time.monotonic`.
        lost: Whether the instance cannot be used any more.
        closed: Whether it has ended.
        notes: What the front that began it keeps beside it.
    """

    __slots__ = (
        "_answer", "_asked", "_env", "_metrics", "_oracle", "_turn", "_using", "closed", "id", "instances", "lost",
        "name", "notes", "tools", "touched", "url",
    )  # fmt: skip

    def __init__(
        self, session_id: str, url: str, name: str, instances: Instances, env: AnyToolEnv, metrics: Metrics
    ) -> None:
        """Take an instance."""
        self.id, self.url, self.name, self.instances = session_id, url, name, instances
        self._env, self._metrics = env, metrics
        self.tools: list[ToolSchema] = []
        self._using = asyncio.Lock()
        self._oracle: Iterator[Message | str] | None = None
        self._turn = 0
        self._asked: OfSession | None = None
        self._answer: Answer | asyncio.Future[Answer] | None = None
        self.touched = time.monotonic()
        self.lost = self.closed = False
        self.notes: Any = None

    @property
    def busy(self) -> bool:
        """Whether a request is under way."""
        return self._using.locked() or isinstance(self._answer, asyncio.Future)

    # --- requests that may come twice -------------------------------------------------------------

    async def take(self, request: OfSession) -> Answer:
        """Do what the next request asks for, or give the answer of the last one again.

        Returns:
            A status of HTTP and a body, also of what went wrong.
        """
        turn = self._turn if request.turn is None else request.turn
        if turn == self._turn - 1 and request == self._asked:
            answer = self._answer
            return await asyncio.shield(answer) if isinstance(answer, asyncio.Future) else cast("Answer", answer)
        if self.closed or turn != self._turn or isinstance(self._answer, asyncio.Future):
            return self._refuse(turn)
        self._turn, self._asked = turn + 1, request
        if not self._env.suspends:
            self._answer = await self._do(request)  # without a pause: nothing can come between
            return self._answer
        # A task of its own: a client that leaves does not stop what it asked for, and may come again for the answer.
        working = self._answer = asyncio.ensure_future(self._do(request))
        self._answer.add_done_callback(self._done)
        return await asyncio.shield(working)

    def _done(self, work: asyncio.Future[Answer]) -> None:
        self.touched = time.monotonic()
        if not work.cancelled():
            self._answer = work.result()

    def _refuse(self, turn: int) -> Answer:
        if self.closed:
            return refused(self._ended())
        if isinstance(self._answer, asyncio.Future):
            said = f"turn {self._turn - 1} of this session is under way: wait for its answer"
        else:
            said = f"turn {turn} of the session is not the next, {self._turn}; the last may be sent again as it was"
        return refused(ServeError("conflict", said))

    def _ended(self) -> ServeError:
        return ServeError("unknown_session", f"the session {self.id!r} has ended")

    async def _do(self, request: OfSession) -> Answer:
        try:
            match request:
                case Step():
                    found: Any = await self.step(request.action)
                case Reset():
                    found = await self.reset(request)
                case Call():
                    found = await self.call(request.call, same=request.same)
                case End():
                    found = await self.end(request.action, verify=request.verify)
                case Oracle():
                    found = Said(message=self.oracle())
                case Close():
                    found = Closed()
            return 200, encode(found)
        except asyncio.CancelledError:
            return refused(ServeError("overloaded", "the server ended before this was done"))
        except Exception as error:  # noqa: BLE001 -- whatever it is, the client is told
            return refused(error, self._env.report() if isinstance(error, EnvironmentFailure) else None)

    # --- what fronts build on ---------------------------------------------------------------------

    async def reset(self, request: Reset) -> Opened:
        """Begin an episode.

        Raises:
            LLMGymError: The task or an option is unknown, or the environment failed.
        """
        self._oracle = None
        options = {**request.options, "task": self._task(request)}
        messages, info = await self._within(lambda: self._env.areset(seed=request.seed, options=options))
        self._metrics.begun(self.name)
        self.tools = info["tools"]
        return Opened(session=self.id, url=self.url, task_id=info["task_id"], messages=messages, tools=self.tools)

    async def step(self, action: Any) -> Stepped:
        """Take an assistant message; raises as `ToolEnv.astep` does."""
        return await self._stepped(lambda: self._env.astep(action))

    async def call(self, call: Mapping[str, Any], *, same: bool) -> Stepped:
        """Run one call of a message, after those that came before; raises as `ToolEnv.acall` does."""
        return await self._stepped(lambda: self._env.acall(cast("ToolCall", dict(call)), same=same))

    async def end(self, action: Any = None, *, verify: bool = True) -> Stepped:
        """End the episode at a limit; raises as `ToolEnv.aend` does."""
        return await self._stepped(lambda: self._env.aend(action, verify=verify))

    def oracle(self) -> Message | str | None:
        """The next message of a correct solution; None where there is no more.

        Raises:
            LLMGymError: The environment has none, or it failed.
        """
        if self.closed:
            raise self._ended()
        core = cast("Any", self._env.unwrapped)
        if core.task is None:
            raise ServeError("ended", "no episode was started: reset the session")
        try:
            if self._oracle is None:
                self._oracle = iter(core.oracle(core.task))
            return next(self._oracle, None)
        except NotImplementedError:
            raise ServeError("bad_request", f"{self.name} has no oracle") from None
        except Exception as error:
            raise failure(error, f"{self.name}: oracle", "episode") from error

    @property
    def report(self) -> Report:
        """What is known of the episode besides what the steps have told."""
        return self._env.report()

    def abandon(self) -> None:
        """Stop the request that is under way, if there is one; its client is told."""
        if isinstance(self._answer, asyncio.Future):
            self.lost = True
            self._answer.cancel()

    async def close(self) -> None:
        """Give the instance back, once what it does has ended; an episode that runs is torn down, unverified."""
        if isinstance(self._answer, asyncio.Future):
            await asyncio.wait({self._answer})  # the environment's deadlines bound it
        async with self._using:
            self.closed = True
            with contextlib.suppress(Exception, SystemExit):  # there is none, or its end does not matter any more
                await self._env.aend(verify=False)
        if self.lost:
            await self.instances.discard(self._env)
        else:
            await self.instances.release(self._env)

    # --- within -----------------------------------------------------------------------------------

    def _task(self, request: Reset) -> Task:
        source = self.instances.source
        if request.task is not None:
            return settled(request.task)
        if request.task_id is not None:
            return source.tasks.get(request.task_id)
        seed = secrets.randbits(31) if request.seed is None else request.seed
        if request.index is not None:
            return source.plan(request.split, seed, request.index)
        return source.tasks.draw(request.split, seed, 0, scope=source.scope)

    async def _stepped(self, work: Callable[[], Awaitable[StepResult]]) -> Stepped:
        began = time.perf_counter()
        messages, reward, terminated, truncated, info = await self._within(work)
        over = terminated or truncated
        self._metrics.stepped(self.name, time.perf_counter() - began, over)
        return Stepped(
            messages=messages,
            reward=reward if math.isfinite(reward) else None,
            terminated=terminated,
            truncated=truncated,
            info=info,
            report=self._env.report() if over else None,
        )

    async def _within(self, work: Callable[[], Awaitable[T]]) -> T:
        """Use the environment, one request after another; what it raises that no client asked for is its failure."""
        try:
            async with self._using:
                if self.closed:  # the instance may be another session's by now
                    raise self._ended()
                return await work()
        except BaseException as error:  # whatever an environment or a wrapper raises
            asked = isinstance(error, ResetNeeded | LLMGymError | ValueError)
            if is_outside(error) or (asked and not isinstance(error, EnvironmentFailure)):
                raise
            found = failure(error, self.name, "wrapper")
            self.lost = self.lost or found.kind in _SPOILS
            self._metrics.failed(self.name, found.kind)
            raise found from error


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
                session = await self.open(request.env, url)
                answer = await session.take(request)
                if answer[0] != 200:
                    await self._end(session)
                return answer
            session = self.find(request.session)
        except Exception as error:  # noqa: BLE001 -- whatever it is, the client is told
            return refused(error)
        answer = await session.take(request)
        if session.lost or isinstance(request, Close):
            await self._end(session)
        return answer

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
        env = await instances.acquire()
        try:
            rewards, calls = await env.averify_group([ended and ended.episode for ended in request.episodes])
        except BaseException as error:
            await instances.discard(env)
            if is_outside(error):
                raise
            raise failure(error, request.env, "verify") from error
        await instances.release(env)
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

    def is_instant(self, request: Request) -> bool:
        """Whether a request is done without a pause."""
        if isinstance(request, Group) or (isinstance(request, Reset) and not request.session):
            instances = self.environments.get(request.env)
            return instances is None or not instances.suspends
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
            EnvironmentFailure: The environment cannot be made.
        """
        instances = self.instances(name)
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
