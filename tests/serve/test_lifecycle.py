"""When a server is ready, and how it ends."""

from __future__ import annotations

import json
import os
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("uvicorn")

from llmgym.serve import EnvServer
from llmgym.serve.readiness import Readiness
from tests.serve.test_rest import ask, begin
from tests.serving import Process

Serve = Callable[..., EnvServer]


def told(server: EnvServer) -> tuple[int, Any]:
    """What `/ready` says."""
    try:
        with urllib.request.urlopen(f"{server.url}/ready") as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def test_it_is_ready_once_an_episode_of_each_environment_has_begun(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llmgym.serve.readiness._AGAIN_S", 0.05)
    monkeypatch.setenv("SHUT", "1")
    server = serve("tests.serve.environments:Shut-v0", "llmgym/Calculator-v0")
    while list((found := told(server))[1]["why"]) != ["Shut-v0"] or "Connection" not in str(found):
        threading.Event().wait(0.05)
    status, said = found
    assert (status, said["status"]) == (503, "not ready")
    assert "the database is away" in said["why"]["Shut-v0"]
    monkeypatch.delenv("SHUT")
    while told(server) != (200, {"status": "ready"}):
        threading.Event().wait(0.05)
    assert len(server.sessions) == 0


def test_others_are_served_while_a_table_of_tasks_is_read(serve: Serve, tmp_path: Path) -> None:
    table = tmp_path / "tasks.jsonl"
    os.mkfifo(table)  # whoever reads it waits for what is written below
    late = {"id": "llmgym/Calculator-v0", "label": "late", "kwargs": {"tasks": str(table)}}
    server = serve(late, "llmgym/Wordle-v0")
    opened: list[Any] = []
    waiting = threading.Thread(target=lambda: opened.append(begin(server, env="late")))
    waiting.start()
    path = f"/v1/sessions/{begin(server, env='llmgym/Wordle-v0')['session']}"
    assert ask(server, "POST", f"{path}/step", {"action": "crane"})[0] == 200
    assert told(server)[1]["why"]["late"] == "no episode has begun yet"
    assert not opened
    table.write_text('{"prompt": "What is 1 + 1?", "answer": "2"}\n')
    waiting.join(30)
    assert opened[0]["messages"][-1]["content"] == "What is 1 + 1?"
    while told(server) != (200, {"status": "ready"}):
        threading.Event().wait(0.05)


def test_nothing_is_proven_before_it_was_tried(serve: Serve) -> None:
    server = serve()
    assert Readiness(server.sessions).answer()[0] == 503


@pytest.mark.slow
def test_at_its_end_it_answers_what_is_under_way_and_begins_nothing(process: Callable[..., Process]) -> None:
    server = process("tests.serve.environments:Slow-v0", grace_s=30)
    _, opened = server.ask("POST", "/v1/sessions", {"env": "Slow-v0", "seed": 1, "options": {"seconds": 3}})
    _, other = server.ask("POST", "/v1/sessions", {"env": "Slow-v0", "seed": 2})
    answers: list[tuple[int, Any]] = []
    path = f"/v1/sessions/{opened['session']}"
    step = threading.Thread(target=lambda: answers.append(server.ask("POST", f"{path}/step", {"action": "x"})))
    step.start()
    time.sleep(0.1)
    ending = threading.Thread(target=server.end)
    ending.start()
    while (said := server.ask("GET", "/ready"))[1]["status"] == "ready":
        threading.Event().wait(0.01)
    assert said == (503, {"status": "ending"})
    for refused in ("/v1/sessions", f"/v1/sessions/{other['session']}/reset"):
        status, found = server.ask("POST", refused, {"env": "Slow-v0", "seed": 2})
        assert (status, found["error"]["wrong"]) == (503, "overloaded")
    step.join()
    ending.join()
    assert answers[0][0] == 200
    assert answers[0][1]["reward"] == 1.0


@pytest.mark.slow
def test_its_end_is_bounded(process: Callable[..., Process]) -> None:
    server = process("tests.serve.environments:Slow-v0", grace_s=0.5)
    _, opened = server.ask("POST", "/v1/sessions", {"env": "Slow-v0", "seed": 1, "options": {"seconds": 50}})
    ending = threading.Timer(0.5, server.end)
    ending.start()
    status, found = server.ask("POST", f"/v1/sessions/{opened['session']}/step", {"action": "x"})
    assert (status, found["error"]["wrong"]) == (503, "overloaded")
    ending.join()
    assert not server.said.read_text()
