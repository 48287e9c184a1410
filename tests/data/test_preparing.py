from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from llmgym.data.preparing import Prepared, Router, prepare, write_tasks
from llmgym.envs.multiple_choice import MultipleChoice
from llmgym.errors import ConfigError, RegistryError, TaskError
from llmgym.registry import make_core
from tests.tasks.files import write

CHOICE, CALCULATOR = "llmgym/MultipleChoice-v0", "llmgym/Calculator-v0"
QUESTION: dict[str, Any] = {"question": "2 + 2?", "options": ["3", "4"], "answer": "B"}
SUM: dict[str, Any] = {"prompt": "2 + 2?", "answer": 4}


def by_env(found: list[Prepared]) -> dict[str, Prepared]:
    return {one.env_id: one for one in found}


def test_rows_go_to_the_environments_that_a_column_names(tmp_path: Path) -> None:
    first = write(tmp_path / "a.jsonl", {**QUESTION, "env_id": CHOICE}, {**SUM, "env_id": CALCULATOR, "split": "test"})
    second = tmp_path / "b.csv"
    second.write_text(f"env_id,prompt,answer\n{CALCULATOR},3 + 3?,6\n")
    found, lost = prepare([first, second, first], Router())
    assert lost == []
    assert {name: (one.rows, one.splits, one.bad) for name, one in by_env(found).items()} == {
        CHOICE: (1, {"train": 1}, []),
        CALCULATOR: (2, {"test": 1, "train": 1}, []),
    }
    assert by_env(found)[CHOICE].good == [QUESTION]


def test_a_row_of_nemo_gym_is_routed_by_its_agent(tmp_path: Path) -> None:
    row = {"responses_create_params": {"input": "2 + 2?"}, "expected_answer": 4, "agent_ref": {"name": "sums"}}
    path = write(tmp_path / "a.jsonl", row, {**row, "agent_ref": {"name": "other"}}, {**row, "agent_ref": "sums"})
    found, lost = prepare([path], Router("agent_ref.name", {"sums": CALCULATOR}))
    assert by_env(found)[CALCULATOR].good == [row]
    assert [str(problem) for problem in lost] == [
        f"{path}:2: agent_ref.name is 'other', and there is no such environment; --route other=ID says which one "
        "that is",
        f"{path}:3: it has no 'agent_ref.name' that says which environment it is for; it has responses_create_params, "
        "expected_answer, agent_ref",
    ]


def test_bad_rows_are_named_by_file_row_and_reason(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.jsonl", {**QUESTION, "env_id": CHOICE}, {**QUESTION, "env_id": CHOICE, "answer": "E"},
        {**SUM, "env_id": "llmgym/Calculater-v0"}, SUM, {**SUM, "env_id": 3}, "{",
    )  # fmt: skip
    (found,), lost = prepare([path], Router())
    assert [str(problem) for problem in found.bad] == [f"{path}:2: answer 'E' is neither a label (A, B) nor an option"]
    assert found.good == [QUESTION]
    assert [str(problem).removeprefix(f"{path}:") for problem in lost] == [
        "3: env_id is 'llmgym/Calculater-v0', and there is no such environment; did you mean llmgym/Calculator-v0? "
        "--route llmgym/Calculater-v0=ID says which one that is",
        "4: it has no 'env_id' that says which environment it is for; it has prompt, answer",
        "5: env_id is 3, and there is no such environment; --route 3=ID says which one that is",
        "6: not JSON: Expecting property name enclosed in double quotes at column 2; each line is a row",
    ]


def test_all_rows_may_be_for_one_environment(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", QUESTION, {**QUESTION, "env_id": "of ours"})
    (found,), lost = prepare([path], Router(env_id=CHOICE), drop_duplicates=True)
    assert (lost, found.rows, len(found.good), found.duplicates) == ([], 2, 2, 0)
    again = write(tmp_path / "b.jsonl", QUESTION)
    (found,), _ = prepare([path, again], Router(env_id=CHOICE), drop_duplicates=True)
    assert (found.rows, len(found.good), found.duplicates) == (3, 2, 1)


def test_what_cannot_be_read_or_routed_at_all_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(TaskError, match="cannot read tasks"):
        prepare([tmp_path / "none.jsonl"], Router())
    (tmp_path / "empty.jsonl").write_text("\n")
    with pytest.raises(TaskError, match="there are no rows"):
        prepare([tmp_path / "empty.jsonl"], Router())
    with pytest.raises(RegistryError):
        Router(env_id="llmgym/None-v0")
    with pytest.raises(RegistryError):
        Router(routes={"a": "llmgym/None-v0"})


def test_what_is_written_is_what_a_run_reads(tmp_path: Path) -> None:
    long = {**SUM, "metadata": {"n": 10**40, "half": "\ud800"}}
    path = write(tmp_path / "a.jsonl", {**QUESTION, "env_id": CHOICE})
    path.write_text(path.read_text() + json.dumps({**long, "env_id": CALCULATOR}) + "\n")
    found, _ = prepare([path], Router())
    written = write_tasks(found, tmp_path / "tasks")
    assert [file.name for file in written] == [
        "llmgym-MultipleChoice-v0.jsonl",
        "llmgym-Calculator-v0.jsonl",
        "run.yaml",
    ]
    config = yaml.safe_load((tmp_path / "tasks" / "run.yaml").read_text())
    assert [env["id"] for env in config["env_ids"]] == [CHOICE, CALCULATOR]
    for env in config["env_ids"]:
        core = make_core(env["id"], **env["kwargs"])
        core.reset(seed=0)
        core.close()
    with pytest.raises(ConfigError, match="is there already; --force replaces it"):
        write_tasks(found, tmp_path / "tasks")
    write_tasks(found, tmp_path / "tasks", force=True)
    with pytest.raises(ConfigError, match="is the file that is read"):
        write_tasks(found, tmp_path / "tasks", force=True, inputs=written[1:2])


questions = st.fixed_dictionaries(
    {"question": st.text(min_size=1), "options": st.just(["3", "4"]), "answer": st.just("B")}
)


@given(st.lists(questions, min_size=1, max_size=5))
def test_rows_come_out_as_they_went_in(tmp_path_factory: pytest.TempPathFactory, found: list[dict[str, Any]]) -> None:
    folder = tmp_path_factory.mktemp("tasks")
    (folder / "a.jsonl").write_bytes(b"".join(json.dumps(row).encode() + b"\n" for row in found))
    core = MultipleChoice()
    good = [row for row in found if _is_task(core, row)]
    (one,), _ = prepare([folder / "a.jsonl"], Router(env_id=CHOICE))
    assert one.good == good
    if good:
        written = write_tasks([one], folder / "out")[0]
        assert [json.loads(line) for line in written.read_bytes().splitlines()] == good


def _is_task(core: MultipleChoice, row: dict[str, Any]) -> bool:
    try:
        core.read_row(row)
    except (TaskError, ValueError):
        return False
    return True
