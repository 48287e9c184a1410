"""Settings: from YAML, from flags, and what is refused."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from llmgym.chat import Sampling
from llmgym.errors import ConfigError
from llmgym.rollout import Collector, EnvConfig, RolloutConfig, load_config, parse_config
from llmgym.rollout.config import config_problems

# The blocks of the guides on data for SFT, DPO and PPO, as they stand there.
SFT = """
# Optimized for consistency
num_samples_in_parallel: 20
responses_create_params:
  temperature: 0.2  # Low for consistent behavior

# Then filter for quality
min_reward_threshold: 0.8
"""
DPO = """
# Optimized for diversity
num_repeats: 2  # Multiple samples per task
responses_create_params:
  temperature: 0.7  # Higher for variation

# Then create preference pairs
min_quality_difference: 0.1
"""
PPO = """
# Balanced approach
num_samples_in_parallel: 10
responses_create_params:
  temperature: 0.5  # Moderate exploration
"""


@pytest.mark.parametrize("block", [SFT, DPO, PPO])
def test_blocks_of_the_guides_load_unchanged(block: str, tmp_path: Path) -> None:
    (tmp_path / "guide.yaml").write_text(block)
    data = load_config(tmp_path / "guide.yaml")
    config = parse_config({"env_ids": ["x/Y-v0"], **data})
    wanted = yaml.safe_load(block)
    assert config.agent.responses_create_params.temperature == wanted.pop("responses_create_params")["temperature"]
    assert {name: config.settings[name] for name in wanted} == wanted


def test_environments_are_ids_or_have_arguments() -> None:
    config = parse_config({"env_ids": ["x/Y-v0", {"id": "x/Z-v0", "kwargs": {"n": 1}}]})
    assert config.tasks.environments == [EnvConfig("x/Y-v0"), EnvConfig("x/Z-v0", {"n": 1})]


def test_the_split_of_an_environment_may_be_that_of_the_run() -> None:
    assert parse_config({"env_ids": [{"id": "x/Y-v0", "kwargs": {"split": "test"}}], "split": "test"})


def test_environments_may_have_wrappers() -> None:
    wrappers = [{"name": "ToolPenalty", "kwargs": {"per_call": 0.01}}, {"name": "EpisodeStatistics"}]
    config = parse_config({"env_ids": [{"id": "x/Y-v0", "wrappers": wrappers}]})
    penalty, statistics = config.tasks.environments[0].wrappers
    assert (penalty.name, penalty.kwargs, statistics.kwargs) == ("ToolPenalty", {"per_call": 0.01}, {})
    with pytest.raises(ConfigError, match=r"env_ids\[0\].*wrappers\[0\]"):
        parse_config({"env_ids": [{"id": "x/Y-v0", "wrappers": [{"nam": "ToolPenalty"}]}]})


def test_an_empty_file_is_an_empty_configuration(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("# nothing\n")
    assert load_config(tmp_path / "c.yaml") == {}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"num_tasks: 1\nseed: [1\n", "c.yaml:3: not YAML"),
        (b"a: b: c\n", "c.yaml:1: not YAML"),
        (b"- 1\n", "is a mapping, this is a list"),
        (b"seed: \xff\n", "c.yaml: not YAML"),
        (b"seed: 2024-13-01\n", "c.yaml: not YAML: month"),
        (b"seed: \x01\n", "c.yaml"),
    ],
)
def test_a_malformed_file_is_named(content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_bytes(content)
    with pytest.raises(ConfigError) as error:
        load_config(tmp_path / "c.yaml")
    assert said in str(error.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read .*none\.yaml: No such file"):
        load_config(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"num_repeat": 1}, "unknown setting 'num_repeat'; did you mean num_repeats?"),
        ({"zzz": 1}, "unknown setting 'zzz'; there is env_ids"),
        ({1: 1}, "unknown setting '1'"),
        ({"num_tasks": "three"}, "num_tasks: Expected `int | null`, got `str`; it is 'three'"),
        ({"num_repeats": True}, "num_repeats: Expected `int`, got `bool`"),
        (
            {"responses_create_params": {"temp": 1}},
            "responses_create_params: unknown setting 'temp'; there is temperature, top_p, max_output_tokens",
        ),
        ({"responses_create_params": None}, "responses_create_params: Expected `object`"),
        ({"temperature": 1}, "unknown setting 'temperature'; did you mean responses_create_params.temperature?"),
        ({"env_ids": [{"id": "x/Y-v0", "kwarg": {}}]}, "env_ids[0]: unknown setting 'kwarg'; did you mean kwargs?"),
        (
            {"env_ids": ["x/Y-v0", {"id": "x/Z-v0", "wrappers": [{"nam": "ToolPenalty"}]}]},
            "env_ids[1].wrappers[0]: unknown setting 'nam'; did you mean name?",
        ),
        ({"env_ids": "x/Y-v0"}, "env_ids: Expected `array`, got `str`"),
        ({"env_ids": [{"kwargs": {}}]}, "env_ids[0]: Object missing required field `id`"),
        ({"codec": "words"}, "codec: 'words' is no kind of codec; there are auto, renderer and template, or choose"),
        (
            {"env_ids": [{"id": "x/Y-v0", "kwargs": {"split": "test"}}]},
            "env_ids: 'x/Y-v0' has the argument split='test', and the run draws from 'train': `split` is a setting",
        ),
        ({"context_management": "summarize"}, "it is 'summarize'; there is strategy, trigger, keep, instructions"),
    ],
)
def test_a_wrong_setting_is_named(data: Any, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_config(data, "c.yaml")
    assert str(error.value).startswith("c.yaml: ")
    assert said in str(error.value)


@pytest.mark.parametrize(
    "settings",
    [
        {"seed": -1},
        {"time_budget": 0},
        {"num_spare_repeats": -1},
        {"max_completion_length": 0},
        {"num_tasks": 0},
        {"num_repeats": 0},
        {"num_samples_in_parallel": 0},
        {"max_turns": 0},
        {"max_episode_tokens": 0},
        {"max_attempts": 0},
        {"generation_timeout": 0},
        {"episode_timeout": float("nan")},
        {"fsync_seconds": -0.1},
    ],
)
def test_a_value_that_makes_no_sense_is_refused(settings: dict[str, Any]) -> None:
    [(name, value)] = settings.items()
    with pytest.raises(ConfigError, match=rf"^configuration: {name}: Expected .* >=? \d.*; it is {value}$"):
        parse_config({"env_ids": ["x/Y-v0"], **settings})


def test_no_number_is_no_threshold() -> None:
    with pytest.raises(ConfigError, match="success_threshold is nan: give a number"):
        parse_config({"success_threshold": float("nan")})


@pytest.mark.parametrize(
    "env_ids",
    [
        ["x/Y-v0", "x/Y-v0"],
        ["x/Y-v0", "module:x/Y-v0"],
        ["x/Y-v0", {"id": "x/Y-v0", "kwargs": {"n": 2}}],
        ["x/Y-v0", {"id": "x/Z-v0", "label": "x/Y-v0"}],
    ],
)
def test_two_environments_of_one_name_are_refused(env_ids: list[Any]) -> None:
    with pytest.raises(ConfigError, match=r"^c: env_ids: 'x/Y-v0' is there twice; .*label"):
        parse_config({"env_ids": env_ids}, "c")


@pytest.mark.parametrize(
    ("command", "said"), [("python 'agent.py", "No closing quotation"), ("", "empty"), (" ", "empty"), ("''", "empty")]
)
def test_a_command_that_is_none_is_refused(command: str, said: str) -> None:
    with pytest.raises(ConfigError, match=f"agent_command: .*{said}"):
        parse_config({"env_ids": ["llmgym/Calculator-v0"], "agent_command": command})


def test_a_label_tells_configurations_of_an_environment_apart() -> None:
    config = parse_config({"env_ids": ["m:x/Y-v0", {"id": "x/Y-v0", "kwargs": {"n": 2}, "label": "two"}]})
    assert [(env.name, env.env_id) for env in config.tasks.environments] == [("x/Y-v0", "x/Y-v0"), ("two", "x/Y-v0")]


def test_all_that_is_wrong_is_found_at_once() -> None:
    params = {"temperature": "hot", "top_p": 3, "topp": 1}
    found = list(config_problems({"seed": -1, "responses_create_params": params, "num_task": 1}, "c"))
    assert sorted(line.split(":")[1] for line in found) == [
        " responses_create_params", " responses_create_params.temperature", " responses_create_params.top_p", " seed",
        " unknown setting 'num_task'; did you mean num_tasks?",
    ]  # fmt: skip


NESTED = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
SOME = st.dictionaries(
    st.sampled_from([*RolloutConfig().settings, "unknown"]),
    NESTED | st.fixed_dictionaries({}, optional={"temperature": NESTED, "id": NESTED, "top_p": NESTED}),
    max_size=4,
)


@given(SOME | SOME.map(lambda settings: settings | {"env_ids": [settings]}))
def test_what_has_no_problem_is_read_and_nothing_else(settings: dict[str, Any]) -> None:
    found = list(config_problems(settings, "c"))
    if found:
        with pytest.raises(ConfigError, match=f"^{re.escape(found[0])}$"):
            parse_config(settings, "c")
    else:
        config = parse_config(settings, "c")
        assert repr(parse_config(config.settings)) == repr(config)  # NaN is no threshold that equals itself
        assert settings.keys() <= config.settings.keys()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", -1), ("top_p", 0), ("top_p", 1.1), ("max_output_tokens", 0), ("top_k", -1), ("min_p", 1.1),
        ("repetition_penalty", 0), ("presence_penalty", -2.1), ("frequency_penalty", 2.1), ("stop", "END"),
    ],
)  # fmt: skip
def test_sampling_that_makes_no_sense_is_refused(name: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=rf"responses_create_params\.{name}: Expected .*; it is {value!r}"):
        parse_config({"env_ids": ["x/Y-v0"], "responses_create_params": {name: value}})


def test_sampling_of_a_policy_is_that_of_the_settings() -> None:
    given: dict[str, Any] = {
        "temperature": 0.5, "top_p": 0.9, "stop": ["END", "\n\n"], "top_k": 5, "min_p": 0.1, "repetition_penalty": 1.1,
        "presence_penalty": 0.2, "frequency_penalty": 0.3,
    }  # fmt: skip
    settings = {"env_ids": ["x/Y-v0"], "responses_create_params": given | {"max_output_tokens": 9}}
    sampling = parse_config(settings).agent.responses_create_params.sampling((7,))
    assert sampling == Sampling(**given | {"stop": ("END", "\n\n"), "max_tokens": 9, "stop_token_ids": (7,)})
    assert parse_config({"env_ids": ["x/Y-v0"]}).agent.responses_create_params.sampling(()) == Sampling(), "all off"


def test_a_collector_takes_the_same_settings() -> None:
    with pytest.raises(ConfigError, match="did you mean num_tasks"):
        Collector(["x/Y-v0"], num_task=1)
    with pytest.raises(ConfigError, match="env_ids: Expected `array`, got `str`"):
        Collector("x/Y-v0")  # type: ignore[arg-type]
    config = parse_config(
        {"env_ids": ["x/Y-v0", {"id": "x/Z-v0"}], "seed": 3, "responses_create_params": {"top_p": 0.5}}
    )
    assert Collector.from_config(config).config == config


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"responses_create_params": {"temperature": math.inf}}, "responses_create_params.temperature is inf: give"),
        ({"success_threshold": -math.inf}, "success_threshold is -inf"),
        ({"min_reward_threshold": math.nan}, "min_reward_threshold is nan"),
        ({"env_ids": [{"id": "a/B-v0", "kwargs": {"x": [1.0, math.inf]}}]}, r"env_ids\[0\].kwargs.x\[1\] is inf"),
    ],
)
def test_numbers_that_a_run_could_not_be_told_by_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parse_config(settings)
