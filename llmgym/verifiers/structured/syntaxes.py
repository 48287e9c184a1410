"""JSON, YAML, XML, TOML and CSV read as trees of JSON, each strictly and in bounded time."""

from __future__ import annotations

import csv
import io
import re
import tomllib
from collections.abc import Callable, Mapping
from datetime import date, time
from typing import Any, Literal

import yaml

from llmgym.errors import MissingExtraError
from llmgym.verifiers.structured.schemas import Hint
from llmgym.verifiers.trees import MAX_DEPTH, check_tree, read_json

#: In which syntax data is written.
Syntax = Literal["json", "yaml", "xml", "toml", "csv"]

#: What a fence may call each.
NAMES: dict[Syntax, tuple[str, ...]] = {
    "json": ("json",),
    "yaml": ("yaml", "yml"),
    "xml": ("xml",),
    "toml": ("toml",),
    "csv": ("csv",),
}

_DEEP = f"nested more than {MAX_DEPTH} levels deep"


def read(text: str, syntax: Syntax, hint: Hint) -> Any:
    """Read data.

    Args:
        text: What was written.
        syntax: In which syntax.
        hint: What each part should be, for XML and CSV, which know nothing but text.

    Raises:
        ValueError: It is not in this syntax, or such that readers disagree on it, or nested too deeply.
        MissingExtraError: XML is read, and `defusedxml` is not installed.
    """
    try:
        return _READERS[syntax](text, hint)
    except RecursionError:
        raise ValueError(_DEEP) from None
    except OverflowError:
        raise ValueError("a number is too large") from None


def _read_json(text: str, hint: Hint) -> Any:
    return read_json(text)


def _read_yaml(text: str, hint: Hint) -> Any:
    loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        depth = 0
        for event in yaml.parse(text, Loader=loader):
            if isinstance(event, yaml.AliasEvent) or getattr(event, "tag", None):
                raise ValueError("aliases and tags are not read")
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
            if depth > MAX_DEPTH:
                raise ValueError(_DEEP)
        return check_tree(_build_yaml(yaml.compose(text, Loader=loader), loader("")))
    except yaml.YAMLError as error:
        raise ValueError(f"no YAML: {getattr(error, 'problem', None) or 'it cannot be read'}") from None


def _build_yaml(node: Any, loader: Any) -> Any:
    """The value of a node, by YAML 1.1 as PyYAML reads it: `no` is false. Dates and times stay text."""
    if isinstance(node, yaml.MappingNode):
        pairs = [(_build_yaml(key, loader), _build_yaml(value, loader)) for key, value in node.value]
        if any(not isinstance(key, str) for key, _ in pairs):
            raise ValueError("a key is no text")
        if len(found := dict(pairs)) < len(pairs):
            raise ValueError("a key comes twice")
        return found
    if isinstance(node, yaml.SequenceNode):
        return [_build_yaml(value, loader) for value in node.value]
    if node is None:
        return None
    if node.tag in ("tag:yaml.org,2002:merge", "tag:yaml.org,2002:timestamp"):
        return node.value
    if node.tag in ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float") and ":" in node.value:
        return node.value  # a number of base 60 in YAML 1.1, of which hardly any writer knows
    return loader.construct_object(node)


def _read_toml(text: str, hint: Hint) -> Any:
    if _DOTTED.search(text):  # tomllib takes quadratic time for it
        raise ValueError(_DEEP)
    return check_tree(_with_text_dates(tomllib.loads(text)))


_PART = r"""(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+"""
_DOTTED = re.compile(rf"(?<![\w-]){_PART}(?:\.[ \t]*+{_PART}){{{MAX_DEPTH}}}")


def _with_text_dates(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_text_dates(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_with_text_dates(part) for part in value]
    return value.isoformat() if isinstance(value, date | time) else value


def _read_csv(text: str, hint: Hint) -> Any:
    try:
        lines = io.StringIO(text.strip("\r\n"), newline="")
        rows = [row for row in csv.reader(lines, strict=True, skipinitialspace=True) if row]
    except csv.Error as error:
        raise ValueError(f"no CSV: {error}") from None
    if not rows:
        raise ValueError("no CSV: there is no header")
    header, *records = rows
    if len(set(header)) < len(header):
        raise ValueError("a column comes twice")
    if any(len(record) != len(header) for record in records):
        raise ValueError("a row has not as many cells as the header")
    row = hint.item()
    columns = [row.part(name) for name in header]
    return check_tree(
        [
            {name: column.value(cell) for name, column, cell in zip(header, columns, record, strict=True)}
            for record in records
        ]
    )


def _read_xml(text: str, hint: Hint) -> Any:
    try:
        from defusedxml import ElementTree
        from defusedxml.common import DefusedXmlException
    except ImportError:
        raise MissingExtraError("reading XML", "verifiers") from None
    try:
        root = ElementTree.fromstring(text.strip(), forbid_dtd=True)
    except (ElementTree.ParseError, DefusedXmlException, LookupError) as error:
        raise ValueError(f"no XML: {error}") from None
    return check_tree(_element(root, hint, 0))


def _element(element: Any, hint: Hint, depth: int) -> Any:
    """What an element holds: a list, where it `_is_list`, an object of its children and `@attributes`, or its text."""
    if depth > MAX_DEPTH:
        raise ValueError(_DEEP)
    text = element.text or ""
    children = list(element)
    if hint.is_list and not element.attrib and _is_list(element, hint.item()):
        return [_element(child, hint.item(), depth + 1) for child in children]
    if not children and not element.attrib and not (hint.is_object and not text.strip()):
        return hint.value(text)
    found: dict[str, Any] = {f"@{name}": hint.part(f"@{name}").value(value) for name, value in element.attrib.items()}
    named: dict[str, list[Any]] = {}
    for child in children:
        named.setdefault(child.tag, []).append(child)
    for name, same in named.items():
        part = hint.part(name)
        if part.is_list and not (len(same) == 1 and _is_list(same[0], part.item())):
            found[name] = [_element(child, part.item(), depth + 1) for child in same]
        elif len(same) == 1:
            found[name] = _element(same[0], part, depth + 1)
        else:
            found[name] = [_element(child, part, depth + 1) for child in same]
    if beside := "".join([text, *(child.tail or "" for child in children)]).strip():
        found["#text"] = hint.part("#text").value(beside)
    return found


def _is_list(element: Any, item: Hint) -> bool:
    """Whether the children of an element are items: `<item>`s, or of another name that no property of an item has."""
    names = {child.tag for child in element}
    named = names <= {"item"} or (len(names) == 1 and item.lacks(*names))
    return named and not (element.text or "").strip()


_READERS: Mapping[Syntax, Callable[[str, Hint], Any]] = {
    "json": _read_json,
    "yaml": _read_yaml,
    "xml": _read_xml,
    "toml": _read_toml,
    "csv": _read_csv,
}
