"""What an environment's class may define, checked when it is defined.

An author's names are his: the base keeps its own state in one private object, and where one of his names would hide
something that others rely on, the class is refused with a better name.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec

from llmgym.concurrency import may_suspend
from llmgym.errors import AuthorError, ConfigError
from llmgym.tools import Tool

#: What a subclass defines.
HOOKS: Final = frozenset(
    {"setup", "respond", "verify", "oracle", "read_row", "row_schema", "opening", "offered", "group_verify",
     "teardown", "aclose", "render"}
)  # fmt: skip
#: What a subclass, or an instance before it is used, may set.
SETTINGS: Final = frozenset(
    {"tasks", "tools", "system_prompt", "max_turns", "tool_timeout", "hook_timeout", "verify_in", "verify_from",
     "roles", "sandbox", "transport", "identity", "oracle_kind", "metadata", "render_mode", "split", "spec",
     "observation_space", "action_space"}
)  # fmt: skip

#: Of these, what an instance is made with, and what it is; Gymnasium sets the last.
FIXED: Final = {
    "tasks": "where tasks come from",
    "tools": "what a model may call",
    "roles": "which models it needs",
    "spec": "how it is registered",
}

_INSTEAD = {
    "reset": "write `setup`, which begins an episode",
    "step": "write tools and `respond`, which answer a message",
    "areset": "write `setup`, which begins an episode",
    "astep": "write tools and `respond`, which answer a message",
    "aend": "write `verify`, which scores an ended episode",
    "close": "write `aclose`, which may be plain or async",
    "task": "`setup` is given the task; keep it as `self.problem`",
    "tasks": "a list of your own is `self.todo`",
    "models": "name the roles in `roles`",
    "tools": "those of your own are `self.kit`; which are offered says `offered`, or the constructor before the base's",
    "roles": "those of your own are `self.parts`; the constructor says before the base's which it needs",
    "spec": "that of a task is `self.problem`",
}


#: What is neither; filled by `take_names`, since the base can be looked at only once it is there.
OWN: set[str] = set()

# Gymnasium sets these on instances.
_GYMNASIUMS = frozenset({"np_random", "_np_random", "_np_random_seed"})


@dataclass(frozen=True, slots=True)
class Traits:
    """What a class does, found out once.

    Attributes:
        suspends: Whether anything in it may need an event loop.
        responds: Whether it answers messages without tool calls.
        groups: Whether it scores the repeats of a task beside each other.
        offers: Whether its tools differ by task.
        tears: Whether its episodes have something to free.
        frees: Whether they, or its instances, have.
        options: Reset options of its own; None for any.
    """

    suspends: bool
    responds: bool
    groups: bool
    offers: bool
    tears: bool
    frees: bool
    options: frozenset[str] | None

    @classmethod
    def of(cls, env: Any, base: Any) -> Traits:
        """Look at an environment's class."""
        hooks = [env.setup, env.respond, env.verify, env.teardown, env.opening, env.offered, env.group_verify]
        if env.aclose is not base.aclose:
            hooks.append(env.aclose.__wrapped__)
        offers = env.offered is not base.offered
        tears = env.teardown is not base.teardown
        return cls(
            suspends=env.verify_in != "loop"
            or bool(env.roles)
            or any(tool.suspends for tool in env.tools.values())
            or any(may_suspend(hook) for hook in hooks if hook not in vars(base).values()),
            responds=env.respond is not base.respond,
            groups=env.group_verify is not base.group_verify,
            offers=offers,
            tears=tears,
            frees=tears or env.aclose is not base.aclose,
            options=reset_options(env.setup),
        )


def take_names(base: type) -> None:
    """Note the names of the base that are neither hooks nor settings."""
    names = {name for cls in (base, gymnasium.Env) for name in vars(cls) if not name.startswith("__")}
    names = {name for name in names if not name.startswith(f"_{base.__name__}__")}
    OWN.update(names - HOOKS - SETTINGS)


def check_no_tools(cls: type) -> None:
    """See that a class does not say by itself what its tools are, which are the methods with `@tool`.

    Raises:
        AuthorError: It does.
    """
    given = vars(cls).get("tools", {})
    if not isinstance(given, dict) or not all(isinstance(tool, Tool) for tool in given.values()):
        raise AuthorError(f"{cls.__name__}.tools is {FIXED['tools']}, the methods marked @tool: call yours `kit`")


def check_class(cls: Any, base: type) -> None:
    """See that a class hides nothing of the base.

    Raises:
        AuthorError: It does; names what, and what to write instead.
    """
    for name in cls.tools:
        if hasattr(base, name):
            raise AuthorError(
                f"{cls.__name__}: a tool cannot be called {name!r}, which is ToolEnv's own; call it {name}_it, or as "
                "what it does"
            )
    for name in OWN:
        holder = next((c for c in cls.__mro__ if name in vars(c)), None)
        if holder is not None and not issubclass(base, holder):
            raise AuthorError(f"{cls.__name__}: {name!r} is ToolEnv's own: {instead(name)}")
    _check_settings(cls)


def check_name(env: Any, name: str) -> None:
    """See that an attribute that is set on an instance hides nothing of the base.

    Raises:
        AuthorError: It does.
    """
    if name in OWN and name not in _GYMNASIUMS:
        raise AuthorError(f"{type(env).__name__}: self.{name} is ToolEnv's own: {instead(name)}")


def check_fixed(env: Any, name: str, value: Any) -> None:
    """See that an attribute of `FIXED` is set by Gymnasium, once an instance is made.

    Raises:
        AuthorError: It is set by the environment.
    """
    if not isinstance(value, EnvSpec):
        raise AuthorError(f"{type(env).__name__}: self.{name} is {FIXED[name]}: {instead(name)}")


def instead(name: str) -> str:
    """What to do for a name that is taken."""
    return _INSTEAD.get(name, f"call yours my_{name.lstrip('_')}")


def _check_settings(cls: Any) -> None:
    if cls.verify_in not in ("loop", "thread", "process"):
        raise AuthorError(f"{cls.__name__}.verify_in must be 'loop', 'thread' or 'process'; it is {cls.verify_in!r}")
    if cls.verify_in != "loop" and inspect.iscoroutinefunction(cls.verify):
        raise AuthorError(f"{cls.__name__}: an `async` verify runs in the event loop: leave verify_in out")
    if cls.verify_from not in ("replay", "transcript"):
        raise AuthorError(f"{cls.__name__}.verify_from must be 'replay' or 'transcript'; it is {cls.verify_from!r}")
    if cls.oracle_kind not in ("optimal", "reference"):
        raise AuthorError(
            f"{cls.__name__}.oracle_kind must be 'optimal', which earns the most on every task, or 'reference', which "
            f"does well on average; it is {cls.oracle_kind!r}"
        )
    if isinstance(cls.roles, str):
        raise AuthorError(f"{cls.__name__}.roles must be a tuple of names, such as ('judge',); it is {cls.roles!r}")
    for name in ("tool_timeout", "hook_timeout", "max_turns"):
        try:
            check_setting(name, getattr(cls, name))
        except ConfigError as error:
            raise AuthorError(f"{cls.__name__}: {error}") from None


def check_setting(name: str, value: Any) -> None:
    """See that a limit makes sense.

    Raises:
        ConfigError: It does not.
    """
    if isinstance(value, np.generic):
        value = value.item()
    number = isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value)
    if name == "max_turns":
        if not (number and isinstance(value, int) and value >= 1):
            raise ConfigError(f"max_turns must be a whole number, at least 1; it is {value!r}")
    elif not (number and 0 < value < math.inf):
        raise ConfigError(f"{name} must be a number of seconds above 0; it is {value!r}")


def check_roles(name: str, roles: Collection[str], models: Collection[str]) -> None:
    """See that an environment of this name has the models that it needs.

    Raises:
        ConfigError: A role has none.
    """
    if missing := [role for role in roles if role not in models]:
        role = missing[0]
        raise ConfigError(f'{name} needs a model for the role {role!r}: pass models={{"{role}": "openai:MODEL"}}')


def check_cast(name: str, roles: Collection[str], models: Collection[str]) -> None:
    """See that an environment of this name has the roles that models are given for.

    Raises:
        ConfigError: A model has none.
    """
    if unknown := [model for model in models if model not in roles]:
        there = ", ".join(roles) or "none"
        raise ConfigError(f"{name} has no role {unknown[0]!r} for a model; there is {there}")


def reset_options(setup: Any) -> frozenset[str] | None:
    """Names of the reset options that a `setup` takes besides the task; None where it takes any."""
    parameters = list(inspect.signature(setup).parameters.values())[2:]
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return None
    return frozenset(parameter.name for parameter in parameters)
