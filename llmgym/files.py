"""Files that people write, and files for other programs, with errors that say what is wrong."""

from __future__ import annotations

import os
import re
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from llmgym.errors import ConfigError


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """YAML in which 1e-3 is a number, as it is in JSON and in YAML 1.2; PyYAML takes it for text."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+\Z"), list("-+.0123456789")
)
_LOADER: Any = _Loader
_DEPTH = 64  # levels of YAML: the C loader recurses, and a few ten thousand end the process
_MERGE = "tag:yaml.org,2002:merge"


def read_yaml(path: Path, error: type[ConfigError] = ConfigError) -> tuple[Any, str]:
    """Read a YAML file.

    Args:
        path: The file.
        error: What is raised where it cannot be read.

    Returns:
        Its data and its text.

    Raises:
        ConfigError: It cannot be read or is not YAML; names file and line.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as cause:
        raise error(f"cannot read {path}: {cause.strerror}") from None
    except ValueError as cause:
        raise error(f"{path}: not YAML: {cause}") from None
    return parse_yaml(text, str(path), error), text


def parse_yaml(text: str, source: str, error: type[ConfigError] = ConfigError) -> Any:
    """Read YAML, where each key of a mapping is there once.

    Args:
        text: The YAML.
        source: Where it is from; starts the message.
        error: What is raised where it is wrong.

    Raises:
        ConfigError: It is not YAML, is nested too deeply, or has a key twice; names source and line.
    """
    try:
        _check_depth(text, source, error)
        loader = _LOADER(text)
        try:
            node = loader.get_single_node()
            _check_keys(loader, node, source, error)
            return None if node is None else loader.construct_document(node)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as cause:
        mark = cause.problem_mark or cause.context_mark
        raise error(f"{source}:{mark.line + 1 if mark else 1}: not YAML: {cause.problem}") from None
    except (yaml.YAMLError, ValueError) as cause:  # ValueError: a date such as 2024-13-01
        raise error(f"{source}: not YAML: {cause}") from None


def _check_depth(text: str, source: str, error: type[ConfigError]) -> None:
    """Count levels, through aliases too; events come one by one, whatever the depth."""
    open_: list[tuple[str | None, int]] = []  # anchor, and levels inside so far
    levels: dict[str | None, int] = {}
    for event in yaml.parse(text, Loader=_LOADER):
        inside = 0
        if isinstance(event, yaml.CollectionStartEvent):
            open_.append((event.anchor, 0))
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, inside = open_.pop()
            levels[anchor] = inside = inside + 1
        elif isinstance(event, yaml.AliasEvent):
            inside = levels.get(event.anchor, 0)
        if open_:
            anchor, known = open_[-1]
            open_[-1] = (anchor, max(known, inside))
        if len(open_) + inside > _DEPTH:
            raise error(f"{source}:{event.start_mark.line + 1}: nested more than {_DEPTH} levels deep")


def _check_keys(loader: Any, root: yaml.Node | None, source: str, error: type[ConfigError]) -> None:
    """PyYAML takes the last of two equal keys without a word."""
    waiting: list[Any] = [root]
    seen: set[int] = set()  # an alias is its anchor's node
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            waiting += node.value
        elif isinstance(node, yaml.MappingNode):
            keys: dict[Any, int] = {}
            for name, value in node.value:
                waiting.append(value)
                if not isinstance(name, yaml.ScalarNode):
                    continue
                line = name.start_mark.line + 1
                key = name.value if name.tag == _MERGE else loader.construct_object(name)
                if key in keys:
                    raise error(f"{source}:{line}: the key {name.value!r} is there already, in line {keys[key]}")
                keys[key] = line


@contextmanager
def naming(path: str | Path) -> Generator[None]:
    """Say of what the file system refuses in the block which file it is about.

    Raises:
        ConfigError: It cannot be written.
    """
    try:
        yield
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {os.strerror(error.errno) if error.errno else error}") from error
