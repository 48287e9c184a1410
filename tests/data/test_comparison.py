"""Runs beside each other: tasks are paired, each counts once, and what is left out is said."""

from __future__ import annotations

import codecs
import re
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from llmgym.data import BadRowsError, Dataset
from llmgym.data.comparison import Comparison, compare, document_of
from llmgym.data.comparison.document import Document, Interval, Table
from llmgym.data.comparison.measures import estimate
from llmgym.records import dump_row
from llmgym.rollout import RunStore
from llmgym.trajectory import Trajectory
from tests.data.rows import episode, groups, line, run_of

Rewards = dict[str, list[float | None]]


def compared(tmp_path: Path, *runs: Rewards, threshold: float = 1.0) -> Comparison:
    folders = [run_of(tmp_path / f"run{number}", groups(rewards)) for number, rewards in enumerate(runs)]
    return compare(Dataset.open(folders, threshold=threshold))


def test_tasks_are_paired_and_count_once(tmp_path: Path) -> None:
    before: Rewards = {"a": [0, 0, 0, 1], "b": [1], "c": [0, 0]}
    after: Rewards = {"a": [1], "b": [1, 1, 1], "c": [0, 1]}
    (contrast,) = compared(tmp_path, before, after).contrasts
    assert contrast.tasks == 3
    reward = contrast.measures[0]
    assert (reward.name, reward.first, reward.second) == ("reward", pytest.approx(1.25 / 3), pytest.approx(2.5 / 3))
    assert reward.difference.mean == pytest.approx((0.75 + 0 + 0.5) / 3)
    assert [measure.name for measure in contrast.measures] == ["reward", "pass@1", "turns", "tokens"]


def test_pass_at_k_is_of_as_many_episodes_as_all_tasks_have(tmp_path: Path) -> None:
    (contrast,) = compared(tmp_path, {"a": [0, 1, 1], "b": [0, 0]}, {"a": [1, 0], "b": [1, 0, 0, 0]}).contrasts
    by_name = {measure.name: measure for measure in contrast.measures}
    assert (by_name["pass@2"].first, by_name["pass@2"].second) == (0.5, pytest.approx((1 + 0.5) / 2))


def test_flips_are_tasks_that_one_run_never_solved(tmp_path: Path) -> None:
    before: Rewards = {"a": [1, 0], "b": [0, 0], "c": [1], "d": [0]}
    after: Rewards = {"a": [0, 0, 0], "b": [0, 1], "c": [1], "d": [0]}
    (contrast,) = compared(tmp_path, before, after).contrasts
    assert [(flip.task, flip.first, flip.second) for flip in contrast.won] == [("b", (0, 2), (1, 2))]
    assert [(flip.task, flip.first, flip.second) for flip in contrast.lost] == [("a", (1, 2), (0, 3))]


def test_what_is_not_in_both_or_unscored_is_left_out_and_counted(tmp_path: Path) -> None:
    before: Rewards = {"a": [1, None], "b": [None], "c": [0], "only": [1]}
    after: Rewards = {"a": [0], "b": [1], "c": [0], "other": [0], "more": [0]}
    comparison = compared(tmp_path, before, after)
    (contrast,) = comparison.contrasts
    assert (contrast.tasks, contrast.only_first, contrast.only_second, contrast.unscored) == (2, 1, 2, 1)
    assert contrast.measures[0].difference.mean == -0.5
    assert [(run.episodes, run.unscored, run.failed, run.repeats) for run in comparison.runs] == [
        (5, 2, None, (1, 1)), (5, 0, None, (1, 1)),
    ]  # fmt: skip
    text = document_of(comparison).markdown()
    for part in ("2 tasks that both have scored. 1 that only run0 has are left out.", "1 of both without a reward",
                 "2 that only run1", "Intervals of fewer than 30 tasks"):  # fmt: skip
        assert part in text


def test_runs_without_a_common_task_are_said_to_have_none(tmp_path: Path) -> None:
    comparison = compared(tmp_path, {"a": [1]}, {"b": [1]})
    assert comparison.contrasts[0].measures == []
    assert "nothing to compare" in document_of(comparison).markdown()


def test_tasks_are_the_same_by_content_and_not_by_id(tmp_path: Path) -> None:
    one = run_of(tmp_path / "one", [line("a", 0, 1.0)])
    renamed = episode("a", 0, 0.0)
    renamed.task_id = "b"
    other = run_of(tmp_path / "other", [dump_row(renamed)])
    assert compare(Dataset.open([one, other])).contrasts[0].tasks == 1


def test_environments_are_compared_apart(tmp_path: Path) -> None:
    def rows(rewards: dict[str, float]) -> list[bytes]:
        made = [(name, episode(name, 0, reward)) for name, reward in rewards.items()]
        for name, trajectory in made:
            trajectory.env_id = f"test/{name[0]}-v0"
        return [dump_row(trajectory) for _, trajectory in made]

    one = run_of(tmp_path / "one", rows({"a1": 0, "a2": 0, "b1": 1}))
    other = run_of(tmp_path / "other", rows({"a1": 1, "a2": 0, "b1": 1}))
    (contrast,) = compare(Dataset.open([one, other])).contrasts
    found = {env: (scope.tasks, scope.measures[0].difference.mean) for env, scope in contrast.environments.items()}
    assert found == {"test/a-v0": (2, 0.5), "test/b-v0": (1, 0.0)}


def test_several_runs_are_held_against_the_first_under_names_that_differ(tmp_path: Path) -> None:
    folders = [run_of_nested(tmp_path, name) for name in ("x/run", "y/run", "z/run")]
    comparison = compare(Dataset.open(folders))
    assert [(contrast.first, contrast.second) for contrast in comparison.contrasts] == [
        ("x/run", "y/run"), ("x/run", "z/run"),
    ]  # fmt: skip


def run_of_nested(tmp_path: Path, name: str) -> Path:
    (tmp_path / name).parent.mkdir()
    return run_of(tmp_path / name, groups({"a": [1.0]}))


def test_failures_and_other_settings_are_told(tmp_path: Path) -> None:
    for name, seed in (("one", 0), ("two", 1)):
        store = RunStore(tmp_path / name, {"environments": [{"label": "test/Say-v0"}], "seed": seed}, {}, 0.0)
        store.confirm({"model": name})
        store.append(episode("a"))
        store.append(Trajectory("test/Say-v0", "b", 0, 1, "env_error", error="lost"))
        store.close()
    comparison = compare(Dataset.open([tmp_path / "one", tmp_path / "two"]))
    assert [run.failed for run in comparison.runs] == [1, 1]
    assert comparison.contrasts[0].settings == ["seed was 0, is 1", "model was 'one', is 'two'"]
    assert "seed was 0, is 1" in document_of(comparison).markdown()


def test_bad_rows_of_a_run_are_left_out(tmp_path: Path) -> None:
    for name in ("one", "two"):
        store = RunStore(tmp_path / name, {"environments": [{"label": "test/Say-v0"}]}, {}, 0.0)
        store.append(episode("a"))
        store.append(episode("b"))
        store.close()
    rows = tmp_path / "two" / "rollouts.jsonl"
    first, second = rows.read_bytes().splitlines(keepends=True)
    rows.write_bytes(codecs.BOM_UTF8 + first + b"\n" + second.replace(b"\n", b"\r\n") + first + b"{}\n" + second[:40])
    with pytest.raises(BadRowsError, match="--skip-bad"):
        Dataset.open([tmp_path / "one", tmp_path / "two"])
    comparison = compare(Dataset.open([tmp_path / "one", tmp_path / "two"], skip_bad=True))
    assert [(run.episodes, run.failed) for run in comparison.runs] == [(2, 0), (2, 0)]


@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=30), st.floats(0.1, 100), st.floats(-100, 100))
@example([0.0, 8.0, 14.0, 1e-85], 1.0, 1.0)
def test_an_interval_holds_its_mean_and_takes_no_note_of_units(values: list[float], scale: float, shift: float) -> None:
    found, other = estimate(values), estimate(np.array(values) * scale + shift)
    assert found.mean == pytest.approx(np.mean(values))
    if found.low is None or found.high is None or found.mean is None:
        assert len(values) == 1 or np.ptp(values) <= 1e-6
        return
    assert min(values) - 1e-9 <= found.low <= found.mean <= found.high <= max(values) + 1e-9
    if other.low is not None and other.high is not None and np.ptp(values) > 1e-3:
        assert other.low == pytest.approx(found.low * scale + shift, abs=0.02 * np.ptp(values) * scale)
        assert other.high == pytest.approx(found.high * scale + shift, abs=0.02 * np.ptp(values) * scale)


def test_intervals_of_many_tasks_are_near_those_of_theory() -> None:
    values = np.random.default_rng(3).normal(1, 2, 10_000)
    found = estimate(values)
    assert found.mean is not None
    half = 1.96 * values.std() / 100
    assert (found.low, found.high) == (
        pytest.approx(values.mean() - half, abs=0.005), pytest.approx(values.mean() + half, abs=0.005),
    )  # fmt: skip


def test_hostile_text_stays_text() -> None:
    text = "<script>alert(1)</script> | `a` **b** \x1b[31m\n# c"
    document = Document(text, [f"# {text}", text, Table([text], [[text], [Interval(0.5, 0.1, 0.9)]])])
    page, markdown = document.html(), document.markdown()
    assert "<script" not in page
    assert "script-src" not in page
    assert "default-src 'none'" in page
    assert "\x1b" not in markdown
    assert not re.search(r"(?<!\\)<script", markdown)
    assert len([row for row in markdown.splitlines() if row.startswith("|")]) == 4
    assert "**+0.500**" in markdown


def test_a_comparison_is_json(tmp_path: Path) -> None:
    comparison = compared(tmp_path, {"a": [1]}, {"a": [0]})
    data = msgspec.json.decode(msgspec.json.encode(comparison))
    assert data["contrasts"][0]["lost"][0]["first"] == [1, 1]
