"""Merged infos: each value comes back as its slot gave it, whatever the other slots gave."""

from __future__ import annotations

import functools
import math
import random
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from gymnasium.vector import SyncVectorEnv, VectorEnv
from gymnasium.wrappers.vector import DictInfoToList
from hypothesis import example, given
from hypothesis import strategies as st

from llmgym.env import Episode, StepResult
from llmgym.rewards import Part, Reward
from llmgym.vector import TextVectorEnv
from llmgym.vector.infos import merge_infos
from llmgym.wrappers.base import ToolWrapper
from tests.environments import Adder


def parted(merged: dict[str, Any], num_envs: int) -> list[dict[str, Any]]:
    """The infos of the slots, read from merged ones by their masks."""
    infos: list[dict[str, Any]] = [{} for _ in range(num_envs)]
    for key in merged:
        if f"_{key}" not in merged:
            continue
        column = parted(merged[key], num_envs) if isinstance(merged[key], dict) else merged[key]
        assert merged[f"_{key}"].dtype == np.bool_
        assert len(column) == len(merged[f"_{key}"]) == num_envs
        for info, value, has in zip(infos, column, merged[f"_{key}"], strict=True):
            if has:
                info[key] = value
            elif not isinstance(merged[key], dict):
                assert value is None or not np.any(value)
    return infos


def alike(got: Any, given: Any) -> bool:
    """Equal and of a right type: numbers as numbers, of which integers may be held by floats that are equal."""
    if isinstance(given, dict):
        return isinstance(got, dict) and got.keys() == given.keys() and all(alike(got[k], given[k]) for k in given)
    if isinstance(given, np.ndarray):
        return isinstance(got, np.ndarray) and got.dtype == given.dtype and np.array_equal(got, given)
    if isinstance(given, bool):
        return isinstance(got, bool | np.bool_) and bool(got) == given
    if isinstance(given, int):
        return isinstance(got, int | float | np.integer | np.floating) and not isinstance(got, bool) and got == given
    if isinstance(given, float):
        return isinstance(got, float | np.floating) and (got == given or (math.isnan(got) and math.isnan(given)))
    if isinstance(given, np.number):
        equal = got == given or (np.isnan(got) and np.isnan(given))
        return isinstance(got, np.number) and bool(equal)
    return type(got) is type(given) and got == given


NUMBERS = st.one_of(
    st.integers(),
    st.integers(-3, 3),
    st.floats(),
    st.floats(width=32).map(np.float32),
    st.integers(0, 9).map(np.int8),
    st.integers(0, 2**64 - 1).map(np.uint64),
)
ARRAYS = st.lists(st.integers(0, 9), min_size=1, max_size=2).map(np.array) | st.just(np.zeros((2, 2)))
PLAIN = st.none() | st.booleans() | NUMBERS | st.text(max_size=3) | st.lists(st.integers(0, 3), max_size=3) | ARRAYS
VALUES = st.recursive(PLAIN, lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3), max_leaves=4)
INFOS = st.lists(st.dictionaries(st.sampled_from("xyz"), VALUES, max_size=3), min_size=1, max_size=5)


@given(infos=INFOS, seed=st.integers(0, 99))
@example(infos=[{"x": 0}, {"x": 0.8}], seed=1)
@example(infos=[{"x": 2**53 + 1}, {"x": 0.5}], seed=1)
@example(infos=[{"x": 2**63}, {"x": 2**63 - 1}], seed=1)
@example(infos=[{"x": 2**1100}, {"x": 0.5}], seed=1)
@example(infos=[{"x": np.uint64(2**64 - 1)}, {"x": -1}], seed=1)
@example(infos=[{"x": True}, {"x": 0.7}], seed=1)
@example(infos=[{"x": None}, {"x": 1}, {}], seed=1)
@example(infos=[{"x": [1, 2]}, {"x": [3, 4]}], seed=1)
@example(infos=[{"x": {"a": 1}}, {"x": {"a": 0.5, "b": "t"}}, {"x": {}}, {}], seed=1)
@example(infos=[{"x": {"a": 1}}, {"x": None}], seed=1)
@example(infos=[{"x": np.array([1, 2])}, {"x": np.array([1])}, {"x": np.array(5)}], seed=1)
@example(infos=[{"x": np.timedelta64(5, "s")}, {"x": 3}], seed=1)
def test_every_value_comes_back_in_any_order_of_slots(infos: list[dict[str, Any]], seed: int) -> None:
    n = len(infos)
    order = random.Random(seed).sample(range(n), n)
    merged = merge_infos(range(n), infos, n)
    assert alike(dict(enumerate(parted(merged, n))), dict(enumerate(infos)))
    shuffled = merge_infos(range(n), [infos[i] for i in order], n)
    assert alike(dict(enumerate(parted(shuffled, n))), {k: infos[i] for k, i in enumerate(order)})
    expect_same_types(merged, shuffled)


def expect_same_types(a: dict[str, Any], b: dict[str, Any]) -> None:
    assert a.keys() == b.keys()
    for key, column in a.items():
        if isinstance(column, dict):
            expect_same_types(column, b[key])
        else:
            assert column.dtype == b[key].dtype
            assert column.shape == b[key].shape


ONE_TYPE = st.one_of(
    *(
        st.lists(st.none() | kind.map(lambda value: {"x": value}), min_size=1, max_size=5)
        for kind in (
            st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(), st.text(max_size=3), st.none(),
            st.floats(width=32).map(np.float32), st.integers(0, 99).map(np.int16), st.lists(st.integers()),
            st.lists(st.floats(), min_size=2, max_size=2).map(np.array),
            st.fixed_dictionaries({"a": st.integers(0, 9), "b": st.fixed_dictionaries({"c": st.text()})}),
        )
    )
)  # fmt: skip


@given(infos=ONE_TYPE.map(lambda infos: [info or {} for info in infos]))
def test_columns_of_one_type_are_gymnasiums(infos: list[dict[str, Any]]) -> None:
    n = len(infos)
    theirs: dict[str, Any] = {}
    for i, info in enumerate(infos):
        theirs = VectorEnv._add_info(theirs_env(n), theirs, info, i)
    ours = merge_infos(range(n), infos, n)
    assert list(ours) == list(theirs)
    expect_equal(ours, theirs)


def theirs_env(num_envs: int) -> Any:
    env = SimpleNamespace(num_envs=num_envs)
    env._add_info = functools.partial(VectorEnv._add_info, env)
    return env


def expect_equal(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    assert list(ours) == list(theirs)
    for key, column in ours.items():
        if isinstance(column, dict):
            expect_equal(column, theirs[key])
        else:
            np.testing.assert_array_equal(column, theirs[key], strict=True)


def test_types_of_columns() -> None:
    def column(*values: Any) -> Any:
        return merge_infos(range(len(values)), [{"x": value} for value in values], len(values))["x"]

    for values, kind in [
        ((0, 0.8), np.float64), ((0.8, 0), np.float64), ((1, 2), np.int64), ((True, False), np.bool_),
        ((True, np.False_), np.bool_), ((True, 0.5), object), ((1, None), object), (("a", "b"), object),
        ((np.float32(0.5), 1), np.float64), ((np.float32(0.5), 0.1), np.float64), ((2**70, 1), object),
        ((2**53 + 1, 0.5), object), ((2**53, 0.5), np.float64), (({"a": 1}, [1]), object), ((1j, 1), object),
        ((np.complex64(1j), 1), np.complex128),
    ]:  # fmt: skip
        assert column(*values).dtype == kind, values
    assert column([1, 2], [3, 4]).shape == (2,)
    assert column(np.zeros((2, 3)), np.ones((2, 3))).shape == (2, 2, 3)
    assert column({"a": 1}, {"a": 0.5})["a"].tolist() == [1, 0.5]


def test_the_end_of_an_episode_is_an_object_and_a_mask_is_a_mask() -> None:
    merged = merge_infos([0, 1], [{"final_obs": 1.5}, {"final_obs": ()}], 3)
    assert merged["final_obs"].dtype == object
    assert merged["final_obs"].tolist() == [1.5, (), None]
    merged = merge_infos([0, 1], [{"_x": 5, "x": 1, "_y": 2}, {"x": 2}], 2)
    assert merged["_x"].tolist() == [True, True]
    assert merged["_y"].tolist() == [2, 0]
    assert merged["__y"].tolist() == [True, False]
    assert merge_infos([], [], 2) == {}


class Scored(Adder):
    """Scores a reply as it says."""

    def verify(self, episode: Episode) -> Reward:
        value = {"none": None, "zero": 0, "one": 1}.get(episode.final_text, 0.8)
        metrics = {} if value is None else {f"m{len(episode.final_text)}": value, "all": value}
        return Reward(correct=Part(value), metrics=metrics)


class Tells(ToolWrapper):
    """Tells more in `info`: what the policy's last words are for."""

    told = {"none": None, "zero": 0, "one": True, "list": [1, 2], "dict": {"a": 1}, "text": "t", "half": 0.5}

    def on_step(self, action: Any, result: StepResult) -> StepResult:
        info = result[4]
        info["told"] = self.told[action]
        return *result[:4], info


WORDS = list(Tells.told)


@given(said=st.lists(st.sampled_from(WORDS), min_size=2, max_size=4))
@pytest.mark.parametrize("mode", ["SameStep", "NextStep"])
def test_a_step_of_all_slots_tells_what_a_step_of_each_tells(said: list[str], mode: str) -> None:
    def make() -> Any:
        return Tells(Scored())

    vector = TextVectorEnv(make, len(said), autoreset_mode=mode)
    vector.reset(seed=3)
    *_, infos = vector.step(said)
    got = parted(infos, len(said))
    for i, word in enumerate(said):
        env = make()
        env.reset(seed=3 + i)
        *_, info = env.step(word)
        told = got[i]["final_info"] if mode == "SameStep" else got[i]
        assert alike(told, info)
    listed = DictInfoToList(vector)._convert_info_to_list(infos)
    assert alike(dict(enumerate(listed)), dict(enumerate(got)))


def test_the_same_as_gymnasium_where_every_slot_gives_one_type() -> None:
    ours = TextVectorEnv(Scored, 3)
    theirs = SyncVectorEnv([Scored] * 3, autoreset_mode="SameStep")
    ours.reset(seed=0)
    theirs.reset(seed=0)
    for said in (["zero", "one", "half"], ["x"] * 3, ["zero"] * 3):
        mine, its = ours.step(said)[-1], theirs.step(said)[-1]
        np.testing.assert_equal(mine, its)


def test_an_unscored_slot_beside_a_scored_one() -> None:
    vector = TextVectorEnv(Scored, 2)
    for said in (["none", "one"], ["one", "none"]):
        vector.reset(seed=0)
        _, rewards, *_, infos = vector.step(said)
        expected = [{"none": None, "one": 1.0}[word] for word in said]
        assert infos["final_info"]["reward_parts"]["correct"].tolist() == expected
        assert np.isnan(rewards).tolist() == [value is None for value in expected]
