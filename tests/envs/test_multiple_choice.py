from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgym.envs.multiple_choice import MultipleChoice
from llmgym.envs.multiple_choice.facts import CAPITALS, ELEMENTS, KINDS, OPPOSITES
from llmgym.envs.multiple_choice.questions import SUBJECTS
from llmgym.envs.multiple_choice.rows import read_row
from llmgym.errors import ConfigError, TaskError
from llmgym.verifiers.choices import GRADINGS, extract
from tests.envs.checks import DEGENERATE, distinct_share, oracle_rewards, play, policy_reward, shared_contents

VARIANTS: dict[str, dict[str, Any]] = {
    "base": {},
    "easy": {
        "num_options": 3,
        "grading": "lenient",
        "subjects": ["arithmetic", "comparison", "spelling", "opposite", "kind", "capital"],
    },
    "hard": {
        "num_options": 10,
        "grading": "boxed",
        "subjects": [
            "sequence",
            "length",
            "letter_count",
            "alphabet",
            "calendar",
            "clock",
            "units",
            "percent",
            "element",
        ],
    },
}
OPTIONS = {"A": "Rome", "B": "Paris", "C": "New York", "D": "-5", "E": "2.5"}


@pytest.fixture(params=VARIANTS)
def arguments(request: pytest.FixtureRequest) -> dict[str, Any]:
    return VARIANTS[request.param]


@pytest.mark.parametrize("split", ["train", "test"])
def test_the_oracle_is_right(arguments: dict[str, Any], split: str) -> None:
    assert oracle_rewards(MultipleChoice(**arguments, split=split)) == [1.0] * 20


@pytest.mark.parametrize("policy", DEGENERATE)
def test_degenerate_policies_are_no_better_than_chance(arguments: dict[str, Any], policy: str) -> None:
    env = MultipleChoice(**arguments)
    assert policy_reward(env, DEGENERATE[policy], 200) < 1.3 / arguments.get("num_options", 4) + 0.03


def test_tasks_are_many_and_splits_are_apart(arguments: dict[str, Any]) -> None:
    env = MultipleChoice(**arguments)
    assert distinct_share(env) >= 0.99
    assert not shared_contents(env)


@pytest.mark.parametrize("count", range(2, 11))
def test_the_answer_stands_everywhere_equally_often(count: int) -> None:
    env = MultipleChoice(num_options=count)
    tasks = [env.tasks.draw("train", seed, 0) for seed in range(1000)]
    letters = Counter(task.answer for task in tasks)
    assert sorted(letters) == list("ABCDEFGHIJ"[:count])
    expected = 1000 / count
    # 36 is beyond the 0.9999 quantile of chi-square with nine degrees of freedom
    assert sum((n - expected) ** 2 / expected for n in letters.values()) < 36
    for task in tasks:
        assert len(set(task.metadata["options"].values())) == count


@pytest.mark.parametrize("subject", SUBJECTS)
def test_wrong_options_are_wrong(subject: str) -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        question, answer, wrong = SUBJECTS[subject](rng)
        assert answer not in wrong
        assert len(set(wrong)) == len(wrong) >= 6
        if subject == "arithmetic":
            assert eval(question.removeprefix("What is ").removesuffix(" = ?").rstrip("?")) == int(answer)
        if subject == "percent":
            percent, whole = question.removeprefix("What is ").rstrip("?").split("% of ")
            assert int(percent) * int(whole) == 100 * int(answer)


def test_facts() -> None:
    assert len(set(CAPITALS.values())) == len(CAPITALS) > 100
    assert len(set(ELEMENTS.values())) == len(ELEMENTS) == 56
    names = [name for pair in OPPOSITES.items() for name in pair]
    assert len(set(names)) == len(names)
    things = [thing for kind in KINDS.values() for thing in kind]
    assert len(set(things)) == len(things)


@pytest.mark.parametrize(
    ("text", "boxed", "answer", "lenient"),
    [
        ("\\boxed{B}", "B", "B", "B"),
        ("\\boxed{A} no, \\boxed{ (B) }", "B", "B", "B"),
        ("$\\boxed{\\text{B}}$", "B", "B", "B"),
        ("\\boxed{b}", None, "B", "B"),
        ("\\boxed{B. Paris}", "B", "B", "B"),
        ("\\boxed{\\text{(B) Paris}}", "B", "B", "B"),
        ("\\boxed{Paris}", None, "B", "B"),
        ("\\boxed{Z}", None, None, None),
        ("Answer: B", None, "B", "B"),
        ("Answer: B.", None, "B", "B"),
        ("**Answer: (B)**", None, "B", "B"),
        ("**Answer**: B", None, "B", "B"),
        ("**Answer:** **B**", None, "B", "B"),
        ("### Final answer: [B]", None, "B", "B"),
        ("answer: b) paris", None, "B", "B"),
        ("Answer: B - Paris", None, "B", "B"),
        ("Answer: Paris", None, "B", "B"),
        ("Answer: new york.", None, "C", "C"),
        ("Answer: -5", None, "D", "D"),
        ("Answer: 2.5", None, "E", "E"),
        ("Answer: A\nAnswer: B", None, "B", "B"),
        ("Answer: \\boxed{B}", "B", "B", "B"),
        ("Answer: X", None, None, None),
        ("Answer: a city", None, None, None),
        ("The answer is B", None, "B", "B"),
        ("The correct answer is (B).", None, "B", "B"),
        ("The answer is option B, not A", None, "B", "B"),
        ("B", None, None, "B"),
        ("b", None, None, "B"),
        ("(b)", None, None, "B"),
        ("B. Paris", None, None, "B"),
        ("A is wrong. I choose B", None, None, "B"),
        ("I think it is C", None, None, "C"),
        ("A city in France is Paris", None, None, "B"),
        ("It must be New York!", None, None, "C"),
        ("Rome or Paris", None, None, None),
        ("It's a mystery", None, None, None),
        ("", None, None, None),
    ],
)
def test_reading_a_choice(text: str, boxed: str | None, answer: str | None, lenient: str | None) -> None:
    found = {grading: extract(text, OPTIONS, grading) for grading in GRADINGS}
    assert found == {"boxed": boxed, "answer": answer, "lenient": lenient}


@given(
    st.sampled_from(list(OPTIONS)),
    st.sampled_from(["{}", "({})", "[{}]", "**{}**", "{}.", "*({})*", "`{}`", "$\\text{{{}}}$", '"{}"']),
    st.sampled_from(
        ["Answer: {}", "**Answer: {}**", "__Answer__: {}", "Since so.\n\nFinal Answer: {}\n", "answer : {}"]
    ),
)
def test_a_letter_shown_in_any_way_is_read_back(letter: str, form: str, line: str) -> None:
    text = line.format(form.format(letter))
    assert extract(text, OPTIONS, "answer") == letter
    assert extract(text, OPTIONS, "lenient") == letter
    assert extract(f"\\boxed{{{letter}}}", OPTIONS, "boxed") == letter


@given(st.text(max_size=80), st.sampled_from(list(GRADINGS)))
def test_any_text_is_read_without_an_error(text: str, grading: str) -> None:
    assert extract(text, OPTIONS, grading) in (None, *OPTIONS)


@pytest.mark.parametrize("part", ["A", "A ", "Answer: ", "answer is ", "\\boxed{", "\\text{", "*", "(", " ", "answer "])
@pytest.mark.parametrize("grading", GRADINGS)
@pytest.mark.timeout(20)
def test_hostile_text_is_read_quickly(part: str, grading: str) -> None:
    extract(part * (50_000 // len(part)), OPTIONS, grading)


@pytest.mark.parametrize(
    ("row", "answer"),
    [
        ({"question": "Q?", "options": ["x", "y", "z"], "answer": "B"}, "B"),
        ({"question": "Q?", "options": ["x", "y", "z"], "answer": "y"}, "B"),
        ({"question": "Q?", "options": ["x", "y", "z"], "answer": 1}, "B"),
        ({"question": "Q?", "options": {"A": "x", "B": "y"}, "answer": "b"}, "B"),
        ({"question": "Q?", "options": [{"A": "x"}, {"B": "y"}], "expected_answer": "B"}, "B"),
        ({"question": "Q?", "choices": ["x", "y"], "answer": 1, "subject": "s"}, "B"),
        ({"question": "Q?", "choices": {"text": ["x", "y"], "label": ["1", "2"]}, "answerKey": "2"}, "B"),
        ({"prompt": "Q?", "options": [3, 4.5], "answer": "4.5"}, "B"),
        ({"question": "Q?", "options": ["x", "y", "x"], "answer": "y"}, "B"),  # wrong ones may be alike
        ({"question": "Q?", "options": ["x", "y"], "answer": 1, "expected_answer": "b"}, "B"),
        ({"question": "Q?", "options": list(range(26)), "answer": 25}, "Z"),
        # Arrow's maps, and the fields of other rows as nulls
        ({"question": "Q?", "options": [("A", "x"), ("B", "y"), ("C", None)], "answer": "B", "metadata": None}, "B"),
        ({"question": "Q?", "options": [[("A", "x")], [("B", "y")]], "answer": "B", "metadata": [("k", 1)]}, "B"),
        ({"question": "Q?", "options": [{"key": "A", "value": "x"}, {"key": "B", "value": "y"}], "answer": "B"}, "B"),
        ({"question": "Q?", "options": [{"A": "x", "B": None}, {"A": None, "B": "y"}], "answer": "B", "id": None}, "B"),
    ],
)
def test_rows_of_other_shapes(row: dict[str, Any], answer: str) -> None:
    task = read_row(row)
    assert task.answer == answer
    assert list(task.metadata["options"])[:2] == ["A", "B"]
    assert str(task.prompt).startswith("Q?\n\nA. ")


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"options": ["x", "y"], "answer": "A"}, "'question' is missing"),
        ({"question": "Q?", "answer": "A"}, "'options' is missing"),
        ({"question": "Q?", "options": ["x", "y"]}, "'answer' is missing"),
        ({"question": "Q?", "options": ["x"], "answer": "A"}, "2 to 26"),
        ({"question": "Q?", "options": list(range(27)), "answer": "A"}, "2 to 26"),
        ({"question": "Q?", "options": ["x", "y"], "answer": 0, "expected_answer": "B"}, "different answers"),
        ({"question": "Q?", "options": ["x", "y"], "answer": 0, "id": True}, "an id is text"),
        ({"question": "Q?", "options": ["x", "y"], "answer": 0, "grading": "kind"}, "unknown grading"),
        ({"question": "Q?", "options": [{"A": "x", "B": "y"}, {"C": "z"}], "answer": 0}, "one letter and text in each"),
        ({"question": "Q?", "options": ["x", "x"], "answer": "A"}, "differ"),
        ({"question": "Q?", "options": ["x", None], "answer": "A"}, "neither text nor a number"),
        ({"question": "Q?", "options": "xy", "answer": "A"}, "a list or an object"),
        ({"question": "Q?", "options": ["x", "y"], "answer": "C"}, "neither a label"),
        ({"question": "Q?", "options": ["x", "y"], "answer": 2}, "no index"),
        ({"question": "Q?", "options": ["x", "y"], "answer": True}, "the answer is"),
        ({"question": "", "options": ["x", "y"], "answer": 0}, "must be text"),
        ({"question": "Q?", "options": ["x", "y"], "choices": ["x", "y"], "answer": 0}, "mean the same"),
    ],
)
def test_malformed_rows_name_file_and_line(tmp_path: Path, row: dict[str, Any], says: str) -> None:
    path = tmp_path / "mine.jsonl"
    good = {"question": "Q?", "options": ["x", "y"], "answer": 0}
    path.write_bytes(orjson.dumps(good) + b"\n" + orjson.dumps(row) + b"\n")
    with pytest.raises(TaskError, match=rf"mine\.jsonl:2: .*{says}"):
        MultipleChoice(tasks=path).reset(seed=0)


def test_own_tasks_and_pattern(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_bytes(orjson.dumps({"question": "Q?", "options": ["x", "y"], "answer": "y"}))
    env = MultipleChoice(tasks=str(path), pattern=r"<answer>(.*?)</answer>", instruction="Use <answer>.")
    observation, _ = env.reset(seed=0)
    assert observation[0]["content"] == "Q?\n\nA. x\nB. y\n\nUse <answer>."
    assert play(env, ["<answer>A</answer> no: <answer> b </answer>"]) == 1
    env.reset(seed=0)
    assert play(env, ["Answer: B"]) == 0
    assert oracle_rewards(env, 1) == [1.0]


@pytest.mark.parametrize(
    "arguments",
    [
        {"grading": "kind"},
        {"pattern": "("},
        {"num_options": 1},
        {"num_options": 11},
        {"subjects": ["x"]},
        {"subjects": []},
    ],
)
def test_wrong_arguments_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        MultipleChoice(**arguments)
