"""`llmgym check`: several environments, and files of tasks."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from llmgym.cli.check import _wanted
from llmgym.envs.multiple_choice import MultipleChoice
from llmgym.errors import TaskError
from tests.command import llmgym
from tests.tasks.files import write

CHOICE = "llmgym/MultipleChoice-v0"
QUESTION: dict[str, Any] = {"question": "2 + 2?", "options": ["3", "4"], "answer": "B"}
BAD: list[tuple[Any, str]] = [
    ({**QUESTION, "answer": "E"}, "answer 'E' is neither a label (A, B) nor an option"),
    ({"options": ["3", "4"], "answer": "B"}, "column 'question' is missing; there is options, answer"),
    ({**QUESTION, "split": 3}, "a split is named by text, this one is 3"),
    ({**QUESTION, "id": [1]}, "an id is text or a whole number, this is [1]"),
    ("[1]", "a row is a JSON object, this is a list"),
    ("{", "not JSON: Expecting property name enclosed in double quotes at column 2; each line is a row"),
]


def test_every_bad_row_is_named_as_loading_names_it(tmp_path: Path) -> None:
    path = write(tmp_path / "t.jsonl", QUESTION, *(row for row, _ in BAD))
    done = llmgym("check", CHOICE, "--tasks", path)
    assert (done.returncode, done.stderr) == (1, "")
    said = [f"  {path}:{line}: {reason}" for line, (_, reason) in enumerate(BAD, 2)]
    assert done.stdout.splitlines() == [CHOICE, *said, "  bad rows: 6 of 7"]
    report = json.loads(llmgym("check", CHOICE, "--tasks", path, "--json").stdout)
    assert report == {
        CHOICE: {
            "rows": 7,
            "bad": [{"place": f"{path}:{line}", "reason": reason} for line, (_, reason) in enumerate(BAD, 2)],
            "splits": {"train": 1},
            "duplicates": 0,
        }
    }
    for row, reason in BAD:
        alone = write(tmp_path / "alone.jsonl", row)
        with pytest.raises(TaskError) as caught:
            MultipleChoice(tasks=alone).reset()
        assert str(caught.value) == f"{alone}:1: {reason}"


def test_a_good_file_is_counted(tmp_path: Path) -> None:
    other = {**QUESTION, "question": "1 + 3?", "split": "test"}
    path = write(tmp_path / "t.jsonl", QUESTION, QUESTION, other)
    done = llmgym("check", CHOICE, "llmgym/MultipleChoice-hard-v0", "--tasks", path)
    counted = "  tasks: 3 (train 2, test 1); duplicates: 1"
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [CHOICE, counted, "llmgym/MultipleChoice-hard-v0", counted]
    report = json.loads(llmgym("check", CHOICE, "--tasks", path, "--json").stdout)[CHOICE]
    assert report == {"rows": 3, "bad": [], "splits": {"train": 2, "test": 1}, "duplicates": 1}
    (tmp_path / "t.csv").write_text("word,opener\napple,\nbread,stone\n")
    assert (
        "  tasks: 2 (train 2); duplicates: 0\n"
        in llmgym("check", "llmgym/Wordle-v0", "--tasks", tmp_path / "t.csv").stdout
    )
    empty = llmgym("check", CHOICE, "--tasks", write(tmp_path / "empty.jsonl"))
    assert (empty.returncode, empty.stdout) == (1, f"{CHOICE}\n  {tmp_path}/empty.jsonl: there are no rows\n")


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--tasks", "t.jsonl"], "--tasks FILE is read as an environment reads it: name one"),
        ([CHOICE, "--tasks", "10"], "there is no file '10'; for a number of tasks, --num-tasks 10"),
        ([CHOICE, "--tasks", "t.jsonl", "--num-tasks", 3], "--num-tasks is for checks that play episodes"),
        ([CHOICE, "--tasks", "t.jsonl", "--seconds", 3], "--seconds is for checks that play episodes"),
        ([], "name environments, as in `llmgym check llmgym/Wordle-v0`, or say --all, and not both"),
        ([CHOICE, "--all"], "or say --all, and not both"),
        ([CHOICE, "--tasks", "absent.jsonl"], "cannot read tasks: [Errno 2] No such file or directory: 'absent.jsonl'"),
        ([CHOICE, "--tasks", "torn.json"], "torn.json: not JSON: "),
        (["llmgym/MultipleChoise-v0", "--tasks", "t.jsonl"], "did you mean llmgym/MultipleChoice-v0"),
    ],
)
def test_what_makes_no_sense_is_one_line(tmp_path: Path, args: list[Any], said: str) -> None:
    write(tmp_path / "t.jsonl", QUESTION)
    write(tmp_path / "torn.json", "[{")
    done = llmgym("check", *args, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert said in done.stderr


def test_several_have_a_line_each(registry: Path) -> None:
    ids = ["llmgym/Calculator-mental-v0", "mine/Letters-v0"]
    done = llmgym("--registry", registry, "check", *ids, "--num-tasks", 2, "--seconds", 0.1)
    assert (done.returncode, done.stderr) == (1, "")  # the second has no oracle
    first, second, *failures, last = done.stdout.splitlines()
    assert re.fullmatch(r"passed +\d+\.\d s  llmgym/Calculator-mental-v0", first)
    assert re.fullmatch(r"failed +\d+\.\d s  mine/Letters-v0", second)
    assert all(line.startswith(" " * 17) for line in failures)
    assert last == f"{len(failures)} checks failed, in 2 of 2 environments"


def test_all_that_need_nothing_from_outside_are_checked_on_demand() -> None:
    wanted = _wanted([], everything=True)
    assert "llmgym/Wordle-v0" in wanted
    assert "llmgym/MCP-v0" not in wanted


def test_one_that_cannot_be_made_leaves_the_others_checked(registry: Path) -> None:
    registry.write_text(registry.read_text().replace("tests.rollouts:Letters", "nowhere:Letters"))
    ids = ["mine/Letters-v0", "llmgym/Calculator-mental-v0"]
    done = llmgym("--registry", registry, "check", *ids, "--num-tasks", 2, "--seconds", 0.1)
    assert done.returncode == 2
    assert done.stderr.startswith("error: cannot make mine/Letters-v0: ")
    assert done.stderr.count("\n") == 1
    assert done.stdout.endswith("\nall checks passed, in 1 of 2 environments\n")
