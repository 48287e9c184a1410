"""Where the environments of slots come from, and where they end."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

from llmgym.concurrency import drive, drive_in_background, is_cancellation
from llmgym.env import ToolEnv
from llmgym.errors import AuthorError, VectorError
from llmgym.registry import make_core
from llmgym.wrappers.base import AnyToolEnv, ToolWrapper

_SLACK_S = 10.0  # beyond the deadlines of the environments themselves


class Factory:
    """Makes environments that are all alike, for a start and in place of those that cannot be used any more."""

    def __init__(self, env: str | Callable[..., AnyToolEnv], kwargs: dict[str, Any]) -> None:
        """Keep what makes them.

        Raises:
            VectorError: It is neither an id nor can it be called.
        """
        if isinstance(env, str):
            self._make: Callable[[], Any] = functools.partial(make_core, env, **kwargs)
        elif callable(env):
            self._make = functools.partial(env, **kwargs)
        else:
            raise VectorError(f"env must be a registered id, or what makes one environment; it is {env!r:.100}")
        self._first: AnyToolEnv | None = None

    def make(self) -> AnyToolEnv:
        """Make one.

        Raises:
            AuthorError: It is no `ToolEnv`.
            Exception: Whatever its constructor raises.
        """
        env = self._make()
        if isinstance(env, ToolEnv | ToolWrapper):
            return env
        error = AuthorError(f"a slot is a ToolEnv, perhaps in llmgym.wrappers; this is {env!r:.100}")
        if callable(close := getattr(env, "close", None)):
            try:
                close()
            except Exception as second:  # noqa: BLE001 -- told with the first
                error.add_note(f"and it did not close: {type(second).__name__}: {second}")
        raise error

    def check(self, env: AnyToolEnv, index: int) -> None:
        """See that the environment of a slot is like the first that was checked, and let it draw from the same rows.

        Raises:
            VectorError: It is another, or has other spaces.
        """
        if self._first is None:
            self._first = env
        first, one = self._first, "all slots of a vector are of one environment"
        if env.scope != first.scope:
            raise VectorError(f"slot {index} is {env.scope}, the first is {first.scope}: {one}")
        for name in ("observation_space", "action_space"):
            mine, its = getattr(env, name), getattr(first, name)
            if mine != its:
                told = f"the {name} of slot {index} is {mine!r:.200}, that of the first {its!r:.200}"
                raise VectorError(f"{told}; both are {env.scope}: {one}, made with the same tools")
        if env.tasks.has_rows_of(first.tasks):
            # Else each of thousands of slots would read them for itself.
            cast("ToolEnv", env.unwrapped).draw_from(first.tasks)


async def end(env: AnyToolEnv) -> BaseException | None:
    """Close an environment, and give what went wrong."""
    try:
        work = env.aclose()
        if work is not None:
            await work
    except BaseException as error:
        if is_cancellation(error):
            raise
        return error
    return None


def end_all(envs: Mapping[int, AnyToolEnv], seconds: float) -> dict[int, BaseException]:
    """Close environments, each whatever happens to the others, and give what went wrong.

    Args:
        envs: Slots and their environments.
        seconds: How long to wait for those that suspend.

    Raises:
        KeyboardInterrupt: Of this time; all are closed first.
    """
    if any(env.suspends for env in envs.values()):
        return drive_in_background(_end_together(envs, seconds))
    errors = {i: error for i, env in envs.items() if (error := drive(end(env))) is not None}
    for error in errors.values():
        if isinstance(error, KeyboardInterrupt):
            raise error
    return errors


async def _end_together(envs: Mapping[int, AnyToolEnv], seconds: float) -> dict[int, BaseException]:
    tasks = {i: asyncio.create_task(end(env)) for i, env in envs.items()}
    await asyncio.wait(tasks.values(), timeout=seconds)
    errors: dict[int, BaseException] = {}
    for i, task in tasks.items():
        if not task.done():
            task.cancel()
            errors[i] = TimeoutError(f"it did not end within {seconds:g} s")
        elif (error := task.result()) is not None:
            errors[i] = error
    return errors


def patience(envs: Iterable[AnyToolEnv]) -> float:
    """Seconds that the end of an episode or of an instance may take, by the deadlines of the environments."""
    cores: list[Any] = [env.unwrapped for env in envs]
    return _SLACK_S + 2 * max((core.hook_timeout for core in cores), default=0.0)
