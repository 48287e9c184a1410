"""Tasks are filtered wherever they are drawn."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from llmgym.errors import TaskError
from llmgym.tasks import Task
from llmgym.wrappers import FilterTasks
from tests.environments import Adder


def is_even(task: Task) -> bool:
    """Whether the sum is even."""
    return task.answer % 2 == 0


def is_broken(task: Task) -> bool:
    """Raise."""
    raise KeyError("lost")


def is_negative(task: Task) -> bool:
    """Never."""
    return task.answer < 0


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    level = ["low", "middle", "high"]
    lines: list[dict[str, Any]] = [
        {"id": str(i), "prompt": f"{i}?", "answer": i, "level": level[i % 3], "numbers": [i]} for i in range(60)
    ]
    path.write_text("\n".join(map(json.dumps, lines)))
    return path


def drawn(env: FilterTasks, n: int = 40) -> list[Task]:
    tasks = []
    env.reset(seed=1)
    for _ in range(n):
        env.reset()
        assert env.task is not None
        tasks.append(env.task)
    return tasks


def test_generated_tasks_are_drawn_until_one_fits() -> None:
    env = FilterTasks(Adder(), predicate=f"{__name__}:is_even")
    assert env.tasks.size("train") is None
    assert len({task.id for task in drawn(env)}) == 40
    assert all(map(is_even, drawn(env)))
    assert all(is_even(env.tasks.plan("test", 0, i)) for i in range(20))
    assert env.reset(options={"task_id": "train-00c0ffee00c0ffee"})
    with pytest.raises(TaskError, match="none of 10000 tasks drawn from split 'train'"):
        FilterTasks(Adder(), predicate=f"{__name__}:is_negative").reset(seed=0)


@pytest.mark.parametrize(
    ("metadata", "ids"),
    [
        ({"level": "low"}, set(range(0, 60, 3))),
        ({"level": ["low", "high"]}, {i for i in range(60) if i % 3 != 1}),
        ({"numbers": [7]}, {7}),
        ({}, set(range(60))),
    ],
)
def test_a_finite_split_is_gone_through_once(rows: Path, metadata: dict[str, Any], ids: set[int]) -> None:
    env = FilterTasks(Adder(tasks=rows), metadata=metadata)
    assert env.tasks.size("train") == len(ids)
    lap = [env.tasks.plan("train", 5, i).id for i in range(2 * len(ids))]
    for half in (lap[: len(ids)], lap[len(ids) :]):
        assert sorted(map(int, half)) == sorted(ids)
    assert {int(task.id) for task in drawn(env)} <= ids
    assert env.tasks.get("1").id == "1"


def test_a_predicate_that_raises_is_named() -> None:
    with pytest.raises(TaskError, match=r"failed for task train-.*: KeyError: 'lost', at .*test_tasks\.py:\d+"):
        FilterTasks(Adder(), predicate=f"{__name__}.is_broken").reset(seed=0)


def test_filters_add_up_and_an_empty_one_says_so(rows: Path) -> None:
    env = FilterTasks(FilterTasks(Adder(tasks=rows), {"level": "low"}), predicate=f"{__name__}:is_even")
    assert env.tasks.size("train") == 10
    with pytest.raises(TaskError, match="none of the 60 tasks of split 'train' is kept"):
        FilterTasks(Adder(tasks=rows), {"level": "none"}).tasks.size("train")
