"""Connections, event loops, limits of a server: what lies between a request and its answer."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
import time
import warnings
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from llmgym.errors import PolicyError, PolicyUnavailable
from llmgym.messages import assistant, user
from llmgym.policies.openai import OpenAIPolicy, connection
from llmgym.rollout import read_rollouts
from tests.endpoints.server import Server, ask, hang, refuses, reply, says, serving, started
from tests.rollouts import letters, trajectories

HELLO = says({"content": "x"})


# --- event loops --------------------------------------------------------------------------------


@contextlib.contextmanager
def elsewhere(*answers: Any) -> Any:
    """A server in a thread of its own, which outlives the loops of the test."""
    made: list[Server] = []
    up, down = threading.Event(), threading.Event()

    async def serve() -> None:
        async with serving(*answers) as server:
            made.append(server)
            up.set()
            await asyncio.to_thread(down.wait)

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    up.wait(10)
    try:
        yield made[0]
    finally:
        down.set()
        thread.join(10)


def test_a_policy_serves_one_loop_after_the_other_and_leaves_nothing_open() -> None:
    with warnings.catch_warnings(), elsewhere(HELLO) as server:
        warnings.simplefilter("error")
        policy = server.policy()
        asyncio.run(policy.start())
        for _ in range(3):
            assert asyncio.run(ask(policy)).message == assistant("x")
            gc.collect()
        asyncio.run(policy.close())
    assert len(server.requests) == 3


def test_a_policy_serves_two_loops_at_once() -> None:
    with elsewhere(HELLO) as server:
        policy = server.policy()

        async def many() -> None:
            for _ in range(20):
                assert (await ask(policy)).message == assistant("x")

        async def both() -> None:
            await policy.start()
            await asyncio.gather(many(), asyncio.to_thread(lambda: asyncio.run(many())))
            await policy.close()

        asyncio.run(both())
    assert len(server.requests) == 40


async def test_closing_ends_what_is_pending() -> None:
    async with serving(hang) as server:
        policy = server.policy(max_retries=3)
        await policy.start()
        asked = [asyncio.create_task(ask(policy)) for _ in range(3)]
        await asyncio.sleep(0.1)
        await policy.close()
        for task in asked:
            with pytest.raises(PolicyError, match="closed"):
                await asyncio.wait_for(task, 5)
        with pytest.raises(PolicyError, match="not started"):
            await ask(policy)


async def test_closing_ends_what_waits_for_its_turn() -> None:
    async with serving(refuses("slow down, try again in 60s", 429)) as server:
        policy = server.policy(max_retries=1)
        await policy.start()
        asked = asyncio.create_task(ask(policy))
        await asyncio.sleep(0.1)
        await policy.close()
        with pytest.raises(PolicyError, match="closed"):
            await asyncio.wait_for(asked, 5)


# --- what passes through a connection -----------------------------------------------------------


async def test_a_long_history_is_sent_without_a_warning() -> None:
    async def count(request: web.Request) -> web.StreamResponse:
        return await says({"content": str(len(await request.read()))})(request)

    async with serving(count) as server, started(server.policy()) as policy:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            server.chat = count  # type: ignore[method-assign]
            with pytest.raises(PolicyError, match="413"):  # aiohttp's own server takes no more than a MiB
                await ask(policy, messages=[user("x" * (3 << 20))])


async def test_an_answer_that_is_too_large_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_LARGEST", 2 << 20)
    async with serving(says({"content": "x" * (5 << 20)})) as server, started(server.policy()) as policy:
        with pytest.raises(PolicyError, match="more than 2 MiB"):
            await ask(policy)


async def test_a_server_without_tls() -> None:
    async with serving(HELLO) as server:
        url = server.url.replace("http", "https")
        with pytest.raises(PolicyUnavailable, match="Connection error"):
            await server.policy(base_url=url).start()


@pytest.mark.parametrize("bypass", [False, True])
async def test_the_proxy_of_the_environment(bypass: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, str | None]] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        seen.append((str(request.url), request.headers.get("Proxy-Authorization")))
        return await HELLO(request)

    async with serving(answer) as server:
        monkeypatch.setenv("http_proxy", f"http://us:hunter22@127.0.0.1:{server.port}")
        monkeypatch.setenv("no_proxy", "gpu.invalid" if bypass else "")
        policy = server.policy(base_url="http://gpu.invalid/v1", max_retries=0)
        if bypass:
            with pytest.raises(PolicyUnavailable, match=r"gpu\.invalid"):
                await policy.start()
        else:
            async with started(policy):
                await ask(policy)
    assert seen == ([] if bypass else [("http://gpu.invalid/v1/chat/completions", "Basic dXM6aHVudGVyMjI=")])


async def test_a_proxy_in_front_of_tls_does_not_see_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bytes] = []

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        writer.close()

    server = await asyncio.start_server(proxy, "127.0.0.1", 0)
    monkeypatch.setenv("https_proxy", f"us:hunter22@127.0.0.1:{server.sockets[0].getsockname()[1]}")
    policy = OpenAIPolicy("m", base_url="https://gpu.invalid/v1", api_key="sk-secret")
    async with server:
        with pytest.raises(PolicyUnavailable, match="Connection error") as error:
            await policy.start()
    assert seen[0].startswith(b"CONNECT gpu.invalid:443")
    assert b"Basic dXM6aHVudGVyMjI=" in seen[0]
    assert b"sk-secret" not in b"".join(seen)
    assert "hunter22" not in str(error.value)


async def test_addresses_of_azure() -> None:
    asked: list[tuple[str, str | None, str | None]] = []

    async def deployment(request: web.Request) -> web.StreamResponse:
        asked.append((request.path_qs, request.headers.get("api-key"), request.headers.get("Authorization")))
        return await HELLO(request)

    app = web.Application()
    app.router.add_route("*", "/openai/deployments/mine/chat/completions", deployment)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/openai/deployments/mine"
    for path in ("", "/", "/chat/completions"):
        policy = OpenAIPolicy("m", base_url=f"{url}{path}?api-version=2024-10-21", api_key="secret")
        async with started(policy):
            assert (await ask(policy)).message == assistant("x")
    await runner.cleanup()
    assert asked == [("/openai/deployments/mine/chat/completions?api-version=2024-10-21", "secret", None)] * 3


# --- limits -------------------------------------------------------------------------------------


class Crowded:
    """Takes `room` requests at once, and refuses others."""

    def __init__(self, room: int, **headers: str) -> None:
        self.room, self.live, self.refused = room, 0, 0
        self.no = reply({"error": {"message": "Rate limit reached"}}, 429, **headers)

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        letter = (await request.json())["messages"][-1]["content"].split()[-1]
        self.live += 1
        try:
            if self.live > self.room:
                self.refused += 1
                return await self.no(request)
            await asyncio.sleep(0.02)
            return await says({"content": letter.upper()})(request)
        finally:
            self.live -= 1


async def test_a_limit_slows_a_run_down_and_costs_no_try(caplog: pytest.LogCaptureFixture) -> None:
    crowded = Crowded(2, retry_after="0.05", x_ratelimit_limit_requests="500")
    async with serving(crowded) as server, started(server.policy(max_retries=1)) as policy:
        run = letters(num_tasks=26, num_samples_in_parallel=26, generation_timeout=0.2, episode_timeout=0.3)
        found = await trajectories(run(policy=policy))
    assert {(t.status, t.reward, t.attempts) for t in found.values()} == {("completed", 1.0, 1)}
    assert crowded.refused > 10
    (said,) = caplog.messages
    assert said.startswith("openai:m: the server limits the run (500 requests): HTTP 429: Rate limit reached")
    assert "at most 13 requests run at a time" in said


async def test_a_server_that_answers_nobody_any_more_ends_it() -> None:
    busy = reply({"error": {"message": "slow down"}}, 429, retry_after="0.01")
    async with serving(busy) as server, started(server.policy(max_retries=1, unavailable_timeout=0.1)) as policy:
        found = await asyncio.gather(*(ask(policy) for _ in range(8)), return_exceptions=True)
    assert {type(error) for error in found} == {PolicyUnavailable}
    assert all("slow down" in str(error) for error in found)


async def test_without_money_nothing_is_waited_for() -> None:
    words = "You exceeded your current quota, please check your plan and billing details."
    answer = refuses(words, 429, code="insufficient_quota")
    async with serving(answer) as server, started(server.policy(max_retries=3)) as policy:
        with pytest.raises(PolicyUnavailable, match="current quota"):
            await asyncio.wait_for(ask(policy), 0.4)
    assert len(server.requests) == 1


async def test_a_request_that_is_larger_than_the_limit_never_passes() -> None:
    words = "Request too large for m on tokens per min (TPM): Limit 30000, Requested 40000."
    answer = refuses(words, 429, code="rate_limit_exceeded")
    async with serving(answer) as server, started(server.policy(max_retries=3)) as policy:
        with pytest.raises(PolicyError, match="Request too large") as error:
            await asyncio.wait_for(ask(policy), 0.4)
    assert type(error.value) is PolicyError


async def test_a_request_that_is_refused_while_others_are_answered_holds_them_back_no_longer() -> None:
    words = "This request would exceed your organization's rate limit of 30,000 input tokens per minute"
    no, asked = reply({"error": {"message": words}}, 429, retry_after="0.001"), 0

    async def answer(request: web.Request) -> web.StreamResponse:
        nonlocal asked
        large = "large" in await request.text()
        asked += large
        return await (no if large else HELLO)(request)

    async with serving(answer) as server, started(server.policy(max_retries=1)) as policy:
        large = asyncio.create_task(ask(policy, messages=[user("large")]))
        while not large.done():
            assert (await ask(policy)).message == assistant("x")
    assert type(large.exception()) is PolicyError
    assert "while others are answered" in str(large.exception())
    assert 15 <= asked <= 29  # it may go alone in between


async def test_where_most_are_refused_nobody_is_taken_for_too_large() -> None:
    no, asked = reply({"error": {"message": "requests per minute"}}, 429, retry_after="0.001"), [0, 0]

    async def answer(request: web.Request) -> web.StreamResponse:
        unlucky = "unlucky" in await request.text()
        asked[unlucky] += 1
        refused = asked[True] <= 50 if unlucky else asked[False] % 5
        return await (no if refused else HELLO)(request)

    async def other(policy: Any, unlucky: asyncio.Task[Any]) -> None:
        while not unlucky.done():
            assert (await ask(policy)).message == assistant("x")

    async with serving(answer) as server, started(server.policy(max_retries=1)) as policy:
        unlucky = asyncio.create_task(ask(policy, messages=[user("unlucky")]))
        await asyncio.gather(*(other(policy, unlucky) for _ in range(8)))
        assert (await unlucky).message == assistant("x")
    assert asked[True] == 51


async def test_small_requests_do_not_use_up_for_ever_what_a_large_one_waits_for() -> None:
    no, since = reply({"error": {"message": "tokens per minute"}}, 429, retry_after="0.001"), 0

    async def answer(request: web.Request) -> web.StreamResponse:
        nonlocal since
        large = "large" in await request.text()
        refused, since = large and since > 0, 0 if large else since + 1
        return await (no if refused else HELLO)(request)

    async def small(policy: Any, large: asyncio.Task[Any]) -> None:
        while not large.done():
            assert (await ask(policy)).message == assistant("x")

    async with serving(answer) as server, started(server.policy(max_retries=1)) as policy:
        assert (await ask(policy)).message == assistant("x")
        large = asyncio.create_task(ask(policy, messages=[user("large")]))
        await asyncio.gather(*(small(policy, large) for _ in range(4)))
        assert (await large).message == assistant("x")


async def test_when_nothing_is_left_the_next_waits() -> None:
    last = reply(
        {"choices": [{"message": {"content": "x"}, "finish_reason": "stop"}]},
        x_ratelimit_remaining_requests="0", x_ratelimit_reset_requests="200ms",
    )  # fmt: skip
    async with serving(last, HELLO) as server, started(server.policy()) as policy:
        await ask(policy)
        began = time.monotonic()
        await ask(policy)
    assert time.monotonic() - began > 0.15


# --- who answers --------------------------------------------------------------------------------


async def test_another_model_that_answers_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    answers = [reply({"model": name, "choices": [{"message": {"content": "x"}, "finish_reason": "stop"}]})
               for name in ("m-1", "m-1", "m-2", "m-1", "m-2")]  # fmt: skip
    async with serving(*answers) as server, started(server.policy()) as policy:
        found = [(await ask(policy)).model for _ in answers]
    assert found == ["m-1", "m-1", "m-2", "m-1", "m-2"]
    assert caplog.messages == ["openai:m: m-2 answers now, and m-1 did before; turns say who answered"]


async def test_who_answered_is_recorded_with_the_turns_where_it_is_another(tmp_path: Path) -> None:
    answer = reply({"model": "m-2026\ud800", "choices": [{"message": {"content": "x"}, "finish_reason": "stop"}]})
    async with serving(answer, HELLO) as server, started(server.policy()) as policy:
        await trajectories(letters(num_tasks=2, num_samples_in_parallel=1)(policy=policy, output=tmp_path / "run"))
    named = [turn.model for trajectory in read_rollouts(tmp_path / "run") for turn in trajectory.turns]
    assert named == ["m-2026\ufffd", ""]
