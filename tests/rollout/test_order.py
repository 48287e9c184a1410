"""In which order tasks come."""

from __future__ import annotations

from collections import Counter
from contextlib import aclosing
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llmgym.errors import ConfigError
from llmgym.rollout import Collector, Curriculum, Endless, EnvConfig, Group, Plan, RolloutConfig, parse_config
from llmgym.rollout.instances import Instances, TaskSource
from llmgym.trajectory import Trajectory
from tests import environments  # noqa: F401 -- registers test/Adder-v0
from tests.rollouts import LETTERS, Script, answer, letters

ADDER = "test/Adder-v0"


def sources(*ids: str) -> list[TaskSource]:
    return [Instances(EnvConfig(env_id)).source for env_id in ids]


def config(**settings: Any) -> RolloutConfig:
    return parse_config({"env_ids": [LETTERS], **settings})


def names(order: Any, made: list[TaskSource], number: int, **settings: Any) -> list[tuple[str, int]]:
    visits = islice(order.visits(made, config(**settings)), number)
    return [(f"{pool.id}/{pool.plan('train', 0, index).id}", before) for pool, index, before in visits]


def test_the_plan_takes_each_task_once_and_the_environments_by_turns() -> None:
    made = sources(LETTERS, ADDER)
    visits = names(Plan(), made, 100, num_tasks=5)
    assert len(set(visits)) == len(visits) == Plan().size(made, config(num_tasks=5)) == 10
    assert [name.partition("-")[0] for name, _ in visits] == ["test/Letters", "test/Adder"] * 5
    assert len(names(Plan(), made[:1], 100)) == 26
    with pytest.raises(ConfigError, match="makes tasks without end: set num_tasks"):
        Plan().size(made, config())


def test_without_end_each_pass_shuffles_a_finite_split_anew() -> None:
    visits = names(Endless(), sources(LETTERS), 26 * 3)
    passes = [visits[i : i + 26] for i in range(0, 78, 26)]
    for number, one in enumerate(passes):
        assert {before for _, before in one} == {number}
        assert len(dict(one)) == 26
    assert [name for name, _ in passes[0]] != [name for name, _ in passes[1]]
    assert visits[:26] == names(Plan(), sources(LETTERS), 26)
    endless = names(Endless(), sources(ADDER), 200)
    assert {before for _, before in endless} == {0}


def outcome(env_id: str, task_id: str, rewards: list[float | None]) -> Group:
    made = [Trajectory(env_id, task_id, i, 0, reward=reward) for i, reward in enumerate(rewards)]
    return Group(f"{env_id}/{task_id}", made)


def test_a_curriculum_prefers_tasks_that_are_solved_half_of_the_time() -> None:
    order = Curriculum()
    settings = config(seed=1)
    chance = {"a": 0.0, "b": 0.5, "c": 1.0}  # all others are never solved
    rng = np.random.default_rng(0)
    drawn: Counter[str] = Counter()
    seen: set[tuple[str, int]] = set()
    for number, (pool, index, before) in enumerate(islice(order.visits(sources(LETTERS), settings), 3000)):
        task = pool.plan("train", 1, index)
        assert (task.id, before) not in seen
        seen.add((task.id, before))
        rewards = (rng.random(8) < chance.get(task.id, 0.0)).astype(float).tolist()
        order.observe(outcome(LETTERS, task.id, rewards), settings)
        drawn[task.id] += number >= 500
    assert len({task for task, _ in seen}) == 26  # each was tried
    assert drawn["b"] > 3 * drawn["a"] > 0
    assert drawn["b"] > 3 * drawn["c"] > 0
    assert order.weights[f"{LETTERS}/b"] > order.weights[f"{LETTERS}/a"]


def test_a_curriculum_over_generated_tasks_weighs_environments() -> None:
    order = Curriculum()
    visits = order.visits(sources(LETTERS, ADDER), config())
    tasks = []
    for pool, index, before in islice(visits, 400):
        task = pool.plan("train", 0, index)
        if pool.id == ADDER:
            tasks.append(task.id)
            assert before == 0
            order.observe(outcome(ADDER, task.id, [1.0, 0.0]), config())
        else:
            order.observe(outcome(LETTERS, task.id, [0.0, None, 0.0]), config())
    assert len(set(tasks)) == len(tasks) > 80
    assert order.weights[ADDER] == max(order.weights.values())
    before = order.weights
    order.observe(outcome(LETTERS, "a", [None]), config())  # nothing is known
    assert order.weights == before


async def test_a_stream_goes_on_until_it_is_closed(tmp_path: Path) -> None:
    collector = letters(num_repeats=2)(policy=Script(answer), output=tmp_path / "run")
    groups: list[Group] = []
    async with aclosing(collector.stream(Endless())) as stream:
        async for group in stream:
            groups.append(group)
            if len(groups) == 60:
                break
    assert collector.progress.planned is None
    assert collector.progress.eta_s is None
    ids = [t.id for group in groups for t in group.trajectories]
    assert len(set(ids)) == len(ids) == 120  # a task that comes again has other repeats
    assert max(t.repeat for group in groups for t in group.trajectories) >= 4
    again = letters(num_repeats=2)(policy=Script(answer), output=tmp_path / "run")
    async with aclosing(again.stream(Endless())) as stream:
        first = await anext(stream)
    assert again.progress.resumed >= 2
    assert first.rewards == [1.0, 1.0]


async def test_what_a_stream_gives_is_observed() -> None:
    order = Curriculum()
    collector: Collector = letters(num_repeats=2)(policy=Script(lambda messages, tools: "A"))
    async with aclosing(collector.stream(order)) as stream:
        number = 0
        async for _ in stream:
            number += 1
            if number == 300:
                break
    assert collector.summary is None  # what has no end is not remembered
    # All that it meets is solved always or never, so that nothing is worth more than another.
    assert set(np.round([w * 26 for w in order.weights.values()], 3)) == {1.0}
