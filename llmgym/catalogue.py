"""Registry files: which environments there are, with all that is known of them before any is imported.

Where there are many of one kind, such as those of another package, a file names a function instead that makes the rows
of a table; it imports neither that package nor an environment.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.util import find_spec
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import msgspec
import yaml

from llmgym.errors import RegistryError
from llmgym.files import read_yaml
from llmgym.loading import FUNCTION, described, load

_ID = re.compile(r"(?P<namespace>[\w-]+)/(?P<name>[A-Z][A-Za-z0-9]*)-v(?P<version>\d+)")
_STEP = re.compile(r"\.(\w+)|\[(\d+)\]")


class TaskOrigin(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Licence and origin of an environment's tasks."""

    licence: str
    origin: str


class Variant(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a variant changes of its environment."""

    summary: str | None = None
    max_turns: int | None = None
    kwargs: dict[str, Any] = {}
    allow: dict[str, str] = {}


class EnvRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One environment in a registry file; see `EnvEntry` for the fields."""

    id: str
    entry_point: str
    summary: str
    domains: list[str]
    tasks: TaskOrigin
    max_turns: int
    needs: list[str] = []
    kwargs: dict[str, Any] = {}
    nondeterministic: bool = False
    no_oracle: str = ""
    allow: dict[str, str] = {}
    variants: dict[str, Variant] = {}


class Ecosystem(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where environments are from that llmgym only adapts: its name, and the modules that its packages bring."""

    name: str
    modules: list[str] = []


class Catalogue(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A registry file; in place of its rows it may name the function that makes them, as `module:function`."""

    environments: list[EnvRow] | str
    ecosystem: Ecosystem | None = None


@dataclass(frozen=True, slots=True)
class EnvEntry:
    """One registered environment id.

    Attributes:
        id: Such as `llmgym/Calculator-v0`, or `llmgym/Calculator-easy-v0` for a variant.
        entry_point: `module:Class`.
        summary: One line.
        domains: Tags of what it is about.
        needs: Extras, or "sandbox", "judge", "network".
        max_turns: Assistant messages before truncation.
        kwargs: Arguments of the class.
        nondeterministic: Whether equal actions may give different results.
        no_oracle: Why it has no oracle; empty where it has one.
        allow: Why a finding of the audit is no fault here, by the finding's name.
        tasks: Licence and origin of its tasks.
        base: Id of the environment that it is a variant of, or its own.
        source: Registry file that it comes from.
        ecosystem: Whose environments llmgym adapts by it, such as "textarena"; empty where it is nobody's.
        modules: What must be importable for it to be made.
    """

    id: str
    entry_point: str
    summary: str
    domains: tuple[str, ...]
    needs: tuple[str, ...]
    max_turns: int
    kwargs: dict[str, Any]
    nondeterministic: bool
    no_oracle: str
    allow: dict[str, str]
    tasks: TaskOrigin
    base: str
    source: str
    ecosystem: str = ""
    modules: tuple[str, ...] = ()

    @property
    def installed(self) -> bool:
        """Whether the packages of its ecosystem are there."""
        return all(find_spec(module) is not None for module in self.modules)


def read_registry(path: Path) -> list[EnvEntry]:
    """Read and check a registry file.

    Raises:
        RegistryError: With file, line and key of what is wrong.
    """
    try:
        path = path.resolve()
    except (OSError, RuntimeError) as error:  # the working directory is gone, or links lead in a circle
        raise RegistryError(f"cannot read {path}: {error}") from None
    data, text = read_yaml(path, RegistryError)
    try:
        catalogue = msgspec.convert(data, Catalogue)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at ")
        raise RegistryError(f"{path}:{_line(text, where)}: {where.strip('`') or '$'}: {what}") from None
    rows = catalogue.environments
    if isinstance(rows, str):
        rows = _made_rows(rows, path)
    found = [entry for index, row in enumerate(rows) for entry in _expand(row, path, text, index)]
    if (ecosystem := catalogue.ecosystem) is None:
        return found
    return [replace(entry, ecosystem=ecosystem.name, modules=tuple(ecosystem.modules)) for entry in found]


def _made_rows(function: str, path: Path) -> list[EnvRow]:
    """What the function of a registry file makes."""
    make = load(function, f"{path}: environments", kind=FUNCTION, error=RegistryError, near=path.parent)
    try:
        return msgspec.convert(msgspec.to_builtins(make()), list[EnvRow])
    except msgspec.ValidationError as error:
        raise RegistryError(f"{path}: {function} gives a list of rows: {error}") from None
    except (Exception, SystemExit) as error:  # its author's code
        raise RegistryError(f"{path}: {function} failed: {described(error)}") from error


def _expand(row: EnvRow, path: Path, text: str, index: int) -> Iterator[EnvEntry]:
    """The entries of an environment and its variants."""

    def fail(key: str, what: str) -> RegistryError:
        where = f"$.environments[{index}].{key}"
        return RegistryError(f"{path}:{_line(text, where)}: {where}: {what}")

    match = _ID.fullmatch(row.id)
    if not match:
        raise fail("id", f"{row.id!r} is not of the form namespace/CamelCase-v0")
    if not re.fullmatch(r"[\w.]+:\w+", row.entry_point):
        raise fail("entry_point", f"{row.entry_point!r} is not of the form package.module:Class")
    for key, turns in [("", row.max_turns), *((f"variants.{name}.", v.max_turns) for name, v in row.variants.items())]:
        if turns is not None and turns < 1:
            raise fail(f"{key}max_turns", f"must be at least 1, is {turns}")
    for key, kwargs in [("", row.kwargs), *((f"variants.{name}.", v.kwargs) for name, v in row.variants.items())]:
        for name, value in kwargs.items():
            if what := _wrong_argument(name, value) or _not_json(value):
                raise fail(f"{key}kwargs.{name}", what)
    base = EnvEntry(
        row.id, row.entry_point, row.summary, tuple(row.domains), tuple(row.needs), row.max_turns,
        row.kwargs, row.nondeterministic, row.no_oracle, row.allow, row.tasks, row.id, str(path),
    )  # fmt: skip
    yield base
    for name, variant in row.variants.items():
        if not re.fullmatch(r"[a-z0-9]+", name):
            raise fail("variants", f"the variant name {name!r} is not lower-case letters and digits")
        yield replace(
            base,
            id=f"{match['namespace']}/{match['name']}-{name}-v{match['version']}",
            summary=variant.summary or row.summary,
            max_turns=variant.max_turns or row.max_turns,
            kwargs=row.kwargs | variant.kwargs,
            allow=row.allow | variant.allow,
        )


def _wrong_argument(name: str, value: Any) -> str | None:
    """What is wrong with an argument that every environment takes."""
    if value is None:  # the class's own
        return None
    number: Any = value if isinstance(value, Real) and not isinstance(value, bool) else math.nan
    if name == "max_turns" and not (isinstance(value, Integral) and number >= 1):
        return f"must be a whole number, at least 1; it is {value!r}"
    if name in ("tool_timeout", "hook_timeout") and not 0 < number < math.inf:
        return f"must be a finite number of seconds above 0; it is {value!r}"
    if name == "split" and not isinstance(value, str):
        return f"must be the name of a split; it is {value!r}"
    return None


def _not_json(value: Any, depth: int = 0) -> str | None:
    """What in a value is no JSON, which arguments in a file must be: specs and run folders hold them as such."""
    if depth > 64:
        return "is nested too deeply, or holds itself"
    if isinstance(value, dict):
        if odd := next((key for key in value if not isinstance(key, str)), None):
            return f"has the key {odd!r}, which is no text"
        value = list(value.values())
    if isinstance(value, list):
        return next((what for item in value if (what := _not_json(item, depth + 1))), None)
    if isinstance(value, float) and not math.isfinite(value):
        return f"has {value}, which is no JSON number"
    if not isinstance(value, str | int | float | None):
        return f"has a {type(value).__name__}, which is no JSON; put {str(value)!r} in quotes"
    return None


def _line(text: str, where: str) -> int:
    """Line of the deepest part of a path such as `$.environments[0].id` that the YAML text has."""
    node = yaml.compose(text, yaml.SafeLoader)
    line = node.start_mark.line if node else 0
    for key, index in _STEP.findall(where):
        if isinstance(node, yaml.MappingNode):
            node = next((value for name, value in node.value if name.value == key), None)
        elif isinstance(node, yaml.SequenceNode) and index and int(index) < len(node.value):
            node = node.value[int(index)]
        else:
            node = None
        if node is None:
            break
        line = node.start_mark.line
    return line + 1
