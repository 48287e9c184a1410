"""Spans say of episodes what their trajectories say, and arrive at a real receiver of OTLP."""

from __future__ import annotations

import http.server
import json
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("opentelemetry.sdk", exc_type=ImportError)

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from llmgym.errors import ConfigError
from llmgym.messages import assistant, tool_call
from llmgym.rollout import Collector, genai
from tests.command import environ, llmgym
from tests.rollouts import PLAIN, Script, answer, letters, moody


@pytest.fixture
def exporter(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    """What a program's own tracer provider is given."""
    kept = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    monkeypatch.setattr("opentelemetry.trace.get_tracer_provider", lambda: provider)
    return kept


def spans_of(exporter: InMemorySpanExporter) -> list[Any]:
    return list(exporter.get_finished_spans())


def shouting(messages: Any, tools: Any) -> Any:
    """Call a tool twice at once, then answer."""
    letter = messages[1]["content"][-1]
    if messages[-1]["role"] == "tool":
        return letter.upper()
    return assistant("", tool_call("shout", letter=letter), tool_call("shout", letter="x"))


async def test_an_episode_is_a_tree_of_replies_and_calls(exporter: InMemorySpanExporter) -> None:
    run = letters(num_tasks=3, trace=1.0)(policy=Script(shouting))
    trajectories = [one async for group in run.stream() for one in group.trajectories]
    found = spans_of(exporter)
    roots = {span.attributes[genai.TASK]: span for span in found if span.parent is None}
    assert len(trajectories) == len(roots) == 3
    for trajectory in trajectories:
        root = roots[trajectory.task_id]
        below = sorted((s for s in found if s.parent and s.parent.span_id == root.context.span_id), key=_start)
        assert root.name == f"invoke_agent {trajectory.env_id}"
        assert root.attributes[genai.REWARD] == trajectory.reward
        assert root.events[0].attributes[genai.EVALUATION_SCORE] == trajectory.reward
        assert [span.name.split()[0] for span in below] == ["chat", "execute_tool", "execute_tool", "chat"]
        assert below[1].name == "execute_tool shout"
        first, second = trajectory.turns
        assert _seconds(below[0]) == pytest.approx(first.engine_s, abs=1e-6)
        assert _seconds(below[1]) == pytest.approx(first.env_s, abs=1e-6)
        assert _seconds(below[3]) == pytest.approx(second.engine_s, abs=1e-6)
        assert _seconds(root) == pytest.approx(trajectory.timings["wall_s"], abs=1e-6)
        assert root.start_time <= below[0].start_time
        assert below[3].end_time <= root.end_time
        assert not [name for span in below for name in span.attributes if name in _CONTENTS]


_CONTENTS = {genai.INPUT_MESSAGES, genai.OUTPUT_MESSAGES, genai.TOOL_ARGUMENTS, genai.TOOL_RESULT}


def _start(span: Any) -> int:
    return span.start_time


def _seconds(span: Any) -> float:
    return (span.end_time - span.start_time) / 1e9


async def test_a_failure_is_an_error_without_a_score(exporter: InMemorySpanExporter) -> None:
    await letters(num_tasks=26, max_attempts=1, trace=1.0)(policy=Script(moody)).collect()
    roots = [span for span in spans_of(exporter) if span.parent is None]
    failed = [span for span in roots if not span.status.is_ok]
    assert len(roots) == 26
    assert failed
    for span in failed:
        assert span.attributes[genai.ERROR] == "policy"
        assert genai.REWARD not in span.attributes
        assert not span.events
        assert span.status.description is None  # it may quote what was said


async def test_what_is_said_is_kept_where_it_is_asked_for(
    exporter: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(genai.CAPTURE, "true")
    await letters(num_tasks=1, trace=1.0)(policy=Script(shouting)).collect()
    said = [span.attributes for span in spans_of(exporter)]
    last = next(
        one for one in said if genai.INPUT_MESSAGES in one and "tool_call_response" in one[genai.INPUT_MESSAGES]
    )
    parts = [message["parts"] for message in json.loads(last[genai.INPUT_MESSAGES])]
    assert [part["type"] for part in parts[2]] == ["tool_call", "tool_call"]
    (reply,) = json.loads(last[genai.OUTPUT_MESSAGES])
    assert reply["role"] == "assistant"
    (tool, _) = [one for one in said if one[genai.OPERATION] == genai.EXECUTE_TOOL]
    assert tool[genai.TOOL_RESULT] == reply["parts"][0]["content"]


async def test_a_share_is_a_share_of_the_episodes_and_the_same_each_time(exporter: InMemorySpanExporter) -> None:
    taken = []
    for _ in range(2):
        exporter.clear()
        await letters(num_tasks=25, num_repeats=8, trace=0.3)(policy=Script(answer)).collect()
        roots = [span.attributes for span in spans_of(exporter) if span.parent is None]
        taken.append({(one[genai.TASK], one[genai.REPEAT]) for one in roots})
    assert taken[0] == taken[1]
    assert 30 <= len(taken[0]) <= 90


async def test_all_agents_of_an_episode_are_in_it(exporter: InMemorySpanExporter) -> None:
    run = Collector(
        ["llmgym/Leduc-v0"],
        "random",
        policies={"player_0": "frozen:random", "player_1": "frozen:random"},
        num_tasks=2,
        trace=1.0,
    )
    await run.collect()
    roots = [span.attributes for span in spans_of(exporter) if span.parent is None]
    names = Counter(one[genai.AGENT] for one in roots)
    assert names == {"llmgym/Leduc-v0/player_0": 2, "llmgym/Leduc-v0/player_1": 2}
    assert len({one[genai.CONVERSATION] for one in roots}) == 2


@pytest.fixture
def receiver() -> Iterator[tuple[str, list[ExportTraceServiceRequest]]]:
    """A server that takes OTLP over HTTP."""
    taken: list[ExportTraceServiceRequest] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            request = ExportTraceServiceRequest()
            request.ParseFromString(self.rfile.read(int(self.headers["content-length"])))
            taken.append(request)
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", taken
    server.shutdown()
    server.server_close()
    thread.join()


def test_the_command_sends_them_by_otlp(receiver: tuple[str, list[ExportTraceServiceRequest]], tmp_path: Path) -> None:
    address, taken = receiver
    args = ("--env", PLAIN, "--policy", "script:tests.rollouts.answer", "--num-tasks", 5, "--set", "trace=1")
    env = environ(OTEL_EXPORTER_OTLP_ENDPOINT=address, OTEL_EXPORTER_OTLP_COMPRESSION="none")
    done = llmgym("rollout", *args, "--output", tmp_path / "run", env=env)
    assert done.returncode == 0, done.stderr
    resources = [resource for request in taken for resource in request.resource_spans]
    names = [span.name for one in resources for scope in one.scope_spans for span in scope.spans]
    assert sum(name.startswith("invoke_agent") for name in names) == 5
    assert sum(name.startswith("chat") for name in names) == 5
    services = {a.value.string_value for one in resources for a in one.resource.attributes if a.key == "service.name"}
    assert services == {"llmgym"}


def test_a_receiver_that_is_not_there_ends_no_run(tmp_path: Path) -> None:
    env = environ(OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9", OTEL_EXPORTER_OTLP_TIMEOUT="1")
    args = ("--env", PLAIN, "--policy", "script:tests.rollouts.answer", "--num-tasks", 3, "--set", "trace=1", "--json")
    done = llmgym("rollout", *args, "--output", tmp_path / "run", env=env)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["finished"] == 3
    assert "Traceback" not in done.stderr


def test_nothing_is_imported_where_no_spans_are_wanted() -> None:
    code = (
        "import asyncio, sys\n"
        "from tests.rollouts import Script, answer, letters\n"
        "asyncio.run(letters(num_tasks=1)(policy=Script(answer)).collect())\n"
        "sys.exit(any(name.startswith('opentelemetry') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], env=environ(), check=False).returncode == 0


def test_the_share_is_of_one() -> None:
    with pytest.raises(ConfigError, match="trace"):
        letters(num_tasks=1, trace=2.0)(policy=Script(answer))
