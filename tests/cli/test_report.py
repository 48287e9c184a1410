"""`llmgym report` and `llmgym view` as processes."""

from __future__ import annotations

import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from tests.command import environ, llmgym
from tests.data.rows import line, run_of
from tests.report import runs


def test_a_page_in_the_folder_of_the_run(tmp_path: Path) -> None:
    run = runs.store(tmp_path / "run", runs.plain())
    for _ in range(2):  # that of a run is made anew
        done = llmgym("report", run)
        assert (done.returncode, done.stdout, done.stderr) == (0, f"{run}/report.html\n", "")
    assert (run / "report.html").read_text("utf-8").startswith("<!doctype html>")


@pytest.mark.slow
def test_a_page_elsewhere(tmp_path: Path) -> None:
    run = runs.store(tmp_path / "run", runs.plain())
    path = tmp_path / "pages" / "one.html"
    assert llmgym("report", run, "-o", path).returncode == 0
    again = llmgym("report", run, "-o", path)
    assert (again.returncode, again.stderr) == (2, f"error: {path} is there already; --force replaces it\n")
    assert llmgym("report", run, "-o", path, "--force").returncode == 0
    for name in ("rollouts.jsonl", "run.json", "failures.jsonl", "retired.jsonl"):
        read = run / name
        before = read.read_bytes()
        done = llmgym("report", run, "-o", read, "--force")
        assert (done.returncode, done.stderr) == (2, f"error: {read} is the file that is read; write to another one\n")
        assert read.read_bytes() == before


def test_a_page_of_two_runs_is_in_neither(tmp_path: Path) -> None:
    one, two = (runs.store(tmp_path / name, runs.plain()) for name in ("one", "two"))
    assert llmgym("report", one).returncode == 0
    before = (one / "report.html").read_bytes()
    done = llmgym("report", one, two)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "--output FILE.html" in done.stderr
    assert (one / "report.html").read_bytes() == before
    assert not (two / "report.html").exists()
    assert llmgym("report", one, two, "-o", tmp_path / "both.html").returncode == 0


def test_a_page_needs_no_extra(tmp_path: Path) -> None:
    run = runs.store(tmp_path / "run", runs.plain())
    extras = "pyarrow", "duckdb", "datasets", "rensa", "torch", "transformers", "tokenizers", "aiohttp", "starlette"
    code = f"import sys; sys.modules |= dict.fromkeys({extras}); from llmgym.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "report", run], capture_output=True, text=True, env=environ(), check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{run}/report.html\n", "")


def test_what_is_wrong_is_one_line(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", [line("a"), b"{\n"])
    for args, said in (
        ((run,), "rollouts.jsonl:2"),
        ((run / "rollouts.jsonl",), "--output"),
        ((tmp_path / "nowhere",), "nowhere"),
        ((run, "--tokenizer", "no/such/folder"), "no/such/folder"),
    ):
        done = llmgym("report", *args)
        assert (done.returncode != 0, done.stderr.count("\n")) == (True, 1)
        assert said in done.stderr
    assert not (run / "report.html").exists()
    done = llmgym("report", run, "--skip-bad")
    assert (done.returncode, done.stderr.startswith("1 bad rows left out")) == (0, True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_view_says_where_it_is_and_leaves_nothing_behind(tmp_path: Path, number: int) -> None:
    run = runs.store(tmp_path / "run", runs.plain())
    command = [sys.executable, "-m", "llmgym", "view", str(run)]
    (tmp_path / "tmp").mkdir()
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ(TMPDIR=str(tmp_path / "tmp"))
    ) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        with urllib.request.urlopen(url, timeout=10) as answer:
            assert b"<title>run" in answer.read()
        process.send_signal(number)
        said = process.communicate(timeout=20)
    assert (process.returncode, said) == (0, ("", ""))
    assert not list((tmp_path / "tmp").iterdir())
