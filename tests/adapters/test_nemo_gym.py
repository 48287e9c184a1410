"""Rows of NeMo Gym with servers of its protocol: recorded ones, and ones that do what they should not."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("aiohttp")

from aiohttp import web

from llmgym.adapters.nemo_gym.env import TESTED, NeMoGym
from llmgym.adapters.nemo_gym.rows import SERVED, read_row, routed
from llmgym.adapters.nemo_gym.session import _RESERVED, Routes
from llmgym.adapters.wire import Server
from llmgym.errors import ConfigError, EnvironmentFailure, LLMGymError
from llmgym.messages import assistant, tool_call
from llmgym.registry import make_core
from llmgym.rollout import Collector
from tests.adapters.record import DIALOGUES, play, task_set
from tests.adapters.wire_servers import Replayed, answer, serving
from tests.rollouts import Script, trajectories

COOKIE = "eyJzZXNzaW9uX2lkIjogIm9uZSJ9.when.signed"
OTHER = "eyJzZXNzaW9uX2lkIjogInR3byJ9.when.signed"
PATHS = {"paths": {path: {"post": {}} for path in ("/seed_session", "/verify", "/ask", "/{path}")}}
SCHEMA = {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"]}


def row_of(*names: str, **more: Any) -> dict[str, Any]:
    tools = [{"type": "function", "name": name, "description": "", "parameters": SCHEMA} for name in names]
    return {"responses_create_params": {"input": "Ask.", "tools": tools}, **more}


def env_of(url: str, *names: str, **options: Any) -> NeMoGym:
    env = make_core(
        "llmgym/NeMoGym-v0", url=url, tasks=task_set("llmgym/NeMoGym-v0", row_of(*names or ["ask"])), **options
    )
    assert isinstance(env, NeMoGym)
    return env


class Scripted:
    """A server that answers as usual where a test does not say otherwise, and remembers what was asked."""

    def __init__(self, **said: Any) -> None:
        self.said = {"openapi.json": PATHS, "seed_session": {}, "ask": "fine", "verify": {"reward": 1.0}, **said}
        self.asked: list[str] = []

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        name = request.path.strip("/")
        self.asked.append(name)
        said = self.said[name]
        response = await said(request) if callable(said) else said
        if not isinstance(response, web.StreamResponse):
            response = answer(response)
        if isinstance(response, web.Response) and not response.cookies:
            response.set_cookie("Server___it", COOKIE)
        return response


def ask(**arguments: Any) -> Any:
    return assistant("", tool_call("ask", **arguments or {"x": 1}))


@pytest.mark.parametrize("name", [name for name in DIALOGUES if name.startswith("nemo_gym")])
def test_a_dialogue_with_the_packages_own_server(name: str) -> None:
    replayed = Replayed(name)
    with serving(replayed.http) as url:
        env = make_core("llmgym/NeMoGym-v0", url=url, tasks=task_set("llmgym/NeMoGym-v0", replayed.task))
        assert play(env, replayed.actions) == replayed.seen
    assert replayed.left == []


async def slow(_: web.Request) -> web.StreamResponse:
    await asyncio.sleep(60)
    return answer({})


async def huge(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    for _ in range(18):
        await response.write(b" " * (1 << 20))
    return response


async def cut(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": "100"})
    await response.prepare(request)
    await response.write(b"{")
    assert request.transport is not None
    request.transport.close()
    return response


async def other_session(_: web.Request) -> web.StreamResponse:
    response = answer({})
    response.set_cookie("Server___it", OTHER)
    return response


def whole_episode(env: NeMoGym) -> None:
    env.reset(seed=0)
    env.step(ask())
    env.step("Done.")


def just(*args: Any, **headers: str) -> Callable[[web.Request], Any]:
    async def said(_: web.Request) -> web.StreamResponse:
        return answer(*args, **headers)

    return said


@pytest.mark.parametrize(
    ("said", "kind", "text"),
    [
        ({"openapi.json": {"paths": {"/other": {"post": {}}}}}, "invalid", "neither /seed_session.*0.5 to 0.7"),
        ({"openapi.json": []}, "invalid", "no object"),
        ({"openapi.json": {"paths": 3}}, "invalid", "neither"),
        ({"openapi.json": just("<html>")}, "invalid", "no JSON"),
        ({"openapi.json": just("", 404)}, "invalid", "HTTP 404"),
        ({"seed_session": just({"detail": "no such row"}, 422)}, "invalid", "HTTP 422.*no such row"),
        ({"seed_session": just("oops", 500)}, "infrastructure", "HTTP 500"),
        ({"seed_session": just("", 307, Location="http://127.0.0.1:1/")}, "invalid", "HTTP 307"),
        ({"ask": just("Internal Server Error", 500)}, "infrastructure", "HTTP 500"),
        ({"ask": just(json.dumps("ConnectionError('database')"), 500)}, "infrastructure", "HTTP 500"),
        ({"ask": just("", 404)}, "infrastructure", "HTTP 404"),
        ({"ask": just("", 401)}, "infrastructure", "HTTP 401"),
        ({"ask": just({"detail": "Session not initialized."}, 400)}, "infrastructure", "Session not initialized"),
        ({"ask": huge}, "invalid", "more than 16 MiB"),
        ({"ask": slow}, "timeout", "did not answer /ask within 0.5 s"),
        ({"ask": cut}, "infrastructure", "did not answer /ask"),
        ({"ask": other_session}, "infrastructure", "another session"),
        ({"verify": just("nan")}, "invalid", "no JSON"),
        ({"verify": just('{"reward": NaN}')}, "invalid", "no JSON"),
        ({"verify": just("[" * 100_000)}, "invalid", "no JSON"),
        ({"verify": just('{"reward": 1e999}')}, "invalid", "no JSON"),
        ({"verify": {}}, "invalid", "the reward None"),
        ({"verify": {"reward": True}}, "invalid", "the reward True"),
        ({"verify": {"reward": "1"}}, "invalid", "the reward '1'"),
        ({"verify": just({"detail": "response.output"}, 422)}, "invalid", "HTTP 422"),
        ({"verify": {"reward": 0, "mask_sample": True, "failure_reason": "out of memory"}}, "environment", "memory"),
        (
            {"verify": {"reward": 0.0, "_ng_failure_class": "judge_failed", "_ng_failure_judge_error": "503"}},
            "model_role",
            "judge_failed.*503",
        ),
    ],
)  # fmt: skip
def test_what_is_no_answer_leaves_the_episode_unscored(said: dict[str, Any], kind: str, text: str) -> None:
    with serving(Scripted(**said)) as url:
        env = env_of(url, tool_timeout=0.5)
        with pytest.raises(EnvironmentFailure, match=text) as failed:
            whole_episode(env)
        assert failed.value.kind == kind
        env.close()


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (just("plain text"), "plain text"),
        (just({"detail": "x is too large"}, 422), 'Error: {"detail": "x is too large"}'),
        (
            just(json.dumps("ZeroDivisionError('division by zero')"), 500),
            "Error: ZeroDivisionError('division by zero')",
        ),
    ],
)
def test_what_is_said_of_a_call_is_said_to_the_model(said: Any, shown: str) -> None:
    with serving(Scripted(ask=said)) as url:
        env = env_of(url)
        env.reset(seed=0)
        assert env.step(ask())[0][0]["content"] == shown
        assert env.step("Done.")[1] == 1.0
        env.close()


def test_no_server() -> None:
    env = env_of("http://127.0.0.1:9")
    with pytest.raises(EnvironmentFailure, match="cannot be reached"):
        env.reset(seed=0)
    env.close()


def test_a_server_that_was_started_again_has_lost_the_session() -> None:
    with serving(Scripted()) as url:
        env = env_of(url)
        env.reset(seed=0)
    port = int(url.rpartition(":")[2])
    with pytest.raises(EnvironmentFailure, match="did not answer /ask"):
        env.step(ask())
    with pytest.raises(EnvironmentFailure, match="cannot be reached"):
        env.reset()
    with serving(Scripted(), port) as url:
        env.reset()
    server = Scripted()
    with serving(server, port) as url:
        with pytest.raises(EnvironmentFailure, match="was started again, and the session with it"):
            env.step("Done.")
        env.reset()
        env.step(ask())
        assert env.step("Done.")[1] == 1.0
        env.close()
    assert "openapi.json" in server.asked[1:]  # it may be another server


def test_episodes_that_begin_at_once_watch_a_server_over_one_connection() -> None:
    async def run(url: str) -> None:
        server = Server("NeMo Gym", TESTED, url)
        first, *others = (asyncio.ensure_future(server.watch()) for _ in range(20))
        await asyncio.sleep(0)
        first.cancel()
        watches = {await other for other in others}
        assert watches == {await server.watch()}

    with serving(Scripted()) as url:
        asyncio.run(run(url))


@pytest.mark.parametrize("place", ["here", {"url_path": "mcp"}, {"url_path": "mcp", "headers": {"A": 1}}])
def test_tools_over_mcp_that_are_nowhere(place: Any) -> None:
    with serving(Scripted(seed_session={"mcp": place})) as url:
        tasks = task_set("llmgym/NeMoGym-v0", {"responses_create_params": {"input": "Ask."}})
        env = make_core("llmgym/NeMoGym-v0", url=url, tasks=tasks)
        with pytest.raises(EnvironmentFailure, match="for MCP"):
            env.reset(seed=0)
        env.close()


def test_what_a_verifier_says_beside_the_reward_is_metrics() -> None:
    said = {
        "reward": 0.5,
        "right": True,
        "share": 0.25,
        "city": 3,
        "why": "x",
        "reward_components": {"form": 1, "no": None},
    }
    with serving(Scripted(verify=said)) as url:
        row = row_of("ask", city=3)
        env = make_core("llmgym/NeMoGym-v0", url=url, tasks=task_set("llmgym/NeMoGym-v0", row))
        env.reset(seed=0)
        *_, reward, _, _, info = env.step("Done.")
        counted = {"tool_calls": 0.0, "tool_errors": 0.0}
        assert (reward, info["metrics"]) == (0.5, {**counted, "right": 1.0, "share": 0.25, "component_form": 1.0})
        env.close()


def test_only_tools_of_the_server_become_paths() -> None:
    server = Scripted()
    with serving(server) as url:
        names = ("ask", "../admin", "verify", "close_session", "a/b", "a?b=1", "%2e%2e", "")
        env = env_of(url, *names)
        env.reset(seed=0)
        said, *_ = env.step(assistant("", *(tool_call(name, x=1) for name in (*names, "seed_session"))))
        assert said[0]["content"] == "fine"
        assert all(message["content"].startswith("Error: ") for message in said[1:])
        assert server.asked == ["openapi.json", "seed_session", "ask"]
        env.close()


@given(
    st.binary()
    | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(lambda said: json.dumps(said).encode())
)
def test_any_body_is_an_object_or_a_failure(body: bytes) -> None:
    with contextlib.suppress(EnvironmentFailure):
        assert isinstance(Server("NeMo Gym", TESTED, "http://127.0.0.1:9").parse("/verify", body), dict)


@pytest.mark.parametrize(("env_id", "extra"), [("llmgym/NeMoGym-v0", "nemo-gym"), ("llmgym/OpenEnv-v0", "openenv")])
def test_what_is_not_installed_is_named(env_id: str, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmgym.loading.find_spec", lambda name: None)
    with pytest.raises(LLMGymError, match=rf"pip install 'llmgym\[{extra}\]'"):
        gymnasium.make(env_id, url="http://127.0.0.1:9", tasks="rows.jsonl")


@given(st.text())
def test_any_name_is_a_plain_segment_or_none(name: str) -> None:
    routes = Routes(steps=False, tools=frozenset(), any_tool=True, by_id=False, closes=False)
    if routes.runs(name):
        assert name.replace("_", "a").replace("-", "a").isascii()
        assert name.replace("_", "a").replace("-", "a").isalnum()
        assert name not in _RESERVED


def test_a_message_with_calls_is_one_step() -> None:
    sent: list[Any] = []

    async def step(request: web.Request) -> web.StreamResponse:
        items = (await request.json())["response"]["output"]
        sent.append([item["type"] for item in items])
        outputs = [{"call_id": item["call_id"], "output": item["arguments"]} for item in items if "call_id" in item]
        said = {"observation": "Go on.", "reward": 0.25, "terminated": len(sent) > 1, "info": {"tool_outputs": outputs}}
        return answer(said)

    closed: list[str] = []

    async def close(_: web.Request) -> web.StreamResponse:
        closed.append("closed")
        return answer({})

    info = {"info": {"supports_explicit_close": True}, "observation": "Begin."}
    paths = {"paths": {path: {"post": {}} for path in ("/reset", "/step")}}
    with serving(Scripted(**{"openapi.json": paths, "reset": info, "step": step, "close": close})) as url:
        env = env_of(url)
        assert [message["content"] for message in env.reset(seed=0)[0]] == ["Ask.", "Begin."]
        calls = [
            tool_call("ask", "{"),
            tool_call("ask", x=1),
            tool_call("other"),
            *(tool_call("ask", x=x) for x in (1, 2)),
        ]
        said, reward, done, *_ = env.step(assistant("I ask.", *calls))
        wrong, *right = [message["content"] for message in said]
        assert wrong.startswith("Error: arguments of ask are not valid JSON")
        assert right == [
            '{"x":1}\nGo on.',
            "Error: there is no tool 'other'; there is ask",
            '{"x":1}',
            '{"x":2}',
        ]
        assert (reward, done) == (0.25, False)
        said, reward, done, *_ = env.step("Done.")
        assert ([message["content"] for message in said], reward, done) == (["Go on."], 0.25, True)
        env.close()
    assert sent == [["message", *["function_call"] * 5], ["message"]]
    assert closed == ["closed"]


def test_many_episodes_at_once_in_one_loop_and_one_over_two_loops() -> None:
    seen: set[str] = set()

    async def seed(request: web.Request) -> web.StreamResponse:
        response = answer({})
        response.set_cookie("Server___it", f"{len(seen)}.a.b")
        seen.add(f"{len(seen)}.a.b")
        return response

    async def cookie(request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(0.01)
        response = answer(request.cookies["Server___it"])
        response.set_cookie("Server___it", request.cookies["Server___it"])
        return response

    with serving(Scripted(seed_session=seed, ask=cookie, verify=cookie)) as url:

        async def episode() -> str:
            env = env_of(url)
            await env.areset(seed=0)
            first, second = (await env.astep(ask()))[0][0]["content"], (await env.astep(ask()))[0][0]["content"]
            assert first == second
            await env.aclose()
            return first

        async def run() -> list[str]:
            return await asyncio.gather(*(episode() for _ in range(16)))

        assert len(set(asyncio.run(run()))) == 16
        env = env_of(url)
        asyncio.run(env.areset(seed=0))
        assert asyncio.run(env.astep(ask()))[0][0]["content"] == "16.a.b"
        env.close()


def test_through_gymnasium_and_the_collector(tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps({**row_of("ask"), "id": number}) + "\n" for number in range(4)))

    async def verify(request: web.Request) -> web.StreamResponse:
        return answer({"reward": 1.0} if (await request.json())["id"] else "no JSON")

    with serving(Scripted(verify=verify)) as url:
        vector = gymnasium.make_vec("llmgym/NeMoGym-v0", num_envs=2, url=url, tasks=str(rows))
        vector.reset(seed=0)
        assert vector.step([ask(), ask()])[1].tolist() == [0.0, 0.0]
        vector.close()
        env = {"id": "llmgym/NeMoGym-v0", "kwargs": {"url": url, "tasks": str(rows)}}
        collector = Collector([env], Script(lambda messages, tools: "Done."), num_tasks=4, max_attempts=1)
        found = asyncio.run(trajectories(collector))
    assert {name: each.reward for name, each in found.items()} == {"0": None, "1": 1.0, "2": 1.0, "3": 1.0}
    assert found["0"].failure is not None
    assert (found["0"].failure.kind, found["0"].failure.stage) == ("invalid", "verify")


def test_rows_go_where_they_can_be_played_without_a_server() -> None:
    choice = {
        "responses_create_params": {"input": [{"role": "user", "content": "A: 1\nB: 2\nWhich is one?"}]},
        "options": [{"A": "1"}, {"B": "2"}],
        "expected_answer": "A",
        "grading_mode": "strict_single_letter_boxed",
        "uuid": "1",
    }
    agent = {"agent_ref": {"type": "responses_api_agents", "name": "mcqa_simple_agent"}}
    rows = [{**choice, **agent}, choice, {**row_of("ask"), **agent}]
    assert {name: len(each) for name, each in routed(rows).items()} == {"llmgym/MultipleChoice-v0": 1, SERVED: 2}
    assert list(routed([choice], "mcqa")) == ["llmgym/MultipleChoice-v0"]


def test_a_row_as_0_7_materialises_it() -> None:
    flat = {**row_of("ask"), "city": "Rome"}
    request = flat["responses_create_params"]
    row = {
        "task_id": {"taskset": "t", "task_id": "1"},
        "task_input": {"responses_create_params": request, "task_data": {"city": "Rome"}},
    }
    assert read_row(row).metadata == read_row(flat).metadata == {"row": flat}
    with pytest.raises(TypeError, match="responses_create_params"):
        read_row({"prompt": "Hello."})


@pytest.mark.parametrize("url", ["localhost:80", "ftp://x", "http://x/?a=1", 3, "http://"])
def test_a_url_that_is_none(url: Any) -> None:
    with pytest.raises(ConfigError, match="url is that of a server"):
        env_of(url)


def test_what_is_secret_is_in_no_message() -> None:
    env = env_of("http://me:hunter2@127.0.0.1:9", headers={"Authorization": "Bearer abcdefgh"})
    with pytest.raises(EnvironmentFailure) as failed:
        env.reset(seed=0)
    assert "hunter2" not in str(failed.value)
    assert "abcdefgh" not in str(failed.value)
    env.close()
