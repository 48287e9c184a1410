from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from llmgym.envs.function_calling import FunctionCalling
from llmgym.envs.function_calling.operations import OPERATIONS
from llmgym.errors import ConfigError, TaskError, ToolError
from llmgym.messages import Message, assistant, tool_call
from llmgym.registry import list_envs, register_envs
from llmgym.tasks import Task
from llmgym.verifiers import tool_calls
from tests.envs.checks import DEGENERATE, distinct_share, oracle_rewards, play, policy_reward

register_envs()
VARIANTS: dict[str, dict[str, Any]] = {
    entry.id.split("/")[1]: entry.kwargs for entry in list_envs() if entry.base == "llmgym/FunctionCalling-v0"
}


@pytest.fixture(params=VARIANTS)
def arguments(request: pytest.FixtureRequest) -> dict[str, Any]:
    return VARIANTS[request.param]


@pytest.mark.parametrize("split", ["train", "test"])
def test_the_oracle_is_right(arguments: dict[str, Any], split: str) -> None:
    assert oracle_rewards(FunctionCalling(**arguments, split=split), 20) == [1.0] * 20


@pytest.mark.parametrize("policy", DEGENERATE)
def test_degenerate_policies_earn_nothing(arguments: dict[str, Any], policy: str) -> None:
    assert policy_reward(FunctionCalling(**arguments), DEGENERATE[policy], 25) == 0


def solved(env: FunctionCalling, task: Task) -> list[Message | str]:
    """The oracle's messages, which go on with what the tools answer."""
    env.reset(options={"task": task})
    said: list[Message | str] = []
    for message in env.oracle(task):
        said.append(message)
        env.step(message)
    return said


def test_a_call_less_a_call_more_or_another_value_earn_nothing(arguments: dict[str, Any]) -> None:
    env = FunctionCalling(**arguments)
    for index in range(25):
        task = env.tasks.plan("train", 2, index)
        said = solved(env, task)
        last = said[-1]
        for at, message in enumerate(said):
            if isinstance(message, str):
                continue
            calls = message["tool_calls"]
            values = json.loads(calls[0]["function"]["arguments"])
            changed = [{**values, name: _other(value)} for name, value in values.items()]
            name = calls[0]["function"]["name"]
            for other in (
                assistant("", *calls[1:]) if len(calls) > 1 else "Done?",
                assistant("", *calls, calls[0]),
                *(assistant("", tool_call(name, **one), *calls[1:]) for one in changed),
            ):
                env.reset(options={"task": task})
                assert play(env, [*said[:at], other, *said[at + 1 :], *[last] * 10]) == 0
        env.reset(options={"task": task})
        assert play(env, [*said[:-1], "All of it was done.", *["Done."] * 10]) == 0


def _other(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    if isinstance(value, list):
        return [*value[:-1], value[0] + "s"]
    return f"{value[:-1]}{'2' if value[-1] == '1' else '1'}"


def test_every_kind_of_wish_occurs_and_tools_are_offered_as_asked() -> None:
    env, counts = FunctionCalling(), {"missing": 0, "impossible": 0, "chain": 0, "single": 0}
    for index in range(300):
        task = env.tasks.plan("train", 1, index)
        names = task.metadata["tools"]
        assert len(set(names)) == len(names) >= 8
        assert {call["name"] for call in task.answer["calls"]} <= set(names)
        tool_calls.prove(task.answer["calls"])
        counts["missing"] += task.metadata["asked"] is not None
        counts["impossible"] += bool(task.answer["not_done"])
        counts["chain"] += any(len(plan) == 2 for plan in task.metadata["plan"])
        counts["single"] += any(len(plan) == 1 for plan in task.metadata["plan"])
    assert min(counts.values()) > 50


def env_of(kind: str) -> tuple[FunctionCalling, Task]:
    """An episode with one wish of a kind, besides what has to be there."""
    env = FunctionCalling(wishes=(1, 1), kinds=["single", "chain", kind])
    for index in range(200):
        task = env.tasks.plan("train", 3, index)
        steps = [len(plan) for plan in task.metadata["plan"]]
        if {"missing": task.metadata["asked"] is not None, "chain": steps == [2], "single": steps == [1]}[kind]:
            env.reset(options={"task": task})
            return env, task
    raise AssertionError(f"no task with a {kind} wish")


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("Which one?", True),
        ("I need to know more.", True),
        ("<think>Hm</think>Please tell me the rest.", True),
        ("It was all done.", False),
        ("<think>Which one?</think>It was all done.", False),
        ("", False),
    ],
)
def test_what_is_missing_is_told_when_asked_for(said: str, told: bool) -> None:
    env, task = env_of("missing")
    messages, reward, terminated, *_ = env.step(said)
    assert terminated is not told
    assert [message["content"] for message in messages] == [task.metadata["asked"]["reply"]] * told
    assert reward == 0


def test_a_guess_of_what_is_missing_earns_nothing() -> None:
    env, task = env_of("missing")
    assert task.metadata["asked"]["reply"] not in str(task.prompt)
    ((name, values),) = task.metadata["asked"]["plan"]
    gone = task.metadata["asked"]["what"].replace(" ", "_")
    (answer,), *_ = env.step(assistant("", tool_call(name, **{k: v for k, v in values.items() if k != gone})))
    assert "is missing" in answer["content"]
    assert play(env, ["Done."]) == 0


def test_the_second_step_needs_what_the_first_one_answers() -> None:
    _, task = env_of("chain")
    wanted = [value for step in task.metadata["plan"][0] for value in step[1].values() if isinstance(value, dict)]
    assert len(wanted) == 1
    right = task.answer["calls"][1]["arguments"]
    hidden = [value for value in right.values() if str(value) not in str(task.prompt)]
    assert hidden


@pytest.mark.parametrize(
    ("line", "right"),
    [
        ("Not done: 2", True),
        ("**Not done:** 2", True),
        ("I did the rest.\nnot done - 2 (there is no tool for it)", True),
        ("Not done: 1\nNot done: 2", False),
        ("Not done: 2\nNot done: 2.", True),
        ("Not done: 2\nThat was it.", False),
        ("Confirmed by ZX-1111.\nNot done: 2", False),
        ("Not done: none", False),
        ("Not done: 1, 2", False),
        ("Not done: 1 and 2", False),
        ("2", False),
        ("Done: 2", False),
        ("Not done: 22", False),
    ],
)
def test_the_line_about_what_was_not_done(line: str, right: bool) -> None:
    env = FunctionCalling(wishes=(2, 2), kinds=["single", "impossible"])
    task = next(t for t in (env.tasks.plan("train", 5, at) for at in range(100)) if t.answer["not_done"] == [2])
    said = solved(env, task)
    env.reset(options={"task": task})
    assert play(env, [*said[:-1], line]) == right


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("{code}", True),
        ("Done! The confirmation code is **{lower}**.", True),
        ("I removed {thing}; confirmation: {code}", True),
        ("<think>ZX-1111</think>{code}", True),
        ("ZX-1111", False),
        ("{code} or ZX-1111", False),
        ("It was done.", False),
        ("{thing}", False),
        ("<think>{code}</think>It was done.", False),
    ],
)
def test_the_confirmation_code(text: str, right: bool) -> None:
    env, task = env_of("single")
    *calls, code = solved(env, task)
    thing = next((code for things in task.metadata["things"].values() for code in things), "it")
    env.reset(options={"task": task})
    assert play(env, [*calls, text.format(code=code, lower=str(code).lower(), thing=thing)]) == right


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("create_meeting", {"person": "A", "day": "1 May", "start_time": "09:00", "minutes": 30}, "YYYY-MM-DD"),
        (
            "create_meeting",
            {"person": "A", "day": "2025-05-01", "start_time": "9", "minutes": 30},
            "must have the form",
        ),
        (
            "create_meeting",
            {"person": "A", "day": "2025-05-01", "start_time": "09:00", "minutes": "30"},
            "type integer",
        ),
        (
            "create_meeting",
            {"person": "A", "day": "2025-05-01", "start_time": "09:00", "minutes": True},
            "type integer",
        ),
        (
            "create_meeting",
            {"person": "A", "day": "2025-05-01", "start_time": "09:00", "minutes": 30, "priority": "urgent"},
            "one of low, normal, high",
        ),
        ("get_meeting", {"code": "AB-1234"}, "there is no meeting"),
        ("get_meeting", {"code": "x" * 100_000}, "must have the form"),
        ("get_meeting", {"code": [1]}, "type string"),
        ("find_meetings", {"person": {"a": [{}] * 1000}}, "type string"),
    ],
)
def test_arguments_that_do_not_fit_are_answered(name: str, arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(ToolError, match=said) as raised:
        OPERATIONS[name].run({}, arguments)
    assert len(str(raised.value)) < 300


def test_the_pool_is_large_and_its_names_differ() -> None:
    assert len(OPERATIONS) == 216
    assert len({operation.entity.domain for operation in OPERATIONS.values()}) == 12
    for name, operation in OPERATIONS.items():
        schema = operation.schema["function"]
        assert schema["name"] == name
        assert len(schema["description"]) > 10
        assert schema["parameters"]["required"]


TOOL = {
    "type": "function",
    "name": "weather",
    "description": "Weather of a city.",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    "strict": False,
}
REQUEST = {"input": [{"role": "user", "content": "Weather in Rome?"}], "tools": [TOOL]}
CALL = {"type": "function_call", "name": "weather", "arguments": '{"city": "Rome"}'}


def rows(tmp_path: Path, **columns: Any) -> FunctionCalling:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"responses_create_params": REQUEST, **columns}))
    return FunctionCalling(tasks=path)


def test_rows_of_nemo_gym(tmp_path: Path) -> None:
    rome, oslo = tool_call("weather", city="rome "), tool_call("weather", city="Oslo")
    other = {**CALL, "arguments": {"city": "Oslo"}}
    message = {"expected_action": {"type": "message", "content": "Where?"}}
    batch = {"expected_action": {"type": "function_call_batch", "calls": [CALL, other]}}
    for columns, said, reward in (
        ({"expected_action": CALL}, assistant("", rome), 1),
        ({"expected_action": CALL}, assistant("", oslo), 0),
        ({"expected_action": CALL}, "It is sunny in Rome.", 0),
        ({"expected_action": CALL}, assistant("", rome, rome), 0),
        (message, "In which country?", 1),
        (message, assistant("", rome), 0),
        (batch, assistant("", oslo, rome), 1),
        (batch, assistant("", rome), 0),
        ({"expected_answers": [{"name": "weather", "arguments": {"city": "Oslo"}}]}, assistant("", oslo), 1),
    ):
        env = rows(tmp_path, **columns)
        opening, _ = env.reset(seed=0)
        assert [one["role"] for one in opening] == ["user"]
        assert play(env, [said]) == reward
        assert oracle_rewards(env, 1) == [1.0]


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({}, "expected_action"),
        ({"expected_action": {**CALL, "name": "wether"}}, "none of the tools weather"),
        ({"expected_action": {**CALL, "arguments": "{"}}, "no JSON"),
        ({"expected_action": {"type": "picture"}}, "its type is"),
        ({"expected_action": {"type": "function_call_batch", "calls": []}}, "no calls"),
        ({"expected_answers": []}, "list"),
    ],
)
def test_malformed_rows(tmp_path: Path, columns: dict[str, Any], said: str) -> None:
    with pytest.raises(TaskError, match=rf"rows\.jsonl:1: .*{said}"):
        rows(tmp_path, **columns).reset(seed=0)


@pytest.mark.parametrize("arguments", [{"wishes": (0, 1)}, {"kinds": ["missing"]}, {"kinds": ["x"]}, {"offer": 0}])
def test_wrong_arguments_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        FunctionCalling(**arguments)


def test_tasks_are_many() -> None:
    env = pickle.loads(pickle.dumps(FunctionCalling(**VARIANTS["FunctionCalling-easy-v0"])))
    assert distinct_share(env) >= 0.99
