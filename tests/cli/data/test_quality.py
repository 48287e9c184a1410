"""`llmgym data quality`, `validate` and `prepare`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("duckdb")
pytest.importorskip("rensa")

from tests.command import llmgym
from tests.data import rows
from tests.tasks.files import write

CHOICE, CALCULATOR = "llmgym/MultipleChoice-v0", "llmgym/Calculator-v0"
QUESTION: dict[str, Any] = {"question": "2 + 2?", "options": ["3", "4"], "answer": "B"}


@pytest.fixture(name="run")
def made_run(tmp_path: Path) -> Path:
    found = {"a": [1.0, 0.0], "b": [1.0, 1.0], "c": [0.0, None]}
    more = rows.line_with("d", 0, 0.0, env_id="test/Other-v0", status="max_turns", tool_errors={"ToolError": 2})
    return rows.run_of(tmp_path / "run", [*rows.groups(found), more])


@pytest.mark.slow
def test_a_run_is_measured_and_filtered_by_what_was_measured(run: Path, tmp_path: Path) -> None:
    done = llmgym("data", "quality", run)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert any(line.split()[:3] == ["test/Say-v0", "6", "5"] for line in lines)
    assert any(line.startswith("all ") and "0.375 (" in line for line in lines)
    assert f"     texts  truncated: 1 (14.3%), such as {run / 'rollouts.jsonl'}:7" in lines
    assert "  answered  ToolError 2 in 1 rows" in lines
    report = json.loads(llmgym("data", "quality", run, "--json", "--threshold", "0.5").stdout)
    assert (report["rows"], report["groups"]["mixed"]["groups"], report["threshold"]) == (7, 1, 0.5)
    assert [one["k"] for one in report["pass_at_k"]] == [1, 2]
    done = llmgym("data", "filter", run, "--where", "num_chars > 3 or tool_error_kinds['ToolError'] > 1", "-o",
                  tmp_path / "some.jsonl", "--json")  # fmt: skip
    assert json.loads(done.stdout)["kept"] == 1


@pytest.mark.slow
def test_gates_decide_the_exit_code(run: Path, tmp_path: Path) -> None:
    gates = tmp_path / "gates.yaml"
    gates.write_text("- {figure: groups.mixed.share, min: 0.2}\n- {where: reward is null, max: 0.2}\n")
    done = llmgym("data", "quality", run, "--gates", gates, "--no-duplicates")
    assert done.returncode == 0
    assert done.stdout.splitlines()[-2:] == [
        "passed  groups.mixed.share is 0.25, at least 0.2",
        "passed  share of rows with reward is null is 0.1429, at most 0.2",
    ]
    gates.write_text("- {figure: groups.mixed.share, min: 0.3}\n")
    done = llmgym("data", "quality", run, "--gates", gates, "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["gates"] == [
        {"name": "groups.mixed.share", "value": 0.25, "min": 0.3, "max": None, "passed": False}
    ]
    gates.write_text("- {figure: groups.mixd.share, min: 0.3}\n")
    done = llmgym("data", "quality", run, "--gates", gates)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(
        f"error: {gates}: gate 1: there is no figure 'groups.mixd.share'; did you mean groups.mixed.share"
    )


def test_wording_that_is_shared_with_a_set_is_printed(run: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "test.jsonl", {"prompt": "please say a"})
    done = llmgym("data", "quality", run, "--against", path, "--run-length", "2")
    assert done.returncode == 1
    at = done.stdout.splitlines().index(f"    shared  1 rows share wording with {path}")
    assert done.stdout.splitlines()[at + 1] == (
        f"  {run / 'rollouts.jsonl'}:1: prompt of test/Say-v0/a, 1 runs with {path}:1: 'say a'"
    )
    done = llmgym("data", "quality", run, "--against", path)
    assert (done.returncode, done.stdout) == (2, "")


def test_bad_rows_are_an_error_or_left_out(run: Path) -> None:
    with (run / "rollouts.jsonl").open("ab") as file:
        file.write(rows.changed(rows.line("e"), output=[{"type": "message", "role": "assistant", "content": 3}]))
    done = llmgym("data", "quality", run)
    assert done.returncode != 0
    assert f"1 bad rows (1 invalid): {run / 'rollouts.jsonl'}:8: " in done.stderr
    assert json.loads(llmgym("data", "quality", run, "--skip-bad", "--json").stdout)["bad_rows"] == {"invalid": 1}


def test_files_of_tasks_are_validated(tmp_path: Path) -> None:
    path = write(
        tmp_path / "t.jsonl", {**QUESTION, "env_id": CHOICE}, {**QUESTION, "env_id": CHOICE, "answer": "E"}, {}
    )
    done = llmgym("data", "validate", path)
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.splitlines() == [
        CHOICE,
        f"  {path}:2: answer 'E' is neither a label (A, B) nor an option",
        "  bad rows: 1 of 2; tasks: 1 (train 1); duplicates: 0",
        "for no environment",
        f"  {path}:3: it has no 'env_id' that says which environment it is for; it has nothing",
    ]
    report = json.loads(llmgym("data", "validate", path, "--json").stdout)
    assert report["environments"][CHOICE]["bad"][0]["place"] == f"{path}:2"
    assert len(report["unrouted"]) == 1
    assert llmgym("data", "validate", write(tmp_path / "g.jsonl", QUESTION), "--env", CHOICE).returncode == 0


def test_files_of_tasks_are_prepared_and_run(tmp_path: Path) -> None:
    rest = {"prompt": "2 + 2?", "answer": 4, "kind": "sum"}
    path = write(tmp_path / "t.jsonl", {**QUESTION, "kind": "choice"}, rest, {**QUESTION, "kind": "other"})
    routes = ["--by", "kind", "--route", f"choice={CHOICE}", "--route", f"sum={CALCULATOR}"]
    folder = tmp_path / "tasks"
    done = llmgym("data", "prepare", path, *routes, "-o", folder)
    assert (done.returncode, folder.exists()) == (1, False)
    assert done.stderr == "nothing is written; --skip-bad leaves the bad rows out\n"
    done = llmgym("data", "prepare", path, *routes, "-o", folder, "--skip-bad", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["written"][-1] == str(folder / "run.yaml")
    assert json.loads((folder / "llmgym-MultipleChoice-v0.jsonl").read_text()) == QUESTION
    ran = llmgym(
        "rollout", "--config", folder / "run.yaml", "--policy", "oracle", "--output", tmp_path / "run", "--json"
    )
    assert ran.returncode == 0, ran.stderr
    assert llmgym("data", "prepare", path, *routes, "-o", folder, "--skip-bad").returncode == 2


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--env", CHOICE, "--by", "x"], "--env is the environment of all rows"),
        (["--route", "x"], "--route takes VALUE=ID, this is 'x'"),
        (["--env", "llmgym/None-v0"], "llmgym/None-v0"),
    ],
)
def test_what_makes_no_sense_is_said(tmp_path: Path, options: list[str], said: str) -> None:
    done = llmgym("data", "validate", write(tmp_path / "t.jsonl", QUESTION), *options)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
