from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path

import pytest

pytest.importorskip("duckdb")

from llmgym.data import Dataset, Selection
from llmgym.data.curation import balanced, deduplicated, distinct_answers, distinct_tasks, sampled, split
from llmgym.data.filtering import conditions
from llmgym.data.quality.report import measure
from llmgym.errors import ConfigError
from llmgym.messages import assistant, user
from llmgym.tasks import Task
from tests.data import rows

STATUSES = ["completed"] * 6 + ["max_turns"] * 3 + ["max_tokens"]


@pytest.fixture(name="data")
def made_data(tmp_path: Path) -> Dataset:
    """100 tasks of two repeats; 60 rows in 100 are completed, 30 out of turns, 10 out of tokens."""
    made = [
        rows.line(f"t{number}", repeat, number % 3 / 2, status=STATUSES[number % 10])
        for number in range(100)
        for repeat in range(2)
    ]
    return Dataset.open([rows.run_of(tmp_path / "run", made)])


def statuses(data: Dataset, selection: Selection) -> Counter[str]:
    return Counter(trajectory.status for trajectory in data.trajectories(selection))


def ids(data: Dataset, selection: Selection) -> list[str]:
    return [trajectory.id for trajectory in data.trajectories(selection)]


def test_rows_that_say_or_ask_nearly_the_same_are_left_out(tmp_path: Path) -> None:
    pytest.importorskip("rensa")
    long = " ".join(f"word{number}" for number in range(60))
    near = long.replace("word59", "other")
    told = "Solve the task below and give the answer in a box at the end of the reply, please."

    def line(task: str, repeat: int, answer: str, prompt: str) -> bytes:
        content = Task(id=task, prompt=prompt, answer="x")
        return rows.line_with(
            task, repeat, float(repeat != 0), messages=[user(f"{told} {prompt}"), assistant(answer)], task=content
        )

    said = [near, long, "wholly different", long.upper()]
    made = [
        *(line(f"t{number}", 0, long, f"{number} times {number + 7}") for number in range(30)),
        *(line("u", repeat, answer, long) for repeat, answer in enumerate(said)),
        line("v", 0, "a", near),
        line("copy", 0, "b", "3 times 10"),
    ]
    data = Dataset.open([rows.run_of(tmp_path / "run", made)])
    measure(data)
    everything = data.select()
    found, dropped = distinct_answers(data, everything)
    assert dropped == 2
    assert [name for name in ids(data, found) if "/u/" in name] == ["test/Say-v0/u/0", "test/Say-v0/u/2"]
    found, dropped = distinct_tasks(data, everything)
    left_out = {*ids(data, everything)} - {*ids(data, found)}
    assert (dropped, left_out) == (2, {"test/Say-v0/v/0", "test/Say-v0/copy/0"})
    # What a condition has left out already repeats nothing.
    solved = data.select("task_id <> 'u' or reward > 0")
    assert [name for name in ids(data, distinct_answers(data, solved)[0]) if "/u/" in name] == [
        "test/Say-v0/u/1", "test/Say-v0/u/2",
    ]  # fmt: skip
    without = data.select("task_id not in ('u', 't3')")
    assert distinct_tasks(data, without) == (without, 0)


def test_values_are_balanced_by_the_rarest(data: Dataset) -> None:
    found = balanced(data, data.select(), "status")
    assert statuses(data, found) == {"completed": 20, "max_turns": 20, "max_tokens": 20}
    assert statuses(data, balanced(data, data.select("reward > 0"), "status", 30)) == {
        "completed": 30, "max_turns": 30, "max_tokens": 12,
    }  # fmt: skip
    assert ids(data, found) == ids(data, balanced(data, data.select(), "status"))
    assert ids(data, found) != ids(data, balanced(data, data.select(), "status", seed=1))
    with pytest.raises(ConfigError, match="there is no column 'stats'; did you mean status"):
        balanced(data, data.select(), "stats")


def test_a_sample_has_its_share_of_each_value(data: Dataset) -> None:
    found = sampled(data, data.select(), 20, "status")
    assert statuses(data, found) == {"completed": 12, "max_turns": 6, "max_tokens": 2}
    assert statuses(data, sampled(data, data.select(), 3, "status")) == dict.fromkeys(set(STATUSES), 1)
    assert len(sampled(data, data.select(), 7)) == 7
    assert len(sampled(data, data.select(), 999, "status")) == 200
    assert len(sampled(data, data.select("reward > 9"), 5, "status")) == 0


def test_parts_share_no_task_and_go_by_a_hash_that_anyone_can_take(data: Dataset) -> None:
    parts = split(data, data.select(), {"train": 3, "val": 1}, seed=7)
    tasks = {name: {t.task_id for t in data.trajectories(part)} for name, part in parts.items()}
    assert not tasks["train"] & tasks["val"]
    assert len(parts["train"]) + len(parts["val"]) == 200
    assert 30 <= len(parts["val"]) <= 70
    for trajectory in data.trajectories(parts["val"]):
        assert trajectory.task is not None
        (task_hash,) = data.query("select distinct task_hash from rows where task_id = $t", t=trajectory.task_id)[0]
        digest = hashlib.md5(f"7/test/Say-v0/{task_hash}".encode()).hexdigest()
        assert int(digest[:13], 16) / 16**13 >= 0.75
    with pytest.raises(ConfigError, match="shares are numbers above 0"):
        split(data, data.select(), {"train": 0.0})


def test_tasks_of_equal_content_stay_together(tmp_path: Path) -> None:
    made = [rows.changed(rows.line(f"t{number}"), task_hash="0123456789abcdef") for number in range(20)]
    data = Dataset.open([rows.run_of(tmp_path / "run", made)])
    sizes = [len(part) for part in split(data, data.select(), {"a": 1, "b": 1}).values()]
    assert sorted(sizes) == [0, 20]


def test_copies_of_a_conversation_are_left_out_over_files(tmp_path: Path) -> None:
    one = rows.run_of(
        tmp_path / "one", [rows.line("a", 0), rows.line("b"), rows.line("c", messages=rows.episode("a").messages)]
    )
    two = rows.run_of(tmp_path / "two", [rows.line("a", 0, 0.0), rows.line("d")])
    data = Dataset.open([one, two])
    kept, dropped = deduplicated(data, data.select())
    assert [trajectory.task_id for trajectory in data.trajectories(kept)] == ["a", "b", "d"]
    assert dropped == 2


def test_each_condition_says_what_it_left_out(data: Dataset) -> None:
    asked = conditions(where="status = 'completed'", group_where="size = 2", min_reward=0.5, min_difference=0.0)
    kept, counts = data.narrow(asked)
    named = dict(zip([condition.name for condition in asked], counts, strict=True))
    assert named == {
        "unscored": 0,
        "reward below 0.5": 68,
        "not (status = 'completed')": 52,
        "rewards of the group differ by less than 0": 0,
        "the group is not (size = 2)": 0,
    }
    assert len(kept) == 200 - sum(counts)


def test_a_reward_reaches_a_threshold_within_the_tolerance(tmp_path: Path) -> None:
    data = Dataset.open([rows.run_of(tmp_path / "run", [rows.line("a", 0, 0.1 * 3 - 1e-9), rows.line("b", 0, None)])])
    assert len(data.narrow(conditions(min_reward=0.3))[0]) == 1
