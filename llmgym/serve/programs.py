"""Episodes that an agent program plays: it asks the policy through the gateway, and calls tools over MCP or HTTP.

A program is run for each episode, in a folder and a group of processes of its own, which ends with this process. All
that it needs is in its environment variables, and the task is on its standard input. What it has the policy say is
recorded with exact tokens; what it does with the tools happens in the environment, which scores it when the program
ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import signal
import tempfile
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from llmgym.codec.base import ChatCodec
from llmgym.concurrency import Lifeline, watched
from llmgym.errors import ConfigError, EnvironmentFailure, PolicyError
from llmgym.loading import expect_modules
from llmgym.messages import Message, ToolSchema, assistant
from llmgym.policies.base import TokenPolicy, gives_tokens
from llmgym.rollout import Driver, Instances, Limits, ResponsesCreateParams, Stop
from llmgym.rollout.driver import mark_failed
from llmgym.rollout.episode import lengths
from llmgym.rollout.runner import request_name, retried
from llmgym.serve import walls
from llmgym.serve.gateway.recording import pay
from llmgym.serve.gateway.server import Gateway, Session
from llmgym.serve.listening import door
from llmgym.serve.trouble import ServeError
from llmgym.tasks import Task
from llmgym.trajectory import Trajectory, Turn

_TAIL: Final = 500  # characters of what a program wrote to its standard error
_ENDING_S: Final = 2.0  # that a program has to end by itself when it is asked to
_LONGEST: Final = 128 << 10  # bytes of a variable on Linux, with its name and what stands between and behind them


@dataclass(slots=True)
class Tools:
    """The tools of an episode, as a program reaches them.

    Attributes:
        driver: The episode.
    """

    driver: Driver
    _calling: asyncio.Lock

    @property
    def schemas(self) -> Sequence[ToolSchema]:
        """Schemas of those that are offered."""
        return self.driver.trajectory.tools

    async def call(self, call: Any) -> str:
        """Run a call, after those that came before, and give its result as text.

        Raises:
            ServeError: The episode is over.
        """
        async with self._calling:
            if self.driver.done:
                raise ServeError("ended", "the episode is over")
            answers = await self.driver.call(call, same=False)
        return "\n".join(message["content"] for message in answers)


class ProgramRunner:
    """Runs episodes with a program; what the collector has in place of an `EpisodeRunner`."""

    def __init__(
        self,
        command: str,
        policy: TokenPolicy,
        codec: ChatCodec,
        limits: Limits,
        params: ResponsesCreateParams,
        on_turn: Callable[[Turn], None],
        door: str | None = None,
    ) -> None:
        """Take what all episodes have in common; `running` makes it.

        Args:
            command: The program with its arguments.
            policy: A started policy.
            codec: Its codec.
            limits: What ends an episode.
            params: How replies are sampled.
            on_turn: Called for each reply of an episode, when that has ended.
            door: The gateway's socket, for programs behind a wall; None for programs without.
        """
        # Each episode has a folder of its own, and files are named from where the run was started.
        self._command = [os.path.abspath(word) if os.path.isfile(word) else word for word in shlex.split(command)]
        self._limits, self._on_turn = limits, on_turn
        self._params: dict[str, Any] = msgspec.to_builtins(params) | {"logprobs_mode": policy.logprobs_mode}
        self._sampling = params.sampling(codec.stop_token_ids)
        self._model = policy.model
        self._gateway = Gateway(policy, codec, reply_s=limits.generation_timeout)
        self._url, self._door = "", door

    @classmethod
    @asynccontextmanager
    async def running(
        cls,
        command: str,
        policy: Any,
        codec: ChatCodec | None,
        limits: Limits,
        params: ResponsesCreateParams,
        on_turn: Callable[[Turn], None],
        sandbox: bool = False,
    ) -> AsyncGenerator[ProgramRunner]:
        """The runner, as long as its gateway serves; with a sandbox, programs are behind a wall.

        Raises:
            ConfigError: There is no wall, or the policy gives no tokens.
            MissingExtraError: The extra `serve` is not installed.
        """
        expect_modules("an agent program", "serve", "starlette", "uvicorn", "httptools")
        expect_modules("an agent program", "mcp", "mcp")
        if codec is None or not gives_tokens(policy):
            raise ConfigError(
                f"agent_command needs a policy with tokens, and {policy.name} has none: see docs/policies.md"
            )
        if sandbox:
            await asyncio.to_thread(walls.check)
        async with AsyncExitStack() as stack:
            doors = [stack.enter_context(door())] if sandbox else []
            path = doors[0].getsockname() if sandbox else None
            runner = cls(command, policy, codec, limits, params, on_turn, path)
            runner._url = await stack.enter_async_context(runner._gateway.serving(others=doors))
            yield runner

    async def run(
        self, instances: Instances, task: Task, repeat: int, *, seed: int, stop: Stop | None = None
    ) -> Trajectory:
        """Run an episode, again where something failed and that may help; never raises for it."""
        stop = stop or Stop()

        async def once(attempt: int) -> Trajectory:
            trajectory = Trajectory(instances.id, task.id, repeat, seed, sampling=self._params, attempts=attempt)
            driver = Driver(instances, task, trajectory)
            deadline = stop.bound_episode(self._limits.episode_timeout)
            try:
                async with deadline:
                    with watched(stop):
                        await self._play(driver)
            except TimeoutError:
                if not deadline.expired():
                    raise
                seconds = self._limits.episode_timeout
                await driver.fail(TimeoutError(f"the episode ran past {seconds} s"), "episode_timeout")
            finally:
                stop.close()
                await driver.close()
            return trajectory

        return await retried(once, lambda trajectory: trajectory.status, self._limits.max_attempts, stop)

    async def _play(self, driver: Driver) -> None:
        if not await driver.open():
            return
        trajectory = driver.trajectory
        tools = Tools(driver, asyncio.Lock())
        session = self._gateway.open(request_name(trajectory), self._sampling, tools)
        try:
            failed = await self._execute(driver, session)
        finally:
            recording = await self._gateway.close(session)
        said = Trajectory("", "", 0, 0)
        recording.fill(said)
        if not driver.done:  # else by a tool, or since the environment failed
            if error := session.trouble or failed or _silence(said):
                await driver.fail(error)
                return
            await driver.step(assistant(said.messages[-1]["content"]), Turn(0.0, "stop", 0.0, 0.0))
            if not driver.done:  # nobody is there any more to answer
                await driver.end("max_turns")
        elif trajectory.failure is None and (error := _silence(said)):
            mark_failed(trajectory, error, None, "done")
        _merge(trajectory, said)
        for turn in trajectory.replies if trajectory.failure is None else ():
            self._on_turn(turn)

    async def _execute(self, driver: Driver, session: Session) -> EnvironmentFailure | None:
        """Run the program to its end; what failed in it, if anything did."""
        with (
            tempfile.TemporaryDirectory(prefix="llmgym-agent-", ignore_cleanup_errors=True) as folder,
            tempfile.TemporaryFile() as asked,
            tempfile.TemporaryFile() as wrote,
            contextlib.closing(Lifeline()) as lifeline,
        ):
            asked.write(_prompt(driver.trajectory.messages).encode())
            asked.seek(0)
            try:
                process = await asyncio.create_subprocess_exec(
                    *lifeline.tied(self._walled(folder)), stdin=asked, stdout=asyncio.subprocess.DEVNULL,
                    stderr=wrote, cwd=folder, env=self._environ(session, driver.trajectory.messages, folder),
                    start_new_session=True, pass_fds=[lifeline.end],
                )  # fmt: skip
            except OSError as error:
                return EnvironmentFailure(
                    f"cannot run {self._command[0]!r}: {error.strerror}", kind="infrastructure", stage="setup"
                )
            lifeline.hand_over()
            try:
                status = await process.wait()
            finally:
                await _end(process)
            wrote.seek(0)
            said = wrote.read().decode(errors="replace").strip()[-_TAIL:]
        if status == 0:
            return None
        return EnvironmentFailure(
            f"the program ended with status {status}{said and f': {said}'}", kind="infrastructure", stage="episode"
        )

    def _walled(self, folder: str) -> list[str]:
        """The command, behind a wall where there is one."""
        if self._door is None:
            return self._command
        return walls.walled(self._command, folder, self._door, int(self._url.rpartition(":")[2]))

    def _environ(self, session: Session, opening: Sequence[Message], folder: str) -> dict[str, str]:
        """The variables of a program: those of this process, and what it needs to know."""
        base = f"{self._url}{session.path}"
        task = {"LLMGYM_TASK": _prompt(opening), "LLMGYM_MESSAGES": msgspec.json.encode(opening).decode()}
        return {
            **(os.environ if self._door is None else walls.variables()),
            **{name: text for name, text in task.items() if _fits(name, text)},
            "HOME": folder,
            "LLMGYM_MODEL": self._model,
            "LLMGYM_TOOLS_URL": f"{base}/tools",
            "LLMGYM_MCP_URL": f"{base}/mcp",
            "OPENAI_BASE_URL": f"{base}/v1",
            "OPENAI_API_KEY": session.token,
            "ANTHROPIC_BASE_URL": base,
            "ANTHROPIC_API_KEY": session.token,
            # Claude Code: no words of its own in the system prompt that change with the version, and no side traffic.
            "CLAUDE_CODE_ATTRIBUTION_HEADER": "0",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        }


def _silence(said: Trajectory) -> PolicyError | None:
    """What is wrong where the policy has said nothing to a program."""
    if said.turns:
        return None
    lost = ": its reply never reached the program" if said.branches else ""
    return PolicyError(f"the program ended without a question to the policy{lost}")


def _prompt(opening: Sequence[Message]) -> str:
    """The opening as one text."""
    return "\n\n".join(message["content"] for message in opening)


def _fits(name: str, text: str) -> bool:
    """Whether a text can be that of an environment variable."""
    return "\0" not in text and len(f"{name}={text}".encode()) < _LONGEST


async def _end(process: asyncio.subprocess.Process) -> None:
    """End a program with all that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_ENDING_S):
            await process.wait()
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()


def _merge(trajectory: Trajectory, said: Trajectory) -> None:
    """Put what the policy said in place of what the environment saw of it."""
    if trajectory.failure is not None:
        return
    trajectory.played = trajectory.environment
    trajectory.messages, trajectory.opening, trajectory.tools = said.messages, said.opening, said.tools
    trajectory.segments, trajectory.branches = said.segments, said.branches
    trajectory.usage |= said.usage
    env_s = sum(turn.env_s for turn in trajectory.turns)
    trajectory.turns = said.turns
    pay(trajectory.turns, trajectory.reward)
    if trajectory.turns:
        trajectory.turns[-1].env_s = env_s
    trajectory.timings["engine_s"] = sum(reply.engine_s for reply in trajectory.replies)
    trajectory.metrics |= lengths(trajectory)
