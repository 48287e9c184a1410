"""Several configurations of one environment in a run, told apart by their labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from llmgym.errors import ConfigError, StoreError
from llmgym.rollout import Collector, Curriculum, open_records, read_rollouts
from llmgym.trainers.common import Episodes, TaskRef, task_rows
from tests.rollouts import LETTERS, Script, answer

HALF: dict[str, Any] = {"id": LETTERS, "label": "half", "wrappers": [{"name": "ScaleReward", "kwargs": {"scale": 0.5}}]}


def collector(folder: Path | None = None, *envs: Any, **settings: Any) -> Collector:
    settings = {"num_tasks": 4, "num_repeats": 2, "success_threshold": 0.9} | settings
    return Collector(list(envs or (LETTERS, HALF)), Script(answer), output=folder, **settings)


async def test_each_has_its_rows_scores_and_pass_at_k(tmp_path: Path) -> None:
    summary = await collector(tmp_path / "run").collect()
    assert (summary["finished"], list(summary["environments"])) == (16, ["half", LETTERS])
    for label, mean, passed in (("half", 0.5, 0.0), (LETTERS, 1.0, 1.0)):
        scores = summary["environments"][label]
        assert (scores["reward"]["mean"], scores["tasks"]) == (mean, 4)
        assert [p["value"] for p in scores["pass_at_k"]] == [passed, passed]
    found = list(read_rollouts(tmp_path / "run"))
    assert {t.id for t in found if t.env_id == "half"} == {f"half/{t.task_id}/{r}" for t in found for r in (0, 1)}
    assert len({(t.task_id, t.seed) for t in found}) == 4  # what is compared starts alike
    identity = orjson.loads((tmp_path / "run" / "run.json").read_bytes())["identity"]
    assert [(env["label"], env["id"]) for env in identity["environments"]] == [(LETTERS, LETTERS), ("half", LETTERS)]


async def test_a_run_goes_on_with_its_labels_and_with_no_others(tmp_path: Path) -> None:
    first = collector(tmp_path / "run", num_tasks=2)
    await first.collect()
    again = collector(tmp_path / "run")
    assert (await again.collect())["finished"] == 16
    assert (again.progress.resumed, again.progress.finished) == (8, 8)
    assert len(open_records(tmp_path / "run").records) == 16
    with pytest.raises(StoreError, match=r"environments\[1\].label was 'half', is 'other'"):
        await collector(tmp_path / "run", LETTERS, HALF | {"label": "other"}).collect()
    with pytest.raises(StoreError, match=r"environments\[0\].label was .*, is 'half'"):
        await collector(tmp_path / "run", HALF, LETTERS).collect()


def test_names_that_could_give_one_id_to_two_episodes_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"'half/b' begins with 'half' and a slash; give one another label"):
        collector(None, HALF, HALF | {"label": "half/b"})


async def test_groups_and_orders_know_them() -> None:
    order = Curriculum()
    seen: set[str] = set()
    stream = collector(num_samples_in_parallel=2).stream(order)
    async for group in stream:
        seen.add(group.id.rpartition("/")[0])
        if len(order.weights) > 8:
            break
    await stream.aclose()
    assert seen == {LETTERS, "half"}
    assert {name.rpartition("/")[0] for name in order.weights} == seen


async def test_a_trainer_s_rows_lead_back_to_them() -> None:
    rows = task_rows(env_ids=[LETTERS, HALF], num_tasks=3)
    assert [row.ref.env.name for row in rows] == [LETTERS, "half"] * 3
    assert rows[0].ref.seed == rows[1].ref.seed
    ref = TaskRef.loads(rows[1].ref.dumps())
    assert (ref.env.id, ref.env.label, ref.env.wrappers[0].kwargs) == (LETTERS, "half", {"scale": 0.5})
    episodes = Episodes()
    driver = episodes.driver(ref)
    assert await driver.open()
    await driver.step(ref.task_id.upper())
    assert (driver.trajectory.reward, driver.trajectory.group_id) == (0.5, f"half/{ref.task_id}")
    episodes.close()
