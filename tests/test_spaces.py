"""Spaces of messages: samples, membership, and shared memory."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
from typing import Annotated, Any, Literal

import msgspec
import pytest
from gymnasium.vector.utils import (
    batch_space,
    concatenate,
    create_empty_array,
    create_shared_memory,
    iterate,
    read_from_shared_memory,
    write_to_shared_memory,
)
from hypothesis import given
from hypothesis import strategies as st

from llmgym.env import ToolEnv
from llmgym.messages import assistant, tool_call, user
from llmgym.spaces import AssistantSpace, MessagesSpace
from llmgym.tools import tool

MESSAGES = st.lists(st.builds(user, st.text()), max_size=4).map(tuple)
SEEDS = st.integers(0, 2**32 - 1)


class Tree(msgspec.Struct):
    """A type that holds itself."""

    name: str
    children: list[Tree] = []
    partner: Tree | None = None


class Signatures(ToolEnv):
    """Tools with the kinds of parameters that occur."""

    @tool
    def numbers(
        self,
        below: Annotated[int, msgspec.Meta(le=-500)],
        between: Annotated[int, msgspec.Meta(gt=3, lt=5)],
        above: Annotated[int, msgspec.Meta(ge=10_000)],
        share: Annotated[float, msgspec.Meta(ge=0.0, le=1.0)],
        any_number: float,
    ) -> None:
        """Numbers within bounds."""

    @tool
    def texts(
        self,
        long: Annotated[str, msgspec.Meta(min_length=40)],
        short: Annotated[str, msgspec.Meta(max_length=3)],
        choice: Literal["a", "b"],
        maybe: str | None = None,
    ) -> None:
        """Texts."""

    @tool
    def nested(
        self,
        tree: Tree,
        pair: tuple[int, str],
        pairs: list[tuple[int, bool]],
        few: Annotated[list[int], msgspec.Meta(min_length=2, max_length=3)],
        table: dict[str, int],
    ) -> None:
        """Types inside types."""

    @tool
    def nothing(self) -> None:
        """No argument."""


SPACES = [MessagesSpace, AssistantSpace, lambda: AssistantSpace([t.schema for t in Signatures.tools.values()])]


@pytest.mark.parametrize("make", SPACES)
def test_samples_belong_and_repeat_with_the_seed(make: Any) -> None:
    first, second = make(), make()
    first.seed(3)
    second.seed(3)
    samples = [first.sample() for _ in range(50)]
    assert samples == [second.sample() for _ in range(50)]
    assert all(first.contains(sample) for sample in samples)
    assert any(sample != samples[0] for sample in samples)


@pytest.mark.parametrize("make", SPACES)
def test_a_space_survives_copying_and_pickling(make: Any) -> None:
    space = make()
    assert space == copy.deepcopy(space) == pickle.loads(pickle.dumps(space))
    assert len(repr(space)) < 200


@pytest.mark.parametrize("name", list(Signatures.tools))
@given(seed=SEEDS)
def test_sampled_calls_fit_their_schema(name: str, seed: int) -> None:
    chosen = Signatures.tools[name]
    space = AssistantSpace([chosen.schema], seed=seed)
    for call in space.sample().get("tool_calls", ()):
        chosen.parse(call["function"]["arguments"])


def test_most_samples_call_tools() -> None:
    space = AssistantSpace([Signatures.tools["texts"].schema], seed=0)
    assert sum("tool_calls" in space.sample() for _ in range(200)) > 100


def test_spaces_differ_by_their_tools() -> None:
    assert AssistantSpace() != AssistantSpace([Signatures.tools["texts"].schema])
    assert AssistantSpace() != MessagesSpace()


@pytest.mark.parametrize("action", ["", "text", assistant("a"), assistant("", tool_call("f", a=1))])
def test_text_and_assistant_messages_are_actions(action: Any) -> None:
    assert AssistantSpace().contains(action)


@pytest.mark.parametrize("action", [None, 3, user("hi"), [assistant("a")], {"role": "assistant", "content": 3}])
def test_nothing_else_is_an_action(action: Any) -> None:
    assert not AssistantSpace().contains(action)


@pytest.mark.parametrize(
    "observation",
    [[user("a")], (user(3),), ({"role": [], "content": ""},), ({"role": "robot", "content": ""},), ("a",), user("a")],  # type: ignore[arg-type]
)
def test_an_observation_is_a_tuple_of_messages(observation: Any) -> None:
    assert MessagesSpace().contains((user("a"), assistant("b")))
    assert MessagesSpace().contains(())
    assert not MessagesSpace().contains(observation)


@given(st.lists(MESSAGES, min_size=1, max_size=3))
def test_batches_hold_what_was_put_in(observations: list[Any]) -> None:
    space = MessagesSpace()
    batch = concatenate(space, observations, create_empty_array(space, len(observations)))
    assert batch in batch_space(space, len(observations))
    assert list(iterate(batch_space(space, len(observations)), batch)) == observations


@given(st.lists(MESSAGES, min_size=1, max_size=3), st.lists(MESSAGES, min_size=1, max_size=3))
def test_shared_memory_is_live_and_its_copies_are_not(first: list[Any], second: list[Any]) -> None:
    space, n = MessagesSpace(), min(len(first), len(second))
    memory = create_shared_memory(space, n, multiprocessing)
    view = read_from_shared_memory(space, memory, n)
    assert len(view) == n
    for index in range(n):
        write_to_shared_memory(space, index, first[index], memory)
    kept = copy.deepcopy(view)
    for index in range(n):
        write_to_shared_memory(space, index, second[index], memory)
    assert kept == tuple(first[:n])
    assert view == tuple(second[:n])
    assert view[0] == second[0]


def test_an_observation_beyond_the_shared_buffer_says_what_to_do() -> None:
    space = MessagesSpace()
    memory = create_shared_memory(space, 1, multiprocessing)
    with pytest.raises(ValueError, match="shared_memory"):
        write_to_shared_memory(space, 0, (user("x" * 2_000_000),), memory)
