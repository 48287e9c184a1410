"""A session: an instance of an environment that a client has taken, and what it asks of it."""

from __future__ import annotations

import asyncio
import contextlib
import math
import secrets
import time
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
    OfSession,
    Opened,
    Oracle,
    Reset,
    Said,
    Step,
    Stepped,
)
from llmgym.concurrency import is_outside
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
        env = self._env
        del self._env, self._oracle  # what is lost is not to stay in memory beside the last answer
        if self.lost:
            await self.instances.discard(env)
        else:
            await self.instances.release(env)

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
        finally:
            self.touched = time.monotonic()
