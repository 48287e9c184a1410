"""BFCL's tasks: gold calls are right in all of them, and what the package accepts besides."""

from __future__ import annotations

import decimal
import random
from typing import Any

import pytest

from llmgym.errors import ConfigError
from llmgym.messages import assistant, tool_call
from llmgym.registry import make_core
from llmgym.tasks import Task

pytest.importorskip("bfcl_eval")

from llmgym.adapters.bfcl.services import Call, World

IDS = {
    "llmgym/BFCL-v0": 1240,
    "llmgym/BFCL-live-v0": 2228,
    "llmgym/BFCLTurns-v0": 200,
    "llmgym/BFCLTurns-missparam-v0": 200,
    "llmgym/BFCLTurns-longcontext-v0": 200,
}


def tasks_of(env: Any) -> list[Task]:
    return [env.tasks.plan(split, 0, index) for split in env.tasks.splits for index in range(env.tasks.size(split))]


def play(env: Any, task: Task, said: list[Any]) -> tuple[float, bool, dict[str, Any]]:
    env.reset(options={"task": task})
    steps = [env.step(message) for message in said or env.oracle(env.task)]
    return sum(step[1] for step in steps), steps[-1][2], steps[-1][-1]


@pytest.mark.parametrize("env_id", IDS)
def test_gold_calls_are_right_in_every_task(env_id: str) -> None:
    env = make_core(env_id)
    tasks = tasks_of(env)
    assert len(tasks) == IDS[env_id]
    for task in tasks:
        reward, done, _ = play(env, task, [])
        assert (reward, done) == (1.0, True), task.id


def test_calls_of_one_turn() -> None:
    env = make_core("llmgym/BFCL-v0")
    task = env.tasks.get("simple_python_0")

    def said(*calls: Any) -> float:
        return play(env, task, [assistant("" if calls else "It is 25.", *calls)])[0]

    area = "calculate_triangle_area"
    assert said(tool_call(area, base=10, height=5)) == 1.0
    assert said(tool_call(area, base=10, height=5, unit="Units")) == 1.0
    assert said(tool_call(area, base=10, height=5, unit="cm")) == 0.0
    assert said(tool_call(area, base=5, height=10)) == 0.0
    assert said(tool_call(area, base="10", height=5)) == 0.0
    assert said(*[tool_call(area, base=10, height=5)] * 2) == 0.0
    assert said() == 0.0


def test_a_mistaken_name_may_be_mended_once() -> None:
    env = make_core("llmgym/BFCL-v0")
    env.reset(options={"task_id": "simple_python_0"})
    (answer,), *_ = env.step(assistant("", tool_call("../area", base=10)))
    assert answer["content"].startswith("Error: there is no tool '../area'")
    assert env.step(assistant("", tool_call("calculate_triangle_area", base=10, height=5)))[1] == 1.0


def test_where_no_function_fits_a_call_is_wrong() -> None:
    env = make_core("llmgym/BFCL-v0")
    task = env.tasks.get("irrelevance_0")
    assert play(env, task, ["None of these does that."])[0] == 1.0
    assert play(env, task, [assistant("", tool_call("determine_body_mass_index", weight=1, height=1))])[0] == 0.0


def test_schemas_have_the_types_of_json_schema_and_names_no_dots() -> None:
    for env_id in ("llmgym/BFCL-v0", "llmgym/BFCL-live-v0"):
        env = make_core(env_id)
        for task in tasks_of(env):
            for schema in task.metadata["tools"]:
                assert "." not in schema["function"]["name"]
                assert _types(schema["function"]["parameters"]) <= {
                    *("object", "array", "string", "integer", "number", "boolean")
                }, task.id


def _types(schema: Any) -> set[str]:
    found = {schema["type"]} if isinstance(schema.get("type"), str) else set[str]()
    inner = [*schema.get("properties", {}).values(), *([schema["items"]] if "items" in schema else [])]
    return found.union(*map(_types, inner))


def test_turns_are_held_against_state_and_answers() -> None:
    env = make_core("llmgym/BFCLTurns-v0")
    task = env.tasks.get("multi_turn_base_0")
    gold = play(env, task, [])
    assert gold[0] == 1.0
    said = list(env.oracle(task))
    assert play(env, task, said[1:])[0] == 0.0  # without `cd`
    assert play(env, task, ["Done."] * 4)[2]["metrics"]["turns_right"] == 0.0
    more = [*said[:-1], assistant("", tool_call("rm", file_name="previous_report.pdf")), said[-1]]
    reward, _, info = play(env, task, more)
    assert (reward, info["metrics"]["turns_right"]) == (0.0, 0.75)


def test_who_calls_where_something_is_missing_earns_nothing() -> None:
    env = make_core("llmgym/BFCLTurns-missparam-v0")
    task = next(task for task in tasks_of(env) if [] in task.answer)
    env.reset(options={"task": task})
    place, turn, reward = task.answer.index([]), 0, 0.0
    for message in env.oracle(env.task):
        if turn == place and isinstance(message, str):
            env.step(assistant("", tool_call("guess")))
        turn += isinstance(message, str)
        _, reward, _, _, info = env.step(message)
    assert (reward, info["metrics"]["turns_right"]) == (0.0, 1 - 1 / len(task.answer))


def test_an_opening_with_an_assistant_in_it_is_no_answer() -> None:
    import asyncio

    env = make_core("llmgym/BFCL-live-v0")
    task = next(task for task in tasks_of(env) if any(m["role"] == "assistant" for m in task.messages))
    env.reset(options={"task": task})
    assert asyncio.run(env.aend())[1] == 0.0


def test_python_in_gold_calls_is_read_and_not_run() -> None:
    env = make_core("llmgym/BFCLTurns-v0")
    env.reset(options={"task_id": "multi_turn_base_0"})
    with pytest.raises(ValueError, match="malformed"):
        env.world.read("cd(folder=__import__('os').getcwd())")


def test_random_numbers_go_on_as_they_would_have() -> None:
    random.seed(5)
    before = random.getstate()
    env = make_core("llmgym/BFCLTurns-v0")
    for task in tasks_of(env)[:20]:
        play(env, task, [])
    assert random.getstate() == before


def test_mathematics_has_bounds_and_leaves_the_precision_of_others() -> None:
    mpmath, world = pytest.importorskip("mpmath"), World(["MathAPI"], {}, False)
    digits = mpmath.mp.dps, decimal.getcontext().prec
    assert world.call(Call("power", {"base": 2, "exponent": 10})) == '{"result": 1024}'
    logarithm = world.call(Call("logarithm", {"value": 8, "base": 3, "precision": 40}))
    assert len(logarithm) > 40
    world.call(Call("square_root", {"number": 2, "precision": 40}))
    assert (mpmath.mp.dps, decimal.getcontext().prec) == digits
    for call in (
        Call("power", {"base": 10, "exponent": 1001}),
        Call("logarithm", {"value": 8, "base": 3, "precision": 1001}),
        Call("square_root", {"number": 2, "precision": 1001}),
        Call("round_number", {"number": 2, "decimal_places": -1001}),
    ):
        assert world.call(call) == f"Error during execution: {call.name} is for at most 1000 digits"


def test_there_is_no_such_category() -> None:
    with pytest.raises(ConfigError, match="simple_python"):
        make_core("llmgym/BFCL-v0", categories=["java"])
    with pytest.raises(ConfigError, match="miss_param"):
        make_core("llmgym/BFCLTurns-v0", category="miss_func")
