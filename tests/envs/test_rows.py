"""The schemas that registered environments state for their rows, against what they read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from llmgym.env import ToolEnv
from llmgym.envs.calculator import Calculator
from llmgym.envs.multiple_choice import MultipleChoice
from llmgym.envs.wordle import Wordle
from llmgym.errors import TaskError
from llmgym.messages import user
from llmgym.tasks import Problem, row_schema, validate_rows
from tests.tasks.files import write

jsonschema = pytest.importorskip("jsonschema")
COMMON = {"id": st.sampled_from([None, "a", 3, True, [1]]), "split": st.sampled_from([None, "test", 3])}
TEXTS = st.sampled_from([None, 3, "", "4", "question", [], [user("u")], {}])
OPTIONS = st.sampled_from(
    [
        None, 3, "ab", [], ["4"], ["3", "4"], ["3", 4], ["3", None], ["3", ["4"]], {"A": "3", "B": "4"}, {"A": "3"},
        {"A": "3", "B": "4", "C": None}, [{"A": "3"}, {"B": "4"}], [["A", "3"], ["B", "4"]],
        {"text": ["3", "4"], "label": ["A", "B"]}, [str(n) for n in range(27)],
    ]
)  # fmt: skip
ANSWERS = st.sampled_from([None, "A", "4", 1, True, [], "no such"])
REQUESTS = st.sampled_from(
    [None, 3, "x", {}, {"input": "q"}, {"input": [user("q")]}, {"input": []}, {"input": "q", "tools": [{"name": "f"}]}]
)
GRADINGS = st.sampled_from([None, "boxed", "lenient_boxed", "odd", 3])
METADATA = st.sampled_from([None, {}, [], 3])
ROWS: dict[type[ToolEnv], Any] = {
    Calculator: st.fixed_dictionaries(
        {}, optional={**COMMON, "prompt": TEXTS, "messages": TEXTS, "answer": ANSWERS, "expected_answer": ANSWERS}
    ),
    Wordle: st.fixed_dictionaries(
        {},
        optional={
            **COMMON,
            "word": st.sampled_from([None, "apple", "Apple", "", 3, "two words"]),
            "opener": st.sampled_from([None, "bread", "apple", "ox", "", 3]),
            "other": st.just(3),
        },
    ),
    MultipleChoice: st.fixed_dictionaries(
        {"options": OPTIONS, "answer": ANSWERS},
        optional={
            **COMMON, "question": TEXTS, "prompt": TEXTS, "choices": OPTIONS, "answerKey": ANSWERS, "grading": GRADINGS,
            "grading_mode": GRADINGS, "responses_create_params": REQUESTS, "metadata": METADATA,
        },
    ),
}  # fmt: skip
GOOD: dict[type[ToolEnv], dict[str, Any]] = {
    Calculator: {"prompt": "2 + 2?", "answer": 4},
    Wordle: {"word": "apple"},
    MultipleChoice: {"question": "Which?", "options": ["3", "4"], "answer": "A"},
}
#: What no schema says: how the columns of a row go together, and what is in a text.
BEYOND = (
    "is not a number", "is the secret or not of its length", "is neither a label", "is no index of", "name different",
    "options must", "options; 2 to", "neither text nor a number", "holds one letter", "mean the same", "answer from",
    "the answer is a letter",
)  # fmt: skip


@pytest.mark.parametrize("cls", ROWS, ids=lambda cls: cls.__name__)
def test_a_schema_fits_what_is_read(cls: type[ToolEnv], tmp_path: Path) -> None:
    schema = cls.row_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    refused = 0

    @given(ROWS[cls])
    @example(GOOD[cls])
    @example(GOOD[cls] | {"responses_create_params": 3})
    @settings(max_examples=100)
    def check(row: dict[str, Any]) -> None:
        problems = list(validate_rows(write(tmp_path / "t.jsonl", row), cls.read_row))
        nonlocal refused
        refused += bool(problems)
        assert not problems or row != GOOD[cls]
        if not problems:
            validator.validate(row)
        elif validator.is_valid(row):
            (problem,) = problems
            assert any(part in problem.reason for part in BEYOND), (row, problem)

    check()
    assert refused


@pytest.mark.parametrize("cls", ROWS, ids=lambda cls: cls.__name__)
@given(st.data())
def test_a_row_that_validates_loads_and_another_is_refused_in_the_same_words(
    cls: type[ToolEnv], tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = write(tmp_path_factory.mktemp("rows") / "t.jsonl", *data.draw(st.lists(ROWS[cls], min_size=1, max_size=3)))
    problems = list(map(str, validate_rows(path, cls.read_row)))
    refused: list[str] = []
    try:
        assert cls(tasks=path).tasks.splits
    except TaskError as error:
        refused.append(str(error))
    assert refused == problems[:1]


def test_the_schema_of_the_base_is_that_of_standard_rows(tmp_path: Path) -> None:
    assert ToolEnv.row_schema() == row_schema()
    path = write(tmp_path / "t.jsonl", {"prompt": "p"}, {})
    assert [type(problem) for problem in validate_rows(path, ToolEnv.read_row)] == [Problem]


def test_null_ids_of_wordle_are_none(tmp_path: Path) -> None:
    path = write(tmp_path / "t.jsonl", {"id": None, "word": "apple"}, {"id": None, "word": "bread"}, {"word": "stone"})
    assert list(validate_rows(path, Wordle.read_row)) == []
