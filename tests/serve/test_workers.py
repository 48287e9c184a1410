"""A server of several processes: sessions say where they are, and what becomes of a process that dies."""

from __future__ import annotations

import asyncio
import http.client
import os
import re
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("uvicorn")
from llmgym.rollout import Collector, read_rollouts
from tests.command import ROOT, environ
from tests.serving import Process

ENV = "llmgym/Calculator-v0"
HOLDING = "tests.serve.environments:Holding-v0"


def begin(server: Process, env: str = ENV) -> tuple[str, str]:
    """A session: the address of its process, and its path there."""
    status, opened = server.ask("POST", "/v1/sessions", {"env": env, "seed": 3})
    assert status == 200, opened
    url, _, path = opened["url"].partition("/v1/")
    assert path == f"sessions/{opened['session']}"
    return url, f"/v1/{path}"


def until(true: Callable[[], object]) -> None:
    """Wait for something; the test's own timeout bounds it."""
    while not true():
        threading.Event().wait(0.05)


def test_a_session_is_where_it_says(process: Callable[..., Process]) -> None:
    server = process(workers=2)
    sessions = [begin(server) for _ in range(12)]
    urls = server.ask("GET", "/v1")[1]["workers"]
    assert {url for url, _ in sessions} <= set(urls)
    assert len(urls) == 2
    for url, path in sessions:
        assert server.ask("POST", f"{path}/step", {"action": "x"}, url)[0] == 200
        for other in set(urls) - {url}:
            assert server.ask("POST", f"{path}/step", {"action": "x"}, other)[1]["error"]["wrong"] == "unknown_session"
    assert server.end() == -signal.SIGTERM
    assert "Traceback" not in server.said.read_text()


def test_a_killed_process_is_started_again_and_its_sessions_are_lost(process: Callable[..., Process]) -> None:
    server = process(workers=2)
    sessions = [begin(server) for _ in range(8)]
    before = server.workers
    os.kill(before[0], signal.SIGKILL)
    until(lambda: len(server.workers) == 2 and server.workers != before)
    told = [(url, server.ask("POST", f"{path}/step", {"action": "x"}, url)) for url, path in sessions]
    lost = {url for url, (status, _) in told if status != 200}
    assert len(lost) <= 1, "the sessions of the other live"
    assert {said["error"]["wrong"] for url, (_, said) in told if url in lost} <= {"unknown_session"}
    begin(server)
    assert "has ended with status -9" in server.said.read_text()


@pytest.mark.slow
@pytest.mark.parametrize("freeze", ["stopped", "held"])
def test_a_frozen_process_is_killed_and_started_again(freeze: str, process: Callable[..., Process]) -> None:
    server = process(HOLDING, workers=2, frozen_s=4)
    sessions = [begin(server, "Holding-v0") for _ in range(8)]
    before = server.workers
    url, path = sessions[0]
    if freeze == "stopped":
        os.kill(before[0], signal.SIGSTOP)
    else:  # a step that never gives the event loop back
        with pytest.raises(http.client.RemoteDisconnected):
            server.ask("POST", f"{path}/step", {"action": "hold"}, url)
    until(lambda: len(server.workers) == 2 and server.workers != before)
    told = [server.ask("POST", f"{path}/step", {"action": "x"}, url) for url, path in sessions]
    assert {said["error"]["wrong"] for status, said in told if status != 200} <= {"unknown_session"}
    assert len(set(server.workers) & set(before)) == 1, "the other lives"
    begin(server, "Holding-v0")
    assert "has given no sign of life for 4 s" in server.said.read_text()


@pytest.mark.slow
def test_processes_outlive_a_halt_of_all(process: Callable[..., Process]) -> None:
    server = process(workers=2, frozen_s=2)
    url, path = begin(server)
    before = server.workers
    for number in (signal.SIGSTOP, signal.SIGCONT):
        for pid in (*before, server.pid):
            os.kill(pid, number)
        threading.Event().wait(4)  # longer than each may stand still
    assert server.workers == before
    assert server.ask("POST", f"{path}/step", {"action": "x"}, url)[0] == 200


@pytest.mark.slow
def test_the_processes_end_with_the_first(process: Callable[..., Process]) -> None:
    server = process(workers=2)
    workers = server.workers
    server.kill()
    until(lambda: not any(Path(f"/proc/{worker}").exists() for worker in workers))


def test_what_cannot_be_served_is_said_once(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "llmgym", "serve", "env", "llmgym/None-v0", "--no-token", "--workers", "2"]
    found = subprocess.run(
        [*command, "--port", "0"], env=environ(), cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert found.returncode == 2
    assert found.stderr.count("None-v0") == 1
    assert "Traceback" not in found.stderr


def test_a_run_follows_its_sessions(process: Callable[..., Process], tmp_path: Path) -> None:
    server = process(workers=2)
    remote: Any = {"id": "llmgym/Remote-v0", "kwargs": {"url": server.url}}
    run = Collector([remote], "oracle", num_tasks=8, num_repeats=2, seed=3, output=tmp_path / "run")
    asyncio.run(run.collect())
    rows = list(read_rollouts(tmp_path / "run"))
    assert [row.reward for row in rows] == [1.0] * 16
    begun = re.compile(r'llmgym_episodes_total{env="llmgym/Calculator-v0"} (\d+)')
    pages = [urllib.request.urlopen(f"{url}/metrics").read().decode() for url in server.ask("GET", "/v1")[1]["workers"]]
    assert sum(int(count) for page in pages for count in begun.findall(page)) == 16
