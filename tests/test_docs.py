"""The code of docstrings, of help, and of pages outside of blocks, which are tests by themselves (tests/pages.py)."""

from __future__ import annotations

import importlib
import json
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from typer.testing import CliRunner

import llmgym
from llmgym.cli import app
from llmgym.errors import MissingExtraError
from llmgym.files import parse_yaml
from tests.pages import PAGES, SYBIL, blocks_of
from tests.snippets import EXTRAS, ROOT, Block, check, check_command, inline_commands, run

#: Blocks that no suite runs, each with its reason, are no more than this.
NOT_RUN = 60

EXAMPLE = r"^  (llmgym (?:[^\n]*\\\n)*[^\n]*)$"
MODULES = [
    path
    for path in sorted((ROOT / "llmgym").rglob("*.py"))
    if "```" in path.read_text("utf-8") and "templates" not in path.parts  # these are written, not imported
]


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a reader of the docs is: in a folder with an environment of his own."""
    shutil.copytree(ROOT / "examples/capitals", tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_in_running_text(page: Path) -> None:
    text = page.read_text("utf-8")
    for _, region in SYBIL.parse(page).regions:
        lines = text[region.start : region.end].count("\n")
        text = text[: region.start] + "\n" * lines + " " * (region.end - region.start - lines) + text[region.end :]
    for command in inline_commands(name_of(page), text):
        check(command, {})


def test_extras_are_told() -> None:
    page = (ROOT / "docs/installation.md").read_text("utf-8")
    assert [name for name in EXTRAS if f"`{name}`" not in page.partition("<!-- extras")[0]] == []


def test_versions_agree() -> None:
    citation = parse_yaml((ROOT / "CITATION.cff").read_text("utf-8"), "CITATION.cff")
    newest = re.search(r"^## \[(\d.*?)\]", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert citation["version"] == llmgym.__version__ == (newest and newest[1])


def test_what_is_not_run() -> None:
    assert sum(block.mark == "not run" for page in PAGES for block in blocks_of(page)) <= NOT_RUN


@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_docstrings(module: Path) -> None:
    try:
        names = vars(importlib.import_module(".".join(module.relative_to(ROOT).with_suffix("").parts)))
        for block in blocks_of(module):
            check(block, dict(names))
    except MissingExtraError as error:
        pytest.skip(str(error))


def test_the_notebook() -> None:
    for block, cell in _cells():
        check(block, {})
        assert cell["outputs"]


@pytest.mark.integration
@pytest.mark.timeout(600)
def test_the_notebook_with_a_model(folder: Path) -> None:
    names: dict[str, Any] = {}
    for block, _ in _cells():
        run(block, names, folder)


def _cells() -> Iterator[tuple[Block, dict[str, Any]]]:
    path = ROOT / "docs/tutorials/notebook.ipynb"
    for number, cell in enumerate(json.loads(path.read_text("utf-8"))["cells"]):
        if cell["cell_type"] == "code":
            yield Block(f"{name_of(path)}, cell {number}", 1, "python", "".join(cell["source"])), cell


@pytest.mark.slow
def test_examples_of_help(folder: Path) -> None:
    (folder / "run.yaml").write_text("{env_ids: [llmgym/Calculator-mental-v0], policy: oracle, num_tasks: 2}")
    lines = [line for text in epilogs(typer.main.get_command(app)) for line in re.findall(EXAMPLE, text, re.MULTILINE)]
    assert len(lines) > 15
    for words in (shlex.split(line.replace("\\\n", "")) for line in lines):
        check_command(words)
        # What needs files or places of the reader's; what environments are put to elsewhere; pairs of unequal rewards.
        own = {"--registry", "ID", "validate", "prepare", "--against", "--gates", "runs/before", "runs/second"}
        if {*own, "check", "audit", "view", "serve", "tool", "dpo", "push", "pull"} & {*words}:
            continue
        if words[1] == "rollout":  # each of these is the first run, for the verbs behind it
            shutil.rmtree("runs", ignore_errors=True)
        done = CliRunner().invoke(app, [re.sub("vllm:.*", "random", word) for word in words[1:]])
        assert done.exit_code == 0, (words, done.output)


def epilogs(command: Any) -> Iterator[str]:
    yield command.epilog or ""
    for inner in getattr(command, "commands", {}).values():
        yield from epilogs(inner)


def test_commands_of_the_makefile() -> None:
    found = re.findall(r"\$\(BIN\)/(llmgym [^\"\n]*)", (ROOT / "Makefile").read_text("utf-8"))
    assert len(found) > 5
    for command in found:
        check_command(shlex.split(re.split(" {2,}", command)[0]))
