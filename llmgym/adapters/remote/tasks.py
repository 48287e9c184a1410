"""The tasks of an environment at a server, drawn there: a run over them has the same tasks in the same order."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from llmgym.adapters.remote.host import Host
from llmgym.adapters.remote.protocol import EnvInfo
from llmgym.tasks import Task, TaskSet, lazy_copy

_BLOCK = 64  # tasks that are asked for at once
_KEPT = 64  # such blocks


class RemoteTasks(TaskSet):
    """See the module."""

    def __init__(self, host: Host, info: EnvInfo) -> None:
        """Keep where they are."""
        self._host, self._info = host, info
        self.splits = tuple(info.splits)
        self._blocks: OrderedDict[tuple[str, int, int], list[Task]] = OrderedDict()

    def __deepcopy__(self, memo: dict[int, Any]) -> RemoteTasks:
        """The same: thousands of instances share one set."""
        return self

    def size(self, split: str) -> int | None:
        """See `TaskSet.size`."""
        self.check_split(split)
        return self._info.splits[split]

    @property
    def outcomes(self) -> int | None:
        """See `TaskSet.outcomes`."""
        return self._info.outcomes

    def draw(self, split: str, seed: int, episode: int, *, scope: str = "") -> Task:
        """See `TaskSet.draw`; the server draws under a name of its own."""
        self.check_split(split)
        return self._ask(split, seed, episode, 1, stream="true")[0]

    def plan(self, split: str, seed: int, index: int, *, scope: str = "") -> Task:
        """See `TaskSet.plan`; the server draws under a name of its own."""
        self.check_split(split)
        block, place = divmod(index, _BLOCK)
        key = split, int(seed), block
        if key not in self._blocks:
            self._blocks[key] = self._ask(split, seed, block * _BLOCK, _BLOCK)
            if len(self._blocks) > _KEPT:
                self._blocks.popitem(last=False)
        return lazy_copy(self._blocks[key][place])

    def get(self, task_id: str) -> Task:
        """See `TaskSet.get`."""
        return self._host.task(self._info.name, task_id)

    def _ask(self, split: str, seed: int, start: int, count: int, **more: Any) -> list[Task]:
        return self._host.tasks(env=self._info.name, split=split, seed=int(seed), start=start, count=count, **more)
