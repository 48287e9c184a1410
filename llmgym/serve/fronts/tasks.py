"""The Task API, which OpenEnv and ORS share: environments, splits and tasks over HTTP.

A task is sent as `{"task_id", "split", "index"}`, without what it asks and without its answer. An index is a place in
the order that a run with seed 0 has.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from starlette.requests import Request

from llmgym.serve.fronts import web
from llmgym.serve.trouble import ServeError
from llmgym.tasks import Task

if TYPE_CHECKING:
    from llmgym.serve.server import EnvServer

_MOST = 1000  # of one answer


class TaskAPI:
    """Tasks of the environments of a server."""

    def __init__(self, server: EnvServer) -> None:
        """Serve them."""
        self._sessions, self._environments = server.sessions, server.sessions.environments

    @property
    def handlers(self) -> dict[str, tuple[str, web.Handler]]:
        """What is served below the name of an environment, by path: method and coroutine."""
        return {
            "splits": ("GET", self._splits),
            "tasks": ("POST", self._tasks),
            "num_tasks": ("POST", self._count),
            "task": ("POST", self._task),
            "task_range": ("POST", self._range),
        }

    async def environments(self, request: Request, _: Any) -> list[str]:
        """The names of all environments."""
        return list(self._environments)

    def name(self, request: Request, given: str | None = None) -> str:
        """The environment that a request means: by its path, a name in its body, or the header `X-Deployment`.

        Raises:
            ServeError: There is no such one.
        """
        wanted = given or request.path_params.get("env") or request.headers.get("x-deployment", "")
        by_name = {name.lower(): name for name in self._environments}
        if found := by_name.get(wanted.lower()):
            return found
        if len(by_name) == 1 and not given and not request.path_params.get("env"):
            return next(iter(self._environments))
        there = ", ".join(self._environments)
        raise ServeError("bad_request", f"there is no environment {wanted!r:.200} here; there is {there}")

    async def take(self, name: str, split: str, index: int) -> Task:
        """The task at a place.

        Raises:
            ServeError: There is no such place.
            TaskError: There is no such split.
        """
        source = await self._sessions.source(name)
        size = source.size(split)
        if index < 0 or (size is not None and index >= size):
            raise ServeError("bad_request", f"split {split!r} has no task {index}; it has {size or 'no end'}")
        return await asyncio.to_thread(source.plan, split, 0, index)

    async def _splits(self, request: Request, _: Any) -> list[dict[str, str]]:
        splits = (await self._sessions.source(self.name(request))).tasks.splits
        return [{"name": split, "type": split if split in ("train", "test") else "validation"} for split in splits]

    async def _count(self, request: Request, body: dict[str, Any]) -> dict[str, int]:
        return {"num_tasks": await self._size(self.name(request), web.field(body, "split", str))}

    async def _task(self, request: Request, body: dict[str, Any]) -> dict[str, Any]:
        name, split, index = self.name(request), web.field(body, "split", str), web.field(body, "index", int)
        (found,) = await self._take(name, split, range(index, index + 1))
        return {"task": found, "env_name": name}

    async def _tasks(self, request: Request, body: dict[str, Any]) -> dict[str, Any]:
        return await self._range(request, {"split": body.get("split")})

    async def _range(self, request: Request, body: dict[str, Any]) -> dict[str, Any]:
        name, split = self.name(request), web.field(body, "split", str)
        start, stop = web.field(body, "start", int, None), web.field(body, "stop", int, None)
        if start is not None and stop is not None and 0 <= start <= stop:
            places = range(start, stop)
        else:
            size = await self._size(name, split)
            places = range(*slice(start, stop).indices(size))
        return {"tasks": await self._take(name, split, places), "env_name": name}

    async def _size(self, name: str, split: str) -> int:
        size = (await self._sessions.source(name)).size(split)
        if size is None:
            raise ServeError(
                "bad_request", f"split {split!r} has no end: ask for a task, or a range from start to stop"
            )
        return size

    async def _take(self, name: str, split: str, places: range) -> list[dict[str, Any]]:
        size = (await self._sessions.source(name)).size(split)
        if size is not None:
            places = places[: max(0, size - places.start)]
        if (number := places.stop - places.start) > _MOST:  # `len` takes no more than 64 bits
            raise ServeError("bad_request", f"these are {number} tasks; ask for {_MOST} at a time by task_range")
        return [
            {"task_id": (await self.take(name, split, place)).id, "split": split, "index": place} for place in places
        ]
