"""NeMo Gym and OpenEnv by URL, against the packages' own servers, in the environments of `make install-servers`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("aiohttp")

from llmgym.errors import EnvironmentFailure
from llmgym.messages import assistant, tool_call
from llmgym.registry import make_core
from llmgym.tasks import TaskSet
from tests.adapters.record import DIALOGUES, play, task_set
from tests.adapters.wire_servers import Replayed, python_of, started

pytestmark = pytest.mark.integration

SERVERS = {
    "nemo_gym_counter": ("nemo-gym", "example_session_state_mgmt"),
    "nemo_gym_by_id": ("nemo-gym", "example_single_tool_call"),
    "nemo_gym_steps": ("nemo-gym", "example_multi_turn_gymnasium"),
    "openenv_guess": ("openenv", "guess"),
    "openenv_repeat": ("openenv", "repeat"),
    "openenv_shelf": ("openenv", "shelf"),
    "openenv_desk": ("openenv", "desk"),
}


@pytest.mark.parametrize("name", SERVERS)
def test_recorded_dialogues_are_still_those_of_the_servers(name: str) -> None:
    recorded, env_id = Replayed(name), DIALOGUES[name]["id"]
    with started(*SERVERS[name]) as url:
        env = make_core(env_id, url=url, tasks=task_set(env_id, recorded.task))
        assert play(env, recorded.actions) == recorded.seen


def examples(server: str) -> Path:
    """The rows that come with a resource server."""
    packages = python_of("nemo-gym").parent.parent.glob("lib/python*/site-packages")
    return next(packages) / "resources_servers" / server / "data" / "example.jsonl"


@pytest.fixture(scope="module")
def workplace() -> Iterator[str]:
    with started("nemo-gym", "workplace_assistant") as url:
        yield url


def test_right_calls_earn_1_in_many_episodes_at_once(workplace: str) -> None:
    rows = examples("workplace_assistant")

    async def episode(number: int) -> tuple[float, float]:
        env = make_core("llmgym/NeMoGym-v0", url=workplace, tasks=rows)
        earned: list[float] = []
        for right in (True, False):
            await env.areset(options={"task": env.tasks.plan("train", 0, number)})
            calls = [tool_call(call["name"], call["arguments"]) for call in env.row["ground_truth"]]
            if right and calls:
                await env.astep(assistant("", *calls))
            earned.append((await env.astep("Done."))[1])
        await env.aclose()
        return earned[0], earned[1]

    async def run() -> list[tuple[float, float]]:
        return await asyncio.gather(*map(episode, range(5)))

    assert [right for right, _ in asyncio.run(run())] == [1.0] * 5


def test_what_a_model_writes_reaches_no_route_of_the_server(workplace: str) -> None:
    env = make_core("llmgym/NeMoGym-v0", url=workplace, tasks=examples("workplace_assistant"))
    env.reset(seed=0)
    names = ("seed_session", "verify", "close_session", "../verify", "aggregate_metrics")
    said, *_ = env.step(assistant("", *(tool_call(name) for name in names)))
    assert all(message["content"].startswith("Error: there is no tool") for message in said)
    env.close()


def test_tools_over_mcp() -> None:
    pytest.importorskip("mcp")
    with started("nemo-gym", "example_mcp_weather", "mcp") as url:
        env = make_core("llmgym/NeMoGym-v0", url=url, tasks=examples("example_mcp_weather"))
        _, info = env.reset(seed=0)
        assert [tool["function"]["name"] for tool in info["tools"]] == ["get_weather"]
        city = env.row["verifier_metadata"]["expected_city"]
        (said,), *_ = env.step(assistant("", tool_call("get_weather", city=city)))
        *_, reward, _, _, info = env.step(json.loads(said["content"])["weather"])
        assert (reward, info["metrics"]["tool_call_seen"]) == (1.0, 1.0)
        env.close()


def test_a_server_that_dies_leaves_the_episode_unscored() -> None:
    task = Replayed("nemo_gym_counter").task
    with started("nemo-gym", "example_session_state_mgmt") as url:
        env = make_core("llmgym/NeMoGym-v0", url=url, tasks=task_set("llmgym/NeMoGym-v0", task))
        env.reset(seed=0)
        env.step(assistant("", tool_call("increment_counter", count=4)))
    with pytest.raises(EnvironmentFailure):
        env.step("7")
    env.close()


@pytest.mark.parametrize(
    ("number", "kind", "text"),
    [
        (-1, "environment", "the table has fallen over"),
        (-2, "infrastructure", "closed the connection"),
        (-3, "timeout", "did not answer 'step' within 1 s"),
        (-4, "invalid", "more than 16 MiB"),
    ],
)
def test_what_goes_wrong_in_openenv(number: int, kind: str, text: str) -> None:
    with started("openenv", "guess") as url:
        env = make_core("llmgym/OpenEnv-v0", url=url, tool_timeout=1.0)
        env.reset(seed=0)
        with pytest.raises(EnvironmentFailure, match=text) as failed:
            env.step(assistant("", tool_call("Number", number=number)))
        assert failed.value.kind == kind
        env.close()


def test_sessions_of_openenv_are_given_back_and_waited_for() -> None:
    with started("openenv", "guess", "1") as url:

        async def episode(seed: int) -> list[Any]:
            env = make_core("llmgym/OpenEnv-v0", url=url, tasks=task_set_of(seed))
            await env.areset(seed=0)
            said = await env.astep(assistant("", tool_call("Number", number=seed % 9 + 1)))
            await env.aclose()
            return [said[1], said[2]]

        async def run() -> list[Any]:
            return await asyncio.gather(*map(episode, range(4)))

        assert asyncio.run(run()) == [[1.0, True]] * 4


def test_a_reward_that_is_no_number_is_none() -> None:
    with started("openenv", "guess") as url:
        env = make_core("llmgym/OpenEnv-v0", url=url)
        env.reset(seed=0)
        _, reward, done, *_ = env.step(assistant("", tool_call("Number", number=-5)))
        assert (str(reward), done) == ("nan", True)
        env.close()


def task_set_of(seed: int) -> TaskSet | None:
    return task_set("llmgym/OpenEnv-v0", {"prompt": "", "metadata": {"reset": {"seed": seed}}})
