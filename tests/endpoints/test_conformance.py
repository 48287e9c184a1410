"""Every shape through a real server and a real run, and the laws that hold for all of them.

A failure is never scored, costs an attempt and no episode, shows no secret and no traceback; what a reply holds is read
as the row says. The rows are in the modules beside this one.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from llmgym.rollout import Collector
from llmgym.trajectory import Trajectory
from tests.endpoints.refusals import REFUSALS
from tests.endpoints.replies import REPLIES
from tests.endpoints.responses import RESPONSES
from tests.endpoints.server import Answer, filled, serving
from tests.endpoints.shapes import GOOD, Shape
from tests.endpoints.transport import TRANSPORT, moved
from tests.endpoints.wordings import WORDINGS

SHAPES: list[Shape] = [*REPLIES, *TRANSPORT, *REFUSALS, *WORDINGS, *RESPONSES]
KEY = "sk-conformance-4711"
SECRET = KEY[:8]  # half of a key is a secret too
ENV: dict[str, Any] = {"id": "llmgym/Calculator-easy-v0", "kwargs": {"word_problems": False}}
EPISODES = 2


def endpoint(shape: Shape, answers: Sequence[Answer]) -> Answer:
    """The server of a row: each conversation, known by its problem, gets the answers in turn."""
    asked: Counter[str] = Counter()

    async def answer(request: web.Request) -> web.StreamResponse:
        body = await request.json()
        if wrong := complaint(body) or (shape.refuses and shape.refuses(body)):
            error = wrong if isinstance(wrong, dict) else {"error": {"message": wrong}}
            return web.json_response(error, status=400)
        talk = body.get("messages") or body["input"]
        if talk[-1].get("role") == "tool" or talk[-1].get("type") == "function_call_output":
            return await (shape.after or shape.good)(request)
        problem = filled("$tool $a $b", body)
        asked[problem] += 1
        return await answers[min(asked[problem], len(answers)) - 1](request)

    return answer


def complaint(body: dict[str, Any]) -> str | None:
    """What the strictest servers together have against a history."""
    calls, results = (chat_history if "messages" in body else responses_history)(body)
    if wrong := [arguments for _, arguments in calls if not isinstance(json.loads(arguments), dict)]:
        return f"the arguments {wrong} are no objects"
    ids = [name for name, _ in calls]
    if len({*ids}) < len(ids) or sorted(ids) != sorted(results) or not all(ids):
        return f"results of {results} answer no calls of {ids}"
    return None


def chat_history(body: dict[str, Any]) -> tuple[list[tuple[str, str]], list[str]]:
    """Ids and arguments of calls, and the ids of their results."""
    made = [call for message in body["messages"] for call in message.get("tool_calls", ())]
    results = [message["tool_call_id"] for message in body["messages"] if message["role"] == "tool"]
    return [(call["id"], call["function"]["arguments"]) for call in made], results


def responses_history(body: dict[str, Any]) -> tuple[list[tuple[str, str]], list[str]]:
    """The same of items."""
    made = [(item["call_id"], item["arguments"]) for item in body["input"] if item.get("type") == "function_call"]
    return made, [item["call_id"] for item in body["input"] if item.get("type") == "function_call_output"]


async def play(shape: Shape, answer: Answer, output: Path, **settings: Any) -> list[Trajectory]:
    async with serving(answer) as server:
        server.models = shape.models
        options = {"base_url": server.url, "api_key": KEY, "timeout": 0.5, "max_retries": 0, **shape.policy}
        settings = {"num_tasks": EPISODES, "generation_timeout": 10.0, **settings}
        collector = Collector([ENV], f"openai:{shape.model}", policy_options=options, output=output,
                              responses_create_params=shape.sampling, **settings)  # fmt: skip
        return [trajectory async for group in collector.stream() for trajectory in group.trajectories]


def run(shape: Shape, answer: Answer, output: Path, **settings: Any) -> list[Trajectory]:
    found = asyncio.run(play(shape, answer, output, **settings))
    assert len(found) == settings.get("num_tasks", EPISODES)
    for path in output.rglob("*"):
        if path.is_file():
            text = path.read_text(errors="replace")
            assert SECRET not in text, path
            assert "Traceback" not in text, path
    return found


def listed(answers: Answer | Sequence[Answer]) -> Sequence[Answer]:
    return [answers] if callable(answers) else answers


def judge(shape: Shape, found: Trajectory) -> None:
    """The episode is what the row says."""
    end = (found.status, found.reward, found.failure and found.failure.kind)
    assert end == (shape.end.status, shape.end.reward, shape.end.kind), found.error
    assert found.attempts == 1
    if found.failure is not None:
        assert shape.said in (found.error or "")
        assert found.failure.stage == "policy"
        return
    assert found.metrics["tool_calls"] - found.metrics["tool_errors"] == shape.end.calls
    said = next(message for message in found.messages if message["role"] == "assistant")
    asked = next(message for message in found.messages if message["role"] == "user")
    assert said == json.loads(filled(json.dumps(shape.message), asked))


@pytest.fixture(autouse=True)
def _unhurried_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda file: None)  # most of the time that a short run takes


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> Any:
    caplog.set_level(logging.DEBUG, "llmgym")
    yield caplog
    assert not [record for record in caplog.records if record.exc_info]
    assert SECRET not in caplog.text
    shown = "".join(capfd.readouterr())
    assert "Traceback" not in shown
    assert SECRET not in shown


@pytest.mark.parametrize("shape", SHAPES, ids=[shape.name for shape in SHAPES])
def test_a_shape(shape: Shape, log: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    for found in run(shape, endpoint(shape, listed(shape.answers)), tmp_path, max_attempts=1):
        judge(shape, found)
    warnings = [record.getMessage() for record in log.records if record.levelno >= logging.WARNING]
    assert len([line for line in warnings if shape.logged and shape.logged in line]) == bool(shape.logged), warnings


LASTING = "it asks to wait"  # for an hour: nobody asks again before
FAILING = [s for s in SHAPES if s.end.reward is None and s.refuses is None and LASTING not in s.said]


@pytest.mark.parametrize("shape", FAILING, ids=[shape.name for shape in FAILING])
@pytest.mark.usefixtures("log")
def test_a_failure_that_passes_costs_no_episode(shape: Shape, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmgym.rollout.runner._BACKOFF_S", 0.0)
    answer = endpoint(shape, [*listed(shape.answers), shape.good])
    found = run(shape, answer, tmp_path, max_attempts=2)
    assert [(t.status, t.reward, t.attempts) for t in found] == [("completed", 1.0, 2)] * EPISODES


@pytest.mark.usefixtures("log")
def test_a_server_that_does_all_of_it_by_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In any order and side by side: every episode is scored in the end, as what was right."""
    monkeypatch.setattr("llmgym.rollout.runner._BACKOFF_S", 0.0)
    plain = [shape for shape in SHAPES if not (shape.refuses or shape.sampling or shape.policy or shape.after)]
    harmless = [shape for shape in plain if shape.end.reward in (1.0, None)]
    asked: Counter[str] = Counter()

    async def answer(request: web.Request) -> web.StreamResponse:
        problem = filled("$tool $a $b", await request.json())
        asked[problem] += 1
        shape = random.Random(f"{problem} {asked[problem]}").choice(harmless)
        return await endpoint(shape, listed(shape.answers))(request)

    found = run(harmless[0], answer, tmp_path, max_attempts=50, num_tasks=60, num_samples_in_parallel=16)
    assert {(t.status, t.reward) for t in found} == {("completed", 1.0)}
    assert sum(t.attempts for t in found) > 1.5 * len(found)


def test_a_key_is_not_taken_to_another_server(tmp_path: Path) -> None:
    keys: list[str | None] = []

    async def elsewhere(request: web.Request) -> web.StreamResponse:
        keys.append(request.headers.get("Authorization"))
        return await GOOD(request)

    async def redirected() -> list[Trajectory]:
        async with serving(elsewhere) as other:
            to = f"{other.url}/chat/completions"
            return await play(Shape("", "", GOOD), moved(307, to), tmp_path, max_attempts=1)

    asyncio.run(redirected())
    assert {*keys} <= {None}


def test_the_table_is_whole() -> None:
    names = [shape.name for shape in SHAPES]
    assert [name for name, count in Counter(names).items() if count > 1] == []
    assert len(names) >= 200
    assert all(shape.source for shape in SHAPES)
    assert all((shape.end.reward is None) == (shape.end.kind is not None) for shape in SHAPES)
