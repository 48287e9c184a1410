"""`llmgym serve gateway`: sessions that somebody else's loop begins and ends, and what is kept of them."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest

pytest.importorskip("uvicorn")
pytest.importorskip("duckdb")

from llmgym.data import Dataset
from llmgym.data.verification import verify
from llmgym.errors import ConfigError
from llmgym.records import load_row
from llmgym.rollout import read_rollouts
from llmgym.rollout.folder import open_records
from llmgym.serve.gateway import service
from llmgym.serve.gateway.service import GatewayConfig, GatewayServer
from tests.command import ROOT, environ
from tests.rollouts import WordPolicy, Words

TOKEN = "secret"


class Client:
    """Who has the loop."""

    def __init__(self, server: GatewayServer) -> None:
        self.server = server
        listening = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(server.serve(lambda _: listening.set())))
        self._thread.start()
        assert listening.wait(30)

    def stop(self) -> None:
        self.server.stop()
        self._thread.join(30)
        assert not self._thread.is_alive()

    def post(self, url: str, body: Any = None, token: str = TOKEN) -> tuple[int, Any]:
        url = url if url.startswith("http") else self.server.url + url
        request = urllib.request.Request(
            url, orjson.dumps(body if body is not None else {}), {"Authorization": f"Bearer {token}"}
        )
        try:
            with urllib.request.urlopen(request) as answer:
                return answer.status, orjson.loads(answer.read())
        except urllib.error.HTTPError as error:
            if error.code in (400, 404, 500):  # else the SDKs do not try again, or may
                assert error.headers["x-should-retry"] == "false"  # noqa: PT017
            return error.code, orjson.loads(error.read())["error"]["message"]

    def begin(self, task_id: str, **what: Any) -> Any:
        status, begun = self.post("/sessions", {"task_id": task_id, **what})
        assert status == 200, begun
        return begun

    def ask(self, session: Any, *said: str) -> Any:
        messages = [{"role": "user" if at % 2 == 0 else "assistant", "content": text} for at, text in enumerate(said)]
        status, answer = self.post(f"{session['openai_base_url']}/chat/completions", {"messages": messages})
        return answer["choices"][0]["message"]["content"] if status == 200 else (status, answer)

    def end(self, session: Any, **what: Any) -> tuple[int, Any]:
        return self.post(f"/sessions/{session['session']}/end", what)


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Client]]:
    running: list[Client] = []

    def start(reply: Any = lambda prompt: f"reply {len(prompt)}", **settings: Any) -> Client:
        codec: Any = Words()
        monkeypatch.setattr(service, "make_policy", lambda *_, **__: WordPolicy(codec, reply))
        monkeypatch.setattr(service, "codec_for", lambda *_: codec)
        server = GatewayServer(msgspec.convert({"port": 0, "token": TOKEN, **settings}, GatewayConfig))
        running.append(Client(server))
        return running[-1]

    yield start
    for client in running:
        client.stop()


def test_a_session_is_recorded_and_kept_with_its_reward(serve: Any, tmp_path: Path) -> None:
    client = serve(output=str(tmp_path / "run"))
    session = client.begin("one")
    first = client.ask(session, "hello")
    client.ask(session, "hello", first, "go on")
    status, row = client.end(session, reward=0.5, metrics={"seen": 2})
    assert (status, row["reward"], row["id"]) == (200, 0.5, "gateway/one/0")
    assert client.end(session, reward=1.0) == (status, row)  # the answer may have been lost
    trajectory = load_row(orjson.dumps(row))
    (segment,) = trajectory.segments
    assert [turn.reward for turn in trajectory.turns] == [0.0, 0.5]
    assert [(turn.start, turn.end) for turn in trajectory.turns] == [tuple(span) for span in segment.spans]
    assert trajectory.metrics["seen"] == 2
    (kept,) = read_rollouts(tmp_path / "run")
    assert kept.messages == trajectory.messages
    assert client.ask(session, "hello")[0] == 404


def test_ends_at_once_are_one(serve: Any, tmp_path: Path) -> None:
    async def reply(prompt: str) -> str:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.2)  # an engine takes its time to stop
        return "late"

    client = serve(reply, output=str(tmp_path / "run"))
    session = client.begin("one")
    with ThreadPoolExecutor() as pool:
        asked = pool.submit(client.ask, session, "hello")
        while not client.server._policy.requests:  # type: ignore[attr-defined]
            time.sleep(0.01)
        first, second = pool.map(lambda _: client.end(session, reward=1.0), range(2))
        assert asked.result()[0] == 400
    assert first == second
    assert first[0] == 200


def test_a_session_is_where_its_client_has_found_the_server(serve: Any) -> None:
    client = serve(host="0.0.0.0")
    port = client.server.url.rpartition(":")[2]
    status, begun = client.post(f"http://localhost:{port}/sessions", {"task_id": "one"})
    assert (status, begun["anthropic_base_url"].startswith(f"http://localhost:{port}/s/")) == (200, True)
    assert client.ask(begun, "hello").startswith("reply")


def test_what_others_have_scored_is_not_scored_again(serve: Any, tmp_path: Path) -> None:
    client = serve(output=str(tmp_path / "run"))
    for env_id in ("gateway", "llmgym/Calculator-v0"):  # a name, and no environment of ours
        session = client.begin("one", env_id=env_id)
        client.ask(session, "hello")
        client.end(session, reward=1.0)
    report = asyncio.run(verify(Dataset.open([tmp_path / "run"])))
    assert (report.total.verified, report.total.skipped) == (0, 2)
    assert [why.partition(",")[0] for why in report.skipped] == ["a gateway recorded it"]


def test_a_run_goes_on_and_takes_no_episode_twice(serve: Any, tmp_path: Path) -> None:
    output = str(tmp_path / "run")
    client = serve(output=output)
    session = client.begin("one")
    assert client.post("/sessions", {"task_id": "one"})[0] == 400
    client.ask(session, "hello")
    client.end(session, reward=1.0)
    client.stop()
    again = serve(output=output)
    status, said = again.post("/sessions", {"task_id": "one"})
    assert (status, "gateway/one/0 already" in said) == (400, True)
    session = again.begin("one", repeat=1)
    again.ask(session, "hello")
    again.end(session, reward=0.0)
    assert sorted(t.repeat for t in read_rollouts(output)) == [0, 1]


def test_what_failed_is_no_finished_episode(serve: Any, tmp_path: Path) -> None:
    def reply(prompt: str) -> str:
        if "break" in prompt:
            raise RuntimeError("no luck")
        return "fine"

    client = serve(reply, output=str(tmp_path / "run"))
    silent, broken, told = (client.begin(name) for name in ("silent", "broken", "told"))
    assert client.ask(broken, "break")[0] == 500
    client.ask(told, "hello")
    ends = [client.end(silent, reward=1.0), client.end(broken, reward=1.0), client.end(told, error="it crashed")]
    assert [(row["status"], row["reward"]) for _, row in ends] == [
        ("policy_error", None), ("policy_error", None), ("env_error", None),
    ]  # fmt: skip
    left = client.begin("left")
    client.ask(left, "hello")
    client.stop()
    failed = {failure.id.split("/")[1]: failure.error for failure in open_records(tmp_path / "run").failed}
    assert failed["told"] == "it crashed"
    assert "no luck" in (failed["broken"] or "")
    assert failed["left"] == "the gateway was stopped"
    assert [*read_rollouts(tmp_path / "run")] == []


_SERVE = """
import asyncio, sys
from llmgym.serve.gateway import service
from tests.rollouts import WordPolicy, Words
service.make_policy = lambda *_, **__: WordPolicy(Words(), lambda prompt: "yes")
service.codec_for = lambda *_: Words()
config = service.GatewayConfig(port=0, output=sys.argv[1])
asyncio.run(service.GatewayServer(config).serve(lambda url: print(url, flush=True)))
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_sessions_at_the_end_of_a_gateway_are_failures(tmp_path: Path, number: signal.Signals) -> None:
    command = [sys.executable, "-c", _SERVE, str(tmp_path)]
    with subprocess.Popen(command, env=environ(), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          text=True) as gateway:  # fmt: skip
        assert gateway.stdout is not None
        url = gateway.stdout.readline().strip()
        request = urllib.request.Request(f"{url}/sessions", b'{"task_id": "left"}')
        with urllib.request.urlopen(request) as answer:
            assert answer.status == 200
        gateway.send_signal(number)
    assert gateway.returncode == -number
    assert [failure.error for failure in open_records(tmp_path).failed] == ["the gateway was stopped"]


def test_idle_sessions_are_ended_and_working_ones_are_not(serve: Any) -> None:
    async def reply(prompt: str) -> str:
        await asyncio.sleep(1.0)
        return "late"

    client = serve(reply, idle_s=0.2)
    idle, working = client.begin("idle"), client.begin("working")
    assert client.ask(working, "hello") == "late"
    assert client.ask(idle, "hello")[0] == 404
    assert client.end(idle)[1]["error"] == "the session was asked for nothing in 0.2 s"


def test_who_has_no_token_begins_nothing(serve: Any) -> None:
    client = serve(sessions=1)
    assert client.post("/sessions", {"task_id": "one"}, token="guess")[0] == 401
    session = client.begin("one")
    assert client.post("/sessions", {"task_id": "two"})[0] == 503
    assert client.post(f"/sessions/{session['session']}/end", token="guess")[0] == 401
    guessed = {**session, "openai_base_url": f"{client.server.url}/s/guess/v1"}
    assert client.ask(guessed, "hello") == (404, "there is no such session: it has ended, or never was")
    for path, body in (("/sessions", {}), ("/sessions", {"task_id": 1}), ("/sessions", []), ("/nowhere", {})):
        assert client.post(path, body)[0] == 400
    assert client.post("/sessions/guess/end")[0] == 404


def test_a_gateway_that_would_be_open_to_all_is_refused() -> None:
    with pytest.raises(ConfigError, match="a token is needed"):
        GatewayServer(GatewayConfig(host="0.0.0.0"))
    with pytest.raises(ConfigError, match="needs a policy with tokens"):
        GatewayServer(GatewayConfig(policy="random"))
