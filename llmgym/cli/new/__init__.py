"""`llmgym new`."""

from __future__ import annotations

import importlib.util
import json
import keyword
import re
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
import yaml

from llmgym.errors import ConfigError

EXAMPLES = """
\b
Examples:
  llmgym new shop
  llmgym new riddles --kind single
  llmgym new sales_questions --kind sql --output environments
"""

_TEMPLATES = Path(__file__).with_name("templates")
_NAME, _CLASS = "scaffolded", "Scaffolded"  # what the templates write for both

#: Where a file of the templates goes.
_PLACES = {
    "env.py": f"{_NAME}/env.py",
    "registry.yaml": f"{_NAME}/registry.yaml",
    "test_env.py": "tests/test_env.py",
    "rows.jsonl": "rows.jsonl",
    "project.toml": "pyproject.toml",  # no tool takes it for one of this folder
    "README.md": "README.md",
    "gitignore": ".gitignore",
}


class Kind(StrEnum):
    """What an environment begins as."""

    SINGLE = "single"
    TOOLS = "tools"
    MULTI_TURN = "multi-turn"
    GAME = "game"
    SQL = "sql"
    CODE = "code"


def run(
    name: Annotated[str, typer.Argument(metavar="NAME", hidden=True)],
    kind: Annotated[
        Kind,
        typer.Option(
            help="single: a question and a reply; tools: look things up; multi-turn: replies are answered; game: moves "
            "by a tool; sql: a query is run; code: a program is run, in the sandbox."
        ),
    ] = Kind.TOOLS,
    output: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Where to make the package's folder.", show_default="here")
    ] = Path(),
    force: Annotated[bool, typer.Option("--force", help="Write over files that are there.")] = False,
) -> None:
    """Write a package with an environment that works.

    NAME is the package's, such as shop or sales_questions. It has tasks, an oracle, a registry file with a variant,
    tests and rows of its own, and passes `llmgym check` and `llmgym audit` as it is.
    """
    _check_name(name)
    files = scaffold(name, kind)
    folder = output / name
    _write(folder, files, force)
    env_id = f"{name}/{_class_name(name)}-v0"
    print(f"{folder}  {', '.join(sorted(files))}")
    print("Next:")
    print(f"  cd {folder}")
    print(f"  llmgym audit {env_id} --registry {name}/registry.yaml")
    print(f"  llmgym play {env_id} --registry {name}/registry.yaml")
    print(f"then make {name}/env.py yours; README.md has the other commands.")


def scaffold(name: str, kind: Kind) -> dict[str, str]:
    """The files of a package, by their places.

    Args:
        name: The package's.
        kind: What its environment begins as.
    """
    found = [*(_TEMPLATES / "common").iterdir(), *(_TEMPLATES / kind.replace("-", "_")).iterdir()]
    texts = {path.name: path.read_text(encoding="utf-8") for path in found if path.is_file()}
    [entry] = yaml.safe_load(texts["registry.yaml"])["environments"]
    extras = [need for need in entry["needs"] if need != "sandbox"]
    requirement = f"llmgym[{','.join(extras)}]" if extras else "llmgym"
    files = {f"{_NAME}/__init__.py": f'"""{entry["summary"]}"""\n'}
    for file, text in texts.items():
        summary = json.dumps(entry["summary"])[1:-1] if file.endswith(".toml") else entry["summary"]
        files[_PLACES[file]] = text.replace("{summary}", summary).replace("{requirement}", requirement)
    return {_named(place, name): _named(text, name) for place, text in files.items()}


def _named(text: str, name: str) -> str:
    return text.replace(_NAME, name).replace(_CLASS, _class_name(name))


def _class_name(name: str) -> str:
    return "".join(part[:1].upper() + part[1:] for part in name.split("_"))


def _check_name(name: str) -> None:
    """See that a package can have this name.

    Raises:
        ConfigError: It cannot; says what to write.
    """
    if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name):
        near = re.sub(r"[^a-z0-9]+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name.strip()).lower()).strip("_")
        hint = f"; try {near}" if re.match("[a-z]", near) else ""
        raise ConfigError(f"{name!r} is no name of a package: small letters, digits and single _, first a letter{hint}")
    if keyword.iskeyword(name) or keyword.issoftkeyword(name):
        raise ConfigError(f"{name!r} is a word of Python's; try {name}_env")
    if name in sys.stdlib_module_names or name in ("tests", _NAME) or importlib.util.find_spec(name) is not None:
        raise ConfigError(f"there is already a module {name!r}, which the package would hide; try {name}_env")


def _write(folder: Path, files: dict[str, str], force: bool) -> None:
    """Write files, none over one that is there.

    Raises:
        ConfigError: One is there, or none can be written.
    """
    there = [place for place in sorted(files) if (folder / place).exists()]
    if there and not force:
        raise ConfigError(
            f"{folder} has {there[0]} already; choose another name or folder, or write over it with --force"
        )
    try:
        for place, text in files.items():
            (folder / place).parent.mkdir(parents=True, exist_ok=True)
            (folder / place).write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot write {folder}: {error.strerror}") from None
