"""The tasks that a server lists by OpenEnv's Task API, whose routes are those of the Open Reward Standard."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar
from urllib.parse import quote
from weakref import WeakValueDictionary

import numpy as np

from llmgym.adapters.wire import Answer, Server
from llmgym.tasks import RowTasks, Task, TaskSet, stable_hash

T = TypeVar("T")

_BLOCK = 1000  # tasks that are asked for at once
_ASKING_S = 60.0  # for one request
_NOT_SERVED = frozenset({400, 404, 405, 501})  # what an environment has not, in the words of several servers


def make_task(rng: np.random.Generator) -> Task:
    """A task is a seed."""
    return Task(prompt="", metadata={"reset": {"seed": int(rng.integers(2**31))}})


SEEDS = TaskSet.generated(make_task)


class ServerTasks(TaskSet):
    """The tasks that a server lists, or seeds where it lists none; it is asked when they are first used."""

    _all: WeakValueDictionary[Any, ServerTasks] = WeakValueDictionary()

    def __init__(self, server: Server) -> None:
        """Ask nothing yet; see `of`."""
        self._server = server
        self._known: TaskSet | None = None
        self._asking = threading.Lock()

    @classmethod
    def of(cls, server: Server) -> ServerTasks:
        """The set that all share who speak to one server."""
        return cls._all.setdefault((server.url, *server.headers.items()), cls(server))

    def __reduce__(self) -> tuple[Any, ...]:
        """Leave the tasks out: a worker process asks for them itself."""
        return ServerTasks.of, (self._server,)

    def __deepcopy__(self, memo: dict[int, Any]) -> ServerTasks:
        """The same."""
        return self

    @property
    def _tasks(self) -> TaskSet:
        with self._asking:
            if self._known is None:
                listed = _in_thread(_TaskAPI.at(self._server))
                self._known = SEEDS if listed is None else RowTasks(listed)
        return self._known

    @property
    def splits(self) -> tuple[str, ...]:  # type: ignore[override]
        """Those that have tasks."""
        return self._tasks.splits

    def size(self, split: str) -> int | None:
        """See `TaskSet.size`."""
        return self._tasks.size(split)

    @property
    def outcomes(self) -> int | None:
        """See `TaskSet.outcomes`."""
        return self._tasks.outcomes

    def draw(self, split: str, seed: int, episode: int, *, scope: str = "") -> Task:
        """See `TaskSet.draw`."""
        return self._tasks.draw(split, seed, episode, scope=scope)

    def plan(self, split: str, seed: int, index: int, *, scope: str = "") -> Task:
        """See `TaskSet.plan`."""
        return self._tasks.plan(split, seed, index, scope=scope)

    def get(self, task_id: str) -> Task:
        """See `TaskSet.get`."""
        return self._tasks.get(task_id)


class _TaskAPI:
    """A `RowSource` of what a server lists."""

    def __init__(self, server: Server, name: str) -> None:
        self._server, self._path = server, f"/{quote(name)}/"
        self._sizes: dict[str, int] = {}

    @classmethod
    async def at(cls, server: Server) -> _TaskAPI | None:
        """What a server lists; None where it has no Task API, or tasks that it cannot count."""
        path = "/list_environments"
        found = await server.ask(path, seconds=_ASKING_S)
        if found.status in _NOT_SERVED:
            return None
        names = server.read_list(path, found)
        if len(names) != 1:
            raise server.fault(f"lists the environments {names!r:.200}, and one is expected", "invalid")
        api = cls(server, str(names[0]))
        return api if await api._measure() else None

    def rows(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """A row for each task of each split."""
        for split in self._sizes:
            for index, spec in enumerate(_in_thread(self._specs(split))):
                name = f"{split}-{index}"
                reset = {"split": split, "index": index, "seed": stable_hash(name) % 2**31}
                row = {"id": name, "prompt": "", "metadata": {"reset": reset, "spec": spec}, "split": split}
                yield f"{self}, {split}:{index}", row

    def __str__(self) -> str:
        return f"the Task API of {self._server}"

    async def _measure(self) -> bool:
        """Ask for the sizes of all splits; false where one of them has none."""
        path = self._path + "splits"
        found = await self._server.ask(path, seconds=_ASKING_S)
        if found.status in _NOT_SERVED:
            return False
        splits = self._server.read_list(path, found)
        if not all(isinstance(each, dict) and isinstance(each.get("name"), str) for each in splits):
            raise self._server.fault(f"answered {path} with {splits!r:.200}", "invalid")
        path = self._path + "num_tasks"
        for split in (each["name"] for each in splits):
            found = await self._ask(path, split=split)
            if found.status in _NOT_SERVED:
                return False
            said = self._server.read(path, found)
            if type(size := said.get("num_tasks")) is not int:
                raise self._server.fault(f"answered {path} with {said!r:.200}", "invalid")
            self._sizes[split] = size
        return True

    async def _specs(self, split: str) -> list[Any]:
        """What the server says of each task of a split."""
        path, size = self._path + "task", self._sizes[split]
        found: list[Any] = []
        for start in range(0, size, _BLOCK):
            stop = min(start + _BLOCK, size)
            answer = await self._ask(f"{path}_range", split=split, start=start, stop=stop)
            if answer.status in _NOT_SERVED:
                break
            listed = self._server.read(f"{path}_range", answer).get("tasks")
            if not isinstance(listed, list) or len(listed) != stop - start:
                raise self._server.fault(f"does not list the {stop - start} tasks from {start} of {split!r}", "invalid")
            found += listed
        for index in range(len(found), size):
            answer = await self._ask(path, split=split, index=index)
            found.append(self._server.read(path, answer).get("task"))
        return found

    async def _ask(self, path: str, **body: Any) -> Answer:
        return await self._server.ask(path, body, seconds=_ASKING_S)


def _in_thread(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end, whether this is in an event loop or not; what is in one waits."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()
