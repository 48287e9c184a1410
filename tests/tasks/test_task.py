"""A task: its content, its hash, its copies."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgym.errors import TaskError
from llmgym.messages import assistant, tool_call, user
from llmgym.tasks import Task, lazy_copy
from llmgym.tasks.task import settled
from tests.tasks.values import JSON, OBJECTS


@given(JSON, OBJECTS)
def test_the_hash_is_that_of_the_whole_content_and_not_of_the_id(answer: Any, metadata: dict[str, Any]) -> None:
    task = Task(id="a", prompt="p", answer=answer, metadata=metadata)
    turned = dict(reversed(metadata.items()))
    assert task.content_hash == Task(id="b", prompt="p", answer=copy.deepcopy(answer), metadata=turned).content_hash
    others = [
        Task(id="a", prompt="q", answer=answer, metadata=metadata),
        Task(id="a", prompt=[user("p")], answer=answer, metadata=metadata),
        Task(id="a", prompt="p", answer=[answer], metadata=metadata),
        Task(id="a", prompt="p", answer=answer, metadata={**metadata, "more": 1}),
    ]
    assert len({task.content_hash, *(other.content_hash for other in others)}) == 5


def test_the_hash_is_the_same_in_every_version() -> None:
    """It stands in stored rows: what changes it makes all tasks of all runs changed ones."""
    task = Task(prompt=[user("é")], answer=[1, 0.5, None, True], metadata={"b": {}, "a": "x"})
    assert task.content_hash == "c3e1e5f9783e127d"
    assert Task().content_hash == "e5e9bb2415308f54"


def test_the_hash_is_made_once_and_that_of_a_copy_is_its_tasks() -> None:
    task = Task(prompt="p", metadata={"board": [[1]]})
    copied = lazy_copy(lazy_copy(task))
    copied.metadata["board"][0].append(2)
    assert copied.content_hash == task.content_hash == Task(prompt="p", metadata={"board": [[1]]}).content_hash
    assert copied.content_hash is task.content_hash
    assert copied != task
    assert msgspec.structs.replace(task, prompt="q").content_hash != task.content_hash
    assert pickle.loads(pickle.dumps(task)) == task


def test_numbers_of_numpy_hash_like_those_of_python() -> None:
    theirs = Task(prompt="p", answer=np.int64(3), metadata={"grid": np.eye(2), "done": np.bool_(True)})
    assert theirs.content_hash == Task(
        prompt="p", answer=3, metadata={"grid": [[1.0, 0.0], [0.0, 1.0]], "done": True}
    ).content_hash  # fmt: skip


def test_what_has_no_hash_is_named() -> None:
    with pytest.raises(TaskError, match=r"^the answer of a task is an object, which JSON cannot hold: give text"):
        _ = Task(prompt="p", answer=object()).content_hash
    with pytest.raises(TaskError, match=r"^the metadata of a task has a complex at x\[1\], which JSON cannot hold"):
        _ = Task(prompt="p", metadata={"x": [1, 1j]}).content_hash


def test_a_task_is_settled_once_and_shares_nothing() -> None:
    board = [[1, 2], [3, 4]]
    given = Task(
        id=7,  # type: ignore[arg-type]
        prompt=[{"role": "developer", "content": [{"type": "text", "text": "s"}]}, user("u")],  # type: ignore[typeddict-item]
        answer=(np.int64(1), np.float32(0.5)),
        metadata={"board": board, "name": np.str_("x")},
    )
    task = settled(given)
    assert task == Task(
        id="7",
        prompt=[{"role": "system", "content": "s"}, user("u")],
        answer=[1, 0.5],
        metadata={"board": [[1, 2], [3, 4]], "name": "x"},
    )
    board[0].append(5)
    assert task.metadata["board"] == [[1, 2], [3, 4]]
    assert settled(task) == task
    assert settled(Task(id=None, metadata=None)) == Task()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("task", "said"),
    [
        (Task(id=True), "the id of a task is True; it is text or an integer"),  # type: ignore[arg-type]
        (Task(id=1.5), "the id of a task is 1.5; it is text or an integer"),  # type: ignore[arg-type]
        (Task(id={1}), "the id of a task is a set"),  # type: ignore[arg-type]
        (Task(prompt=3), "the prompt of a task: messages are a list"),  # type: ignore[arg-type]
        (Task(prompt=None), "the prompt of a task: messages are a list"),  # type: ignore[arg-type]
        (Task(prompt=[{"role": "user"}]), "the prompt of a task: message 0 has no content"),  # type: ignore[typeddict-item, list-item]
        (Task(metadata=[1]), r"the metadata of a task is \[1\]; it is a dict"),  # type: ignore[arg-type]
        (Task(answer=float("nan")), "the answer of a task is nan, which JSON cannot hold"),
    ],
)
def test_a_field_of_the_wrong_kind_is_named_with_its_value(task: Task, said: str) -> None:
    with pytest.raises(TaskError, match=f"^{said}"):
        settled(task)


def test_fields_of_a_subclass_are_refused_rather_than_lost() -> None:
    class Maze(Task, frozen=True, kw_only=True):
        size: int = 3

    with pytest.raises(TaskError, match=r"Maze\(.* is not a Task; .* goes to `metadata`"):
        settled(Maze(prompt="p"))


@given(st.text() | st.just([user("u"), assistant("", tool_call("f", a=1))]), JSON, OBJECTS)
def test_a_copy_is_equal_and_its_own(prompt: Any, answer: Any, metadata: dict[str, Any]) -> None:
    task = Task(id="a", prompt=prompt, answer=answer, metadata=metadata)
    before = pickle.dumps(task)
    for made in (lazy_copy(task), lazy_copy(lazy_copy(task)), copy.deepcopy(lazy_copy(task))):
        assert made == task
        assert msgspec.json.encode(made) == msgspec.json.encode(task)
        made.metadata["seen"] = True
        for message in made.prompt if isinstance(made.prompt, list) else ():
            message["content"] += "!"
    assert pickle.dumps(task) == before


def test_opening_messages_are_fresh_at_every_level() -> None:
    task = lazy_copy(Task(prompt=[user("a"), assistant("", tool_call("f", a=1))]))
    first = task.messages
    first[0]["content"] = "changed"
    first[1]["tool_calls"][0]["function"]["name"] = "changed"
    assert task.messages == [user("a"), assistant("", tool_call("f", a=1))]
    assert {type(message) for message in first} == {dict}
    assert Task(prompt="a").messages == [user("a")]
