"""`llmgym compare`: formats by the file's name, and errors in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.command import llmgym
from tests.data.rows import groups, run_of


@pytest.fixture
def runs(tmp_path: Path) -> tuple[Path, Path]:
    return run_of(tmp_path / "one", groups({"a": [1.0, 0.0]})), run_of(tmp_path / "two", groups({"a": [1.0, 1.0]}))


def test_it_prints_and_writes_each_format(runs: tuple[Path, Path], tmp_path: Path) -> None:
    shown = llmgym("compare", *runs)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "| reward | 0.500 | 1.000 | +0.500 |" in shown.stdout
    data = json.loads(llmgym("compare", *runs, "--json").stdout)
    for suffix in ("md", "html", "json"):
        done = llmgym("compare", *runs, "-o", tmp_path / f"it.{suffix}")
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (tmp_path / "it.md").read_text() == shown.stdout.rstrip("\n") + "\n"
    assert json.loads((tmp_path / "it.json").read_text()) == data
    assert (tmp_path / "it.html").read_text().startswith("<!doctype html>")


def test_what_cannot_be_is_said(runs: tuple[Path, Path], tmp_path: Path) -> None:
    for arguments, said in (
        ((runs[0],), "name two runs or more"),
        ((*runs, "-o", tmp_path / "it.pdf"), ".html, .md, .json"),
        ((*runs, "-o", tmp_path / "there.md"), "--force replaces it"),
        ((runs[0], tmp_path / "none"), "no such file"),
        ((runs[0], tmp_path / "rows.json", "-o", tmp_path / "rows.json", "--force"), "the file that is read"),
    ):
        (tmp_path / "there.md").touch()
        (tmp_path / "rows.json").touch()
        done = llmgym("compare", *arguments)
        assert done.returncode != 0
        assert said in done.stderr
        assert done.stderr.count("\n") == 1
