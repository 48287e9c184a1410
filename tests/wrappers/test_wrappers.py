"""Wrappers: one meaning through `step`, `astep`, vectors, specs and the collector."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import data_equivalence

from llmgym.env import StepResult, ToolEnv
from llmgym.errors import ConfigError
from llmgym.messages import assistant, tool_call
from llmgym.vector import TextVectorEnv
from llmgym.wrappers import WRAPPERS, AnyToolEnv, ToolPenalty, ToolWrapper, wrap
from tests.environments import Adder, SuspendingAdder

CALL = assistant("let me see", tool_call("add", a=1))
ACTIONS = [CALL, assistant("", tool_call("subtract")), CALL, "the end"]
ARGUMENTS: dict[str, dict[str, Any]] = {
    "ScaleReward": {"scale": 2.0, "shift": 0.5, "high": 2.0},
    "FormatReward": {"pattern": "e", "match": 0.25, "miss": -0.5},
    "ToolPenalty": {"per_call": 0.25, "per_error": 0.5},
    "FilterTasks": {"predicate": "tests.wrappers.test_tasks:is_even"},
    "RecordTranscript": {},
    "EpisodeStatistics": {},
}


class Shout(ToolWrapper):
    """One of a user's own."""

    def on_step(self, action: Any, result: StepResult) -> StepResult:
        return (*result[:4], result[4] | {"said": str(action).upper()})


@pytest.fixture
def arguments(tmp_path: Path) -> dict[str, dict[str, Any]]:
    return ARGUMENTS | {"RecordTranscript": {"path": str(tmp_path / "transcripts.jsonl")}}


def by_step(env: gymnasium.Env[Any, Any]) -> list[Any]:
    return [env.reset(seed=3), *(env.step(action) for action in copy.deepcopy(ACTIONS)), env.reset()]


async def by_astep(env: AnyToolEnv) -> list[Any]:
    steps = [await env.astep(action) for action in copy.deepcopy(ACTIONS)] if await env.areset(seed=3) else []
    return [await env.areset(seed=3), *steps, await env.areset()]


def timeless(results: list[Any]) -> list[Any]:
    """The same without clocks."""
    for result in results:
        result[-1].get("statistics", {}).pop("seconds", None)
    return results


def test_all_are_here() -> None:
    assert ARGUMENTS.keys() == WRAPPERS.keys()


@pytest.mark.parametrize("cls", [Adder, SuspendingAdder])
@pytest.mark.parametrize("name", WRAPPERS)
async def test_step_and_astep_and_vectors_agree(
    name: str, cls: type[ToolEnv], arguments: dict[str, dict[str, Any]]
) -> None:
    def make() -> AnyToolEnv:
        return wrap(cls(), [(name, arguments[name])])

    results = timeless(by_step(make()))
    assert data_equivalence(results, timeless([*await by_astep(make())]))
    assert data_equivalence(results, timeless(by_step(pickle.loads(pickle.dumps(make())))))
    vector = TextVectorEnv(make, 1, autoreset_mode="Disabled")
    vector.reset(seed=3)
    for result, action in zip(results[1:], ACTIONS, strict=False):
        observations, rewards, terminations, truncations, _ = vector.step([action])
        assert (observations[0], rewards[0], terminations[0], truncations[0]) == result[:4]


@pytest.mark.parametrize("name", WRAPPERS)
def test_the_spec_rebuilds_it(name: str, arguments: dict[str, dict[str, Any]]) -> None:
    env = WRAPPERS[name](gymnasium.make("test/Adder-v0", max_turns=5), **arguments[name])
    assert env.spec is not None
    again = gymnasium.make(EnvSpec.from_json(env.spec.to_json()))
    assert isinstance(again, WRAPPERS[name])
    assert again.spec == env.spec
    assert data_equivalence(timeless(by_step(env)), timeless(by_step(again)))


@pytest.mark.parametrize("name", WRAPPERS)
async def test_an_episode_may_be_ended_by_its_driver(name: str, arguments: dict[str, dict[str, Any]]) -> None:
    env = wrap(Adder(), [(name, arguments[name])])
    for cut in (None, "cut o"):
        await env.areset(seed=0)
        await env.astep(CALL)
        new, _, terminated, truncated, info = await env.aend(cut)
        assert (new, terminated, truncated) == ((), False, True)
        assert "correct" in info["reward_parts"]


def test_a_wrapper_shows_what_is_inside() -> None:
    env = wrap(Adder(), [("ToolPenalty", {}), ("ScaleReward", {})])
    env.reset(seed=0)
    env.step(CALL)
    assert env.transcript is env.unwrapped.transcript  # type: ignore[attr-defined]
    assert (env.metrics["tool_calls"], env.scope, env.suspends) == (1, "Adder", False)
    with pytest.raises(AttributeError, match="nothing"):
        env.nothing  # noqa: B018


def test_a_wrapper_needs_a_tool_env_inside() -> None:
    with pytest.raises(TypeError, match="ToolPenalty wraps environments made from ToolEnv"):
        ToolPenalty(gymnasium.make("CartPole-v1"))


class Broken(ToolWrapper):
    """Cannot be made."""

    def __init__(self, env: Any) -> None:
        super().__init__(env)
        raise KeyError("lost")


def test_wrappers_by_name() -> None:
    env = wrap(Adder(), [("ScaleReward", {"scale": 2.0}), (f"{__name__}:Shout", {})])
    env.reset(seed=0)
    assert env.step("end")[4]["said"] == "END"


@pytest.mark.parametrize(
    ("name", "arguments", "why"),
    [
        ("Penalty", {}, "there is no wrapper 'Penalty'; there is ScaleReward, .*or module:Class"),
        ("nowhere:Penalty", {}, "wrapper 'nowhere:Penalty': there is no module 'nowhere'"),
        ("gymnasium.wrappers:TimeLimit", {}, "is the class TimeLimit, not a subclass of llmgym.wrappers.ToolWrapper"),
        (f"{__name__}:Broken", {}, r"wrapper .*:Broken: KeyError: 'lost', at .*test_wrappers\.py:\d+"),
        ("FilterTasks", {"metadata": 5}, "metadata maps names to values; it is 5"),
        ("FilterTasks", {"predicate": "math:pi"}, "is of type float, not a function"),
        ("ToolPenalty", {"per_cal": 1}, "wrapper ToolPenalty: .*'per_cal'"),
        ("FormatReward", {"pattern": "("}, "no regular expression"),
        ("ScaleReward", {"low": 2, "high": 1}, "low must be at most high"),
        ("FilterTasks", {"predicate": "tests"}, "FilterTasks: predicate 'tests': write module:name"),
    ],
)
def test_wrong_names_and_arguments_are_named(name: str, arguments: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        wrap(Adder(), [(name, arguments)])


def test_transcripts_of_many_writers_are_one_file(tmp_path: Path) -> None:
    path = tmp_path / "new" / "transcripts.jsonl"
    vector = TextVectorEnv(lambda: wrap(SuspendingAdder(), [("RecordTranscript", {"path": path})]), 8)
    vector.reset(seed=0)
    for _ in range(3):
        vector.step([CALL] * 8)
        vector.step(["the end"] * 8)
    vector.close()
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert len({row["task_id"] for row in rows}) == len(rows) == 24
    assert [message["role"] for message in rows[0]["messages"]] == ["system", "user", "assistant", "tool", "assistant"]
    assert (rows[0]["reward"], rows[0]["reward_parts"], rows[0]["truncated"]) == (0.0, {"correct": 0.0}, False)


def test_statistics_are_those_of_the_episode() -> None:
    env = wrap(Adder(), [("EpisodeStatistics", {})])
    *_, info = by_step(env)[-2]
    assert info["statistics"] | {"seconds": 0} == {"turns": 4, "tool_calls": 3, "tool_errors": 1, "seconds": 0}
    assert 0 < info["statistics"]["seconds"] < 5


def rewards(make: Callable[[], AnyToolEnv]) -> list[float]:
    return [float(result[1]) for result in by_step(make())[1:-1]]


def test_the_order_of_wrappers_matters() -> None:
    penalty, scale = ("ToolPenalty", {"per_call": 1.0}), ("ScaleReward", {"scale": 0.5})
    assert rewards(lambda: wrap(Adder(), [penalty, scale])) == [-0.5, -0.5, -0.5, 0.0]
    assert rewards(lambda: wrap(Adder(), [scale, penalty])) == [-1.0, -1.0, -1.0, 0.0]
