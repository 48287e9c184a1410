"""Settings from a file, `--set` and flags."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgym.cli.settings import assign, read_settings
from llmgym.cli.verb import Several
from llmgym.errors import ConfigError
from llmgym.rollout.config import ContextManagement

CALCULATOR = {"env_ids": ["llmgym/Calculator-v0"], "policy": "random"}


def read(*assignments: str, file: Path | None = None, **flags: Any) -> Any:
    return read_settings(file, assignments, {**({} if file else CALCULATOR), **flags}, {})


def problems(*assignments: str, **flags: Any) -> tuple[str, ...]:
    with pytest.raises(Several) as error:
        read(*assignments, **flags)
    return error.value.problems


NAMES = st.text("abc_", min_size=1, max_size=5)


@given(st.lists(NAMES, min_size=1, max_size=4), st.integers())
def test_a_dotted_name_goes_inside(path: list[str], value: int) -> None:
    settings: dict[str, Any] = {}
    assign(settings, f"{'.'.join(path)}={value}")
    found: Any = settings
    for name in path:
        assert list(found) == [name]
        found = found[name]
    assert found == value


def test_names_beside_are_kept() -> None:
    config = read("responses_create_params.temperature=0.5", "responses_create_params={top_p: 0.9}",
                  "responses_create_params.max_output_tokens=7")  # fmt: skip
    params = config.agent.responses_create_params
    assert (params.temperature, params.top_p, params.max_output_tokens) == (1.0, 0.9, 7)
    file = {"policy_options": {"seed": 1}}
    assign(file, "policy_options.other=2")
    assert file == {"policy_options": {"seed": 1, "other": 2}}


def test_a_flag_goes_inside_of_a_setting() -> None:
    flags = {"context_management": {"strategy": "summarize"}, "responses_create_params": {"top_p": None}}
    config = read_settings(None, ["context_management.keep=1"], CALCULATOR, flags)
    assert config.limits.context_management == ContextManagement("summarize", keep=1)
    assert read().limits.context_management is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name", "--set takes NAME=VALUE, not 'name'"),
        ("=3", "--set takes NAME=VALUE"),
        ("a..b=3", "--set takes NAME=VALUE"),
        (".a=3", "--set takes NAME=VALUE"),
        ("policy.name=3", "--set policy.name: policy is 'random', which has no 'name' in it"),
        ("seed.deep.er=3", "--set seed.deep.er: seed is 5, which has no 'deep' in it"),
        ("a=[1", "--set a:2: not YAML"),
        ("a={b: 1, b: 2}", "--set a:1: the key 'b' is there already"),
        ("a=" + "[" * 99, "nested more than 64 levels deep"),
    ],
)
def test_an_assignment_that_is_none(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        assign({"policy": "random", "seed": 5}, text)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("assignments", "said"),
    [
        (["num_tasks=0", "seed=-1"], ["flags: num_tasks: Expected `int` >= 1; it is 0", "flags: seed: Exp"]),
        (["num_taks=3"], ["flags: unknown setting 'num_taks'; did you mean num_tasks?"]),
        (["temperature=1"], ["flags: unknown setting 'temperature'; did you mean responses_create_params.temp"]),
        (["responses_create_params={temperature: hot, top_p: 3}"], ["flags: responses_create_params.temperature: Exp",
                                                                   "flags: responses_create_params.top_p: Expected"]),
        (["policy=openai", "max_turns=0"], ["flags: max_turns: Exp", "unknown policy 'openai'; write openai:MODEL"]),
        (["policy_options={sed: 3}"], ["policy 'random': "]),
        (["num_samples_in_parallel=auto"], ['num_samples_in_parallel is "auto", but random does not know how busy']),
        (["env_ids=[llmgym/Wordl-v0, llmgym/Calc-v0]"], ["there is no environment 'llmgym/Wordl-v0'",
                                                        "there is no environment 'llmgym/Calc-v0'"]),
        (["context_management.strategy=forget", "context_management.keep=0"],
         ["flags: context_management.strategy: Invalid enum value 'forget'", "flags: context_management.keep: Exp"]),
        (["env_ids=[]"], ["env_ids is empty; name an environment"]),
        (["env_ids=[{id: llmgym/Wordle-v0, wrappers: [{name: Nope}]}]"], ["there is no wrapper 'Nope'"]),
    ],
)  # fmt: skip
def test_all_problems_are_found(assignments: list[str], said: list[str]) -> None:
    given_ = {} if any(text.startswith(("env_ids", "policy=")) for text in assignments) else CALCULATOR
    with pytest.raises(Several) as error:
        read_settings(None, assignments, given_ or {"env_ids": None, "policy": None}, {})
    missing = [] if given_ or any(text.startswith("env_ids") for text in assignments) else ["env_ids is empty"]
    expected = [*missing, *said]
    assert len(error.value.problems) == len(expected)
    for text in expected:
        assert any(problem.startswith(text) for problem in error.value.problems), (text, error.value.problems)


def test_no_model_is_loaded_and_no_task_read_to_find_them(tmp_path: Path) -> None:
    found = problems("policy=transformers:/no/such", "max_attempts=0", policy=None)
    assert len(found) == 2


def test_a_file_that_cannot_be_read_is_one_of_the_problems(tmp_path: Path) -> None:
    found = problems("seed=-1", file=tmp_path / "absent.yaml", policy="gpt", env_ids=["llmgym/Wordle-v0"])
    assert len(found) == 3
    for text, said in zip(found, ("cannot read", "seed: Expected", "unknown policy"), strict=True):
        assert said in text


def test_a_file_that_cannot_be_read_is_all_that_is_said_where_it_would_say_the_rest(tmp_path: Path) -> None:
    assert len(problems(file=tmp_path / "absent.yaml", env_ids=None, policy=None)) == 1


def test_models_of_roles_are_looked_at_before_anything_is_loaded() -> None:
    first, second = problems("models={judge: nobody, user: 'openai:', critic: random, own: policy}")
    assert first.startswith("models: 'judge': unknown policy 'nobody'")
    assert second.startswith("models: 'user': ")


def test_players_are_looked_at_before_anything_is_loaded() -> None:
    forms = "give 'train', 'frozen', 'frozen:POLICY' or 'script'"
    assert problems(policies={"player_0": "trian"}) == (f"policies: 'player_0' cannot be 'trian'; {forms}",)
    found = problems(policies={"judge": ["train", "frozen:nobody:x"], "player": []})
    assert found[0].startswith("policies: 'judge': unknown policy 'nobody:x'; there is smollm2")
    assert found[1:] == (f"policies: 'player' has an empty list; {forms}",)
    assert problems(policies=["train"]) == ("flags: policies: Expected `object`, got `array`",)
