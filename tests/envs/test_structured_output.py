from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("jsonschema_rs")
pytest.importorskip("defusedxml")

from llmgym.envs.structured_output import StructuredOutput
from llmgym.envs.structured_output.domains import DOMAINS
from llmgym.envs.structured_output.extractions import FORMS
from llmgym.envs.structured_output.writing import write
from llmgym.errors import ConfigError, TaskError
from llmgym.messages import assistant, tool_call
from llmgym.registry import list_envs, register_envs
from llmgym.tasks import Task
from llmgym.verifiers import structured
from tests.envs.checks import DEGENERATE, distinct_share, oracle_rewards, play, policy_reward

register_envs()
VARIANTS: dict[str, dict[str, Any]] = {
    entry.id.split("/")[1]: entry.kwargs for entry in list_envs() if entry.base == "llmgym/StructuredOutput-v0"
}


@pytest.fixture(params=VARIANTS)
def arguments(request: pytest.FixtureRequest) -> dict[str, Any]:
    return VARIANTS[request.param]


@pytest.mark.parametrize("split", ["train", "test"])
def test_the_oracle_is_right(arguments: dict[str, Any], split: str) -> None:
    assert oracle_rewards(StructuredOutput(**arguments, split=split), 20) == [1.0] * 20


@pytest.mark.parametrize("form", FORMS)
def test_the_oracle_is_right_in_every_form(form: str) -> None:
    assert oracle_rewards(StructuredOutput(fields=(8, 10), depth=3, forms=[form]), 20) == [1.0] * 20


@pytest.mark.parametrize("policy", [name for name in DEGENERATE if name != "random"])
def test_degenerate_policies_earn_nothing(arguments: dict[str, Any], policy: str) -> None:
    assert policy_reward(StructuredOutput(**arguments), DEGENERATE[policy]) == 0


def _changed(value: Any) -> list[Any]:
    """The same data with one leaf changed, left out or added, each way."""
    found: list[Any] = []
    if isinstance(value, dict):
        found.append({**value, "more": 1})
        for name, part in value.items():
            found.append({other: one for other, one in value.items() if other != name})
            found += [{**value, name: other} for other in _changed(part)]
    elif isinstance(value, list):
        found += [value[1:], [*value, value[0]]]
        found += [[*value[:at], other, *value[at + 1 :]] for at, part in enumerate(value) for other in _changed(part)]
    elif isinstance(value, bool):
        found += [not value, int(value)]
    elif isinstance(value, str):
        found += [value + "x", value[1:], None]
    else:
        found += [value + 1, round(value * 1.05, 2), str(value)] if value else [1, "0"]
    return found


def test_near_misses_earn_nothing_and_other_ways_to_write_it_all(arguments: dict[str, Any]) -> None:
    env = StructuredOutput(**{**arguments, "forms": ["json"]})
    for index in range(15):
        task = env.tasks.plan("train", 4, index)
        for wrong in _changed(task.answer["value"]):
            assert not structured.check(json.dumps(wrong), task.answer, ordered=False, strings="normalized")
        for right in (
            json.dumps(task.answer["value"], indent=2),
            f"```json\n{json.dumps(dict(reversed(task.answer['value'].items())))}\n```",
            f"<think>{{}}</think>\n{json.dumps(task.answer['value'])}\n",
        ):
            env.reset(options={"task": task})
            assert play(env, [right]) == 1
        for wrong in (f"Here it is: {json.dumps(task.answer['value'])}", f"[{json.dumps(task.answer['value'])}]", "{}"):
            env.reset(options={"task": task})
            assert play(env, [wrong]) == 0


def test_answers_to_other_tasks_earn_nothing(arguments: dict[str, Any]) -> None:
    env = StructuredOutput(**arguments)
    tasks = [task for task in (env.tasks.plan("train", 1, at) for at in range(60)) if "syntax" in task.metadata]
    texts = [write(task.answer["value"], task.metadata["syntax"]) for task in tasks]
    for at, task in enumerate(tasks):
        for text in (texts[at - 1], "\n".join(texts), json.dumps(task.answer["schema"])):
            env.reset(options={"task": task})
            assert play(env, [text]) == 0


def test_what_is_told_is_what_is_right() -> None:
    env = StructuredOutput(fields=(4, 6), depth=1, others=2, forms=["json"])
    for index in range(50):
        task = env.tasks.plan("train", 2, index)
        value = task.answer["value"]
        text = next(part for part in str(task.prompt).split("\n\n") if value["code"] in part)
        assert all(
            part in text for name, part in value.items() if name in ("town", "email", "seller", "guest", "owner")
        )
        absent = set(task.answer["schema"]["properties"]) - set(value)
        assert not absent & set(task.answer["schema"]["required"])


@pytest.mark.parametrize("domain", DOMAINS, ids=lambda domain: domain.word)
def test_domains_have_fields_of_all_levels(domain: Any) -> None:
    levels = [field.kind.level for field in domain.fields]
    assert levels.count(1) >= 8
    assert set(levels) == {1, 2, 3}
    assert len({field.name for field in domain.fields} | {"code"}) == len(levels) + 1


def tool_env() -> tuple[StructuredOutput, Task]:
    env = StructuredOutput(forms=["tool"], depth=1, others=0)
    env.reset(seed=1)
    assert env.task is not None
    return env, env.task


def test_a_call_that_does_not_fit_is_answered_and_can_be_made_again() -> None:
    env, task = tool_env()
    name, right = task.metadata["tool"], task.answer["value"]
    (answer,), reward, terminated, *_ = env.step(assistant("", tool_call(name, **{**right, "code": 7})))
    assert "$.code: type" in answer["content"]
    assert (reward, terminated) == (0, False)
    (answer,), *_ = env.step(assistant("", tool_call(name)))
    assert "missing" in answer["content"]
    (answer,), reward, terminated, _, info = env.step(assistant("", tool_call(name, **right)))
    assert (answer["content"], reward, terminated) == ("Kept.", 1, True)
    assert info["metrics"]["tool_errors"] == 2


def test_two_calls_another_tool_and_text_earn_nothing() -> None:
    env, task = tool_env()
    right = tool_call(task.metadata["tool"], **task.answer["value"])
    assert play(env, [assistant("", right, right)]) == 0
    env, task = tool_env()
    assert play(env, [json.dumps(task.answer["value"])]) == 0
    env, task = tool_env()
    others = [one["function"] for one in task.metadata["tools"] if one["function"]["name"] != task.metadata["tool"]]
    assert len(others) == 3
    for other in others:
        env, task = tool_env()
        assert play(env, [assistant("", tool_call(other["name"], **_filler(other["parameters"])))]) == 0
        assert len(env.kept) == 1


def _filler(schema: dict[str, Any]) -> Any:
    """The least that fits the schema of a tool for flat records."""
    if schema["type"] == "object":
        return {name: _filler(part) for name, part in schema["properties"].items()}
    if schema["type"] == "string":
        texts = {"date": "2025-01-01", "email": "a@b.example"}
        shaped = "AB-1234" if "[A-Z]" in schema.get("pattern", "") else "10:00"
        return schema.get("enum", [texts.get(schema.get("format", ""), shaped)])[0]
    return {"integer": 1, "number": 1.5, "boolean": True}[schema["type"]]


@pytest.mark.parametrize(
    "arguments", ['{"code": ' * 500, '{"code": "' + "x" * 200_000 + '"}', "[1]", '{"code": NaN}', "\ud800", ""]
)
def test_hostile_arguments_are_answered(arguments: str) -> None:
    env, task = tool_env()
    (answer,), reward, terminated, *_ = env.step(assistant("", tool_call(task.metadata["tool"], arguments)))
    assert len(answer["content"]) < 1000
    assert (reward, terminated) == (0, False)


SCHEMA = {"type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer"}}}
ROW: dict[str, Any] = {"prompt": "Ann is 7.", "schema_str": json.dumps(SCHEMA), "schema_type": "yaml"}


def env_of(tmp_path: Path, **row: Any) -> StructuredOutput:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({name: value for name, value in row.items() if value is not None}))
    return StructuredOutput(tasks=path)


@pytest.mark.parametrize(
    ("value", "text", "reward"),
    [
        (None, "name: Ann\nage: 7", 1),
        (None, "name: Bob\nage: 8", 1),
        (None, "name: Ann", 0),
        (None, "name: Ann\nage: 7\nsize: 3", 0),
        ({"name": "Ann", "age": 7}, "name: ann\nage: 7", 1),
        ({"name": "Ann", "age": 7}, "name: Bob\nage: 7", 0),
    ],
)
def test_a_row_has_a_shape_or_values(tmp_path: Path, value: Any, text: str, reward: float) -> None:
    env = env_of(tmp_path, **ROW, value=value)
    env.reset(seed=0)
    assert play(env, [text]) == reward


def test_a_row_of_nemo_gym_with_tools(tmp_path: Path) -> None:
    parameters = {"type": "object", "properties": {"extraction": SCHEMA}, "required": ["extraction"]}
    tool = {"type": "function", "name": "fill_it", "description": "Fill it.", "parameters": parameters, "strict": True}
    other = {**tool, "name": "fill_another"}
    request = {"input": [{"role": "user", "content": "Ann is 7."}], "tools": [other, tool], "tool_choice": "auto"}
    row = {
        "responses_create_params": request, "schema_str": json.dumps(SCHEMA), "schema_type": "json",
        "response_mode": "tool_call", "tool_name": "fill_it", "tool_payload_key": "extraction", "num_tools": 2,
    }  # fmt: skip
    for name, value, reward in (
        ("fill_it", {"name": "Ann", "age": 7}, 1),
        ("fill_it", {"name": "Ann"}, 0),
        ("fill_another", {"name": "Ann", "age": 7}, 0),
    ):
        env = env_of(tmp_path, **row)
        env.reset(seed=0)
        assert play(env, [assistant("", tool_call(name, extraction=value))]) == reward


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"schema_str": "{"}, "no JSON"),
        ({"schema_str": '{"type": "object", "required": {"item": ["a"]}}'}, "no schema"),
        ({"schema_str": None}, "schema_str"),
        ({"schema_type": "ini"}, "schema_type"),
        ({"response_mode": "tool_call", "tool_name": "fill"}, "its tools are none"),
        ({"response_mode": "voice"}, "response_mode"),
        ({"value": {"name": 7}}, "does not fit the schema"),
        ({"prompt": None}, "prompt"),
    ],
)
def test_malformed_rows(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    with pytest.raises(TaskError, match=rf"rows\.jsonl:1: .*{said}"):
        env_of(tmp_path, **{**ROW, **change}).reset(seed=0)


@pytest.mark.parametrize(
    "arguments",
    [{"fields": (1, 3)}, {"depth": 4}, {"others": 9}, {"distractors": 8}, {"forms": ["ini"]}, {"forms": []}],
)
def test_wrong_arguments_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        StructuredOutput(**arguments)


def test_tasks_are_many() -> None:
    env = pickle.loads(pickle.dumps(StructuredOutput(**VARIANTS["StructuredOutput-easy-v0"])))
    assert distinct_share(env) >= 0.99
