"""Sessions as fronts use them, without a server."""

from __future__ import annotations

import asyncio
import gc
import weakref

import pytest

pytest.importorskip("prometheus_client")

from llmgym.adapters.remote.protocol import Reset
from llmgym.errors import EnvironmentFailure
from llmgym.messages import tool_call
from llmgym.rollout.config import TaskSettings
from llmgym.rollout.instances import Instances
from llmgym.serve import Sessions
from llmgym.serve.metrics import Metrics
from llmgym.serve.trouble import ServeError


def sessions_of(env_id: str) -> Sessions:
    (env,) = TaskSettings(env_ids=[env_id]).environments
    return Sessions({env.name: Instances(env)}, metrics=Metrics())


def test_a_session_that_was_closed_does_not_reach_the_episode_of_the_next() -> None:
    async def run() -> None:
        sessions = sessions_of("llmgym/Calculator-v0")
        first = await sessions.open("llmgym/Calculator-v0")
        await first.reset(Reset(seed=1))
        await sessions.close(first.id)
        second = await sessions.open("llmgym/Calculator-v0")  # has the instance of the first
        await second.reset(Reset(seed=2))
        call = tool_call("add", a=1, b=2)
        for work in (first.call(call, same=False), first.step("7"), first.end(), first.reset(Reset(seed=1))):
            with pytest.raises(ServeError, match="has ended"):
                await work
        await second.call(call, same=False)
        assert second.report.metrics["tool_calls"] == 1.0
        await sessions.aclose()

    asyncio.run(run())


def test_an_instance_is_given_back_when_what_it_does_has_ended() -> None:
    async def run() -> None:
        sessions = sessions_of("tests.serve.environments:Slow-v0")
        first = await sessions.open("Slow-v0")
        await first.reset(Reset(seed=1))
        step = asyncio.create_task(first.step("x"))
        await asyncio.sleep(0)
        await sessions.close(first.id)
        assert step.done()
        assert step.result().reward == 1.0
        await sessions.aclose()

    asyncio.run(run())


def test_a_session_is_idle_from_the_end_of_what_it_did() -> None:
    async def run() -> None:
        sessions = sessions_of("tests.serve.environments:Slow-v0")
        session = await sessions.open("Slow-v0")
        await session.reset(Reset(seed=1))
        began = session.touched
        await session.step("x")  # which takes 0.2 s
        assert session.touched >= began + 0.2
        await sessions.aclose()

    asyncio.run(run())


def test_an_instance_that_cannot_be_used_any_more_does_not_stay_in_memory() -> None:
    async def run() -> None:
        sessions = sessions_of("tests.serve.environments:Broken-v0")
        session = await sessions.open("Broken-v0")
        await session.reset(Reset(seed=1))
        instance = weakref.ref(session._env.unwrapped)
        with pytest.raises(EnvironmentFailure, match="the disk is gone"):
            await sessions.use(session, session.call(tool_call("lose"), same=False))
        gc.collect()
        assert sessions.find(session.id).closed  # its last answer is still known
        assert instance() is None
        await sessions.aclose()

    asyncio.run(run())
