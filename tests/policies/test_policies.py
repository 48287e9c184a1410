"""What is taken for a policy, and what is said of all else."""

from __future__ import annotations

import sys
from typing import Any, cast

import pytest

from llmgym.errors import ConfigError
from llmgym.policies import POLICIES, Policy, ScriptedPolicy, as_policy, forms, make_policy
from llmgym.policies.base import gives_load, gives_tokens
from llmgym.policies.reference import OraclePolicy
from tests.rollouts import WordPolicy, Words, answer, say


class Chatty:
    """A policy whose names are missing."""

    async def chat(self) -> None: ...


class NoPolicy:
    """Neither generates nor chats."""

    name = model = "none"


def test_policies_functions_and_short_forms_are_policies() -> None:
    policy = WordPolicy(Words(), say)
    assert as_policy(policy) is policy
    assert as_policy(oracle := OraclePolicy()) is oracle
    assert isinstance(as_policy(answer), ScriptedPolicy)
    assert as_policy("script:tests.rollouts.answer").name == as_policy(answer).name == make_policy(answer).name
    assert as_policy(lambda messages, tools: "x").name.startswith("script:")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "None is no policy: give a short form such as 'smollm2', a function"),
        (3, "3 is no policy"),
        (NoPolicy(), "is no policy"),
        (NoPolicy, "NoPolicy is a class; give a policy or a function"),
        (WordPolicy, "WordPolicy is a class; give an instance of it, such as WordPolicy()"),
        (OraclePolicy, "OraclePolicy is a class; give an instance of it"),
        (Chatty(), "the policy Chatty has no name and no model and no start and no close"),
        (lambda: "x", "is called with the messages and the tools, but: too many positional arguments"),
        ("gpt", "unknown policy 'gpt'; there is smollm2 (SmolLM2"),
        ("smolm2", "unknown policy 'smolm2'; did you mean smollm2?"),
        ("openia", "did you mean openai:MODEL?"),
        ("script", "unknown policy 'script'; write script:module.function"),
        ("http", "'http' is not the address of a server"),
        ("oracle:x", "unknown policy 'oracle:x'; oracle takes no argument"),
        ("vllm:/no/such/folder", "the folder '/no/such/folder' is not there"),
        ("transformers:~/no/such", "is not there; a model is a folder with a config.json, or a Hub id"),
        ("transformers:a/b/c", "the folder 'a/b/c' is not there"),
        (f"transformers:{__file__}", "is no folder"),
    ],
)
def test_what_is_none_is_answered_in_a_line(value: Any, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        as_policy(value)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_options_go_with_a_name() -> None:
    assert make_policy("random", seed=3).model == "random:3"
    with pytest.raises(ConfigError, match="policy 'random': there is no option 'sed', but seed"):
        make_policy("random", sed=3)
    with pytest.raises(ConfigError, match="policy 'human': there is no option 'seed', but none"):
        make_policy("human", seed=3)
    with pytest.raises(ConfigError, match="policy_options seed are for a policy that is named"):
        make_policy(answer, seed=3)


@pytest.mark.parametrize("spec", ["openai:m", "http://localhost:8000"])
@pytest.mark.parametrize(
    ("name", "value"), [("timeout", "60s"), ("timeout", None), ("max_retries", 1.5), ("max_retries", True)]
)
def test_options_that_are_no_numbers_are_named(spec: str, name: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=f"{name} is {value!r}; give a number"):
        make_policy(spec, **{name: value})
    make_policy(spec, **{name: 3})


def test_every_short_form_is_shown_as_it_is_written() -> None:
    assert list(forms()) == [
        "smollm2", "transformers:MODEL", "vllm:MODEL", "http://HOST:PORT", "openai:MODEL", "script:module.function",
        "oracle", "random", "human",
    ]  # fmt: skip
    assert len(POLICIES) == len(forms())
    for kind in ("smollm2", "oracle", "random", "human"):
        assert isinstance(make_policy(kind), Policy)


def test_a_wrapper_is_what_it_wraps() -> None:
    class Slower:
        def __init__(self, policy: Any) -> None:
            self._policy = policy

        def __getattr__(self, name: str) -> Any:
            return getattr(self._policy, name)

    assert gives_tokens(Slower(WordPolicy(Words(), say)))
    assert not gives_load(Slower(WordPolicy(Words(), say)))
    assert not gives_tokens(Slower(make_policy("random")))


async def test_an_engine_that_never_was_is_closed_without_vllm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)
    await cast("Any", make_policy("vllm:org/model")).close()
