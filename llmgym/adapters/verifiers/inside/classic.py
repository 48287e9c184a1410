"""Environments of verifiers 0.1: the package's own rollout runs, with llmgym in the model's place."""

# The package is in the other environment.
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false, reportUntypedBaseClass=false

from __future__ import annotations

import asyncio
import functools
import inspect
import math
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

from inside.faults import Fault, causes
from inside.texts import as_message, as_schema, field, flat_calls, number

_ENDED = object()
_failed: ContextVar[dict[str, str]] = ContextVar("failed")  # what was raised, by function


class Classic:
    """An environment that `load_environment` gives."""

    def __init__(self, name: str, args: dict[str, Any]) -> None:
        """Load it."""
        import verifiers as vf

        try:
            self._env = vf.load_environment(name, **args)
        except ValueError as error:
            missing = next((cause for cause in causes(error) if isinstance(cause, ModuleNotFoundError)), None)
            if missing is not None and missing.name == name.replace("-", "_").split("/")[-1]:
                raise Fault("unknown", f"there is no module {missing.name!r}") from error
            raise
        if not isinstance(self._env, vf.Environment):
            raise Fault("unfit", f"load_environment gives a {type(self._env).__name__}, not a verifiers.Environment")
        if self._env.rubric.has_group_rewards:
            raise Fault("unfit", "it has rewards of whole groups of rollouts")
        for rubric in _leaves(self._env.rubric):
            rubric.funcs[:] = [_watched(function) for function in rubric.funcs]
        self._parts: dict[str, Any] = {}

    def describe(self) -> dict[str, Any]:
        """How many rows each part has."""
        self._parts = {"train": self._env.build_dataset(), "test": self._env.build_eval_dataset()}
        self._parts = {part: rows for part, rows in self._parts.items() if rows is not None and len(rows)}
        return {part: len(rows) for part, rows in self._parts.items()}

    def row(self, part: str, place: int) -> dict[str, Any]:
        """A row as a task."""
        row = dict(self._parts[part][place])
        prompt, answer = row.pop("prompt"), row.pop("answer", None)
        row.pop("example_id", None)
        messages = prompt if isinstance(prompt, str) else [as_message(message) for message in prompt]
        return {"prompt": messages, "answer": answer, "metadata": {k: v for k, v in row.items() if v is not None}}

    def begin(self, part: str, place: int) -> Rollout:
        """Begin an episode."""
        return Rollout(self._env, dict(self._parts[part][place]))


class Rollout:
    """A rollout of the package, which asks llmgym what a model says."""

    def __init__(self, env: Any, row: dict[str, Any]) -> None:
        """Start it."""
        self._env = env
        self._asked: asyncio.Queue[Any] = asyncio.Queue()
        self._said: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        self._known: list[Any] = []
        self._over = False
        self._tools: list[dict[str, Any]] = []
        self._work = asyncio.ensure_future(env.rollout(row, _client()(self), "llmgym", {}))
        self._work.add_done_callback(lambda _: self._asked.put_nowait(_ENDED))

    async def open(self) -> dict[str, Any]:
        """What the environment says first, and the tools that it offers."""
        return {**await self._next(), "tools": self._tools}

    async def _next(self) -> dict[str, Any]:
        """What the environment says next, and whether it is over."""
        if not self._over:
            asked = await self._asked.get()
            if asked is not _ENDED:
                return {"messages": asked, "over": False}
            self._over = True
        last = self._work.result().get("final_env_response") or []
        messages = [{"role": "user", "content": last}] if isinstance(last, str) else list(map(as_message, last))
        return {"messages": messages, "over": True}

    async def say(self, messages: list[dict[str, Any]]) -> dict[str, Any]:
        """What the environment answers to messages of the model, the last of them."""
        answer: dict[str, Any] = {"messages": [], "over": self._over}
        for message in messages:
            if not self._over:
                self._said.put_nowait(message)
                answer = await self._next()
        return answer

    async def score(self) -> dict[str, Any]:
        """End the rollout, and score it as the package does."""
        while not self._over:
            self._said.put_nowait(None)
            await self._next()
        state = self._work.result()
        self._expect_sound(state)
        failed: dict[str, str] = {}
        token = _failed.set(failed)
        rubric = self._env.rubric
        try:
            if all(leaf.funcs for leaf in _leaves(rubric)):
                await rubric.score_rollout(state)
            else:
                await rubric.score_group([state])
            await rubric.cleanup(state)
        finally:
            _failed.reset(token)
        return _reward(rubric, state, failed)

    async def end(self) -> None:
        """End the rollout, with what it frees."""
        self._work.cancel()
        await asyncio.wait({self._work})
        if not self._work.cancelled():
            self._work.exception()

    async def respond(self, prompt: list[Any], tools: Any) -> dict[str, Any] | None:
        """Tell llmgym what is new in a prompt, and wait for what the model says; None where it is to end."""
        if not isinstance(prompt, list) or not all(map(_same, self._known, prompt)) or len(prompt) < len(self._known):
            raise Fault("unfit", "it asks the model with another history than that of the episode")
        self._tools = [as_schema(tool) for tool in tools or ()]
        self._asked.put_nowait([as_message(message) for message in prompt[len(self._known) :]])
        message = await self._said.get()
        self._known = [*prompt, message]
        return message

    def _expect_sound(self, state: Any) -> None:
        """See that what ended the rollout says something of the model."""
        import verifiers as vf

        error = state.get("error")
        if error is not None and not isinstance(error, vf.ToolError):
            first = list(causes(error))[-1]
            raise Fault("infrastructure", f"the rollout failed: {type(error).__name__}: {first}")


@functools.cache
def _client() -> Any:
    """The class of what the package takes for a model's client."""
    import verifiers as vf
    from verifiers.types import Response, ResponseMessage

    class Llmgym(vf.Client):
        def __init__(self, rollout: Rollout) -> None:
            super().__init__(None)
            self._rollout = rollout

        async def get_response(self, prompt: Any, model: str, sampling_args: Any, tools: Any = None, **_: Any) -> Any:
            message = await self._rollout.respond(prompt, tools)
            if message is None:
                raise vf.OverlongPromptError("llmgym ends the episode at a limit of its own")
            calls = flat_calls(message)
            said = ResponseMessage(
                content=message["content"],
                reasoning_content=message.get("reasoning_content"),
                tool_calls=calls or None,
                finish_reason="tool_calls" if calls else "stop",
                is_truncated=False,
            )
            return Response(id="llmgym", created=int(time.time()), model=model, message=said)

        async def close(self) -> None:
            """Nothing is open."""

    Llmgym.__abstractmethods__ = frozenset()  # of what only a client of a network has
    return Llmgym


def _same(one: Any, other: Any) -> bool:
    return one is other or (
        field(one, "role") == field(other, "role") and (field(one, "content") or "") == (field(other, "content") or "")
    )


def _leaves(rubric: Any) -> Iterator[Any]:
    """The rubrics in a rubric that hold functions."""
    inner = [env.rubric for env in getattr(rubric, "env_map", {}).values()] + getattr(rubric, "rubrics", [])
    if not inner:
        yield rubric
    for each in inner:
        yield from _leaves(each)


def _watched(function: Callable[..., Any]) -> Callable[..., Any]:
    """A reward function that tells when it raises, which the package takes for a 0."""

    @functools.wraps(function)
    async def call(*args: Any, **kwargs: Any) -> Any:
        try:
            found = function(*args, **kwargs)
            found = await found if inspect.isawaitable(found) else found
            return found if isinstance(found, list) else float(found)
        except Exception as error:
            _failed.get()[call.__name__] = f"{type(error).__name__}: {error}"
            raise

    call.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]  # which is looked at for each score
    return call


def _reward(rubric: Any, state: Any, failed: dict[str, str]) -> dict[str, Any]:
    """The score, in parts where these add up to it.

    Raises:
        Fault: A function that counts failed.
    """
    total, metrics = number(state["reward"]), {name: number(value) for name, value in state["metrics"].items()}
    weights: dict[str, float] = {}
    for name, weight in zip(rubric._get_reward_func_names(), rubric._get_reward_weights(), strict=True):
        if weight and name in failed:
            raise Fault("environment", f"the reward function {name!r} failed: {failed[name]}")
        if weight:
            weights[name] = math.nan if name in weights else weight
    parts: dict[str, list[float | None]] = {name: [metrics.get(name), weight] for name, weight in weights.items()}
    sum_of_parts = math.fsum((metrics.get(name) or 0.0) * weight for name, weight in weights.items())
    if total is None or "metrics" in parts or not math.isclose(sum_of_parts, total, abs_tol=1e-9):
        parts = {"reward": [total, 1.0]}
    others = {name: value for name, value in metrics.items() if name not in {*parts, *failed} and value is not None}
    return {"parts": parts, "metrics": others}
