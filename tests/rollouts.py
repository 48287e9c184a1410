"""What rollout tests share: an environment that fails as it is told, policies, and a codec of words.

The module can be imported by other processes: `tests.rollouts:test/Letters-v0`, `script:tests.rollouts.answer`.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import itertools
import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import gymnasium

from llmgym.chat import Sampling
from llmgym.env import Episode, ToolEnv
from llmgym.messages import Message, ToolSchema, as_assistant, assistant, tool_call
from llmgym.policies.base import Generation, VersionSpan
from llmgym.rewards import Part, Reward
from llmgym.rollout import Collector, Instances, TaskSource
from llmgym.tasks import RowTasks, Task
from llmgym.tools import tool
from llmgym.trajectory import Trajectory

ROOT = Path(__file__).parent.parent
LETTERS = "test/Letters-v0"
PLAIN = "tests.rollouts:test/Letters-v0"


class Alphabet:
    """The 26 rows of `Letters`: "a" is to be answered with "A"."""

    def rows(self) -> Iterable[tuple[str, dict[str, Any]]]:
        for code in range(ord("a"), ord("z") + 1):
            yield chr(code), {"id": chr(code), "prompt": f"spell {chr(code)}", "answer": chr(code).upper()}
        yield "A", {"id": "A", "prompt": "spell A", "answer": "A", "split": "test"}

    def __str__(self) -> str:
        return "the alphabet"


async def deaf() -> None:
    """Swallow cancellation."""
    while True:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(3600)


class Letters(ToolEnv):
    """Answer a letter with its capital; `faults` says which task fails where and how, such as "verify raise"."""

    tasks = RowTasks(Alphabet())
    system_prompt = "Be brief."
    hook_timeout = 0.1
    tool_timeout = 0.1

    def __init__(self, *, faults: dict[str, str] | None = None, once: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.faults, self.once = faults or {}, once

    async def _fail(self, where: str, task: Task) -> Any:
        place, _, how = self.faults.get(task.id, "").partition(" ")
        if place != where:
            return None
        if self.once:
            self.faults = {}
        match how:
            case "raise":
                raise KeyError("lost")
            case "surrogate":
                raise FileNotFoundError("a\udcff")
            case "hang":
                await asyncio.sleep(3600)
            case "metric":
                return Reward(correct=1.0, metrics={"odd": 1j})  # type: ignore[dict-item]
            case "infinite":
                return float("inf")
            case "unscored":
                return Reward(correct=None)
        raise AssertionError(how)

    def opening(self, task: Task) -> list[Message]:
        if self.faults.get(task.id) == "opening raise":
            raise KeyError("no opening")
        return super().opening(task)

    async def setup(self, task: Task) -> None:
        self.shouted = 0
        await self._fail("setup", task)

    @tool
    def shout(self, letter: str) -> str:
        """Give the capital of a letter."""
        self.shouted += 1
        self.reward(0.25)
        return letter.upper()

    @tool
    async def fail(self, how: str) -> Any:
        """Fail in some way."""
        match how:
            case "raise":
                raise ValueError("no luck")
            case "hang":
                await asyncio.sleep(3600)
            case "thread":
                await asyncio.to_thread(threading.Event().wait)
            case "task":
                self.stray = asyncio.create_task(deaf())
            case "big":
                return "0123456789" * 5_000_000
        return object()

    async def verify(self, episode: Episode) -> Any:
        if (result := await self._fail("verify", episode.task)) is not None:
            return result
        correct = float(episode.final_text == episode.task.answer)
        return Reward(correct=correct, shape=Part(0.5, weight=0.0), metrics={"shouted": self.shouted})


class Only(Instances):
    """Instances of which there is but one, made by the test."""

    def __init__(self, env: Any) -> None:
        self.source = TaskSource(LETTERS, env.scope, env.tasks)
        self._idle, self.suspends = [env], env.suspends

    def _make(self) -> Any:
        raise AssertionError("there is one")


gymnasium.register(LETTERS, entry_point="tests.rollouts:Letters", kwargs={"max_turns": 6})


# --- scripts ------------------------------------------------------------------------------------


def asked(messages: Sequence[Message]) -> str:
    """The letter of the task."""
    return next(m["content"] for m in messages if m["role"] == "user").split()[-1]


def answer(messages: Sequence[Message], tools: Sequence[ToolSchema]) -> str:
    """Be right."""
    return asked(messages).upper()


async def slow(messages: Sequence[Message], tools: Sequence[ToolSchema]) -> str:
    """Be right after a while."""
    await asyncio.sleep(0.02)
    return answer(messages, tools)


async def stubborn(messages: Sequence[Message], tools: Sequence[ToolSchema]) -> str:
    """Answer "a", and ignore cancellation on all else."""
    while asked(messages) != "a":
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            continue
    return "A"


def blocked(messages: Sequence[Message], tools: Sequence[ToolSchema]) -> str:
    """Block the event loop."""
    if asked(messages) != "a":
        Path(os.environ["BLOCKED"]).touch()
        time.sleep(3600)
    return "A"


async def stuck(messages: Sequence[Message], tools: Sequence[ToolSchema]) -> str:
    """Answer nine letters and wait for ever on the others."""
    if asked(messages) > "i":
        await asyncio.sleep(3600)
    return answer(messages, tools)


def bold(messages: Sequence[Message], tools: Sequence[ToolSchema]) -> str:
    """Speak to the terminal, the first time; then raise so."""
    if next(_count):
        raise ValueError("\x1b[1mno")
    return f"\x1b[1m{answer(messages, tools)}"


def call_tools(messages: Sequence[Message], tools: Sequence[ToolSchema]) -> Message:
    """Use the tool, then say what it said."""
    if messages[-1]["role"] == "tool":
        return assistant(messages[-1]["content"])
    return assistant("", tool_call("shout", letter=asked(messages)))


def call_faults(messages: Sequence[Message], tools: Sequence[ToolSchema]) -> Message:
    """Call every tool that fails, then answer."""
    if messages[-1]["role"] == "tool":
        return assistant(asked(messages).upper())
    calls = [tool_call("fail", how=how) for how in ("raise", "hang", "big", "not json")]
    return assistant("", *calls, tool_call("nothing"))


def call_thread(messages: Sequence[Message], tools: Sequence[ToolSchema]) -> Message:
    """Call a tool that hangs in a thread, then answer."""
    return assistant(answer(messages, tools)) if len(messages) > 2 else assistant("", tool_call("fail", how="thread"))


def call_task(messages: Sequence[Message], tools: Sequence[ToolSchema]) -> Message:
    """Call a tool that leaves a task behind which nothing can end, then answer."""
    return assistant(answer(messages, tools)) if len(messages) > 2 else assistant("", tool_call("fail", how="task"))


def moody(messages: Sequence[Message], tools: Sequence[ToolSchema]) -> str:
    """Answer some letters and raise at others."""
    return answer(messages, tools) if asked(messages) < "m" else broken(messages, tools)


def clumsy(messages: Sequence[Message], tools: Sequence[ToolSchema]) -> str:
    """Raise the first time in a process, and answer from then on."""
    return answer(messages, tools) if next(_count) else broken(messages, tools)


_count = itertools.count()


def broken(messages: Sequence[Message], tools: Sequence[ToolSchema]) -> str:
    """Raise."""
    raise RuntimeError("no idea")


not_a_function = 3


# --- tokens -------------------------------------------------------------------------------------


class Words:
    """A codec whose tokens are words and markers; 0 ends a message."""

    stop_token_ids = (0,)
    call_form, native_tools = "words", True

    def __init__(self, *, rewrites: bool = False) -> None:
        self.rewrites = rewrites
        self.fingerprint = "words"
        self._words: list[str] = ["<end>"]
        self._ids = {"<end>": 0}

    def can_extend(self, roles: Any, *, tools: bool) -> bool:
        return not self.rewrites

    def ids(self, text: str) -> list[int]:
        for word in text.split(" "):
            if word not in self._ids:
                self._ids[word] = len(self._words)
                self._words.append(word)
        return [self._ids[word] for word in text.split(" ")]

    def text(self, ids: Sequence[int]) -> str:
        return " ".join(self._words[i] for i in ids)

    def _render(self, messages: Sequence[Message]) -> list[int]:
        text = "".join(f"<{m['role']}> {self.said(m)} <end> " for m in messages)
        return self.ids(text + "<assistant>")

    def said(self, message: Message) -> str:
        calls = "".join(
            f' <tool_call>{{"name": "{c["function"]["name"]}", "arguments": {c["function"]["arguments"]}}}</tool_call>'
            for c in message.get("tool_calls", ())
        )
        return (message["content"] + calls).strip()

    def open(self, messages: Sequence[Message], tools: Sequence[ToolSchema]) -> list[int]:
        return self._render(messages)

    def extend(
        self,
        prompt_ids: Sequence[int],
        completion_ids: Sequence[int],
        new_messages: Sequence[Message],
        tools: Sequence[ToolSchema],
    ) -> list[int] | None:
        return None if self.rewrites else self._render(new_messages)

    def parse(
        self, completion_ids: Sequence[int], prompt_ids: Sequence[int] = (), tools: Sequence[ToolSchema] = ()
    ) -> Message:
        return as_assistant(self.text([i for i in completion_ids if i]))


Reply = Callable[[str], Any]


class WordPolicy:
    """A token policy that is a function from the text of the prompt; it may return a `Generation`."""

    name = model = "words"
    logprobs_mode = "processed"
    tokenizer = None

    def __init__(self, codec: Words, reply: Reply, context_length: int = 1000) -> None:
        self.codec, self.reply, self.context_length = codec, reply, context_length
        self.requests: list[tuple[list[int], Sampling, str, str]] = []

    async def start(self) -> None:
        pass

    async def close(self) -> None:
        pass

    async def generate(
        self, prompt_ids: Sequence[int], sampling: Sampling, *, request_id: str, session_id: str
    ) -> Generation:
        self.requests.append((list(prompt_ids), sampling, request_id, session_id))
        said = self.reply(self.codec.text(prompt_ids))
        if inspect.isawaitable(said):
            said = await said
        if isinstance(said, Generation):
            return said
        ids = [*self.codec.ids(said), 0]
        cut = ids[: sampling.max_tokens]
        logprobs = [-0.5 - i for i in range(len(cut))]
        return Generation(
            cut, logprobs, "stop" if cut == ids else "length", (VersionSpan(7, 0, len(cut)),), cached_tokens=1
        )


def say(prompt: str) -> str:
    """Answer a prompt of words rightly."""
    return prompt.partition("<user> spell ")[2].split(" ")[0].upper()


def shout_first(prompt: str) -> str:
    """Call the tool, then say what it said."""
    if prompt.endswith("<tool> " + say(prompt) + " <end> <assistant>"):
        return say(prompt)
    return f'<tool_call>{{"name": "shout", "arguments": {{"letter": "{say(prompt).lower()}"}}}}</tool_call>'


# --- running ------------------------------------------------------------------------------------


class Script:
    """A chat policy from a function, under a name that does not depend on the function."""

    name = model = "script"

    def __init__(self, script: Callable[..., Any]) -> None:
        from llmgym.policies.scripted import ScriptedPolicy

        self._policy = ScriptedPolicy(script)
        self.start, self.close, self.chat = self._policy.start, self._policy.close, self._policy.chat


async def trajectories(collector: Collector) -> dict[str, Trajectory]:
    """Run a collector; its trajectories by task id (and repeat, where there are several)."""
    groups = [group async for group in collector.stream()]
    one = collector.config.groups.num_repeats == 1
    return {t.task_id if one else f"{t.task_id}/{t.repeat}": t for group in groups for t in group.trajectories}


def letters(**settings: Any) -> functools.partial[Collector]:
    """A collector of `Letters` that waits for little."""
    kwargs = {name: settings.pop(name) for name in ("faults", "once") if name in settings}
    defaults = {"num_samples_in_parallel": 4, "fsync_seconds": 0.0}
    return functools.partial(Collector, [{"id": LETTERS, "kwargs": kwargs}], **(defaults | settings))  # type: ignore[list-item]
