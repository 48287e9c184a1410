"""Blocks of code in pages and docstrings: running them, and checking those that cannot be run."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import doctest
import importlib
import importlib.util
import inspect
import io
import itertools
import os
import re
import shlex
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import typer.main

from llmgym.catalogue import read_registry
from llmgym.cli import app
from llmgym.cli.settings import assign
from llmgym.files import parse_yaml
from llmgym.registry import check_id
from llmgym.rollout.config import parse_config

ROOT = Path(__file__).parents[1]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]

_INLINE = re.compile(r"`((?:llmgym|make|python|pip install) [^`]+)`")
_ASYNC = {"flags": ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, "dont_inherit": True}


class Block(NamedTuple):
    """Some code of a page."""

    where: str
    line: int  # of the page, where the code begins
    language: str
    source: str
    mark: str | None = None  # where it is not run with the unit tests: "not run" or "integration"
    file: str | None = None  # what a reader has saved it as

    def fail(self, why: object) -> AssertionError:
        return AssertionError(f"{self.where}:{self.line}: {why}\n{self.source}")


def inline_commands(where: str, text: str) -> Iterator[Block]:
    """The commands in running text."""
    for match in _INLINE.finditer(text):
        yield Block(where, 1 + text[: match.start()].count("\n"), "bash", " ".join(match[1].split()))


# --- running ------------------------------------------------------------------------------------


def run(block: Block, names: dict[str, Any], folder: Path) -> str:
    """Run a block, which may leave names for those behind it, and give what it printed."""
    if block.language == "python":
        return run_python(block, names)
    if block.language == "bash":
        return run_shell(block, folder)
    check(block, names)
    return ""


def run_python(block: Block, names: dict[str, Any]) -> str:
    code = compile("\n" * (block.line - 1) + block.source, block.where, "exec", **_ASYNC)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        if (waiting := eval(code, names)) is not None:
            asyncio.run(waiting)
    return printed.getvalue()


def run_shell(block: Block, folder: Path) -> str:
    for words in commands(block.source):
        check_command(words)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block.source],
        env=os.environ | {"PATH": path, "PYTHONPATH": str(ROOT)}, cwd=folder,
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=550 if block.mark else 100, check=False,
    )  # fmt: skip
    if done.returncode:
        raise block.fail(f"exit status {done.returncode}: {done.stderr}")
    return done.stdout


def same_output(expected: str, printed: str) -> bool:
    """As in doctest, where `...` is anything."""
    return doctest.OutputChecker().check_output(expected, printed, doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)


# --- checking -----------------------------------------------------------------------------------


def check(block: Block, names: dict[str, Any]) -> None:
    """Check what can be known of a block without running it."""
    if block.language == "python":
        check_python(block.source, names)
    elif block.language == "bash":
        for words in commands(block.source):
            check_command(words)
        for code in re.findall(r"python -c '(.+?)'", block.source):
            check_python(code, {})
    elif block.language == "yaml":
        check_yaml(block)
    elif block.language == "toml":
        tomllib.loads(block.source)
    elif block.language != "text":
        raise block.fail(f"blocks are python, bash, yaml, toml or text, not {block.language!r}")


def check_python(source: str, names: dict[str, Any]) -> None:
    """It compiles, what it imports exists where the package is installed, and calls have arguments that there are."""
    compile(source, "<snippet>", "exec", **_ASYNC)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if _is_installed(alias.name):
                    names[alias.asname or alias.name.partition(".")[0]] = importlib.import_module(alias.name)
        elif isinstance(node, ast.ImportFrom) and node.module and _is_installed(node.module):
            module = importlib.import_module(node.module)
            with contextlib.suppress(ModuleNotFoundError):  # the name is there, and what it needs is not
                names |= {alias.asname or alias.name: getattr(module, alias.name) for alias in node.names}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and (function := _resolved(node.func, names)) is not None:
            parameters = inspect.signature(function).parameters
            if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
                continue
            for keyword in node.keywords:
                assert keyword.arg is None or keyword.arg in parameters, f"{ast.unparse(node.func)}({keyword.arg}=...)"


def _is_installed(module: str) -> bool:
    return importlib.util.find_spec(module.partition(".")[0]) is not None


def _resolved(node: ast.expr, names: Mapping[str, Any]) -> Any:
    """The class or function that an expression names, if it is known."""
    if isinstance(node, ast.Name):
        found = names.get(node.id)
    elif isinstance(node, ast.Attribute) and inspect.ismodule(module := _resolved_module(node.value, names)):
        found = getattr(module, node.attr)  # there is no such name: an error
    else:
        return None
    return found if callable(found) else None


def _resolved_module(node: ast.expr, names: Mapping[str, Any]) -> Any:
    return names.get(node.id) if isinstance(node, ast.Name) else None


def commands(source: str) -> Iterator[list[str]]:
    """The words of each command of a shell script, without variables and keywords before it."""
    for line in source.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        while words and (re.fullmatch(r"[A-Z_]+=.*", words[0]) or words[0] in ("do", "for", "done")):
            words = [] if words[0] in ("for", "done") else words[1:]
        if words:
            yield words


def check_command(words: list[str]) -> None:
    """Check what is ours of a command: verbs, flags, ids, settings, extras, targets, scripts."""
    program, *arguments = words
    flags = {word.partition("=")[0] for word in arguments if word.startswith("--")}
    if program == "python" and arguments[:2] == ["-m", "llmgym"]:
        program, arguments = "llmgym", arguments[2:]
    if program.endswith("llmgym"):
        check_verb(arguments)
    elif program == "make":
        targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
        assert {word for word in arguments if re.fullmatch("[a-z-]+", word)} <= {*targets}, words
    elif program == "pip":
        for named in re.findall(r"(?:llmgym|\.)\[(.+?)\]", " ".join(arguments)):
            assert set(named.split(",")) <= {*EXTRAS}, f"no extra {named}"
    elif program == "python" and arguments[0].startswith(("examples/", "benchmarks/", "docs/")):
        text = (ROOT / arguments[0]).read_text("utf-8")
        assert all(f'"{flag}"' in text for flag in flags), words


def check_verb(arguments: list[str]) -> None:
    """Check a command of `llmgym`; words in capitals stand for something."""
    command: Any = typer.main.get_command(app)
    while arguments and hasattr(command, "commands") and not arguments[0].startswith("-"):
        if arguments[0].isupper() or arguments[0] == "...":
            return
        command, arguments = command.commands[arguments[0]], arguments[1:]
    known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
    for word, value in itertools.pairwise([*arguments, ""]):
        name, _, inside = word.partition("=")
        value = inside or value
        assert not word.startswith("--") or name in known, f"llmgym {command.name} has no {name}"
        if word.startswith("llmgym/") or (name == "--env" and value.startswith("llmgym/")):
            check_id(value if name == "--env" else word)
        elif name == "--set" and value != "NAME=VALUE":
            settings: dict[str, Any] = {}
            assign(settings, value)
            parse_config(settings)


def check_yaml(block: Block) -> None:
    """It is a registry, or has settings of a run, at the top or under `settings`; of others the form is all we know."""
    data = parse_yaml(block.source, block.where)
    if "environments" in data:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "registry.yaml"
            file.write_text(block.source, "utf-8")
            read_registry(file)
    for settings in _settings(data):
        parse_config(settings, block.where)


def _settings(data: Any) -> Iterator[dict[str, Any]]:
    if isinstance(data, dict):
        if "env_ids" in data:
            yield data
        for key, value in data.items():
            yield from [value] if key == "settings" else _settings(value)
