"""The catalogue of environments: YAML files in, `gymnasium.register` out.

Gymnasium finds no plugins by itself, so llmgym reads its own `registry.yaml`, the `registry.yaml` of
every installed package that names itself in the entry-point group `llmgym.envs`, and the files in
`LLMGYM_REGISTRY`. Entry points stay strings: registering imports no environment.
"""

from __future__ import annotations

import difflib
import importlib.util
import inspect
import os
import re
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gymnasium
import msgspec
import yaml

from llmgym.errors import RegistryError
from llmgym.files import read_yaml

if TYPE_CHECKING:
    from llmgym.env import ToolEnv

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
    variants: dict[str, Variant] = {}


class Catalogue(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A registry file."""

    environments: list[EnvRow]


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
        tasks: Licence and origin of its tasks.
        base: Id of the environment that it is a variant of, or its own.
        source: Registry file that it comes from.
    """

    id: str
    entry_point: str
    summary: str
    domains: tuple[str, ...]
    needs: tuple[str, ...]
    max_turns: int
    kwargs: dict[str, Any]
    nondeterministic: bool
    tasks: TaskOrigin
    base: str
    source: str


_entries: dict[str, EnvEntry] = {}


# --- reading ------------------------------------------------------------------------------------


def read_registry(path: Path) -> list[EnvEntry]:
    """Read and check a registry file.

    Raises:
        RegistryError: With file, line and key of what is wrong.
    """
    path = path.resolve()
    data, text = read_yaml(path, RegistryError)
    try:
        rows = msgspec.convert(data, Catalogue).environments
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at ")
        raise RegistryError(f"{path}:{_line(text, where)}: {where.strip('`') or '$'}: {what}") from None
    return [entry for index, row in enumerate(rows) for entry in _expand(row, path, text, index)]


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
    base = EnvEntry(
        row.id, row.entry_point, row.summary, tuple(row.domains), tuple(row.needs), row.max_turns,
        row.kwargs, row.nondeterministic, row.tasks, row.id, str(path),
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
        )


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


# --- registering --------------------------------------------------------------------------------


def register_envs(path: str | Path | None = None) -> None:
    """Register the environments of a registry file, or all those that llmgym knows of.

    Registering again does nothing, so it can be called by workers.

    Args:
        path: A registry file. By default llmgym's own, those of installed packages and those in
            `LLMGYM_REGISTRY` (separated as in `PATH`); one of the latter two that is broken gives a
            warning, so that it cannot break `import llmgym`.

    Raises:
        RegistryError: The file is malformed, or takes an id of another file.
    """
    if path is not None:
        _register(read_registry(Path(path)))
        return
    _register(read_registry(Path(__file__).with_name("registry.yaml")))
    packages = [("llmgym.envs", _file_of, point.value) for point in entry_points(group="llmgym.envs")]
    files = os.environ.get("LLMGYM_REGISTRY", "").split(os.pathsep)
    for origin, find, place in [*packages, *(("LLMGYM_REGISTRY", Path, file) for file in files if file)]:
        try:
            _register(read_registry(find(place)))
        except RegistryError as error:
            warnings.warn(f"{origin}: {error}", stacklevel=2)


def _file_of(package: str) -> Path:
    """The registry file of an installed package, which is not imported."""
    try:
        found = importlib.util.find_spec(package)
    except Exception as error:  # finding a.b imports a, which may raise anything
        raise RegistryError(f"cannot import {package}: {type(error).__name__}: {error}") from error
    if found is None or not found.submodule_search_locations:
        raise RegistryError(f"there is no package {package}")
    return Path(found.submodule_search_locations[0]) / "registry.yaml"


def _register(entries: list[EnvEntry]) -> None:
    for name, count in Counter(entry.id for entry in entries).items():
        if count > 1:
            raise RegistryError(f"{entries[0].source}: {name} is there {count} times")
    for entry in entries:
        known = _entries.get(entry.id)
        if known and known.source != entry.source:
            raise RegistryError(f"{entry.source}: {entry.id} is already registered by {known.source}")
        if known == entry:
            continue
        _entries[entry.id] = entry
        gymnasium.registry.pop(entry.id, None)
        gymnasium.register(
            entry.id,
            entry_point=entry.entry_point,
            # `make_vec` tells its entry point nothing of the id, so each id has one of its own.
            vector_entry_point=f"llmgym.vector:{entry.id}",
            nondeterministic=entry.nondeterministic,
            # Not max_episode_steps: Gymnasium's TimeLimit cuts an episode off behind the environment's
            # back, so that it is never verified.
            kwargs={"max_turns": entry.max_turns, **entry.kwargs},
        )


# --- asking -------------------------------------------------------------------------------------


def list_envs(*, domain: str | None = None, needs: str | None = None) -> list[EnvEntry]:
    """The registered environments by id, each followed by its variants.

    Args:
        domain: Only those with this tag.
        needs: Only those that need this.
    """
    return [
        entry
        for entry in sorted(_entries.values(), key=lambda entry: (entry.base, entry.id != entry.base, entry.id))
        if (domain is None or domain in entry.domains) and (needs is None or needs in entry.needs)
    ]


def entry(env_id: str) -> EnvEntry:
    """The entry of an id, with or without the `llmgym:` prefix.

    Raises:
        RegistryError: No such id; suggests near ones.
    """
    name = env_id.rpartition(":")[2]
    if name in _entries:
        return _entries[name]
    near = difflib.get_close_matches(name, _entries, n=3, cutoff=0.4)
    hint = f"; did you mean {' or '.join(near)}?" if near else "; `llmgym list` shows all"
    raise RegistryError(f"there is no environment {env_id!r}{hint}")


def make_core(env_id: str, **kwargs: Any) -> ToolEnv:
    """Make an environment and take Gymnasium's wrappers off, for drivers of its async core.

    Args:
        env_id: A registered id, or `module:id`.
        **kwargs: Arguments of the environment's class, over those of the registration.

    Raises:
        RegistryError: The id is unknown, the class cannot be imported or refuses the arguments, or
            it is no `ToolEnv`.
    """
    from llmgym.env import ToolEnv

    if ":" not in env_id and env_id not in gymnasium.registry:
        entry(env_id)
    try:
        env = gymnasium.make(env_id, disable_env_checker=True, **kwargs).unwrapped
    except (gymnasium.error.Error, ImportError, AttributeError, TypeError, ValueError) as error:
        raise RegistryError(f"cannot make {env_id}: {error}") from error
    if not isinstance(env, ToolEnv):
        raise RegistryError(f"{env_id} is a {type(env).__name__}, not an llmgym.ToolEnv")
    return env


def describe(env_id: str) -> dict[str, Any]:
    """All that is known of an environment, as JSON data: its entry, documentation, tools and tasks."""
    found = entry(env_id)
    env = make_core(found.id)
    return {
        **{key: getattr(found, key) for key in ("id", "base", "summary", "entry_point", "max_turns", "kwargs")},
        "domains": list(found.domains),
        "needs": list(found.needs),
        "licence": found.tasks.licence,
        "origin": found.tasks.origin,
        "source": found.source,
        "splits": {split: env.tasks.size(split) for split in env.tasks.splits},
        "tools": [tool.schema for tool in env.tools.values()],
        "documentation": inspect.cleandoc(type(env).__doc__ or ""),
    }
