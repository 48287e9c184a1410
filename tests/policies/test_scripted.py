"""Policies without a model."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from llmgym.errors import ConfigError, PolicyError
from llmgym.messages import assistant, tool_call, user
from llmgym.policies import ChatPolicy, Sampling, TokenPolicy, make_policy
from llmgym.policies.scripted import ScriptedPolicy
from tests import rollouts
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
        ("nothing", "script 'nothing': write module:name or module.name"),
        ("no_such_module.f", "script 'no_such_module.f': there is no module 'no_such_module'"),
        ("tests.rollouts.nobody", "rollouts.py has no 'nobody'"),
        ("tests.rollouts.not_a_function", "'tests.rollouts.not_a_function' is of type int, not a function"),
        ("torn_script.f", "cannot import torn_script: SyntaxError: invalid syntax, at "),
    ],
)
def test_a_path_to_nothing_is_named(path: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "torn_script.py").write_text("def f(:\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    with pytest.raises(ConfigError) as error:
        make_policy(f"script:{path}")
    assert said in str(error.value)


@pytest.mark.parametrize(
    "script", [lambda: "x", lambda messages: "x", lambda a, b, c: "x", lambda *, messages, tools: "x"]
)
def test_a_function_of_something_else_is_refused(script: Any) -> None:
    with pytest.raises(ConfigError, match="is called with the messages and the tools, but"):
        ScriptedPolicy(script)


async def test_anything_that_can_be_called_so_is_a_script() -> None:
    class Speaker:
        def __call__(self, messages: Any, tools: Any = ()) -> str:
            return "A"

    assert (await say(ScriptedPolicy(Speaker()))).message == assistant("A")
    assert ScriptedPolicy(Speaker()).name.endswith("Speaker")


@pytest.mark.parametrize("reply", [3, None, {"role": "user", "content": "hi"}, {"content": 3}])
async def test_what_is_no_message_is_a_policy_error(reply: Any) -> None:
    with pytest.raises(PolicyError, match=r"script:.*not an assistant message"):
        await say(ScriptedPolicy(lambda messages, tools: reply))


async def test_what_a_function_raises_is_a_policy_error() -> None:
    with pytest.raises(PolicyError, match=r"script:tests\.rollouts\.broken: RuntimeError: no idea"):
        await say(ScriptedPolicy("tests.rollouts.broken"))
    with pytest.raises(PolicyError, match=rf"no idea, at {rollouts.__file__}:\d+$"):
        await say(ScriptedPolicy("tests.rollouts:broken"))


async def test_a_function_that_ends_the_process_is_a_policy_error() -> None:
    def leave(messages: Any, tools: Any) -> str:
        raise SystemExit(3)

    with pytest.raises(PolicyError, match=r"it called sys\.exit\(3\), at .*test_scripted"):
        await say(ScriptedPolicy(leave))
