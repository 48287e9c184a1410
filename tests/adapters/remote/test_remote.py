"""Environments at a server: what they give is what they give here, whatever happens to the connection."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gymnasium
import pytest

pytest.importorskip("uvicorn")
pytest.importorskip("aiohttp")

from llmgym.adapters.remote.host import Host
from llmgym.adapters.remote.protocol import Opened, Reset
from llmgym.errors import ConfigError, EnvironmentFailure, StoreError, TaskError
from llmgym.rollout import Collector, read_rollouts
from llmgym.serve import EnvServer
from llmgym.testing import check_text_env
from tests.serving import Process

Serve = Callable[..., EnvServer]
IDS = ["llmgym/Calculator-v0", "llmgym/Wordle-v0", "llmgym/FunctionCalling-v0", "llmgym/ErrorRecovery-v0"]


def played(env: Any, *, episodes: int = 3) -> Iterator[Any]:
    """All that an environment tells in episodes of its oracle; the first is seeded, the others go on."""
    core = env.unwrapped
    for episode in range(episodes):
        yield env.reset(seed=7 if episode == 0 else None)
        for message in core.oracle(core.task):
            found = env.step(message)
            yield found
            if found[2] or found[3]:
                break
        report = core.report()
        yield core.transcript, core.metrics, report.metrics, report.tool_errors, report.outside


@pytest.mark.parametrize("env_id", IDS)
def test_an_environment_tells_what_it_tells_here(serve: Serve, env_id: str) -> None:
    server = serve(env_id)
    remote: Any
    here: Any
    remote, here = gymnasium.make("llmgym/Remote-v0", url=server.url), gymnasium.make(env_id)
    assert list(played(remote)) == list(played(here))
    assert remote.unwrapped.scope == here.unwrapped.scope
    assert remote.action_space == here.action_space
    remote.close()
    assert len(server.sessions) == 0


@pytest.mark.slow
def test_it_conforms(serve: Serve) -> None:
    server = serve()
    check_text_env("llmgym/Remote-v0", url=server.url, env_id="llmgym/Calculator-v0", num_tasks=6, seconds=1)


def test_a_run_over_it_is_the_run_here_and_goes_on_elsewhere(serve: Serve, tmp_path: Path) -> None:
    def rows(env: Any, folder: str, num_tasks: int) -> list[Any]:
        settings: dict[str, Any] = {"policy": "oracle", "seed": 3, "num_repeats": 2, "output": tmp_path / folder}
        asyncio.run(Collector([env], num_tasks=num_tasks, **settings).collect())
        return sorted(
            (row.id, row.task_id, row.seed, row.reward, str(row.messages)) for row in read_rollouts(tmp_path / folder)
        )

    def remote(server: EnvServer) -> dict[str, Any]:
        kwargs = {"url": server.url, "env_id": "llmgym/Calculator-v0"}
        return {"id": "llmgym/Remote-v0", "kwargs": kwargs, "label": "calculator"}

    here = {"id": "llmgym/Calculator-v0", "label": "calculator"}
    assert rows(remote(serve()), "there", 4) == rows(here, "here", 4)
    assert rows(remote(serve()), "there", 6) == rows(here, "here", 6)
    with pytest.raises(StoreError, match=r"served\.max_turns was 12, is 3"):
        rows(remote(serve({"id": "llmgym/Calculator-v0", "kwargs": {"max_turns": 3}})), "there", 6)
    with pytest.raises(StoreError, match=r"served\.wrappers"):
        rows(remote(serve({"id": "llmgym/Calculator-v0", "wrappers": [{"name": "ToolPenalty"}]})), "there", 6)


def test_a_lost_connection_costs_nothing(serve: Serve) -> None:
    server = serve()
    proxy = Proxy(server.url)
    env = gymnasium.make("llmgym/Remote-v0", url=proxy.url)
    here = gymnasium.make("llmgym/Calculator-v0")
    told = []
    for found in played(env):
        told.append(found)
        proxy.cut()
    assert told == list(played(here))
    assert proxy.cuts > 5
    env.close()
    proxy.close()


@pytest.mark.parametrize("workers", [1, 2])
def test_what_is_too_large_for_the_server_is_said_and_disturbs_nobody(
    process: Callable[..., Process], workers: int
) -> None:
    server = process(body_limit=50_000, workers=workers)
    env, other = (gymnasium.make("llmgym/Remote-v0", url=server.url) for _ in range(2))
    for each in (env, other):
        each.reset(seed=1)
    with pytest.raises(EnvironmentFailure, match=r"takes requests of 50000 bytes, and not of 6.*raise"):
        env.step("x" * 60_000)
    assert other.step("x" * 40_000)[2]
    env.reset(seed=2)
    for each in (env, other):
        each.close()


def test_a_request_on_a_line_that_is_lost_leaves_no_trace(serve: Serve) -> None:
    proxy = Proxy(serve().url)
    lost: list[Any] = []

    async def run() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: lost.append(context["message"]))
        line = Host.at(proxy.url, None).line()
        await line.ask(Reset(env="llmgym/Calculator-v0", seed=1), Opened, 30)
        socket = await line._open()
        line._waiting[99] = asyncio.get_running_loop().create_future()  # of one that could not be sent any more
        await socket.close()
        await line._reader
        line._waiting.clear()
        gc.collect()

    asyncio.run(run())
    proxy.close()
    assert not lost


def test_a_server_that_was_started_again_leaves_the_episode_unscored(serve: Serve) -> None:
    first = serve()
    port = int(first.url.rpartition(":")[2])
    env: Any = gymnasium.make("llmgym/Remote-v0", url=first.url).unwrapped
    env.reset(seed=1)
    first.stop()
    while _listens(port):
        threading.Event().wait(0.05)
    serve(port=port)
    with pytest.raises(EnvironmentFailure, match="started again") as failed:
        env.step("x")
    assert failed.value.kind == "infrastructure"
    env.reset(seed=1)
    assert env.step("x")[2]
    env.close()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_wrong_arguments_are_named(serve: Serve) -> None:
    server = serve(*IDS[:2], token="s3cret")
    with pytest.raises(ConfigError, match="http://HOST:PORT"):
        gymnasium.make("llmgym/Remote-v0", url="localhost:1")
    with pytest.raises(ConfigError, match="token"):
        gymnasium.make("llmgym/Remote-v0", url=server.url)
    with pytest.raises(ConfigError, match=f"env_id is one of {IDS[0]}, {IDS[1]}"):
        gymnasium.make("llmgym/Remote-v0", url=server.url, token="s3cret")
    env = gymnasium.make("llmgym/Remote-v0", url=server.url, token="s3cret", env_id=IDS[0])
    with pytest.raises(TaskError, match="unknown reset option 'level'"):
        env.reset(seed=1, options={"level": 2})
    with pytest.raises(TaskError, match="unknown task 'none'"):
        env.reset(seed=1, options={"task_id": "none"})
    env.close()


def test_a_server_that_is_not_there_is_named() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(EnvironmentFailure, match="cannot be reached"):
        gymnasium.make("llmgym/Remote-v0", url=url)


class Proxy:
    """Hands bytes on to a server, until it is told to cut all connections."""

    def __init__(self, url: str) -> None:
        host, _, port = url.partition("//")[2].rpartition(":")
        self._target, self.cuts = (host, int(port)), 0
        self._loop = asyncio.new_event_loop()
        self._writers = set[asyncio.StreamWriter]()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._serve, "127.0.0.1", 0), self._loop
        ).result()
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = await asyncio.open_connection(*self._target)
        self._writers |= {writer, there[1]}

        async def pump(source: asyncio.StreamReader, to: asyncio.StreamWriter) -> None:
            try:
                while data := await source.read(1 << 16):
                    to.write(data)
            except OSError:
                pass
            to.close()

        await asyncio.gather(pump(reader, there[1]), pump(there[0], writer))

    def cut(self) -> None:
        """End all connections."""
        self._loop.call_soon_threadsafe(self._cut)

    def _cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
        self.cuts += bool(self._writers)
        self._writers.clear()

    def close(self) -> None:
        """End."""

        async def end() -> None:
            self._server.close()
            self._cut()
            await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()})  # they leave no socket open

        asyncio.run_coroutine_threadsafe(end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def test_rewards_that_repeats_give_each_other_are_those_of_the_environment(serve: Serve, tmp_path: Path) -> None:
    said = iter(["one", "three", "two", "seven"] * 2)

    def rows(env: Any, folder: str) -> list[Any]:
        run = Collector([env], lambda messages, tools: next(said), num_tasks=2, num_repeats=2,
                        num_samples_in_parallel=1, seed=3, output=tmp_path / folder)  # fmt: skip
        asyncio.run(run.collect())
        return [
            (row.id, row.reward, row.reward_parts, row.metrics["length"]) for row in read_rollouts(tmp_path / folder)
        ]

    env_id = "tests.serve.environments:Grouped-v0"
    here = rows({"id": env_id, "label": "grouped"}, "here")
    assert sorted(reward for _, reward, _, _ in here) == [1.0, 1.0, 2.0, 2.0]
    remote = {"id": "llmgym/Remote-v0", "kwargs": {"url": serve(env_id).url}, "label": "grouped"}
    assert rows(remote, "there") == here


def test_slots_of_a_vector_are_those_of_the_environment_there(serve: Serve) -> None:
    server = serve()
    there: Any = gymnasium.make_vec("llmgym/Remote-v0", num_envs=3, url=server.url)
    here: Any = gymnasium.make_vec("llmgym/Calculator-v0", num_envs=3)
    assert repr(there.reset(seed=5)) == repr(here.reset(seed=5))
    assert repr(there.step(["1", "2", "3"])) == repr(here.step(["1", "2", "3"]))
    there.close()
    here.close()
    assert len(server.sessions) == 0


@pytest.mark.slow
def test_a_server_that_froze_is_given_up_and_the_next_episode_begins(
    process: Callable[..., Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, seconds in (("_ASKING_S", 1.0), ("_OPENING_S", 0.5), ("_HEARTBEAT_S", 1.0)):
        monkeypatch.setattr(f"llmgym.adapters.remote.host.{name}", seconds)
    server = process()
    env: Any = gymnasium.make("llmgym/Remote-v0", url=server.url).unwrapped
    env.reset(seed=1)
    os.kill(server.pid, signal.SIGSTOP)
    with pytest.raises(EnvironmentFailure, match="cannot be reached") as failed:
        env.step("x")
    assert failed.value.kind == "infrastructure"
    os.kill(server.pid, signal.SIGCONT)
    env.reset(seed=1)
    assert env.step("x")[2]
    env.close()


@pytest.mark.slow
def test_a_server_that_is_silent_is_asked_again(
    process: Callable[..., Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llmgym.adapters.remote.host._ASKING_S", 3.0)
    server = process()
    env: Any = gymnasium.make("llmgym/Remote-v0", url=server.url).unwrapped
    os.kill(server.pid, signal.SIGSTOP)
    going_on = threading.Timer(4.0, os.kill, (server.pid, signal.SIGCONT))  # later than one request waits
    going_on.start()
    assert env.tasks.plan("train", 5, 0).prompt
    going_on.join()
    env.close()
