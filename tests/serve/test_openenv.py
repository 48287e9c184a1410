"""The front for OpenEnv, spoken by hand: errors, ends, tasks and sessions."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

pytest.importorskip("uvicorn")

from websockets.sync.client import connect

from llmgym.registry import make_core
from llmgym.serve import EnvServer
from tests.serve.test_rest import CALL, ENV, ask

Serve = Callable[..., EnvServer]


@contextmanager
def session(server: EnvServer, path: str = "/ws") -> Iterator[Callable[..., Any]]:
    """A connection; each message is answered."""
    with connect(server.url.replace("http", "ws", 1) + path) as socket:

        def say(kind: str, data: Any = None) -> Any:
            socket.send(json.dumps({"type": kind} if data is None else {"type": kind, "data": data}))
            return json.loads(socket.recv(timeout=30))

        say.socket = socket  # type: ignore[attr-defined]
        yield say


def test_an_episode_ends_as_terminated_or_as_truncated(serve: Serve) -> None:
    server = serve({"id": ENV, "kwargs": {"max_turns": 1}}, front="openenv")
    for message, ends in (("It is 7.", (True, False)), (CALL, (False, True))):
        with session(server) as say:
            say("reset", {"seed": 3})
            data = say("step", {"message": message})["data"]
            assert (data["done"], data["reward"]) == (True, 0.0)
            assert (data["metadata"]["terminated"], data["metadata"]["truncated"]) == ends
            assert data["observation"]["metadata"] == data["metadata"]


def test_tools_are_those_of_the_episode_and_one_that_says_a_message(serve: Serve) -> None:
    with session(serve(front="openenv")) as say:
        tools = say("step", {"type": "list_tools"})["data"]["observation"]["tools"]
        assert [tool["name"] for tool in tools] == ["add", "subtract", "multiply", "divide", "assistant_message"]
        say("reset", {"seed": 3})
        data = say("step", {"type": "call_tool", "tool_name": "assistant_message", "arguments": {"message": "7"}})[
            "data"
        ]
        assert (data["done"], data["metadata"]["metrics"]["tool_calls"]) == (True, 0.0)


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        ("{", "INVALID_JSON"),
        ('{"type": "dance"}', "UNKNOWN_TYPE"),
        ('{"type": ["step"]}', "UNKNOWN_TYPE"),
        ('{"type": "step", "data": {"dance": 1}}', "VALIDATION_ERROR"),
        ('{"type": "step", "data": []}', "VALIDATION_ERROR"),
        ('{"type": "step", "data": {"message": 3}}', "VALIDATION_ERROR"),
        ('{"type": "reset", "data": {"split": "none"}}', "VALIDATION_ERROR"),
        ('{"type": "reset", "data": {"task_id": "none"}}', "VALIDATION_ERROR"),
        ('{"type": "reset", "data": {"seed": "x"}}', "VALIDATION_ERROR"),
        ('{"type": "reset", "data": {"seed": -1}}', "VALIDATION_ERROR"),
        ('{"type": "reset", "data": {"index": -1}}', "VALIDATION_ERROR"),
    ],
)
def test_what_makes_no_sense_is_refused_and_the_episode_goes_on(serve: Serve, sent: str, code: str) -> None:
    with session(serve(front="openenv")) as say:
        assert say("step", {"message": "early"})["data"]["code"] == "EXECUTION_ERROR"  # there is none yet
        say("reset", {"seed": 3})
        say.socket.send(sent)  # type: ignore[attr-defined]
        told = json.loads(say.socket.recv(timeout=30))  # type: ignore[attr-defined]
        assert (told["type"], told["data"]["code"]) == ("error", code)
        assert say("step", {"message": CALL})["data"]["observation"]["messages"][0]["content"] == "3"


def test_a_failure_is_an_error_and_the_next_reset_begins_anew(serve: Serve) -> None:
    server = serve("tests.serve.environments:Broken-v0", front="openenv")
    with session(server) as say:
        for tool in (None, "lose"):
            say("reset", {"seed": 3})
            act = {"message": "x"} if tool is None else {"type": "call_tool", "tool_name": tool, "arguments": {}}
            told = say("step", act)
            assert (told["type"], told["data"]["code"]) == ("error", "EXECUTION_ERROR")
        assert say("reset", {"seed": 3})["type"] == "observation"
        assert len(server.sessions) == 1
    assert_ends(server)


def test_an_unscored_episode_has_no_reward(serve: Serve) -> None:
    with session(serve("tests.serve.environments:Unscored-v0", front="openenv")) as say:
        say("reset", {"seed": 3})
        data = say("step", {"message": "x"})["data"]
        assert (data["done"], data["reward"]) == (True, None)


def test_a_server_without_room_says_so_and_closes(serve: Serve) -> None:
    server = serve(front="openenv", sessions=1)
    with session(server) as say:
        say("reset", {"seed": 3})
        with connect(server.url.replace("http", "ws", 1) + "/ws") as other:
            assert json.loads(other.recv(timeout=30))["data"]["code"] == "CAPACITY_REACHED"
            with pytest.raises(Exception, match="1000"):
                other.recv(timeout=30)
    assert_ends(server)


def test_sockets_show_the_token_in_their_path(serve: Serve) -> None:
    server = serve(front="openenv", token="s3cret")
    with session(server, "/t/s3cret/ws") as say:
        assert say("state")["data"] == {"episode_id": None, "step_count": 0}
    for path in ("/ws", "/t/wrong/ws"):
        with pytest.raises(Exception, match="403"), session(server, path):
            pass


def test_tasks_of_a_split_come_once_each_and_are_what_a_reset_takes(serve: Serve) -> None:
    env_id = "llmgym/Wordle-v0"
    server = serve(env_id, front="openenv")
    size = ask(server, "POST", f"/{env_id}/num_tasks", {"split": "test"})[1]["num_tasks"]
    assert size == make_core(env_id).tasks.size("test")
    tasks = ask(server, "POST", f"/{env_id}/tasks", {"split": "test"})[1]["tasks"]
    assert len({task["task_id"] for task in tasks}) == len(tasks) == size
    last = ask(server, "POST", f"/{env_id}/task_range", {"split": "test", "start": -2})[1]["tasks"]
    assert last == tasks[-2:]
    for wrong in ({"split": "test", "index": size}, {"split": "test", "index": -1}, {"split": "none", "index": 0}, {}):
        assert ask(server, "POST", f"/{env_id}/task", wrong)[0] == 400
    assert ask(server, "POST", "/other/task", {"split": "test", "index": 0})[0] == 400
    with session(server) as say:
        assert say("reset", tasks[1])["data"]["metadata"]["task_id"] == tasks[1]["task_id"]
        assert say("reset", {"split": "test", "index": 1})["data"]["metadata"]["task_id"] == tasks[1]["task_id"]


def test_a_split_without_end_has_ranges_and_no_size(serve: Serve) -> None:
    server = serve(front="openenv")
    for path in ("num_tasks", "tasks"):
        status, told = ask(server, "POST", f"/{ENV}/{path}", {"split": "train"})
        assert (status, "no end" in told["detail"]) == (400, True)
    assert len(ask(server, "POST", f"/{ENV}/task_range", {"split": "train", "start": 5, "stop": 8})[1]["tasks"]) == 3
    for stop in (10**9, 10**30):
        assert ask(server, "POST", f"/{ENV}/task_range", {"split": "train", "start": 0, "stop": stop})[0] == 400


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("tools/call", {"name": "add", "arguments": {}}),
        ("tools/call", {"name": "add", "session_id": "none"}),
        ("dance", {"session_id": "none"}),
        ("openenv/session/close", {"session_id": "none"}),
        (3, {}),
        ("tools/list", []),
    ],
)
def test_what_makes_no_sense_over_mcp_is_refused(serve: Serve, method: Any, params: Any) -> None:
    status, told = ask(serve(front="openenv"), "POST", "/mcp", {"id": 1, "method": method, "params": params})
    assert (status, told["id"], "error" in told) == (200, 1, True)


def test_our_own_adapter_plays_it(serve: Serve) -> None:
    pytest.importorskip("aiohttp")
    server = serve(front="openenv")
    env = make_core("llmgym/OpenEnv-v0", url=server.url)
    _, info = env.reset(seed=0)
    assert [tool["function"]["name"] for tool in info["tools"]][-1] == "assistant_message"
    assert env.step(CALL)[0][0]["content"] == "3"
    say = {"type": "function", "function": {"name": "assistant_message", "arguments": '{"message": "It is 7."}'}}
    _, reward, done, _, _ = env.step({"role": "assistant", "content": "", "tool_calls": [say]})
    assert (reward, done) == (0.0, True)
    env.close()
    assert_ends(server)


def assert_ends(server: EnvServer) -> None:
    """Sessions end with their connections, soon."""
    for _ in range(200):
        if not len(server.sessions):
            return
        ask(server, "GET", "/health")
    raise AssertionError(f"{len(server.sessions)} sessions are left")


def test_tasks_of_a_server_are_those_of_llmgyms_own_client(serve: Serve) -> None:
    env_id = "llmgym/Wordle-v0"
    env = make_core("llmgym/OpenEnv-v0", url=serve(env_id, front="openenv").url)
    there = make_core(env_id).tasks
    assert {split: env.tasks.size(split) for split in env.tasks.splits} == {
        split: there.size(split) for split in there.splits
    }
    spec = env.tasks.get("test-3").metadata["spec"]
    assert spec["task_id"] == there.plan("test", 0, 3, scope=env_id).id
    env.reset(options={"task_id": "test-3"})
    env.close()
