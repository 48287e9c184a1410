"""Sets of tasks: rows, generators, and which task an episode gets."""

from __future__ import annotations

import copy
import importlib
import json
import pickle
import subprocess
import sys
import threading
import time
from collections import Counter
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgym.env import Episode, ToolEnv
from llmgym.errors import ConfigError, TaskError
from llmgym.messages import user
from llmgym.tasks import RowTasks, Task, TaskSet
from tests.environments import make_sum
from tests.tasks.files import write


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> TaskSet:
    path = tmp_path_factory.mktemp("tasks") / "large.jsonl"
    return TaskSet.jsonl(write(path, *({"id": str(n), "prompt": f"task {n}"} for n in range(4096))))


# --- rows ---------------------------------------------------------------------------------------


def test_rows_become_tasks(tmp_path: Path) -> None:
    rows = (
        {"id": "a", "prompt": "hi", "answer": 3, "metadata": {"x": 1}, "level": 2},
        "",
        {"id": 7, "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}], "split": "test"},
        {"prompt": "no id"},
    )
    tasks = TaskSet.jsonl(write(tmp_path / "t.jsonl", *rows))
    assert tasks.splits == ("train", "test")
    assert (tasks.size("train"), tasks.size("test")) == (2, 1)
    assert tasks.get("a") == Task(id="a", prompt="hi", answer=3, metadata={"x": 1, "level": 2})
    assert [message["role"] for message in tasks.get("7").messages] == ["system", "user"]
    unnamed = next(task for task in (tasks.plan("train", 0, n) for n in range(2)) if task.id != "a")
    assert unnamed.id == unnamed.content_hash


def test_a_file_without_rows_or_absent_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="there are no rows"):
        TaskSet.jsonl(write(tmp_path / "empty.jsonl")).size("train")
    with pytest.raises(TaskError, match=r"absent\.jsonl"):
        TaskSet.jsonl(tmp_path / "absent.jsonl").size("train")


def test_other_columns_are_read_by_a_function(tmp_path: Path) -> None:
    path = write(tmp_path / "t.jsonl", {"question": "q", "solution": "s"})
    tasks = TaskSet.jsonl(path, row=lambda row: Task(prompt=row["question"], answer=row["solution"]))
    assert tasks.plan("train", 0, 0).answer == "s"
    missing = TaskSet.jsonl(path, row=lambda row: Task(prompt=row["query"]))
    with pytest.raises(TaskError, match=r"t.jsonl:1: column 'query' is missing; there is question, solution"):
        missing.size("train")
    broken = TaskSet.jsonl(path, row=lambda row: Task(prompt=row["question"].absent))
    with pytest.raises(TaskError, match=r"t.jsonl:1: .*absent"):
        broken.size("train")


def test_a_relative_path_is_beside_the_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "rows.jsonl", {"id": "beside", "prompt": "p"})
    (tmp_path / "module_beside.py").write_text(
        "from llmgym.env import ToolEnv\nfrom llmgym.tasks import TaskSet\n"
        "class Beside(ToolEnv):\n    tasks = TaskSet.jsonl('rows.jsonl')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir("/")
    assert importlib.import_module("module_beside").Beside.tasks.get("beside").prompt == "p"


def test_an_episode_may_change_its_task(large: TaskSet) -> None:
    task = large.get("5")
    task.metadata["seen"] = True
    assert large.get("5").metadata == {}
    drawn = large.draw("train", 0, 0)
    drawn.metadata["seen"] = True
    assert large.draw("train", 0, 0).metadata == {}


def test_row_tasks_travel_without_their_rows(large: TaskSet) -> None:
    large.size("train")
    data = pickle.dumps(large)
    assert len(data) < 1000
    assert pickle.loads(data).get("7") == large.get("7")


def test_unknown_ids_and_splits_are_named(large: TaskSet) -> None:
    with pytest.raises(TaskError, match="unknown task 'x'"):
        large.get("x")
    for unknown in (large, TaskSet.generated(make_sum)):
        with pytest.raises(TaskError, match="unknown split 'dev'; there is train"):
            unknown.draw("dev", 0, 0)


@pytest.mark.parametrize("first", ["size", "splits", "plan", "duplicates"])
def test_threads_load_once_and_see_all(first: str) -> None:
    loads: list[int] = []

    class Source:
        def rows(self) -> Any:
            loads.append(1)
            for n in range(500):
                yield f"row {n}", {"id": str(n), "prompt": str(n), "split": "train" if n % 2 else "test"}
                time.sleep(0.00002)

    tasks = RowTasks(Source())
    barrier, found = threading.Barrier(8), list[Any]()

    def work() -> None:
        barrier.wait()
        look = {
            "size": lambda: tasks.size("train"),
            "splits": lambda: tasks.splits,
            "plan": lambda: tasks.plan("train", 0, 249).id,
            "duplicates": lambda: tasks.duplicates,
        }
        found.append(look[first]())

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(loads) == 1
    assert len(found) == 8
    assert len(set(found)) == 1
    assert tasks.size("train") == 250


def test_a_set_that_could_not_be_loaded_is_loaded_once_its_file_is_mended(tmp_path: Path) -> None:
    tasks = TaskSet.jsonl(write(tmp_path / "t.jsonl", "{"))
    with pytest.raises(TaskError, match="not JSON"):
        tasks.size("train")
    write(tmp_path / "t.jsonl", {"prompt": "p"})
    assert tasks.size("train") == 1


def test_nothing_is_read_before_it_is_needed(tmp_path: Path) -> None:
    tasks = TaskSet.jsonl(tmp_path / "absent.jsonl")
    assert copy.deepcopy(tasks) is tasks
    assert pickle.loads(pickle.dumps(tasks)) is not tasks
    assert len(pickle.dumps(tasks)) < 1000


# --- which task ---------------------------------------------------------------------------------


def test_slots_with_neighbouring_seeds_meet_different_rows(large: TaskSet) -> None:
    drawn = {large.draw("train", seed, episode).id for seed in range(64) for episode in range(64)}
    assert len(drawn) >= 0.99 * 4096


def test_slots_with_neighbouring_seeds_meet_different_generated_tasks() -> None:
    tasks = TaskSet.generated(make_sum)
    for split in tasks.splits:
        drawn = {tasks.draw(split, seed, episode).content_hash for seed in range(64) for episode in range(64)}
        assert len(drawn) >= 0.99 * 4096


def test_a_slot_meets_no_row_twice_in_a_hand(large: TaskSet) -> None:
    for seed in (0, 5, 10**30):
        assert len({large.draw("train", seed, episode).id for episode in range(64)}) == 64


def test_neighbouring_seeds_are_unrelated(large: TaskSet) -> None:
    """One slot's stream is not another's moved by a few places."""
    first, second = ([large.draw("train", seed, n).id for n in range(256)] for seed in (0, 1))
    assert all(first[shift : shift + 16] != second[:16] for shift in range(240))


def test_environments_over_one_set_draw_differently(large: TaskSet) -> None:
    first, second = ([large.draw("train", 0, n, scope=scope).id for n in range(32)] for scope in "ab")
    assert first != second


@given(st.integers(1, 300), st.integers(0, 2**70))
def test_a_plan_visits_each_row_once_before_any_again(size: int, seed: int) -> None:
    tasks = in_memory(size)
    for epoch in range(2):
        visited = Counter(tasks.plan("train", seed, epoch * size + place).id for place in range(size))
        assert len(visited) == size


def test_a_plan_deals_anew_each_time_round() -> None:
    orders = [[in_memory(100).plan("train", 0, epoch * 100 + n).id for n in range(100)] for epoch in range(3)]
    assert orders[0] != orders[1] != orders[2]


def in_memory(size: int) -> RowTasks:
    class Source:
        def rows(self) -> Any:
            return ((f"row {n}", {"id": str(n), "prompt": str(n)}) for n in range(size))

    return RowTasks(Source(), None)  # type: ignore[arg-type]


@given(st.integers(1, 300), st.integers(0, 2**70), st.integers(0, 10**6))
def test_every_draw_is_a_task_of_its_split(size: int, seed: int, episode: int) -> None:
    assert int(in_memory(size).draw("train", seed, episode).id) < size


# --- generated ----------------------------------------------------------------------------------


def test_generated_splits_share_no_content() -> None:
    tasks = TaskSet.generated(lambda rng: Task(prompt=str(rng.integers(200))))
    contents = [{tasks.draw(split, seed, 0).content_hash for seed in range(500)} for split in tasks.splits]
    assert all(contents)
    assert contents[0].isdisjoint(contents[1])


def test_a_generator_with_too_few_contents_says_so() -> None:
    tasks = TaskSet.generated(lambda rng: Task(prompt="always"))
    absent = "train" if int(Task(prompt="always").content_hash[0], 16) < 2 else "test"
    with pytest.raises(TaskError, match="too few contents"):
        tasks.draw(absent, 0, 0)


@pytest.mark.parametrize(
    "task_id", ["", "train", "train-", "train-xyz", "dev-00c0ffee00c0ffee", "train-00C0FFEE00c0ffee"]
)
def test_ids_of_no_generated_task_are_refused(task_id: str) -> None:
    with pytest.raises(TaskError, match="unknown task"):
        TaskSet.generated(make_sum).get(task_id)


def test_an_id_gives_the_same_task_in_another_process() -> None:
    task = TaskSet.generated(make_sum).draw("test", 3, 4)
    script = (
        "import sys; from tests.environments import Adder; "
        "print(Adder.tasks.get(sys.argv[1]).prompt); print(Adder.tasks.draw('test', 3, 4).id)"
    )
    root = Path(__file__).parents[2]
    output = subprocess.run(
        [sys.executable, "-c", script, task.id], cwd=root, capture_output=True, text=True, check=True
    )
    assert output.stdout.splitlines() == [task.prompt, task.id]


def test_a_constant_prompt_is_split_by_what_else_a_task_holds() -> None:
    tasks = TaskSet.generated(lambda rng: Task(prompt="Find the exit.", metadata={"maze": int(rng.integers(10**9))}))
    found = {split: {tasks.draw(split, 0, n).content_hash for n in range(100)} for split in tasks.splits}
    assert all(len(contents) == 100 for contents in found.values())
    assert found["train"].isdisjoint(found["test"])
    one = tasks.draw("test", 0, 0)
    assert tasks.get(one.id) == one


def test_numbers_of_numpy_simply_work() -> None:
    tasks = TaskSet.generated(
        lambda rng: Task(
            prompt="Roll a die.",
            answer=rng.integers(1, 7),
            metadata={"dice": rng.integers(1, 7, size=(2, 2)), "fair": np.bool_(rng.random() < 0.5), "p": rng.random()},
        )
    )
    task = tasks.draw("train", 0, 0)
    assert type(task.answer) is int
    assert [type(row) for row in task.metadata["dice"]] == [list, list]
    assert type(task.metadata["fair"]) is bool
    assert json.loads(json.dumps(task.metadata)) == task.metadata
    assert tasks.get(task.id) == task


CONSTANT = {"board": [[0, 0], [0, 0]]}


def test_what_a_generator_keeps_is_never_an_episodes() -> None:
    tasks = TaskSet.generated(lambda rng: Task(prompt=str(rng.integers(10**9)), metadata=CONSTANT))
    tasks.draw("train", 0, 0).metadata["board"][0][0] = 1
    assert tasks.draw("train", 0, 1).metadata == CONSTANT == {"board": [[0, 0], [0, 0]]}


def divide(rng: np.random.Generator) -> Task:
    return Task(prompt="x", answer=1 // 0)


def give_dict(rng: np.random.Generator) -> Any:
    return {"prompt": "x"}


def give_fraction(rng: np.random.Generator) -> Task:
    return Task(prompt="x", answer=Fraction(1, 3))


def give_talk(rng: np.random.Generator) -> Task:
    return Task(prompt=[{"role": "user"}])  # type: ignore[typeddict-item]


def leave(rng: np.random.Generator) -> Task:
    sys.exit(7)


class Maker:
    def __call__(self, rng: np.random.Generator) -> Task:
        return Task(prompt="x", metadata=[1])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (divide, "divide failed: ZeroDivisionError: integer division or modulo by zero"),
        (give_dict, r"give_dict: it gave {'prompt': 'x'}, which is not a Task"),
        (partial(give_dict), r"give_dict: it gave {'prompt': 'x'}, which is not a Task"),
        (
            give_fraction,
            "give_fraction: the answer of a task is a Fraction, which JSON cannot hold: give text or a number",
        ),
        (give_talk, "give_talk: the prompt of a task: message 0 has no content; .*"),
        (leave, r"leave failed: it called sys.exit\(7\)"),
        (Maker(), r"Maker: the metadata of a task is \[1\]; it is a dict"),
    ],
)
def test_a_generator_that_fails_is_named_with_its_place(make: Any, said: str) -> None:
    tasks = TaskSet.generated(make)
    for look in (
        lambda: tasks.draw("train", 0, 0),
        lambda: tasks.plan("test", 0, 0),
        lambda: tasks.get("test-" + "0" * 16),
    ):
        with pytest.raises(TaskError, match=rf"^{said}, at .*test_sets\.py:\d+$") as caught:
            look()
        assert "\n" not in str(caught.value)


def test_a_generator_that_is_no_function_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"takes a function of a numpy\.random\.Generator, not Task"):
        TaskSet.generated(make_sum(np.random.default_rng(0)))  # type: ignore[arg-type]


# --- episodes -----------------------------------------------------------------------------------


class Vandal(ToolEnv):
    """Changes all of its task, in every way."""

    def setup(self, task: Task) -> None:
        self.seen = json.dumps([task.prompt, task.answer, task.metadata])
        task.metadata["board"][0][0] = "X"
        task.metadata["board"].append(["more"])
        task.metadata["new"] = 1
        del task.metadata["gone"]
        task.answer.sort()
        task.answer.append(0)
        for value in {**task.metadata}.values():
            if isinstance(value, list):
                value.clear()
        if isinstance(task.prompt, list):
            task.prompt[0]["content"] += "!"
            task.prompt.pop()

    def verify(self, episode: Episode) -> float:
        return 1.0


@pytest.mark.parametrize("prompt", ["hi", [user("a"), user("b")]])
def test_what_an_episode_does_to_its_task_reaches_no_other(tmp_path: Path, prompt: Any) -> None:
    row = {"id": "a", "prompt": prompt, "answer": [3, 1], "metadata": {"board": [[0]], "gone": {}}}
    env = Vandal(tasks=write(tmp_path / "t.jsonl", row))
    before = json.dumps([prompt, [3, 1], row["metadata"]])
    task = env.tasks.plan("train", 0, 0)
    for options in ({}, {"task_id": "a"}, {"task": task}, {"task": task}, {"task": Task(**row)}, {}):
        env.reset(seed=0, options=options)
        assert env.seen == before
        assert env.task is not None
        assert env.task.metadata == {"board": [], "new": 1}
        assert env.task.content_hash == task.content_hash
    assert env.tasks.get("a") == task == Task(**row)


def test_an_environment_reads_tasks_of_a_file(tmp_path: Path) -> None:
    class Silent(ToolEnv):
        def verify(self, episode: Any) -> float:
            return 1.0

    env = Silent(tasks=write(tmp_path / "t.jsonl", {"id": "a", "prompt": "hi"}))
    assert env.reset(seed=0)[0] == (user("hi"),)
