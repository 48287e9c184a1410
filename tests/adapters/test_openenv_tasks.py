"""The tasks that an OpenEnv server lists; `test_openenv.py` replays those of the package's own server."""

from __future__ import annotations

import asyncio
import pickle
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest

pytest.importorskip("aiohttp")

from aiohttp import web

from llmgym.adapters.openenv import tasks as listed
from llmgym.adapters.openenv.env import OpenEnv
from llmgym.errors import EnvironmentFailure, TaskError
from llmgym.registry import make_core
from llmgym.rollout import Collector
from llmgym.tasks import Task, TaskSet
from tests.adapters.test_openenv import TEXT, Scripted, seen
from tests.adapters.wire_servers import answer, serving
from tests.rollouts import Script, trajectories

SPLITS = {"train": [{"word": f"w{number}"} for number in range(5)], "test": ["a word alone", None]}


class Shelf(Scripted):
    """A server that lists tasks; some of its routes answer something else."""

    def __init__(self, **instead: Any) -> None:
        super().__init__(lambda asked: seen(str(asked["data"]), reward=1.0, done=asked["type"] == "step"), TEXT)
        self.instead, self.hits = instead, Counter[str]()

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        route = request.path.rpartition("/")[2]
        if route in ("schema", "ws"):
            return await super().__call__(request)
        self.hits[route] += 1
        if route in self.instead:
            said = self.instead[route]
            return answer({"detail": "no"}, said) if isinstance(said, int) else answer(said)
        asked = await request.json() if request.method == "POST" else {}
        tasks = SPLITS.get(asked.get("split", ""), [])
        return answer(
            {
                "list_environments": lambda: ["my shelf"],
                "splits": lambda: [{"name": name, "type": name} for name in SPLITS],
                "num_tasks": lambda: {"num_tasks": len(tasks)},
                "task_range": lambda: {"tasks": tasks[asked["start"] : asked["stop"]]},
                "task": lambda: {"task": tasks[asked["index"]]},
            }[route]()
        )


def tasks_of(url: str) -> TaskSet:
    env = make_core("llmgym/OpenEnv-v0", url=url)
    env.close()
    return env.tasks


def plain(task: Task) -> Mapping[str, Any]:
    return {"spec": task.metadata["spec"], **{name: task.metadata["reset"][name] for name in ("split", "index")}}


@pytest.mark.parametrize("task_range", [{}, {"task_range": 501}])
def test_tasks_are_those_that_the_server_lists(task_range: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listed, "_BLOCK", 2)
    with serving(shelf := Shelf(**task_range)) as url:
        found = tasks_of(url)
        assert not shelf.hits  # before they are used
        assert {split: found.size(split) for split in found.splits} == {"train": 5, "test": 2}
        for split, specs in SPLITS.items():
            planned = [found.plan(split, 0, place) for place in range(len(specs))]
            assert sorted(task.id for task in planned) == [f"{split}-{index}" for index in range(len(specs))]
            for task in planned:
                index = task.metadata["reset"]["index"]
                assert plain(task) == {"spec": specs[index], "split": split, "index": index}
        assert plain(found.get("test-0"))["spec"] == "a word alone"
        with pytest.raises(TaskError, match="unknown split 'validation'; there is train, test"):
            found.size("validation")
        assert shelf.hits["task"] == (7 if task_range else 0)
        assert pickle.loads(pickle.dumps(found)) is tasks_of(url) is found  # one set for all instances
        assert shelf.hits["splits"] == 1


@pytest.mark.parametrize("none", [{"list_environments": 404}, {"splits": 501}, {"num_tasks": 400}])
def test_a_server_that_lists_none_has_seeds(none: Any) -> None:
    with serving(Shelf(**none)) as url:
        found = tasks_of(url)
        assert (found.size("train"), list(found.plan("train", 0, 0).metadata["reset"])) == (None, ["seed"])


@pytest.mark.parametrize(
    ("instead", "text"),
    [
        ({"list_environments": []}, r"lists the environments \[\], and one is expected"),
        ({"list_environments": {}}, "which is no list"),
        ({"list_environments": 500}, "HTTP 500"),
        ({"splits": ["train"]}, r"answered /my%20shelf/splits with \['train'\]"),
        ({"num_tasks": {"num_tasks": "5"}}, "answered /my%20shelf/num_tasks with"),
        ({"num_tasks": 500}, "HTTP 500"),
        ({"task_range": {"tasks": [1]}}, "does not list the 5 tasks from 0 of 'train'"),
        ({"task_range": 501, "task": 400}, "answered /my%20shelf/task with HTTP 400"),
    ],
)
def test_a_list_that_is_none(instead: Any, text: str) -> None:
    with serving(Shelf(**instead)) as url, pytest.raises(EnvironmentFailure, match=text):
        tasks_of(url).size("train")


def test_no_server() -> None:
    with pytest.raises(EnvironmentFailure, match="did not answer /list_environments"):
        tasks_of("http://127.0.0.1:9").size("train")


class Own(OpenEnv):
    tasks = TaskSet.generated(lambda rng: Task(prompt=f"Say {rng.integers(9)}."))


def test_tasks_of_a_class_are_its_own() -> None:
    env = Own(url="http://127.0.0.1:9")
    assert env.tasks is Own.tasks
    env.close()


def test_an_episode_of_each_task() -> None:
    with serving(Shelf()) as url:
        collector = Collector(
            [{"id": "llmgym/OpenEnv-v0", "kwargs": {"url": url}}], Script(lambda messages, tools: "hello"), num_tasks=5
        )
        found = asyncio.run(trajectories(collector)).values()
    assert sorted(each.task.id for each in found) == [f"train-{index}" for index in range(5)]
    for each in found:
        assert f"'split': 'train', 'index': {each.task.id[-1]}" in str(each.messages[0]["content"])
        assert each.reward == 1.0
