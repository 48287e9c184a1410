"""Policies: what samples the assistant messages."""

from __future__ import annotations

import difflib
import importlib
import inspect
from numbers import Integral, Real
from typing import Any, cast

from llmgym.chat import ChatGeneration, ChatPolicy, FinishReason, Policy, Sampling
from llmgym.errors import ConfigError
from llmgym.policies.base import Generation, LogprobsMode, TokenPolicy, VersionSpan
from llmgym.policies.reference import OraclePolicy, RandomPolicy, oracle_replies
from llmgym.policies.scripted import Script, ScriptedPolicy

__all__ = [
    "ChatGeneration",
    "ChatPolicy",
    "FinishReason",
    "Generation",
    "LogprobsMode",
    "OraclePolicy",
    "Policy",
    "RandomPolicy",
    "Sampling",
    "ScriptedPolicy",
    "TokenPolicy",
    "VersionSpan",
    "as_policy",
    "make_policy",
    "oracle_replies",
]

#: Short form -> (module, class, its argument, help). "NAME" alone, "PREFIX:ARGUMENT", or the address of a server.
POLICIES = {
    "smollm2": ("transformers", "TransformersPolicy", "", "SmolLM2-135M-Instruct, on this machine"),
    "transformers": ("transformers", "TransformersPolicy", "MODEL", "a folder or a Hub id, on this machine"),
    "vllm": ("vllm", "VLLMPolicy", "MODEL", "a folder or a Hub id, on vLLM in this process"),
    "http": ("server", "ServerPolicy", "//HOST:PORT", "servers of `vllm serve`, several with commas; https too"),
    "openai": ("openai", "OpenAIPolicy", "MODEL", "any OpenAI-compatible chat endpoint"),
    "script": ("scripted", "ScriptedPolicy", "module.function", "a Python function of the messages and the tools"),
    "oracle": ("reference", "OraclePolicy", "", "each environment's own solution"),
    "random": ("reference", "RandomPolicy", "", "random calls of the tools"),
    "human": ("human", "HumanPolicy", "", "a person at this terminal"),
}

_NUMBERS = {"int": Integral, "float": Real}  # by annotation
_NAMES_A_MODEL = frozenset({"transformers", "vllm"})


def make_policy(spec: Any, **options: Any) -> Policy:
    """Make a policy from its short form; nothing is loaded before `start`.

    Args:
        spec: Such as "smollm2", "transformers:Qwen/Qwen3-0.6B", "http://localhost:8000",
            "http://gpu1:8000,http://gpu2:8000", "openai:gpt-5", "script:my.policy", "oracle"; or what
            `as_policy` takes.
        **options: Further arguments of the policy's class.

    Raises:
        ConfigError: The short form is unknown, the folder that it names is not there, or the class refuses the options.
    """
    if not isinstance(spec, str):
        if options:
            raise ConfigError(
                f"policy_options {', '.join(options)} are for a policy that is named, not for {spec!r:.100}"
            )
        return as_policy(spec)
    kind, _, argument = spec.partition(":")
    if kind in ("http", "https"):
        kind, argument = "http", spec
    if kind not in POLICIES or bool(argument) != bool(POLICIES[kind][2]):
        raise ConfigError(f"unknown policy {spec!r}{_hint(kind, argument)}")
    if kind in _NAMES_A_MODEL:
        from llmgym.policies.models import check_folder

        check_folder(argument)
    module, name, _, _ = POLICIES[kind]
    cls = getattr(importlib.import_module(f"llmgym.policies.{module}"), name)
    _expect_options(spec, cls, options)
    try:
        return cls(*([argument] if argument else []), **options)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"policy {spec!r}: {error}") from error


def as_policy(value: Any, **options: Any) -> Policy:
    """Take whatever somebody gives as a policy: its short form, a policy, or a function of the messages and the tools.

    Args:
        value: A function becomes a `ScriptedPolicy`.
        **options: Arguments of the class of a short form.

    Raises:
        ConfigError: It is none of these; says what to write.
    """
    if isinstance(value, str):
        return make_policy(value, **options)
    replies = [name for name in ("generate", "chat") if callable(getattr(value, name, None))]
    if inspect.isclass(value):
        what = "an instance of it" if replies or issubclass(value, OraclePolicy) else "a policy or a function"
        raise ConfigError(f"{value.__name__} is a class; give {what}, such as {value.__name__}()")
    if replies or isinstance(value, OraclePolicy):
        if absent := [name for name in ("name", "model", "start", "close") if not hasattr(value, name)]:
            raise ConfigError(
                f"the policy {type(value).__name__} has no {' and no '.join(absent)}; see docs/policies.md"
            )
        return value
    if callable(value):
        return ScriptedPolicy(cast("Script", value))
    raise ConfigError(
        f"{value!r:.100} is no policy: give a short form such as 'smollm2', a function of the messages and the tools, "
        "or an object with `generate` or `chat`"
    )


def forms() -> dict[str, str]:
    """Each short form as it is written, and what it is."""
    return {f"{kind}:{argument}" if argument else kind: text for kind, (_, _, argument, text) in POLICIES.items()}


def _expect_options(spec: str, cls: type, options: dict[str, Any]) -> None:
    """Refuse options that a class of policies does not have, and what is no number where it takes one."""
    taken = inspect.signature(cls).parameters
    named = [name for name, parameter in taken.items() if parameter.kind is parameter.KEYWORD_ONLY]
    open_ = any(parameter.kind is parameter.VAR_KEYWORD for parameter in taken.values())
    for name, value in options.items():
        if name not in taken and not open_:
            raise ConfigError(f"policy {spec!r}: there is no option {name!r}, but {', '.join(named) or 'none'}")
        kind, _, optional = str(taken[name].annotation if name in taken else "").partition(" | ")
        number = _NUMBERS.get(kind)
        if number is None or (value is None and optional == "None"):
            continue
        if not isinstance(value, number) or isinstance(value, bool):
            raise ConfigError(f"policy {spec!r}: {name} is {value!r:.100}; give a number of type {kind}")


def _hint(kind: str, argument: str) -> str:
    if kind in POLICIES:
        if wanted := POLICIES[kind][2]:
            return f"; write {kind}:{wanted}"
        return f"; {kind} takes no argument"
    near = difflib.get_close_matches(kind, POLICIES, n=1)
    if near and not argument:
        return f"; did you mean {near[0]}{':' * bool(POLICIES[near[0]][2])}{POLICIES[near[0]][2]}?"
    return f"; there is {'; '.join(f'{form} ({text})' for form, text in forms().items())}"
