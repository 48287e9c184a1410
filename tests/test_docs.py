"""The code in the README, in CONTRIBUTING, in docs/ and in docstrings does what it says.

A block is run as it stands, in a folder with the files of `examples/capitals`. The Python blocks of a page share
their names, may `await` at top level, and find what comments that begin with `<!-- python` define. A block of text is
what the block before it prints. A block behind `<!-- not run: why -->` is only checked: imports, arguments, flags,
ids, extras, settings; so is one behind `<!-- integration: why -->`, which `make test-integration` runs. Docstrings,
`pip`, `make`, commands in running text and the examples of `--help` are checked, too.
"""

from __future__ import annotations

import importlib
import re
import shlex
import shutil
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main
from typer.testing import CliRunner

from llmgym.cli import app
from llmgym.errors import MissingExtraError
from tests.snippets import (
    ROOT,
    Block,
    blocks_of,
    check,
    check_command,
    commands,
    inline_commands,
    run,
    same_output,
)

PAGES = [
    *(ROOT / "README.md", ROOT / "CONTRIBUTING.md"),
    *(path for path in sorted((ROOT / "docs").rglob("*.md")) if path.parent.name != "envs"),  # made by a script
]
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


@pytest.fixture
def names(folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The names of a page's Python: those of a module in that folder."""
    module = types.ModuleType("page")
    module.__file__ = str(folder / "page.py")
    monkeypatch.setitem(sys.modules, "page", module)
    return vars(module)


def follow(page: Path, names: dict[str, Any], folder: Path, skipped: set[str]) -> None:
    """Run a page from top to bottom."""
    printed: str | None = None
    for block in blocks_of(page):
        try:
            if block.language == "text" and printed is not None and not block.mark:
                assert same_output(block.source, printed), f"it prints\n{printed}"
            elif block.mark in skipped or _installs(block):
                printed = check(block, names)
            else:
                printed = run(block, names, folder)
        except MissingExtraError as error:
            pytest.skip(f"{block.where}:{block.line}: {error}")
        except Exception as error:
            raise block.fail(f"{type(error).__name__}: {error}") from error


def _installs(block: Block) -> bool:
    return block.language == "bash" and all(words[0] in ("pip", "make") for words in commands(block.source))


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_page(page: Path, names: dict[str, Any], folder: Path) -> None:
    follow(page, names, folder, {"not run", "integration"})
    for command in inline_commands(page):
        check(command, names)


@pytest.mark.integration
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "page", [page for page in PAGES if "<!-- integration:" in page.read_text("utf-8")], ids=name_of
)
def test_page_with_models(page: Path, names: dict[str, Any], folder: Path) -> None:
    follow(page, names, folder, {"not run"})


@pytest.mark.parametrize("module", MODULES, ids=name_of)
def test_docstrings(module: Path) -> None:
    try:
        names = vars(importlib.import_module(".".join(module.relative_to(ROOT).with_suffix("").parts)))
        for block in blocks_of(module):
            check(block, dict(names))
    except MissingExtraError as error:
        pytest.skip(str(error))


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
