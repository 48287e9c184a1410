"""OpenEnv servers: recorded ones, and ones that do what they should not."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("aiohttp")

from aiohttp import web

from llmgym.adapters import wire
from llmgym.adapters.openenv.actions import ActionForm, result_text, shown
from llmgym.adapters.openenv.env import OpenEnv
from llmgym.adapters.schemas import checker
from llmgym.errors import ConfigError, EnvironmentFailure
from llmgym.messages import assistant, tool_call
from llmgym.registry import make_core
from llmgym.rollout import Collector
from tests.adapters.record import DIALOGUES, play, task_set
from tests.adapters.wire_servers import Replayed, answer, serving
from tests.rollouts import Script, trajectories

NUMBER = {"title": "Move", "type": "object", "properties": {"x": {"type": "integer"}, "metadata": {"type": "object"}}}
TEXT = {"title": "Say", "type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
CALL = {"title": "Call", "type": "object", "properties": {"tool_name": {"type": "string"}, "arguments": {}}}


def seen(text: str = "seen", reward: Any = None, done: Any = False, **more: Any) -> dict[str, Any]:
    return {"type": "observation", "data": {"observation": {"text": text, **more}, "reward": reward, "done": done}}


def error(code: str, message: str = "no", **more: Any) -> dict[str, Any]:
    return {"type": "error", "data": {"code": code, "message": message, **more}}


class Scripted:
    """A server that answers each message by what a function makes of it: an object, or text as it is."""

    def __init__(self, said: Callable[[dict[str, Any]], Any], action: Any = NUMBER) -> None:
        self.said, self.action = said, action
        self.asked: list[Any] = []
        self.open = self.opened = 0

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        if request.path == "/schema":
            return answer({"action": self.action})
        if request.path == "/list_environments":
            return answer({"detail": "Not Found"}, 404)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.open, self.opened = self.open + 1, self.opened + 1
        try:
            async for message in socket:
                asked = json.loads(message.data)
                self.asked.append(asked)
                found = self.said(asked)
                if asyncio.iscoroutine(found):
                    found = await found
                if found is None:
                    break
                await socket.send_str(found if isinstance(found, str) else json.dumps(found))
        finally:
            self.open -= 1
        return socket


def env_of(url: str, **options: Any) -> OpenEnv:
    env = make_core("llmgym/OpenEnv-v0", url=url, **options)
    assert isinstance(env, OpenEnv)
    return env


def move(x: Any = 1) -> Any:
    return assistant("", tool_call("Move", x=x))


def to(step: Any) -> Callable[[dict[str, Any]], Any]:
    """Answer a reset as usual, and a step so."""
    return lambda asked: seen("Begin.") if asked["type"] == "reset" else step(asked) if callable(step) else step


@pytest.mark.parametrize("name", [name for name in DIALOGUES if name.startswith("openenv")])
def test_a_dialogue_with_the_packages_own_server(name: str) -> None:
    replayed = Replayed(name)
    with serving(replayed.http) as url:
        env = make_core("llmgym/OpenEnv-v0", url=url, tasks=task_set("llmgym/OpenEnv-v0", replayed.task))
        assert play(env, replayed.actions) == replayed.seen
    assert replayed.left == []


async def late(asked: Any) -> Any:
    await asyncio.sleep(4.0)
    return seen()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("step", "kind", "text"),
    [
        (None, "infrastructure", "closed the connection"),
        ("<html>", "invalid", "no JSON"),
        ("[]", "invalid", "no object"),
        ("[" * 100_000, "invalid", "no JSON"),
        ('{"type": "observation", "data": {"observation": {}, "reward": NaN, "done": true}}', "invalid", "no JSON"),
        ({"type": "state", "data": {}}, "invalid", "tested with OpenEnv 0.10"),
        ({"type": "observation"}, "invalid", "answered 'step'"),
        (seen(reward="1"), "invalid", "answered 'step'"),
        (seen(done="yes"), "invalid", "answered 'step'"),
        (seen("x" * (17 << 20)), "invalid", "more than 16 MiB"),
        (error("EXECUTION_ERROR", "division by zero"), "environment", "division by zero"),
        (error("SESSION_ERROR"), "infrastructure", "SESSION_ERROR"),
        (error("FACTORY_ERROR"), "infrastructure", "FACTORY_ERROR"),
        (late, "timeout", "did not answer 'step' within 2 s"),
    ],
)
def test_what_is_no_answer_leaves_the_episode_unscored(step: Any, kind: str, text: str) -> None:
    server = Scripted(to(step))
    with serving(server) as url:
        env = env_of(url, tool_timeout=2.0)
        env.reset(seed=0)
        with pytest.raises(EnvironmentFailure, match=text) as failed:
            env.step(move())
        assert failed.value.kind == kind
        env.reset(seed=0)  # a session of its own
        env.close()
        for _ in range(300):
            if server.open == 0:
                break
            time.sleep(0.01)
    assert (server.opened, server.open) == (2, 0)


@pytest.mark.parametrize(
    ("action", "text"),
    [
        ([], "an action that is none"),
        ({"properties": []}, "an action that is none"),
        ({**NUMBER, "properties": {"x": {"type": "whole"}}}, "a schema that is none"),
    ],
)
def test_an_action_that_is_none(action: Any, text: str) -> None:
    with serving(Scripted(to(seen()), action)) as url:
        env = env_of(url)
        with pytest.raises(EnvironmentFailure, match=text):
            env.reset(seed=0)
        env.close()


def test_no_server_and_one_of_another_kind() -> None:
    env = env_of("http://127.0.0.1:9")
    with pytest.raises(EnvironmentFailure, match="did not answer /list_environments"):
        env.reset(seed=0)
    env.close()

    async def other(request: web.Request) -> web.StreamResponse:
        return answer({"action": NUMBER}, 200 if request.path == "/schema" else 404)

    with serving(other) as url:
        env = env_of(url)
        with pytest.raises(EnvironmentFailure, match="cannot be reached at /ws"):
            env.reset(seed=0)
        env.close()


def test_a_server_that_was_started_again_serves_the_next_episode() -> None:
    with serving(Scripted(to(seen(reward=1.0, done=True)))) as url:
        env = env_of(url)
        env.reset(seed=0)
    port = int(url.rpartition(":")[2])
    with serving(Scripted(to(seen(reward=0.5, done=True)), TEXT), port) as url:
        with pytest.raises(EnvironmentFailure, match="closed the connection"):
            env.step(move())
        env.reset(seed=0)
        assert env.step("yes")[1] == 0.5  # its action is another one
        env.close()


def test_an_answer_that_comes_late_is_none_to_the_next_question() -> None:
    with serving(Scripted(late)) as url:

        async def run() -> None:
            socket = await wire.Socket.open(wire.Server("OpenEnv", "0", url), "/ws", seconds=9)
            ask = asyncio.create_task(socket.ask({"type": "step"}, seconds=9))
            await asyncio.sleep(0.1)
            ask.cancel()
            await asyncio.wait({ask})
            with pytest.raises(EnvironmentFailure, match="an answer may still come"):
                await socket.ask({"type": "step"}, seconds=9)
            await socket.close()

        asyncio.run(run())


@pytest.mark.slow
def test_what_is_sent_unasked_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "_IDLE_S", 0.05)

    async def unasked(request: web.Request) -> web.StreamResponse:
        if request.path != "/ws":
            return answer({"action": NUMBER}, 200 if request.path == "/schema" else 404)
        socket = web.WebSocketResponse(heartbeat=0.6)  # closes 0.3 s after a ping without an answer
        await socket.prepare(request)
        async for message in socket:
            await socket.send_str(json.dumps(seen()))
            if json.loads(message.data)["data"].get("x") == 2:
                await asyncio.sleep(0.5)
                await socket.send_str(json.dumps(seen(reward=1.0, done=True)))
        return socket

    with serving(unasked) as url:

        async def run() -> None:
            env = env_of(url)
            await env.areset(seed=0)
            await asyncio.sleep(1.0)  # a model thinks
            await env.astep(move(2))
            await asyncio.sleep(1.0)
            with pytest.raises(EnvironmentFailure, match="said without being asked"):
                await env.astep(move(3))
            await env.aclose()

        asyncio.run(run())


@pytest.mark.slow
def test_a_full_server_is_waited_for() -> None:
    server = Scripted(lambda asked: error("CAPACITY_REACHED", "max 1") if server.open > 1 else to(seen())(asked))
    with serving(server) as url:

        async def run() -> None:
            first, second, third = env_of(url), env_of(url), env_of(url, hook_timeout=3.0)
            await first.areset(seed=0)
            with pytest.raises(EnvironmentFailure, match="no place for another session: max 1"):
                await third.areset(seed=0)
            waits = asyncio.create_task(second.areset(seed=0))
            await asyncio.sleep(0.3)
            assert not waits.done()
            await first.aclose()
            await waits
            await second.aclose()
            await third.aclose()

        asyncio.run(run())


def test_an_episode_belongs_to_the_loop_that_began_it() -> None:
    with serving(Scripted(to(seen(reward=1.0)))) as url:
        env = env_of(url)
        asyncio.run(env.areset(seed=0))
        with pytest.raises(EnvironmentFailure, match="event loop that has ended"):
            env.step(move())
        env.reset(seed=0)  # in the background loop, which goes on
        assert asyncio.run(env.astep(move()))[1] == 1.0
        env.close()


def test_rewards_are_those_of_the_server() -> None:
    paid = iter([None, 0.25, True, 0.5])

    def step(asked: dict[str, Any]) -> dict[str, Any]:
        return seen(reward=next(paid), done=asked["data"]["x"] == 9)

    with serving(Scripted(to(step))) as url:
        env = env_of(url)
        env.reset(seed=0)
        assert [env.step(move(x))[1] for x in (1, 1, 1, 9)] == [0.0, 0.25, 1.0, 0.5]
        env.close()


@pytest.mark.parametrize(
    ("rewards", "last", "earned"),
    [([None], "Done.", None), ([0.0], "Done.", 0.0), ([None, None], None, None), ([1.0, None], None, None)],
)
def test_what_was_not_paid_is_unscored(rewards: list[Any], last: Any, earned: float | None) -> None:
    paid = list(rewards)

    def step(_: dict[str, Any]) -> dict[str, Any]:
        reward = paid.pop(0)
        return seen(reward=reward, done=last is None and not paid)

    with serving(Scripted(to(step))) as url:
        actions = [move() for _ in rewards] + ([last] if last else [])
        collector = Collector(
            [{"id": "llmgym/OpenEnv-v0", "kwargs": {"url": url}}],
            Script(lambda messages, tools: actions[sum(message["role"] == "assistant" for message in messages)]),
            num_tasks=1,
        )
        (found,) = asyncio.run(trajectories(collector)).values()
    assert found.reward == earned
    assert found.status == "completed"


def test_what_the_server_says_of_an_action_is_said_to_the_model() -> None:
    details = [{"loc": ["x"], "msg": "below 0"}, "more"]
    with serving(Scripted(to(error("VALIDATION_ERROR", errors=details)))) as url:
        env = env_of(url)
        env.reset(seed=0)
        assert env.step(move())[0][0]["content"] == "Error: x: below 0; more"
        env.close()
    with serving(Scripted(to(error("VALIDATION_ERROR", "too long")), TEXT)) as url:
        env = env_of(url, instructions="Talk.")
        assert [message["content"] for message in env.reset(seed=0)[0]] == ["Talk.", "Begin."]
        assert env.step("<think>hm</think> hello")[0][0]["content"] == "Error: too long"
        env.close()


def test_only_tools_that_are_listed_are_called() -> None:
    tools = [
        {
            "name": "a.b",
            "description": "",
            "input_schema": {"type": "object", "properties": {"x": {"type": "integer"}}},
        },
        {"name": "fail", "description": ""},
        {"name": "lost", "description": ""},
    ]
    results = {
        "a.b": {"result": {"content": [{"type": "text", "text": "one"}, {"type": "image"}], "is_error": False}},
        "fail": {"result": {"content": [{"type": "text", "text": "bad"}], "is_error": True}},
        "lost": {"error": {"error_type": "transport_error", "message": "pipe"}},
    }

    def step(asked: dict[str, Any]) -> dict[str, Any]:
        if asked["data"]["type"] == "list_tools":
            return {"type": "observation", "data": {"observation": {"tools": tools}, "reward": None, "done": False}}
        said = results[asked["data"]["tool_name"]]
        return {"type": "observation", "data": {"observation": said, "reward": None, "done": False}}

    server = Scripted(to(step), CALL)
    with serving(server) as url:
        env = env_of(url)
        env.reset(seed=0)
        before = len(server.asked)
        calls = [
            tool_call("a_b", x=1),
            tool_call("a.b", x=1),
            tool_call("a_b", x="1"),
            tool_call("close"),
            tool_call("fail"),
        ]
        said = [message["content"] for message in env.step(assistant("", *calls))[0]]
        assert said[0] == "one\n[1 contents that are no text]"
        assert said[4] == "Error: bad"
        assert all("Error: " in text for text in said[1:])
        assert [asked["data"]["tool_name"] for asked in server.asked[before:]] == ["a.b", "fail"]
        with pytest.raises(EnvironmentFailure, match="says of a tool: pipe"):
            env.step(assistant("", tool_call("lost")))
        env.close()


@pytest.mark.parametrize(
    "said",
    [
        {"tools": [], "metadata": {"error": "the desk is locked"}},
        {"tools": [{"title": "x"}]},
        {"tools": {}},
        {"tools": [{"name": "a.b"}, {"name": "a/b"}]},
    ],
)
def test_tools_that_cannot_be_offered(said: dict[str, Any]) -> None:
    listed = {"type": "observation", "data": {"observation": said, "reward": None, "done": False}}
    server = Scripted(to(listed), CALL)
    with serving(server) as url:
        env = env_of(url)
        with pytest.raises(EnvironmentFailure):
            env.reset(seed=0)
        env.close()
    assert server.open == 0


@pytest.mark.parametrize(
    ("schema", "wanted", "form", "name"),
    [
        (NUMBER, None, "tool", "Move"),
        (TEXT, None, "text", "text"),
        (TEXT, "tool", "tool", "Say"),
        ({**TEXT, "properties": {**TEXT["properties"], "loud": {"type": "boolean"}}}, None, "tool", "Say"),
        ({**TEXT, "properties": {**TEXT["properties"], "loud": {"type": "boolean"}}}, "text", "text", "text"),
        (CALL, None, "tools", ""),
        ({"properties": {"metadata": {}}}, None, "tools", ""),
    ],
)
def test_the_form_of_actions(schema: dict[str, Any], wanted: Any, form: str, name: str) -> None:
    found = ActionForm.of(schema, wanted)
    assert (found.form, found.name) == (form, name)


def test_choices_among_texts_are_shown_by_a_tool() -> None:
    move = {"title": "Move", "type": "object", "properties": {"to": {"type": "string", "enum": ["left", "right"]}}}
    found = ActionForm.of(move, None)
    assert (found.form, found.parameters) == ("tool", {"type": "object", "properties": move["properties"]})
    assert ActionForm.of(move, "text").form == "text"


def test_an_action_that_is_no_single_text() -> None:
    with pytest.raises(ValueError, match="no single text"):
        ActionForm.of(NUMBER, "text")
    with pytest.raises(ConfigError, match="act_by"):
        env_of("http://127.0.0.1:9", act_by="words")


def test_observations_as_text() -> None:
    assert shown({"text": "Hello.", "metadata": {"secret": 1}, "image": None}) == "Hello."
    assert shown({"board": [1], "metadata": {}}) == '{"board":[1]}'
    assert shown({"metadata": {"result": 3}}) == '{"result":3}'
    assert shown({"metadata": {}}) == ""
    assert result_text({"content": [], "data": 3}) == "3"
    assert result_text([1]) == "[1]"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abx"), inner, max_size=2),
    max_leaves=4,
)
FIELDS = st.sampled_from(
    [{"type": kind} for kind in ("string", "integer", "number", "boolean", "array", "object", "null")]
    + [{"type": ["integer", "null"]}, {"type": "integer", "minimum": 0}, {"enum": [1, "a"]}, {}, True]
)


@given(
    st.dictionaries(st.sampled_from("abx"), FIELDS), st.lists(st.sampled_from("abx"), unique=True), st.booleans(), JSON
)
def test_arguments_are_judged_as_by_the_whole_schema(
    properties: Any, required: Any, more: bool, arguments: Any
) -> None:
    from jsonschema import Draft202012Validator

    schema = {"type": "object", "properties": properties, "required": required, "additionalProperties": more}
    assert (checker("x", schema)(arguments) == "") == Draft202012Validator(schema).is_valid(arguments)


def test_patterns_that_python_cannot_read_are_left_to_the_server() -> None:
    name = {"type": "string", "pattern": r"^\p{L}+$", "maxLength": 3}
    properties = {"name": name, "pattern": {"type": "string", "pattern": "^[ab]+$"}}
    check = checker("x", {"type": "object", "properties": properties})
    assert check({"name": "Zoë", "pattern": "ab"}) == ""
    assert "'Zoës' is too long" in check({"name": "Zoës"})
    assert "does not match '^[ab]+$'" in check({"pattern": "c"})
    by_pattern = {r"^(?<letter>\p{L})$": {"type": "string"}, "^1": {"type": "integer"}}
    check = checker("x", {"type": "object", "patternProperties": by_pattern, "additionalProperties": False})
    assert check({"a": "b", "1": 1}) == ""
    assert "is not of type 'integer'" in check({"1": "b"})


@pytest.mark.parametrize("schema", [True, [], None, {"$schema": 7}, {"properties": {"a": {"type": "whole"}}}])
def test_what_is_no_schema_is_a_failure(schema: Any) -> None:
    with pytest.raises(EnvironmentFailure, match="x has a schema that is none"):
        checker("x", schema)
