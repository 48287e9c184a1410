"""Episodes that happen at a server: the private state of an instance here, and what moves it there."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from llmgym.adapters.remote.protocol import Call, End, Ended, Group, Request, Reset, Step, Stepped
from llmgym.adapters.remote.session import RemoteSession
from llmgym.chat import ModelCall
from llmgym.env.core import StepResult
from llmgym.env.episode import Episode, Report, Running
from llmgym.env.lifecycle import Lifecycle
from llmgym.env.reading import copies, name_calls
from llmgym.messages import Message, ToolCall, as_assistant
from llmgym.rewards import Reward

if TYPE_CHECKING:
    from llmgym.adapters.remote.env import Remote


class RemoteLifecycle(Lifecycle):
    """See the module."""

    _env: Remote

    @property
    def scope(self) -> str:
        """That of the environment there."""
        return self._env.session.info.scope

    @property
    def _session(self) -> RemoteSession:
        return self._env.session

    @property
    def verifies_groups(self) -> bool:
        """Whether the environment there does."""
        return self._session.info.groups

    def report(self) -> Report:
        """What the server has told of an ended episode; of one that runs, what is known here."""
        return self._session.report or super().report()

    async def reset(self, seed: int | None, options: dict[str, Any]) -> tuple[tuple[Message, ...], dict[str, Any]]:
        """See `ToolEnv.areset`."""
        running = await self._begin(seed, options)
        opened = await self._session.reset(Reset(seed=seed, task=running.task, options=options))
        running.transcript = list(opened.messages)
        running.open = True
        self._show(running.transcript)
        return copies(running.transcript), {"task_id": opened.task_id, "tools": opened.tools}

    async def step(self, action: Any) -> StepResult:
        """See `ToolEnv.astep`."""
        running, message = self._expect_open(), as_assistant(action)
        self._say(running, message)
        return await self._take(running, Step(action=message), message)

    async def call(self, call: ToolCall, same: bool) -> StepResult:
        """See `ToolEnv.acall`."""
        running = self._expect_open()
        message = as_assistant({"role": "assistant", "content": "", "tool_calls": [call]})
        if same:
            last = next(said for said in reversed(running.transcript) if said["role"] == "assistant")
            last.setdefault("tool_calls", []).extend(message.get("tool_calls", ()))
            name_calls(last, running.turn - 1)
        else:
            self._say(running, message)
        return await self._take(running, Call(call=dict(call), same=same))

    async def end(self, action: Any, verify: bool) -> StepResult:
        """See `ToolEnv.aend`."""
        running = self._expect_open()
        message = None if action is None else as_assistant(action)
        if message is not None:
            self._say(running, message)
        return await self._take(running, End(action=message, verify=verify))

    async def verify(self, episode: Episode) -> Reward:
        """Never called: `verify_from` is "replay"."""
        raise NotImplementedError

    async def verify_group(self, episodes: Sequence[Episode | None]) -> tuple[list[Reward | None], list[ModelCall]]:
        """See `ToolEnv.averify_group`."""
        ended = [episode and Ended.of(episode) for episode in episodes]
        found = await self._session.judge(Group(env=self._session.info.name, episodes=ended))
        return [graded and graded.reward for graded in found.rewards], found.model_calls

    async def shut(self, free: Any) -> None:
        """End the session."""
        await self._session.close()

    # --- within -----------------------------------------------------------------------------------

    def _say(self, running: Running, message: Message) -> None:
        """Note a message of the policy."""
        name_calls(message, running.turn)
        running.transcript.append(message)
        running.turn += 1

    async def _take(self, running: Running, request: Request, said: Message | None = None) -> StepResult:
        """Have the server take a message, and note what it says to it."""
        running.open = False  # a step that fails or is cancelled half-way ends the episode
        found = await self._session.ask(request, Stepped)
        running.transcript += found.messages
        self._show([said, *found.messages] if said else found.messages)
        rewards = [found.reward]
        if not found.terminated and said and running.turn >= self._env.max_turns and not found.truncated:
            messages, found = found.messages, await self._session.ask(End(), Stepped)
            found = msgspec.structs.replace(found, messages=messages)
            rewards.append(found.reward)
        if not (found.terminated or found.truncated):
            running.open = True
        elif found.report is not None:
            self._session.report = found.report
            running.metrics |= found.report.metrics
        reward = math.nan if None in rewards else math.fsum(each for each in rewards if each is not None)
        return copies(found.messages), reward, found.terminated, found.truncated, found.info
