"""Policies without a model."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from llmgym.errors import ConfigError, PolicyError
from llmgym.messages import assistant, tool_call, user
from llmgym.policies import ChatPolicy, Sampling, TokenPolicy, make_policy
from llmgym.policies.scripted import HumanPolicy, ScriptedPolicy, read_line
from tests.rollouts import slow

TOOL: Any = {"type": "function", "function": {"name": "add", "description": "", "parameters": {}}}


async def say(policy: ChatPolicy, text: str = "spell a") -> Any:
    return await policy.chat([user(text)], [TOOL], Sampling(), request_id="r", session_id="s")


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        ("A", assistant("A")),
        (assistant("", tool_call("add", a=1)), assistant("", tool_call("add", a=1))),
        ('<tool_call>{"name": "add"}</tool_call>', assistant("", tool_call("add"))),
        ("a\ud800b", assistant("a\ufffdb")),
    ],
)
async def test_a_function_says_text_or_a_message(reply: Any, message: Any) -> None:
    generation = await say(ScriptedPolicy(lambda messages, tools: reply))
    assert (generation.message, generation.finish_reason) == (message, "stop")


async def test_a_function_may_be_async() -> None:
    assert (await say(ScriptedPolicy(slow))).message == assistant("A")


async def test_a_function_is_found_by_its_path() -> None:
    policy = make_policy("script:tests.rollouts.answer")
    assert isinstance(policy, ChatPolicy)
    assert not isinstance(policy, TokenPolicy)
    assert (policy.name, policy.model) == ("script:tests.rollouts.answer", "tests.rollouts.answer")
    await policy.start()
    assert (await say(policy)).message == assistant("A")
    await policy.close()


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("nothing", "there is no function 'nothing'"),
        ("no_such_module.f", "there is no function 'no_such_module.f': No module named 'no_such_module'"),
        ("tests.rollouts.nobody", "there is no function 'tests.rollouts.nobody'"),
        ("tests.rollouts.not_a_function", "'tests.rollouts.not_a_function' is a int, not a function"),
        ("torn_script.f", "cannot import torn_script: SyntaxError"),
    ],
)
def test_a_path_to_nothing_is_named(path: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "torn_script.py").write_text("def f(:\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    with pytest.raises(ConfigError) as error:
        make_policy(f"script:{path}")
    assert said in str(error.value)


@pytest.mark.parametrize("reply", [3, None, {"role": "user", "content": "hi"}, {"content": 3}])
async def test_what_is_no_message_is_a_policy_error(reply: Any) -> None:
    with pytest.raises(PolicyError, match=r"script:.*not an assistant message"):
        await say(ScriptedPolicy(lambda messages, tools: reply))


async def test_what_a_function_raises_is_a_policy_error() -> None:
    with pytest.raises(PolicyError, match=r"script:tests\.rollouts\.broken: RuntimeError: no idea"):
        await say(ScriptedPolicy("tests.rollouts.broken"))


async def test_a_person_writes_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("builtins.input", lambda prompt: 'add {"a":1}')
    assert (await say(HumanPolicy())).message == assistant("", tool_call("add", a=1))

    def end(prompt: str) -> str:
        raise EOFError

    monkeypatch.setattr("builtins.input", end)
    with pytest.raises(PolicyError, match="the input has ended"):
        await say(HumanPolicy())


async def test_a_person_sees_what_is_new(monkeypatch: pytest.MonkeyPatch) -> None:
    prompts: list[str] = []
    monkeypatch.setattr("builtins.input", lambda prompt: prompts.append(prompt) or "ok")
    messages = [user("old"), assistant("hm"), user("new"), user("newer")]
    await HumanPolicy().chat(messages, [], Sampling(), request_id="r", session_id="s")
    assert "old" not in prompts[0]
    assert prompts[0].index("new") < prompts[0].index("newer") < prompts[0].index("> ")


def test_lines_are_text_or_calls() -> None:
    assert read_line("add", {"add"}) == assistant(
        "", {"type": "function", "function": {"name": "add", "arguments": "{}"}}
    )
    assert read_line("  add {broken ", {"add"})["tool_calls"][0]["function"]["arguments"] == "{broken"  # type: ignore[typeddict-item]
    assert read_line("adding things", {"add"}) == assistant("adding things")
    assert read_line("", {"add"}) == assistant("")
