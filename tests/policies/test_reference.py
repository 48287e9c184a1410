"""The oracle and the random policy."""

from __future__ import annotations

import math
import subprocess
import sys
from typing import Any

import pytest

from llmgym.chat import Sampling
from llmgym.env import ToolEnv
from llmgym.errors import EnvironmentFailure, PolicyError
from llmgym.messages import as_assistant, assistant, tool_call, user
from llmgym.policies import ChatPolicy, OraclePolicy, Policy, RandomPolicy, TokenPolicy, make_policy, oracle_replies
from llmgym.policies.reference import OracleEnvironment
from llmgym.registry import list_envs, make_core
from llmgym.tasks import Task
from tests.command import environ
from tests.environments import Adder, Chat, SuspendingAdder


async def solve(core: ToolEnv, task_id: str | None = None) -> float:
    """Play the oracle; its reward, NaN where the episode goes on."""
    await core.areset(seed=3, options={"task_id": task_id} if task_id else None)
    total = 0.0
    async for message in oracle_replies(core):
        _, reward, terminated, truncated, _ = await core.astep(message)
        total += reward
        if terminated or truncated:
            return total
    return float("nan")


_ALONE = [entry.id for entry in list_envs() if entry.id.startswith("llmgym/") and "judge" not in entry.needs]


@pytest.mark.parametrize("env_id", _ALONE)
async def test_the_oracle_solves_every_environment(env_id: str) -> None:
    core = make_core(env_id)
    for index in range(3):
        task = core.tasks.plan("train", 0, index, scope=core.scope)
        earned = await solve(core, task.id)
        assert earned >= 1.0 if core.oracle_kind == "optimal" else math.isfinite(earned)


@pytest.mark.parametrize("cls", [Adder, SuspendingAdder])
async def test_a_generator_sees_what_its_message_did(cls: type[ToolEnv]) -> None:
    assert await solve(cls()) == 1.0


async def test_an_oracle_may_talk() -> None:
    core = Chat()
    assert await solve(core) == 0.75 + 1.0
    assert [m["content"] for m in core.transcript if m["role"] == "assistant"][:2] == ["hello", "still here"]


def with_oracle(oracle: Any) -> Any:
    """An environment whose oracle is a function of the environment and the task."""
    return type("Other", (Adder,), {"oracle": oracle})()


async def listed(self: Any, task: Task) -> Any:
    return [assistant("", tool_call("add", a=1)), str(task.answer)]


async def generated(self: Any, task: Task) -> Any:
    yield assistant("", tool_call("add", a=1))
    assert self.transcript[-1]["role"] == "tool"
    yield str(task.answer)


@pytest.mark.parametrize("oracle", [listed, generated, lambda self, task: (str(task.answer),)])
async def test_an_oracle_of_any_form(oracle: Any) -> None:
    core = with_oracle(oracle)
    assert isinstance(core, ToolEnv)
    _: OracleEnvironment = core
    assert await solve(core) == 1.0


def stops(self: Any, task: Task) -> Any:
    yield "hm"
    raise SystemExit(2)


@pytest.mark.parametrize(
    ("oracle", "said"),
    [
        (ToolEnv.oracle, "Other has no oracle; write its `oracle"),
        (lambda self, task: 1 // 0, r"the oracle of Other failed: ZeroDivisionError: .*, at .*test_reference\.py:\d+"),
        (lambda self, task: [3], r"the oracle of Other failed: not an assistant message"),
        (lambda self, task: None, "the oracle of Other failed: TypeError"),
        (lambda self, task: "the answer", "it gave a single message; put it in a list"),
        (lambda self, task: assistant("7"), "it gave a single message; put it in a list"),
        (stops, r"it called sys\.exit\(2\)"),
    ],
)
async def test_what_is_wrong_with_an_oracle_is_said(oracle: Any, said: str) -> None:
    core = with_oracle(oracle)
    await core.areset(seed=0)
    with pytest.raises(PolicyError, match=said):
        async for _ in oracle_replies(core):
            pass


async def test_an_oracle_without_its_backend_says_nothing_of_the_oracle() -> None:
    def oracle(self: Any, task: Task) -> Any:
        raise EnvironmentFailure("the index is down")

    core = with_oracle(oracle)
    await core.areset(seed=0)
    with pytest.raises(EnvironmentFailure, match="the index is down"):
        await anext(oracle_replies(core))


async def test_the_oracle_is_a_policy_and_not_one_that_can_be_asked() -> None:
    policy = make_policy("oracle")
    assert isinstance(policy, OraclePolicy)
    assert isinstance(policy, Policy)
    assert not isinstance(policy, ChatPolicy | TokenPolicy)
    assert (policy.name, policy.model) == ("oracle", "oracle")
    await policy.start()
    await policy.close()


# --- chance -------------------------------------------------------------------------------------

TOOLS: Any = [tool.schema for tool in Adder().tools.values()]


async def ask(policy: Any, request_id: str, tools: Any = TOOLS, **sampling: Any) -> Any:
    reply = await policy.chat([user("hi")], tools, Sampling(**sampling), request_id=request_id, session_id="s")
    return reply.message


async def test_a_request_has_one_answer() -> None:
    first, second = make_policy("random"), RandomPolicy()
    assert isinstance(first, ChatPolicy)
    ids = [f"env/task/{number}" for number in range(40)]
    said = [await ask(first, name) for name in ids]
    assert said == [await ask(second, name) for name in ids]
    assert len({str(message) for message in said}) > 20
    assert said != [await ask(RandomPolicy(seed=1), name) for name in ids]
    assert said != [await ask(first, name, seed=1) for name in ids]
    assert (RandomPolicy(seed=1).name, RandomPolicy(seed=1).model) == ("random", "random:1")


async def test_calls_fit_their_schemas() -> None:
    [tool] = Adder().tools.values()
    policy = RandomPolicy()
    calls = 0
    for number in range(50):
        message = await ask(policy, str(number))
        assert as_assistant(message) == message
        for call in message.get("tool_calls", ()):
            tool.parse(call["function"]["arguments"])
            calls += 1
    assert calls > 20
    assert all([not (await ask(policy, str(number), [])).get("tool_calls") for number in range(20)])


def test_the_answer_is_the_same_in_every_process() -> None:
    code = (
        "import asyncio\nfrom tests.policies.test_reference import *\n"
        "print(asyncio.run(ask(RandomPolicy(), 'a\\udcff')))"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code], env=environ(PYTHONHASHSEED=str(number)), capture_output=True, text=True,
            timeout=60, check=True,
        ).stdout
        for number in range(2)
    }  # fmt: skip
    assert len(outputs) == 1
