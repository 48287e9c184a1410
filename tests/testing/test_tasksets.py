"""Slots that repeat one another are told from sets that are small."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgym.tasks import Task, TaskSet
from llmgym.testing.report import Fault
from llmgym.testing.subject import Subject
from llmgym.testing.tasksets import expect_varied
from tests.environments import Adder


class Drawn(TaskSet):
    """So many tasks, drawn by a rule; `weights` makes some of them rare."""

    splits = ("train",)

    def __init__(self, size: int, rule: str, skew: float = 0.0) -> None:
        self.rule, self.count = rule, size
        weights = np.arange(1, size + 1) ** -skew
        self.weights = weights / weights.sum()

    def size(self, split: str) -> None:
        return None

    def draw(self, split: str, seed: int, episode: int, *, scope: str = "") -> Task:
        place = {"shifted": seed + episode, "equal": episode, "stuck": seed}.get(self.rule)
        if place is None:
            place = int(np.random.default_rng((seed, episode)).choice(self.count, p=self.weights))
        return self.get(str(place % self.count))

    def plan(self, split: str, seed: int, index: int, *, scope: str = "") -> Task:
        return self.draw(split, seed, index)

    def get(self, task_id: str) -> Task:
        return Task(id=task_id, prompt=task_id)


def subject(seconds: float) -> Subject:
    return Subject("test/Adder-v0", Adder(), 1, 0, seconds)


@given(size=st.integers(1, 10_000), skew=st.sampled_from([0.0, 0.5, 1.0, 2.0]), seconds=st.sampled_from([0.0, 60.0]))
def test_sets_of_any_size_pass(size: int, skew: float, seconds: float) -> None:
    met = expect_varied(subject(seconds), Drawn(size, "hash", skew), "train")
    assert met.contents <= min(size, met.drawn)
    if seconds and size <= 22:
        assert met.contents < 0.1 * met.drawn


@given(
    size=st.integers(2, 5000),
    rule=st.sampled_from(["shifted", "equal", "stuck"]),
    seconds=st.sampled_from([0.0, 60.0]),
)
def test_slots_that_repeat_one_another_are_found(size: int, rule: str, seconds: float) -> None:
    with pytest.raises(Fault, match="repeat one another"):
        expect_varied(subject(seconds), Drawn(size, rule), "train")
