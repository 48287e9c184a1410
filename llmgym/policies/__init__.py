"""Policies: what samples the assistant messages."""

from __future__ import annotations

import importlib
from typing import Any

from llmgym.chat import ChatGeneration, ChatPolicy, FinishReason, Policy, Sampling
from llmgym.errors import ConfigError
from llmgym.policies.base import Generation, LogprobsMode, TokenPolicy, VersionSpan

__all__ = [
    "ChatGeneration",
    "ChatPolicy",
    "FinishReason",
    "Generation",
    "LogprobsMode",
    "Policy",
    "Sampling",
    "TokenPolicy",
    "VersionSpan",
    "make_policy",
]

#: Short form -> (module, class, help). "NAME" alone, "PREFIX:ARGUMENT", or the address of a server.
POLICIES = {
    "smollm2": ("llmgym.policies.transformers", "TransformersPolicy", "SmolLM2-135M-Instruct, on this machine"),
    "transformers": ("llmgym.policies.transformers", "TransformersPolicy", "transformers:MODEL, a folder or a Hub id"),
    "vllm": ("llmgym.policies.vllm", "VLLMPolicy", "vllm:MODEL, a folder or a Hub id, on vLLM in this process"),
    "http": (
        "llmgym.policies.server",
        "ServerPolicy",
        "http://HOST:PORT of `vllm serve`, several with commas; https too",
    ),
    "openai": ("llmgym.policies.openai", "OpenAIPolicy", "openai:MODEL, any OpenAI-compatible chat endpoint"),
    "script": ("llmgym.policies.scripted", "ScriptedPolicy", "script:module.function, a Python function"),
    "human": ("llmgym.policies.scripted", "HumanPolicy", "a person at this terminal"),
}


_WITH_ARGUMENT = frozenset({"transformers", "vllm", "http", "openai", "script"})


def make_policy(spec: str, **options: Any) -> Policy:
    """Make a policy from its short form; nothing is loaded before `start`.

    Args:
        spec: Such as "smollm2", "transformers:Qwen/Qwen3-0.6B", "http://localhost:8000",
            "http://gpu1:8000,http://gpu2:8000", "openai:gpt-5", "script:my.policy".
        **options: Further arguments of the policy's class.

    Raises:
        ConfigError: The short form is unknown, or the class refuses the options.
    """
    kind, _, argument = spec.partition(":")
    if kind in ("http", "https"):
        kind, argument = "http", spec
    if kind not in POLICIES or bool(argument) != (kind in _WITH_ARGUMENT):
        forms = "; ".join(f"{name} ({text})" for name, (_, _, text) in POLICIES.items())
        raise ConfigError(f"unknown policy {spec!r}; there is {forms}")
    module, name, _ = POLICIES[kind]
    arguments = (argument or kind,) if kind != "human" else ()
    try:
        return getattr(importlib.import_module(module), name)(*arguments, **options)
    except TypeError as error:
        raise ConfigError(f"policy {spec!r}: {error}") from error
