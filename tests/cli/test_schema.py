"""`llmgym schema`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llmgym.envs.multiple_choice import MultipleChoice
from llmgym.records import rollout_schema
from llmgym.tasks import row_schema
from tests.command import environ, llmgym

MODULE = """
from llmgym.env import ToolEnv
from llmgym.tasks import Task, TaskSet


class Own(ToolEnv):
    tasks = TaskSet.generated(lambda rng: Task(prompt=str(rng.integers(9))))

    @staticmethod
    def read_row(row):
        return Task(prompt=row["text"])


class Stated(Own):
    @staticmethod
    def row_schema():
        return {"type": "object", "required": ["text"]}


class Inherited(Stated):
    pass


class Again(Stated):
    @staticmethod
    def read_row(row):
        return Task(prompt=row["other"])


class Odd(Own):
    @staticmethod
    def row_schema():
        return {"required": {"text"}}


class Text(Own):
    @staticmethod
    def row_schema():
        return "a text"


class Failing(Own):
    @staticmethod
    def row_schema():
        return {}["lost"]
"""


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    (tmp_path / "own_rows.py").write_text(MODULE)
    entries = "".join(
        f"  - {{id: mine/{name}-v0, entry_point: 'own_rows:{name}', summary: s, domains: [x], max_turns: 2,\n"
        "     tasks: {licence: CC0-1.0, origin: here}}\n"
        for name in ("Own", "Stated", "Inherited", "Again", "Odd", "Text", "Failing")
    )
    (tmp_path / "registry.yaml").write_text(f"environments:\n{entries}")
    return tmp_path


def test_the_schema_of_rollouts_is_printed() -> None:
    done = llmgym("schema", "rollout")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == rollout_schema()


def test_the_schema_of_an_environments_rows_is_printed(registry: Path, mine: Path) -> None:
    done = llmgym("schema", "llmgym/MultipleChoice-hard-v0")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == MultipleChoice.row_schema()
    assert json.loads(llmgym("schema", "tests.rollouts:test/Letters-v0").stdout) == row_schema()
    for name in ("Stated", "Inherited"):
        done = llmgym("schema", f"mine/{name}-v0", "--registry", "registry.yaml", cwd=mine)
        assert json.loads(done.stdout) == {"type": "object", "required": ["text"]}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Own", "Own has a `read_row` of its own, and no `row_schema` that says what it reads: define Own.row_schema"),
        (
            "Again",
            "Again has a `read_row` of its own, and no `row_schema` that says what it reads: define Again.row_sch",
        ),
        ("Odd", "the schema of Odd.row_schema has a set at required, which JSON cannot hold: give a sorted list"),
        ("Text", "Text.row_schema gave 'a text'; a JSON Schema is an object"),
        ("Failing", "KeyError: 'lost', at "),
    ],
)
def test_a_schema_that_is_not_stated_or_none_is_one_line(mine: Path, name: str, said: str) -> None:
    done = llmgym("schema", f"mine/{name}-v0", "--registry", "registry.yaml", cwd=mine)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {said}")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "nothing",
            "there is no schema of 'nothing'; there is one of rollout, and one of the tasks of each environment",
        ),
        ("rolout", "did you mean rollout? There is one of rollout, and one of the tasks of each environment, such as"),
        ("Calculater", "did you mean llmgym/Calculator-v0?"),
        ("Letters-v0", "did you mean mine/Letters-v0?"),
        ("llmgym/Calculater-v0", "there is no environment 'llmgym/Calculater-v0'; did you mean llmgym/Calculator-v0"),
    ],
)
def test_what_has_no_schema_is_one_line(name: str, said: str, registry: Path) -> None:
    done = llmgym("schema", name, env=environ(LLMGYM_REGISTRY=str(registry)))
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
