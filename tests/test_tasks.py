"""Tasks: rows, generators, and which task an episode gets."""

from __future__ import annotations

import importlib.util
import json
import pickle
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmgym.env import ToolEnv
from llmgym.errors import TaskError
from llmgym.messages import user
from llmgym.tasks import RowTasks, Task, TaskSet
from tests.environments import make_sum


def write(path: Path, *rows: Any) -> Path:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


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


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ("{", "not JSON"),
        ("[1]", "a row is a JSON object, this is a list"),
        ({"answer": 3}, "either `prompt` or `messages`"),
        ({"prompt": "a", "messages": []}, "either `prompt` or `messages`"),
        ({"prompt": 3}, "prompt"),
        ({"messages": [{"role": "robot", "content": ""}]}, "robot"),
        ({"messages": "hello"}, "messages|items|str"),
        ({"prompt": "p", "id": 1.5}, "id"),
        ({"prompt": "p", "split": 3}, "split is named by text"),
        ({"id": "first", "prompt": "p"}, r"'first' is that of .*:1"),
        ({"prompt": "first prompt", "split": "test"}, r"repeats the task of split 'train' at .*:1"),
        (b"\xff".decode("latin-1"), "not JSON"),
    ],
)
def test_a_malformed_row_is_named_by_file_line_and_reason(tmp_path: Path, row: Any, why: str) -> None:
    path = write(tmp_path / "bad.jsonl", {"id": "first", "prompt": "first prompt"}, "", row)
    with pytest.raises(TaskError, match=why) as caught:
        TaskSet.jsonl(path).size("train")
    assert str(caught.value).startswith(f"{path}:3: ")


def test_a_file_without_rows_or_absent_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="no tasks"):
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


@pytest.mark.skipif(importlib.util.find_spec("datasets") is None, reason="needs datasets")
def test_hugging_face_rows_are_read_as_jsonl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    conversation = [
        {"role": "user", "content": "u"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": "r", "tool_call_id": "c"},
    ]
    train = write(tmp_path / "train.jsonl", {"id": 1, "messages": conversation, "answer": 1, "level": "x"})
    test = write(tmp_path / "test.jsonl", {"id": 2, "messages": [user("v")], "answer": 2, "level": "y"})
    files = {"train": str(train), "test": str(test)}
    tasks = TaskSet.huggingface("json", data_files=files, cache_dir=str(tmp_path / "cache"))
    assert tasks.splits == ("train", "test")
    assert tasks.get("1").messages == conversation
    assert tasks.get("2") == Task(id="2", prompt=[user("v")], answer=2, metadata={"level": "y"})
    with pytest.raises(TaskError, match="cannot load split 'dev'"):
        TaskSet.huggingface("json", splits=["dev"], data_files=files, cache_dir=str(tmp_path / "cache")).size("dev")


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
@settings(max_examples=60, deadline=None)
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
@settings(max_examples=60, deadline=None)
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
    root = Path(__file__).parent.parent
    output = subprocess.run(
        [sys.executable, "-c", script, task.id], cwd=root, capture_output=True, text=True, check=True
    )
    assert output.stdout.splitlines() == [task.prompt, task.id]


def test_contents_are_equal_whatever_the_id() -> None:
    assert (
        Task(id="a", prompt="p", answer={"x": 1, "y": 2}).content_hash
        == Task(prompt="p", answer={"y": 2, "x": 1}).content_hash
    )
    assert Task(prompt="p", answer=1).content_hash != Task(prompt="p", answer=2).content_hash


def test_opening_messages_are_fresh() -> None:
    task = Task(prompt=[user("a")])
    task.messages[0]["content"] = "changed"
    assert task.messages == [user("a")]


def test_an_environment_reads_tasks_of_a_file(tmp_path: Path) -> None:
    class Silent(ToolEnv):
        def verify(self, episode: Any) -> float:
            return 1.0

    env = Silent(tasks=write(tmp_path / "t.jsonl", {"id": "a", "prompt": "hi"}))
    assert env.reset(seed=0)[0] == (user("hi"),)
