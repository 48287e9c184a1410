"""The front for the Open Reward Standard, spoken by hand: results asked for again, failures, several environments."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("uvicorn")

from llmgym.serve import EnvServer
from llmgym.serve.fronts.sse import Results
from llmgym.serve.trouble import ServeError
from tests.serve.test_rest import ENV, ask

Serve = Callable[..., EnvServer]


def events(server: EnvServer, path: str, body: Any, session: str = "") -> list[tuple[str, str]]:
    """The events of a stream, read as `openreward` reads them."""
    status, said = ask(server, "POST", path, body, X_Session_ID=session)
    assert status == 200, said
    found: list[tuple[str, str]] = []
    for block in said.decode().split("\n\n"):
        lines = dict(line.split(":", 1) for line in block.split("\n") if line and not line.startswith(":"))
        if lines:
            found.append((lines["event"].strip(), lines["data"].lstrip()))
    return found


def begin(server: EnvServer, deployment: str = ENV, **task: Any) -> str:
    """A session with an episode."""
    session = dict(events(server, "/create_session", {}))["task_id"]
    given = task or {"split": "train", "index": 0}
    status, told = ask(server, "POST", "/create", given, X_Session_ID=session, X_Deployment=deployment)
    assert (status, told) == (200, {"sid": session})
    return session


def call(server: EnvServer, session: str, name: str, **arguments: Any) -> tuple[str, Any]:
    """A call's name, and its result."""
    (_, task_id), *pieces = events(server, "/call", {"name": name, "input": arguments}, session)
    return task_id, json.loads("".join(data for _, data in pieces))


def test_a_result_can_be_asked_for_again_and_the_call_is_made_once(serve: Serve) -> None:
    server = serve(front="ors")
    session = begin(server)
    task_id, first = call(server, session, "add", a=1, b=2)
    assert first["output"]["blocks"] == [{"type": "text", "text": "3"}]
    again = events(server, "/call", {"name": "add", "input": {"a": 1, "b": 2}, "task_id": task_id}, session)
    assert [kind for kind, _ in again] == ["task_id", "end"]
    assert json.loads(again[-1][1]) == first
    _, last = call(server, session, "assistant_message", message="7")
    assert (last["output"]["finished"], last["output"]["metadata"]["metrics"]["tool_calls"]) == (True, 1.0)
    assert call(server, session, "add", a=1, b=2)[1]["reason"] == "episode_finished"
    other = begin(server)
    for unknown in ("none", task_id):  # of no session, of another's
        assert events(server, "/call", {"name": "add", "input": {}, "task_id": unknown}, other)[0][0] == "error"


def test_a_long_result_arrives_as_it_is(serve: Serve) -> None:
    server = serve("tests.serve.environments:Wordy-v0", front="ors")
    session = begin(server, "Wordy-v0")
    for length in (4000, 4090, 20_000):
        text = call(server, session, "write", length=length)[1]["output"]["blocks"][0]["text"]
        assert text == ("a \u00a0\u2028" * length)[:length]


def test_calls_at_once_are_answered_each(serve: Serve) -> None:
    server = serve("tests.serve.environments:Wordy-v0", front="ors")
    session, found = begin(server, "Wordy-v0"), dict[int, Any]()

    def one(length: int) -> None:
        found[length] = call(server, session, "write", length=length)[1]["output"]["blocks"][0]["text"]

    threads = [threading.Thread(target=one, args=(length,)) for length in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {length: len(text) for length, text in found.items()} == {length: length for length in range(1, 9)}


def test_calls_under_way_are_bounded_and_those_that_have_ended_make_room() -> None:
    async def run() -> None:
        results, end = Results(), asyncio.Event()

        async def work() -> str:
            await end.wait()
            return "done"

        names = [results.add(work()) for _ in range(64)]
        with pytest.raises(ServeError, match="64 calls"):
            results.add(work())
        end.set()
        for name in names:
            assert [event async for event in results.events(name)][-1] == b"event: end\ndata: done\n\n"
        results.add(work())
        await asyncio.sleep(0)
        assert b"long ago" in b"".join([event async for event in results.events(names[0])])

    asyncio.run(run())


def test_a_failure_is_an_event_of_its_own_and_no_reward(serve: Serve) -> None:
    server = serve("tests.serve.environments:Broken-v0", "tests.serve.environments:Unscored-v0", front="ors")
    session = begin(server, "Broken-v0")
    told = events(server, "/call", {"name": "lose", "input": {}}, session)[-1]
    assert (told[0], "disk" in told[1]) == ("error", True)
    assert ask(server, "POST", "/ping", X_Session_ID=session)[0] == 410  # its instance is not to be used again
    session = begin(server, "Broken-v0")
    told = events(server, "/call", {"name": "assistant_message", "input": {"message": "x"}}, session)[-1]
    assert (told[0], "no verdict" in told[1]) == ("error", True)
    output = call(server, begin(server, "Unscored-v0"), "assistant_message", message="x")[1]["output"]
    assert (output["reward"], output["finished"]) == (None, True)


def test_a_session_is_one_that_the_server_has_named_and_begins_once(serve: Serve) -> None:
    server = serve(front="ors")
    session = begin(server)
    task = {"split": "train", "index": 0}
    for wrong in ("mine", session, ""):
        assert ask(server, "POST", "/create", task, X_Session_ID=wrong)[0] == 400
    assert ask(server, "POST", "/ping", X_Session_ID=session)[0] == 200
    assert ask(server, "POST", "/delete", X_Session_ID=session) == (200, {"sid": session})
    for path in ("/ping", "/call"):
        status, told = ask(server, "POST", path, {}, X_Session_ID=session)
        assert (status, "has ended" in told["detail"]) == (410, True)
    assert ask(server, "POST", "/delete_session", X_Session_ID=session)[0] == 200
    assert len(server.sessions) == 0


def test_environments_are_named_by_deployment_path_or_body(serve: Serve) -> None:
    choice = "llmgym/MultipleChoice-v0"
    server = serve(ENV, choice, front="ors")
    assert ask(server, "GET", "/list_environments")[1] == [ENV, choice]
    named = [
        ("/tools", {"X_Deployment": ENV}),
        (f"/{ENV}/tools", {}),
        (f"/{ENV.lower()}/tools", {"X_Deployment": choice}),
    ]
    for path, headers in named:
        assert len(ask(server, "GET", path, **headers)[1]["tools"]) == 4
    assert ask(server, "GET", "/tools", X_Deployment=choice)[1]["tools"] == []
    for path, headers in (("/tools", {}), ("/tools", {"X_Deployment": "other"}), ("/other/tools", {})):
        status, told = ask(server, "GET", path, **headers)
        assert (status, choice in told["detail"]) == (400, True)
    session = begin(server, "", split="train", index=0, env_name=choice)
    assert ask(server, "GET", "/task_tools", X_Session_ID=session)[1]["tools"] == []
    assert len(ask(serve(front="ors"), "GET", "/tools", X_Deployment="whatever/it-is")[1]["tools"]) == 4


def test_an_environment_that_answers_messages_has_a_tool_for_them(serve: Serve) -> None:
    server = serve("tests.serve.environments:Talk-v0", front="ors")
    session = begin(server, "Talk-v0")
    listed = ask(server, "GET", "/task_tools", X_Session_ID=session)[1]
    assert ([tool["name"] for tool in listed["tools"]], listed["terminal_tool"]) == (["assistant_message"], None)
    first = call(server, session, "assistant_message", message="hello")[1]["output"]
    assert (first["blocks"][0]["text"], first["finished"]) == ("You said hello.", False)
    assert call(server, session, "assistant_message", message="bye")[1]["output"]["finished"]
