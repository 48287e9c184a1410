"""`llmgym new`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from llmgym.cli.new import Kind
from llmgym.registry import list_envs
from tests.command import llmgym

BAD = [
    ("Shop", "'Shop' is no name of a package: small letters, digits and single _, first a letter; try shop"),
    ("my-shop", "try my_shop"),
    ("MyShop", "try my_shop"),
    ("2048", "'2048' is no name of a package"),
    ("class", "'class' is a word of Python's; try class_env"),
    ("match", "'match' is a word of Python's; try match_env"),
    ("json", "there is already a module 'json', which the package would hide; try json_env"),
    ("numpy", "there is already a module 'numpy', which the package would hide; try numpy_env"),
    ("llmgym", "there is already a module 'llmgym'"),
    ("../shop", "is no name of a package"),
    ("", "is no name of a package"),
]


@pytest.mark.slow
@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.timeout(300)
def test_a_new_package_conforms_and_is_clean_as_it_is(kind: Kind, tmp_path: Path) -> None:
    name, folder = "corner_shop", tmp_path / "corner_shop"
    done = llmgym("new", name, "--kind", kind, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    for command in (
        ["check", "--num-tasks", "4", "--seconds", "1"],
        ["audit", "--num-tasks", "4", "--seconds", "15"],
        ["check", "--tasks", "rows.jsonl"],
    ):
        verb, *options = command
        done = llmgym(verb, "corner_shop/CornerShop-v0", *options, "--registry", f"{name}/registry.yaml", cwd=folder)
        assert (done.returncode, done.stderr) == (0, ""), done.stdout
    for arguments in (["check"], ["format", "--check"]):
        ruff = subprocess.run(
            [sys.executable, "-m", "ruff", *arguments, "--no-cache", "."],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ruff.returncode == 0, ruff.stdout
    written = [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    assert not [path for path in written if "caffolded" in path.read_text("utf-8")]


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.timeout(300)
def test_its_own_tests_pass(kind: Kind, tmp_path: Path) -> None:
    llmgym("new", "corner_shop", "--kind", kind, cwd=tmp_path)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "not conforms"]
    done = subprocess.run(command, cwd=tmp_path / "corner_shop", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(("name", "said"), BAD)
def test_a_name_that_cannot_be_is_refused(name: str, said: str, tmp_path: Path) -> None:
    done = llmgym("new", name, cwd=tmp_path)
    assert done.returncode == 2
    assert said in done.stderr
    assert not list(tmp_path.iterdir())


def test_nothing_is_written_over_unless_asked(tmp_path: Path) -> None:
    assert llmgym("new", "corner_shop", cwd=tmp_path).returncode == 0
    mine = tmp_path / "corner_shop" / "README.md"
    mine.write_text("mine")
    done = llmgym("new", "corner_shop", "--kind", "game", cwd=tmp_path)
    assert done.returncode == 2
    assert ".gitignore already; choose another name or folder, or write over it with --force" in done.stderr
    assert mine.read_text() == "mine"
    assert llmgym("new", "corner_shop", "--force", cwd=tmp_path).returncode == 0
    assert mine.read_text() != "mine"


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = llmgym("new", "corner_shop", "--output", "file", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (2, "error: cannot write file/corner_shop: Not a directory\n")


def test_templates_register_nothing() -> None:
    assert not [entry for entry in list_envs() if "caffolded" in entry.id]
