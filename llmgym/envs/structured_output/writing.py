"""Data written out in each syntax, for the oracle."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from typing import Any
from xml.sax.saxutils import escape

import yaml

from llmgym.verifiers.structured import Syntax


def write(value: Any, syntax: Syntax) -> str:
    """Write data in a syntax."""
    return _WRITERS[syntax](value)


def _write_yaml(value: Any) -> str:
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True)


def _write_toml(value: dict[str, Any]) -> str:
    return "\n".join(f"{name} = {_toml(part)}" for name, part in value.items())


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name} = {_toml(part)}" for name, part in value.items()) + "}"
    return f"[{', '.join(map(_toml, value))}]" if isinstance(value, list) else json.dumps(value)


def _write_xml(value: dict[str, Any]) -> str:
    return f"<record>{_children(value)}</record>"


def _children(value: dict[str, Any]) -> str:
    return "".join(
        f"<{name}>{_children(one) if isinstance(one, dict) else escape(_text(one))}</{name}>"
        for name, part in value.items()
        for one in (part if isinstance(part, list) else [part])
    )


def _write_csv(value: list[dict[str, Any]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(value[0])
    writer.writerows([_text(part) for part in row.values()] for row in value)
    return out.getvalue()


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


_WRITERS: dict[Syntax, Callable[[Any], str]] = {
    "json": json.dumps,
    "yaml": _write_yaml,
    "toml": _write_toml,
    "xml": _write_xml,
    "csv": _write_csv,
}
