"""`llmgym verify`: a table, JSON, a new run folder, and exit codes that say what was found."""

from __future__ import annotations

import json
from pathlib import Path
from shutil import copytree

import orjson
import pytest

from llmgym.rollout import read_rollouts
from tests.command import llmgym
from tests.rollouts import PLAIN


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "run"
    args = ("--env", PLAIN, "--policy", "script:tests.rollouts.call_tools", "--num-tasks", 3, "--output", folder)
    assert llmgym("rollout", *args).returncode == 0
    return folder


def altered(run: Path, tmp_path: Path) -> Path:
    """A copy of the rows in which one episode earned more, one heard something else, and one is of nowhere."""
    rows = [orjson.loads(row) for row in (run / "rollouts.jsonl").read_bytes().splitlines()]
    rows[0]["reward"] = 9.0
    rows[1]["output"][1]["output"] = "\x1b[31mred"
    rows[2] |= {"env_id": "test/Gone-v0", "group_id": "test/Gone-v0/c", "id": "test/Gone-v0/c/0"}
    folder = tmp_path / "altered"
    folder.mkdir()
    (folder / "run.json").write_bytes((run / "run.json").read_bytes())
    (folder / "rollouts.jsonl").write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    return folder


def test_a_run_that_was_written_again_with_other_line_ends(run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "other"
    copytree(run, folder)
    rows = (run / "rollouts.jsonl").read_bytes()
    (folder / "rollouts.jsonl").write_bytes(rows.replace(b"\n", b"\r\n"))
    done = llmgym("verify", folder, "--write", tmp_path / "new")
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "new" / "rollouts.jsonl").read_bytes() == rows
    for verb in ("summary", "show"):
        assert llmgym(verb, folder).stdout.replace(str(folder), str(run)) == llmgym(verb, run).stdout


def test_a_run_that_is_as_it_was(run: Path) -> None:
    done = llmgym("verify", run)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[1].split()[1:3] == ["3", "3"]


def test_differences_are_shown_and_counted(run: Path, tmp_path: Path) -> None:
    folder = altered(run, tmp_path)
    done = llmgym("verify", folder)
    assert done.returncode == 1
    for part in ("reward in 1", "observation in 1", "9.0", "observation 0", "test/Gone-v0"):
        assert part in done.stdout
    assert "\x1b" not in done.stdout
    data = json.loads(llmgym("verify", folder, "--json").stdout)
    assert (data["verified"], data["same"], data["reward"], data["skipped"]) == (2, 0, 1, 1)
    assert {difference["kind"] for difference in data["differences"]} == {"reward", "observation"}


def test_a_new_run_folder_is_written_beside_the_old_one(run: Path, tmp_path: Path) -> None:
    folder = altered(run, tmp_path)
    before = (folder / "rollouts.jsonl").read_bytes()
    done = llmgym("verify", folder, "--write", tmp_path / "new")
    assert done.returncode == 1
    assert "2 episodes" in done.stdout
    assert (folder / "rollouts.jsonl").read_bytes() == before
    was, now = (next(read_rollouts(each)) for each in (run, tmp_path / "new"))
    assert now == was
    assert "2 episodes finished" in llmgym("summary", tmp_path / "new").stdout


def test_what_cannot_be_is_said(run: Path, tmp_path: Path) -> None:
    for arguments, code, said in (
        ((run, "--write", run), 2, "is there already"),
        ((run, altered(run, tmp_path), "--write", tmp_path / "new"), 2, "takes one run"),
        ((run / "rollouts.jsonl", "--write", tmp_path / "new"), 2, "no run.json"),
        ((run, "--model", "judge"), 2, "ROLE=POLICY"),
        ((tmp_path / "none",), 3, "no such file"),
    ):
        done = llmgym("verify", *arguments)
        assert done.returncode == code, done.stderr
        assert said in done.stderr
        assert done.stderr.count("\n") == 1
