"""What the adapter does without verl: datasets, YAML, the reward function, and what it says where verl is missing."""

from __future__ import annotations

import importlib.metadata
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from llmgym.errors import ConfigError, EnvironmentFailure, MissingExtraError
from llmgym.rollout.config import EnvConfig
from llmgym.trainers import verl
from llmgym.trainers.common import TaskRef
from tests.command import environ, llmgym
from tests.rollouts import ROOT
from tests.trainers.contract import TROUBLE

CALCULATOR = "llmgym/Calculator-easy-v0"


def extra_info(task: str, **more: Any) -> dict[str, Any]:
    return {"tools_kwargs": {"llmgym": TaskRef(EnvConfig(TROUBLE), task, 0).dumps()}, **more}


def read(path: Path) -> list[dict[str, Any]]:
    return pytest.importorskip("pyarrow.parquet").read_table(path).to_pylist()


# --- what is imported ---------------------------------------------------------------------------


def test_neither_the_command_line_nor_datasets_import_verl() -> None:
    code = (
        "import sys, llmgym.cli, llmgym.trainers.common, llmgym.trainers.verl as v; v.agent_loop_config(); "
        "print(sorted({'verl', 'ray', 'torch', 'transformers'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environ(), capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("name", ["LLMGymAgentLoop", "LLMGymTool"])
def test_without_verl(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(package: str) -> str:
        raise importlib.metadata.PackageNotFoundError(package)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    with pytest.raises(MissingExtraError, match=r"llmgym\[verl\]"):
        getattr(verl, name)


@pytest.mark.parametrize("version", ["0.6.1", "0.10.0"])
def test_a_version_that_was_not_tested(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda package: version)
    with pytest.raises(ConfigError, match=f"verl {version} is installed.*>=0.7,<0.10"):
        _ = verl.LLMGymAgentLoop


def test_other_names_are_not_there() -> None:
    assert not hasattr(verl, "BaseInteraction")


# --- datasets -----------------------------------------------------------------------------------


def test_a_row_names_its_task_and_shows_how_it_opens(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    envs = [EnvConfig(CALCULATOR, {"max_turns": 3}), "llmgym/Wordle-v0"]
    assert verl.write_parquet(tmp_path / "x.parquet", envs, num_tasks=3, seed=4, split="test") == 6
    rows = read(tmp_path / "x.parquet")
    assert [row["data_source"] for row in rows] == [CALCULATOR, "llmgym/Wordle-v0"] * 3
    assert [row["extra_info"]["index"] for row in rows] == list(range(6))
    for row in rows:
        assert row["agent_name"] == "llmgym"
        assert row["prompt"][-1]["role"] == "user"
        assert row["prompt"][-1]["content"]
        ref = TaskRef.loads(row["extra_info"]["tools_kwargs"]["llmgym"])
        assert ref.env.id == row["data_source"]
        assert ref.task_id == row["extra_info"]["task_id"]
    assert TaskRef.loads(rows[0]["extra_info"]["tools_kwargs"]["llmgym"]).env.kwargs == {"max_turns": 3}
    assert len({row["extra_info"]["task_id"] for row in rows}) == 6


def test_a_dataset_is_the_same_each_time(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    for name in "ab":
        verl.write_parquet(tmp_path / name, [CALCULATOR], num_tasks=4)
    verl.write_parquet(tmp_path / "c", [CALCULATOR], num_tasks=4, seed=1)
    assert read(tmp_path / "a") == read(tmp_path / "b") != read(tmp_path / "c")


def test_a_task_whose_setup_fails_is_no_row(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    with pytest.raises(EnvironmentFailure, match="lost"):
        verl.write_parquet(tmp_path / "x.parquet", [TROUBLE])
    assert not (tmp_path / "x.parquet").exists()


def test_the_installed_yaml_is_the_default() -> None:
    assert yaml.safe_load(verl.AGENT_LOOP_CONFIG.read_text()) == yaml.safe_load(verl.agent_loop_config())


@pytest.mark.parametrize(
    "setting", [{"num_repeats": 2}, {"max_turn": 2}, {"max_turns": 0}, {"env_ids": ["x"]}, {"max_output_tokens": 0}]
)
def test_a_setting_that_is_wrong_or_verls(setting: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(setting))):
        verl.agent_loop_config(**setting)


# --- the reward function ------------------------------------------------------------------------


async def test_a_reply_is_judged_by_the_environment() -> None:
    call = '<tool_call>{"name": "echo", "arguments": {"text": "a"}}</tool_call>'
    score = await verl.compute_score("x", call, "", extra_info("good-0"))
    assert score == {"score": 1.25, "acc": 1.0, "llmgym_unscored": 0.0}
    score = await verl.compute_score("x", "well", "", extra_info("good-0"), reward_router_address=None)
    assert score == {"score": 0.125, "acc": 0.0, "llmgym_unscored": 0.0}


@pytest.mark.parametrize("task", ["setup", "respond", "verify", "unscored"])
async def test_what_cannot_be_scored_is_marked(task: str) -> None:
    score = await verl.compute_score("x", "well", "", extra_info(task))
    assert score == {"score": 0.0, "acc": 0.0, "llmgym_unscored": 1.0}


async def test_a_conversation_is_judged_as_a_whole() -> None:
    function = {"name": "echo", "arguments": {"text": "a"}}  # as data, the way verl has valid ones
    talk = [
        {"role": "user", "content": "Say good-0, \U0001f642."},
        {"role": "assistant", "content": "", "tool_calls": [{"type": "function", "function": function}]},
        {"role": "tool", "content": "a"},
        {"role": "assistant", "content": "well"},
    ]
    score = await verl.compute_score("x", "all of it as text", "", extra_info("good-0", extras={"llmgym": talk}))
    assert score["score"] == 0.25 + 0.125 + 1.0


async def test_thoughts_in_a_conversation_do_not_count() -> None:
    call = '<tool_call>{"name": "echo", "arguments": {"text": "a"}}</tool_call>'  # which verl did not run
    for said in (f"<think>{call}</think>well", "hm</think>well<|im_end|>"):
        talk = [{"role": "user", "content": "?"}, {"role": "assistant", "content": said}]
        score = await verl.compute_score("x", "", "", extra_info("good-0", extras={"llmgym": talk}))
        assert score == await verl.compute_score("x", "well", "", extra_info("good-0"))


async def test_a_row_of_another_dataset() -> None:
    with pytest.raises(ConfigError, match="export verl-data"):
        await verl.compute_score("x", "well", "", {"index": 0})


# --- the command line ---------------------------------------------------------------------------


def test_export_verl_config(tmp_path: Path) -> None:
    shown = llmgym("export", "verl-config", "--max-turns", 3, "--set", "episode_timeout=60", "--drop-failed")
    (loop,) = yaml.safe_load(shown.stdout)
    assert loop["settings"] == {"episode_timeout": 60, "max_turns": 3}
    assert loop["drop_failed"] is True
    assert loop["_target_"] == "llmgym.trainers.verl.LLMGymAgentLoop"
    file = tmp_path / "new" / "agent_loop.yaml"
    done = llmgym("export", "verl-config", "--output", file)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert yaml.safe_load(file.read_text())[0]["settings"] == {}


def test_export_verl_data(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    file = tmp_path / "x.parquet"
    done = llmgym(
        "export", "verl-data", "--env", CALCULATOR, "--num-tasks", 3, "--agent", "tool_agent", "--output", file
    )
    assert (done.returncode, done.stderr) == (0, f"3 tasks in {file}\n")
    assert [row["agent_name"] for row in read(file)] == ["tool_agent"] * 3


@pytest.mark.parametrize("arguments", [["verl-config"], ["verl-tools", "--env", CALCULATOR],
                                       ["verl-data", "--env", CALCULATOR, "--num-tasks", 1]])  # fmt: skip
def test_what_is_exported_takes_the_place_of_what_was_there_as_a_whole(arguments: list[Any], tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    file, same = tmp_path / "x", tmp_path / "same"
    file.write_text("before")
    same.hardlink_to(file)
    assert llmgym("export", *arguments, "--output", file).returncode == 0
    assert same.read_text() == "before"  # whoever reads it reads on
    assert file.stat().st_size > len("before")
    assert sorted(tmp_path.iterdir()) == [same, file]


def test_export_verl_tools() -> None:
    shown = llmgym("export", "verl-tools", "--env", "llmgym/Calculator-v0")
    tools = yaml.safe_load(shown.stdout)["tools"]
    assert {tool["class_name"] for tool in tools} == {"llmgym.trainers.verl.LLMGymTool"}
    assert {tool["config"]["type"] for tool in tools} == {"native"}
    assert "add" in {tool["config"]["tool"] for tool in tools}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["verl-config", "--set", "num_repeats=2"], "num_repeats: it comes from actor_rollout_ref.rollout.n"),
        (["verl-config", "--set", "turns"], "NAME=VALUE"),
        (["verl-config", "--output", "/dev/null/a/x"], "/dev/null/a/x cannot be written: /dev/null is a file"),
        (["verl-data", "--env", "llmgym/Nope-v0", "--output", "x"], "there is no environment"),
        (["verl-data", "--env", CALCULATOR, "--output", "x"], "set num_tasks"),
        (["verl-data", "--env", CALCULATOR, "--num-tasks", "1", "--output", "/dev/null/x"], "x cannot be written"),
        (["verl-tools", "--env", "llmgym/Wordle-v0"], "has no tools"),
    ],
)
def test_errors_are_one_line(arguments: list[str], said: str) -> None:
    if arguments[0] == "verl-data":
        pytest.importorskip("pyarrow")
    done = llmgym("export", *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_script_of_the_example_makes_the_files_of_its_configuration(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    example = ROOT / "examples/verl"
    commands = [line for line in (example / "run.sh").read_text().splitlines() if line.startswith("llmgym ")]
    (tmp_path / "data").mkdir()
    for command in commands:
        done = llmgym(*shlex.split(command.replace("4096", "4").replace("128", "4"))[1:], cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    config = yaml.safe_load((example / "config.yaml").read_text())
    agent = config["actor_rollout_ref"]["rollout"]["agent"]
    assert yaml.safe_load((tmp_path / agent["agent_loop_config_path"]).read_text())[0]["name"] == "llmgym"
    train, test = (read(tmp_path / config["data"][name]) for name in ("train_files", "val_files"))
    assert not {row["prompt"][-1]["content"] for row in train} & {row["prompt"][-1]["content"] for row in test}
