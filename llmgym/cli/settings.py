"""The configuration of a run as the command line gives it: a file, `--set` and flags, checked all at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from llmgym.cli.verb import Several
from llmgym.errors import ConfigError, LLMGymError
from llmgym.files import parse_yaml
from llmgym.policies import make_policy
from llmgym.policies.base import gives_load
from llmgym.registry import check_id
from llmgym.rollout.config import RolloutConfig, config_problems, load_config, parse_config
from llmgym.rollout.roles import cast_roles
from llmgym.rollout.seats import Players
from llmgym.wrappers import find_wrapper


def read_settings(
    file: Path | None,
    assignments: Iterable[str],
    flags: Mapping[str, Any],
    inner: Mapping[str, Mapping[str, Any]],
) -> RolloutConfig:
    """Read a configuration: flags go over `--set`, and both over the file.

    Args:
        file: YAML file.
        assignments: NAME=VALUE, as `--set` takes them.
        flags: Settings by name; None where a flag was not given.
        inner: The same of settings that have others in them, such as `responses_create_params`.

    Raises:
        ConfigError: All that is wrong and can be known without making an environment or loading a model.
    """
    problems: list[str] = []
    settings: dict[str, Any] = {}
    source = str(file) if file else "flags"
    try:
        settings = load_config(file) if file else {}
    except ConfigError as error:
        problems.append(str(error))
    unread = bool(problems)  # what the file would have said is not missing
    for text in assignments:
        try:
            assign(settings, text)
        except ConfigError as error:
            problems.append(str(error))
    settings |= {name: value for name, value in flags.items() if value is not None}
    for name, group in inner.items():
        given = {key: value for key, value in group.items() if value is not None}
        known = settings.get(name) or {}
        if given and isinstance(known, dict):  # what else it may be is refused below
            settings[name] = known | given
    if not settings.get("env_ids") and not unread:
        problems.append("env_ids is empty; name an environment, as in --env llmgym/Calculator-v0")
    problems += config_problems(settings, source)
    problems += _wrong_names(settings)
    if problems:
        raise Several(list(dict.fromkeys(problems)))
    return parse_config(settings, source)


def assign(settings: dict[str, Any], text: str) -> None:
    """Apply NAME=VALUE, where the value is YAML, and NAME may be dotted: `policy_options.base_url=http://...`.

    Raises:
        ConfigError: It is something else, or goes into what is no mapping.
    """
    name, equals, value = text.partition("=")
    if not equals or not all(name.split(".")):
        raise ConfigError(f"--set takes NAME=VALUE, not {text!r}")
    read = parse_yaml(value, f"--set {name}")
    *path, last = name.split(".")
    for depth, part in enumerate(path, 1):
        inner = settings.get(part)
        if inner is not None and not isinstance(inner, dict):
            where = ".".join(path[:depth])
            raise ConfigError(
                f"--set {name}: {where} is {inner!r:.100}, which has no {(*path[depth:], last)[0]!r} in it"
            )
        settings[part] = dict(inner or {})  # never the caller's own
        settings = settings[part]
    settings[last] = read


def _wrong_names(settings: dict[str, Any]) -> Iterator[str]:
    """Policies, environments and wrappers that there are not; what is no name at all is said elsewhere."""
    yield from _wrong_policy(settings)
    try:
        environments = parse_config({"env_ids": settings.get("env_ids") or []}).tasks.environments
    except ConfigError:
        return
    for env in environments:
        try:
            check_id(env.id)
            for wrapper in env.wrappers:
                find_wrapper(wrapper.name)
        except ConfigError as error:
            yield str(error)


def _wrong_policy(settings: dict[str, Any]) -> Iterator[str]:
    spec, options = settings.get("policy", RolloutConfig().agent.policy), settings.get("policy_options") or {}
    if not isinstance(spec, str) or not isinstance(options, dict):
        return
    try:
        policy = make_policy(spec, **{str(name): value for name, value in options.items()})
    except LLMGymError as error:
        yield str(error)
        return
    yield from _wrong_casts(settings.get("models"), lambda one: cast_roles(one, policy))
    yield from _wrong_casts(settings.get("policies"), lambda one: Players(one, policy))
    if settings.get("num_samples_in_parallel") == "auto" and not gives_load(policy):
        yield f'num_samples_in_parallel is "auto", but {policy.name} does not know how busy it is; give a number'


def _wrong_casts(given: Any, cast: Callable[[dict[str, Any]], object]) -> Iterator[str]:
    """What is no policy of a role or an agent; which of these there are is known once the environments are made."""
    for name, spec in given.items() if isinstance(given, dict) else ():
        try:
            cast({name: spec})
        except LLMGymError as error:
            yield str(error)
