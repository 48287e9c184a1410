"""What an environment's hooks and its callers give, read and checked; and `verify` where it runs in another process."""

from __future__ import annotations

import copy
import functools
import math
import pickle
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from llmgym.concurrency import in_process
from llmgym.env.boundary import failure
from llmgym.env.episode import Episode
from llmgym.errors import AuthorError, ConfigError, EnvironmentFailure, TaskError
from llmgym.failures import Kind
from llmgym.messages import Message, scrub, user
from llmgym.rewards import Part, Reward
from llmgym.tasks import RowTasks, Task, TaskSet, file_source

if TYPE_CHECKING:
    from llmgym.env.core import ToolEnv


def name_calls(message: Message, turn: int) -> None:
    """Give the calls of a message that have no id one that is the same in every run."""
    for index, call in enumerate(message.get("tool_calls", ())):
        call["id"] = call.get("id") or f"call_{turn}_{index}"


async def verify_in_process(verify: Callable[[], Any], seconds: float) -> Reward:
    """`verify` in a worker process, of which only its result comes back."""
    assert isinstance(verify, functools.partial)
    env, (episode,) = verify.func.__self__, verify.args  # type: ignore[attr-defined]
    try:
        found = await in_process(_verify_elsewhere, env, episode, seconds=seconds)
    except (TypeError, AttributeError, pickle.PicklingError) as error:
        raise AuthorError(
            f"verify_in='process' sends the environment to a worker, and it cannot be pickled: {error}; leave handles "
            "out in __getstate__, or keep them out of self, and name functions at the top of their module"
        ) from error
    if "kind" in found:
        raise EnvironmentFailure(found["error"], kind=found["kind"])
    return Reward(metrics=found["metrics"], **{name: Part(*part) for name, part in found["parts"].items()})


def _verify_elsewhere(env: ToolEnv, episode: Episode) -> dict[str, Any]:
    kind: Kind | None = None
    try:
        result = env.verify(episode)
        kind = "invalid"
        reward = read_reward(result)
    except Exception as error:  # noqa: BLE001 -- whose fault it is, is told here, where its class is known
        found = failure(error, f"{type(env).__name__}.verify", "verify", kind)
        return {"error": str(found), "kind": found.kind}
    return {
        "parts": {name: [part.value, part.weight] for name, part in reward.parts.items()},
        "metrics": dict(reward.metrics),
    }


def read_reward(result: Any) -> Reward:
    """What `verify` gave, with numbers that are numbers."""
    reward = Reward.of(result)
    parts = {
        name: Part(None if part.value is None else float(part.value), float(part.weight))
        for name, part in reward.parts.items()
    }
    read = Reward(metrics={str(name): _number(name, value) for name, value in reward.metrics.items()}, **parts)
    read.value  # noqa: B018 -- infinities of both signs have no sum, which is said here
    return read


def read_group(result: Any, number: int) -> list[Reward | None]:
    """What `group_verify` gave, one for each episode."""
    if not isinstance(result, list | tuple) or len(result) != number:
        raise TypeError(f"it gives a list with a reward for each of {number} episodes, not {result!r:.200}")
    rewards = [None if item is None else read_reward(item) for item in result]
    for reward in rewards:
        if reward is not None and reward.value is not None and not math.isfinite(reward.value):
            raise ValueError(f"a reward is a finite number, not {reward}")
    return rewards


def _number(name: object, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise TypeError(f"the metric {name!r} is {value!r:.100}, which is no number") from None


def read_reply(reply: Any) -> list[Message] | None:
    """What `respond` returned, as messages."""
    if reply is None:
        return None
    messages: Any = [user(reply)] if isinstance(reply, str) else [reply] if isinstance(reply, dict) else reply
    if not isinstance(messages, list | tuple):
        raise TypeError(f"it gives text, messages or None, not {reply!r:.100}")
    return [_read_message(message, ("system", "user", "tool")) for message in messages]


def read_tasks(env: ToolEnv, given: TaskSet | str | Path | None) -> TaskSet:
    """Where a constructor's tasks are drawn from: those of the class, unless others are given.

    Raises:
        AuthorError: The class has none.
        ConfigError: What is given is neither a set nor a path.
    """
    if given is None:
        given = getattr(env, "tasks", None)
        if given is None:
            raise AuthorError(f"{type(env).__name__} has no tasks: set `tasks = TaskSet...` in the class")
    if isinstance(given, str | Path):
        return RowTasks(file_source(Path(given).absolute()), env.read_row)
    if not isinstance(given, TaskSet):
        raise ConfigError(f"tasks must be a TaskSet or the path of a file of rows, not {given!r:.100}")
    return given


def take_task(options: dict[str, Any], known: Collection[str] | None, tasks: TaskSet) -> Task | None:
    """The task that reset options name, taken out of them; None where one is to be drawn.

    Args:
        options: The options; those that stay are for `setup`.
        known: Those that `setup` takes; None for any.
        tasks: Where the id of a task is looked up.

    Raises:
        TaskError: An option or the task is unknown.
    """
    task, task_id = options.pop("task", None), options.pop("task_id", None)
    if known is not None and (unknown := [name for name in options if name not in known]):
        there = ", ".join(["'task_id'", "'task'", *map(repr, sorted(known))])
        raise TaskError(f"unknown reset option {unknown[0]!r}; there is {there}")
    if task is not None:
        if not isinstance(task, Task):
            raise TaskError(f"the reset option 'task' takes a Task, not {task!r:.100}; 'task_id' takes an id")
        return task
    if task_id is not None:
        if not isinstance(task_id, str):
            raise TaskError(f"the reset option 'task_id' takes text, not {task_id!r:.100}")
        return tasks.get(task_id)
    return None


def read_opening(messages: Any) -> list[Message]:
    """What `opening` returned, as messages that nobody else holds."""
    if isinstance(messages, str | dict):
        raise TypeError(f"an opening is a list of messages, this is {messages!r:.100}")
    return [_read_message(message, ("system", "user", "assistant", "tool")) for message in messages]


def _read_message(message: Any, roles: tuple[str, ...]) -> Message:
    if not isinstance(message, dict):
        raise TypeError(f"not a message: {message!r:.200}")
    content: Any = message.get("content")
    if message.get("role") not in roles or not isinstance(content, str):
        raise ValueError(f"not a message with a role of {', '.join(roles)} and text: {message!r:.200}")
    return _copy(message) | {"content": scrub(content)}  # type: ignore[arg-type, return-value]


def copies(messages: Sequence[Message]) -> tuple[Message, ...]:
    """Fresh dicts: an observation never shares an object with the transcript or another one."""
    return tuple(map(_copy, messages))


def _copy(message: Message) -> Message:
    if "tool_calls" in message:
        return orjson.loads(orjson.dumps(message))
    return message.copy() if all(type(field) is str for field in message.values()) else copy.deepcopy(message)
