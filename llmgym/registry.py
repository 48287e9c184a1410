"""The catalogue of environments: YAML files in, `gymnasium.register` out.

Gymnasium finds no plugins by itself, so llmgym reads its own `registry.yaml`, that of each adapter of other people's
environments, the `registry.yaml` of every installed package that names itself in the entry-point group `llmgym.envs`,
and the files in `LLMGYM_REGISTRY`. Entry points stay strings: registering imports no environment.
"""

from __future__ import annotations

import difflib
import importlib.util
import inspect
import os
import warnings
from collections import Counter
from collections.abc import Collection
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gymnasium

from llmgym.catalogue import EnvEntry, read_registry
from llmgym.errors import LLMGymError, RegistryError
from llmgym.loading import Kind, described, import_named, load, note

if TYPE_CHECKING:
    from llmgym.env import ToolEnv

_entries: dict[str, EnvEntry] = {}


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
    own = Path(__file__).parent
    for file in (own / "registry.yaml", *sorted(own.glob("adapters/*/registry.yaml"))):
        _register(read_registry(file))
    packages = [("llmgym.envs", _file_of, point.value) for point in entry_points(group="llmgym.envs")]
    files = os.environ.get("LLMGYM_REGISTRY", "").split(os.pathsep)
    for origin, find, place in [*packages, *(("LLMGYM_REGISTRY", Path, file) for file in files if file)]:
        try:
            _register(read_registry(find(place)))
        except RegistryError as error:
            warnings.warn(f"{origin}: {error}", stacklevel=2)


def _file_of(package: str) -> Path:
    """The registry file of an installed package, which is not imported."""
    note(package)
    try:
        found = importlib.util.find_spec(package)
    except (Exception, SystemExit) as error:  # finding a.b imports a, which may raise anything
        raise RegistryError(f"cannot import {package}: {described(error)}") from error
    if found is None or not found.submodule_search_locations:
        raise RegistryError(f"there is no package {package}")
    return Path(found.submodule_search_locations[0]) / "registry.yaml"


def _register(entries: list[EnvEntry]) -> None:
    """Register all entries of a file, or none."""
    for name, count in Counter(entry.id for entry in entries).items():
        if count > 1:
            raise RegistryError(f"{entries[0].source}: {name} is there {count} times")
    for entry in entries:
        known = _entries.get(entry.id)
        if known and known.source != entry.source:
            raise RegistryError(f"{entry.source}: {entry.id} is already registered by {known.source}")
    fresh = [entry for entry in entries if _entries.get(entry.id) != entry]
    before = {entry.id: gymnasium.registry.pop(entry.id, None) for entry in fresh}
    try:
        for entry in fresh:
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
    except gymnasium.error.Error as error:  # such as an id without a version beside one with it
        for name, spec in before.items():
            gymnasium.registry.pop(name, None)
            if spec is not None:
                gymnasium.registry[name] = spec
        raise RegistryError(f"{entries[0].source}: {error}") from error
    _entries.update({entry.id: entry for entry in fresh})


# --- asking -------------------------------------------------------------------------------------


def list_envs(*, domain: str | None = None, needs: str | None = None, ecosystem: str | None = "") -> list[EnvEntry]:
    """The registered environments by id, each followed by its variants.

    Args:
        domain: Only those with this tag.
        needs: Only those that need this.
        ecosystem: Those that llmgym adapts from elsewhere, such as "textarena", installed or not; None for these and
            all others. By default those that are written for llmgym.
    """
    return [
        entry
        for entry in sorted(_entries.values(), key=lambda entry: (entry.base, entry.id != entry.base, entry.id))
        if (domain is None or domain in entry.domains)
        and (needs is None or needs in entry.needs)
        and (ecosystem is None or ecosystem == entry.ecosystem)
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


def known(env_id: str) -> EnvEntry | None:
    """The entry of an id; None where it was registered by other means than a registry file."""
    return _entries.get(env_id.rpartition(":")[2])


def check_id(env_id: str) -> None:
    """See that an environment is registered; what `module:id` names is known only once the module is imported.

    Raises:
        RegistryError: There is no such id; suggests near ones.
    """
    if ":" not in env_id and env_id not in gymnasium.registry:
        entry(env_id)


def as_env_id(value: Any) -> str:
    """See that something is an environment's id, and not what people give instead.

    Raises:
        RegistryError: It is a class, an instance or a function; says what to write.
    """
    if isinstance(value, str):
        return value
    thing = value if inspect.isclass(value) or inspect.isroutine(value) else type(value)
    name, module = thing.__name__, thing.__module__
    what = f"the class {name}" if thing is value and inspect.isclass(value) else f"{value!r:.100}"
    raise RegistryError(
        f"an environment is named by its id, not given as {what}: register it by "
        f"gymnasium.register('mine/{name}-v0', entry_point='{module}:{name}') and write '{module}:mine/{name}-v0', or "
        "list it in a registry file"
    )


def make_core(env_id: str, /, **kwargs: Any) -> ToolEnv:
    """Make an environment and take Gymnasium's wrappers off, for drivers of its async core.

    Args:
        env_id: A registered id, or `module:id`.
        **kwargs: Arguments of the environment's class, over those of the registration.

    Raises:
        RegistryError: The id is unknown, the class cannot be imported or made, needs arguments that are not there, is
            no `ToolEnv`, or is registered with wrappers that the async core would not pass through.
        LLMGymError: What the constructor raised on purpose, such as `EnvironmentFailure`, or `ConfigError` for an
            argument that makes no sense.
    """
    spec = _spec_of(as_env_id(env_id))
    maker = _maker_of(spec)
    try:
        own = {name: _own(value) for name, value in kwargs.items()}
        env = gymnasium.make(spec.id, disable_env_checker=True, **own)
    except LLMGymError as error:
        if clutter := _clutter(error):
            raise type(error)(str(error).removesuffix(clutter)) from error.__cause__
        raise
    except (Exception, SystemExit) as error:  # a constructor is its author's code
        if needed := _needed(maker, spec.kwargs | kwargs):
            example = ", ".join(f"{name}: ..." for name in needed)
            raise RegistryError(
                f"{spec.id} needs {' and '.join(needed)}: {{id: {spec.id}, kwargs: {{{example}}}}} in a configuration, "
                f"or arguments of gymnasium.make; `llmgym info {spec.id}` says which there are"
            ) from None
        said = described(error).replace(_clutter(error), "")
        raise RegistryError(f"cannot make {spec.id}: {said}") from error
    return _unwrapped(env, spec.id)


def _maker_of(spec: Any) -> Any:
    """What makes an environment: its class, or a function.

    Raises:
        RegistryError: It cannot be imported.
    """
    if not isinstance(spec.entry_point, str):
        return spec.entry_point
    known = _entries.get(spec.id)
    near = Path(known.source).parent if known else None
    return load(spec.entry_point, f"cannot make {spec.id}: entry point", kind=_MAKER, error=RegistryError, near=near)


def _needed(maker: Any, given: Collection[str]) -> list[str]:
    """Arguments that have to be given and are not."""
    try:
        parameters = inspect.signature(maker).parameters.values()
    except (TypeError, ValueError):  # not all callables say
        return []
    named = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [one.name for one in parameters if one.kind in named and one.default is one.empty and one.name not in given]


def _own(value: Any) -> Any:
    """A copy of JSON data, so that no instance sees what another does to it; all else is shared."""
    if type(value) is dict:
        return {name: _own(item) for name, item in value.items()}
    return [_own(item) for item in value] if type(value) is list else value


def _makes(found: object) -> bool:
    return issubclass(found, gymnasium.Env) if isinstance(found, type) else callable(found)


_MAKER = Kind("a class of environments derived from ToolEnv", _makes)


def _spec_of(env_id: str) -> Any:
    module, _, name = env_id.rpartition(":")
    if module:
        import_named(module, f"environment {env_id!r}", error=RegistryError)
    check_id(name)
    return gymnasium.registry[name]


def _clutter(error: BaseException) -> str:
    """What Gymnasium writes behind what a TypeError says: all arguments."""
    cause = error.__cause__
    return str(error).removeprefix(str(cause)) if isinstance(error, TypeError) and isinstance(cause, TypeError) else ""


def _unwrapped(env: Any, env_id: str) -> ToolEnv:
    """The environment inside of Gymnasium's own layer; others would act in `make`, and in no driver."""
    from llmgym.env import ToolEnv

    core = env.unwrapped
    if not isinstance(core, ToolEnv):
        raise RegistryError(f"{env_id} is a {type(core).__name__}, not an llmgym.ToolEnv")
    layer = env
    while isinstance(layer, gymnasium.Wrapper):
        if not isinstance(layer, gymnasium.wrappers.OrderEnforcing):
            name = type(layer).__name__
            core.close()
            advice = "max_turns" if isinstance(layer, gymnasium.wrappers.TimeLimit) else "`wrappers` of a run"
            raise RegistryError(
                f"{env_id} is registered with the wrapper {name}, which would act in gymnasium.make and not in "
                f"rollouts: register it without, and use {advice}"
            )
        layer = layer.env
    return core


def describe(env_id: str) -> dict[str, Any]:
    """All that is known of an environment, as JSON data: its entry, documentation, tools, tasks and an example."""
    found = entry(env_id)
    known = {
        **{key: getattr(found, key) for key in ("id", "base", "summary", "entry_point", "max_turns", "kwargs")},
        "domains": list(found.domains),
        "needs": list(found.needs),
        "licence": found.tasks.licence,
        "origin": found.tasks.origin,
        "source": found.source,
    }
    maker = _maker_of(_spec_of(found.id))
    if needed := _needed(maker, found.kwargs):
        example = {"error": f"it needs {' and '.join(needed)}"}
        said = inspect.getdoc(maker) or ""
        return {**known, "splits": {}, "tools": [], "documentation": said, "example": example}
    env = make_core(found.id)
    try:
        return {
            **known,
            "splits": {split: env.tasks.size(split) for split in env.tasks.splits},
            "tools": [tool.schema for tool in env.tools.values()],
            "documentation": inspect.cleandoc(type(env).__doc__ or ""),
            "example": _example(env),
        }
    finally:
        env.close()


def _example(env: ToolEnv) -> dict[str, Any]:
    """The first task of seed 0: its id and its opening, or why there is none."""
    try:
        messages, info = env.reset(seed=0)
    except (Exception, SystemExit) as error:  # noqa: BLE001 -- its author's code; the rest can be told all the same
        return {"error": str(error) if isinstance(error, LLMGymError) else described(error)}
    return {"task_id": info["task_id"], "opening": list(messages)}
