"""Exports as files, and the manifest beside them."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
import tracemalloc
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("duckdb")

import pyarrow.parquet as pq
import yaml
from datasets import load_dataset

from llmgym.data import Dataset
from llmgym.data.export import KINDS, SUPPORTED, TRAINERS, Recipe, export, transform_rollouts, write_jsonl
from llmgym.data.export import writing as writing_module
from llmgym.data.export.writing import write_jsonl as write_lines
from llmgym.data.filtering import conditions
from llmgym.errors import ConfigError, LLMGymError
from llmgym.messages import assistant, tool_call, user
from llmgym.records import dump_row
from llmgym.rollout.description import Description
from llmgym.rollout.reference import TaskRef
from tests.data import rows
from tests.data.rows import episode


def read(path: Path) -> list[dict[str, Any]]:
    """Rows of an export; columns of JSON read."""
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.open()]
    table = pq.read_table(path)
    texts = {field.name for field in table.schema if "json" in str(field.type)}
    return [
        {name: json.loads(value) if name in texts and value is not None else value for name, value in row.items()}
        for row in table.to_pylist()
    ]


def written(run: Path, kind: Any, trainer: Any, options: dict[str, Any] | None = None, **settings: Any) -> Any:
    """The rows and the manifest of an export."""
    recipe = Recipe(kind, trainer, **settings)
    jsonl = trainer in ("nemo-rl", "generic")
    path = run.parent / f"{kind}-{trainer}.{'jsonl' if jsonl else 'parquet'}"
    manifest = export(Dataset.open([run]), recipe, path, conditions(**(options or {})), force=True)
    assert json.loads(path.with_name(f"{path.name}.manifest.json").read_text()) == manifest
    return read(path), manifest


def lost(manifest: Any) -> dict[str, int]:
    return {one["reason"]: one["count"] for one in manifest["left_out"]}


@pytest.fixture(name="run")
def made_run(tmp_path: Path) -> Path:
    earned = {"mixed": [1.0, 0.0, None, 0.5], "solved": [1.0, 1.0]}
    return rows.run_of(tmp_path / "run", rows.groups(earned))


@pytest.mark.parametrize(("trainer", "kind"), [(t, k) for t in TRAINERS for k in SUPPORTED[t]])
def test_every_export_has_rows_lengths_and_settings(run: Path, trainer: Any, kind: Any) -> None:
    found, manifest = written(run, kind, trainer)
    assert len(found) == manifest["rows"] == manifest["tokens"]["rows"] > 0
    assert manifest["settings"]
    assert sum(count for _, count in manifest["tokens"]["histogram"]) == manifest["rows"]


def test_what_there_is_not_is_said() -> None:
    for wrong in (("sft", "megatron"), ("rlhf", "trl"), ("kto", "verl"), ("sft", "openrlhf", "tokens")):
        with pytest.raises(ConfigError):
            Recipe(*wrong)
    with pytest.raises(ConfigError, match=r"'kto'; it is for trl, generic"):
        Recipe("kto", "verl")
    assert set(KINDS) == {kind for kinds in SUPPORTED.values() for kind in kinds}


def test_rewards_and_conditions_choose_and_the_rest_is_counted(run: Path) -> None:
    _, manifest = written(run, "sft", "trl", {"min_reward": 0.5})
    assert manifest["rows"] == 4
    assert lost(manifest) == {"unscored": 1, "reward below 0.5": 1}
    _, manifest = written(run, "sft", "trl", {"where": "repeat = 0", "group_where": "pass_rate < 1"})
    assert manifest["rows"] == 1
    with pytest.raises(ConfigError, match=r"no episode gives a row: not \(reward > 7\) \(6\)"):
        written(run, "sft", "trl", {"where": "reward > 7"})
    with pytest.raises(ConfigError, match="rewrd"):
        written(run, "dpo", "trl", {"where": "rewrd > 7"})


def test_each_episode_is_in_one_pair_unless_all_are_asked_for(run: Path) -> None:
    found, manifest = written(run, "dpo", "trl")
    assert [(row["chosen_id"][-1], row["rejected_id"][-1], row["margin"]) for row in found] == [("0", "1", 1.0)]
    assert lost(manifest) == {"unscored": 1, "a task whose repeats do not differ enough": 1}
    assert [row["margin"] for row in written(run, "dpo", "trl", pairs=None)[0]] == [1.0, 0.5, 0.5]
    assert len(written(run, "dpo", "trl", pairs=None, min_quality_difference=0.6)[0]) == 1


def test_a_pair_that_is_none_makes_room_for_the_next(tmp_path: Path) -> None:
    broken = episode("a", 0, 1.0, messages=[user("say a"), assistant("", tool_call("look", "{bad"))])
    run = rows.run_of(tmp_path / "run", [dump_row(broken), rows.line("a", 1, 0.9), rows.line("a", 2, 0.0)])
    found, manifest = written(run, "dpo", "trl")
    assert [(row["chosen_id"][-1], row["rejected_id"][-1]) for row in found] == [("1", "2")]
    assert [one["examples"] for one in manifest["left_out"]] == [["test/Say-v0/a/0"]]


def test_groups_are_found_wherever_their_rows_stand(tmp_path: Path) -> None:
    lines = [rows.line(f"t{task}", repeat, float(repeat)) for repeat in range(3) for task in range(40)]
    run = rows.run_of(tmp_path / "run", lines)
    found, _ = written(run, "dpo", "trl", pairs=None)
    assert len(found) == 40 * 3
    assert Counter(row["chosen_id"].rpartition("/")[0] for row in found) == {f"test/Say-v0/t{n}": 3 for n in range(40)}


def test_columns_of_json_keep_keys_and_numbers(tmp_path: Path) -> None:
    calls = [
        tool_call("look", at=1),
        tool_call("find", '{"words": ["a"], "most": null}'),
        tool_call("count", f'{{"n": {2**70}, "x": 1.0, "t": "\\ud800"}}'),
    ]
    made = episode(messages=[user("say"), assistant("", *calls), assistant("ok")])
    run = rows.run_of(tmp_path / "run", [dump_row(made)])
    ((row,), _) = written(run, "sft", "trl", form="messages")
    given = [call["function"]["arguments"] for call in row["messages"][1]["tool_calls"]]
    assert given == [{"at": 1}, {"words": ["a"], "most": None}, {"n": 2**70, "x": 1.0, "t": "�"}]
    assert isinstance(given[2]["x"], float)
    assert "tool_calls" not in row["messages"][2]
    assert row["tools"] is None


def test_labels_are_the_sampled_tokens(run: Path) -> None:
    found, _ = written(run, "sft", "trl")
    segment = episode().segments[0]
    assert found[0]["input_ids"] == segment.ids.tolist()
    assert [label for label in found[0]["labels"] if label != -100] == segment.ids[segment.sampled].tolist()
    masks, _ = written(run, "sft", "verl")
    assert masks[0]["loss_mask"] == segment.sampled.astype(int).tolist()


def test_tokens_of_several_tokenizers_are_refused(tmp_path: Path) -> None:
    runs = []
    for name in ("one", "two"):
        folder = rows.run_of(tmp_path / name, [rows.line(name)])
        Description(format=1, identity={}, confirmed={"codec": name}).write(folder)
        runs.append(folder)
    data = Dataset.open(runs)
    with pytest.raises(ConfigError, match="different tokenizers"):
        export(data, Recipe("sft", "trl"), tmp_path / "sft.parquet")
    assert export(data, Recipe("sft", "trl", form="messages"), tmp_path / "sft.parquet")["rows"] == 2


def test_tasks_can_be_run_again_by_the_adapters(run: Path) -> None:
    env = {"id": "tests.data:test/Say-v0", "kwargs": {"depth": 4}, "label": "test/Say-v0"}
    Description(format=1, identity={}, config={"env_ids": ["llmgym/Calculator-v0", env]}).write(run)
    found, _ = written(run, "grpo", "verl")
    assert [row["extra_info"]["task_id"] for row in found] == ["mixed", "solved"]
    ref = TaskRef.loads(found[0]["extra_info"]["tools_kwargs"]["llmgym"])
    assert (ref.env.id, ref.env.kwargs, ref.task_id) == ("tests.data:test/Say-v0", {"depth": 4}, "mixed")
    for trainer, where in {"trl": lambda row: row["prompt"][-1]["llmgym"], "openrlhf": lambda row: row["label"],
                           "nemo-rl": lambda row: row["verifier_metadata"]["llmgym"]}.items():  # fmt: skip
        rows_of_it, _ = written(run, "grpo", trainer)
        assert TaskRef.loads(where(rows_of_it[0])) == ref
        assert (rows_of_it[0]["episodes"], rows_of_it[0]["pass_rate"]) == (3, pytest.approx(1 / 3))


def test_tasks_of_games_are_those_of_an_agent(tmp_path: Path) -> None:
    def told(agent: str, repeat: int, news: str, reply: bool = True) -> bytes:
        messages = [user(f"You play. {news}"), *([assistant("fold")] if reply else [])]
        game = episode("deal", repeat, float(agent == "first"), messages=messages, agent=agent, agents=3, segments=[])
        return dump_row(game)

    lines = [
        line for repeat, raised in enumerate((2, 3))
        for line in (told("first", repeat, "You begin."), told("second", repeat, f"first raised by {raised}."),
                     told("third", repeat, "It is over.", reply=False))
    ]  # fmt: skip
    run = rows.run_of(tmp_path / "run", lines)
    Description(format=1, identity={}, config={"env_ids": ["test/Say-v0"]}).write(run)
    for trainer in ("trl", "verl", "openrlhf", "nemo-rl"):
        (row,), manifest = written(run, "grpo", trainer)
        assert (row["agent"], row["reward_mean"], row["episodes"]) == ("first", 1.0, 2)
        assert sum(lost(manifest).values()) == 2
        assert all("what other agents did" in why or "over before" in why for why in lost(manifest))
    (row,), _ = written(run, "grpo", "trl")
    assert TaskRef.loads(row["prompt"][-1]["llmgym"]).agent == "first"


def test_nothing_is_left_where_an_export_fails(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = sorted(run.parent.iterdir())
    data = Dataset.open([run])

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(writing_module._Parquet, "_flush", full)
        with pytest.raises(ConfigError, match=r"sft\.parquet: No space left"):
            export(data, Recipe("sft", "trl"), run.parent / "sft.parquet")
    assert sorted(run.parent.iterdir()) == before
    export(data, Recipe("sft", "trl"), run.parent / "sft.parquet")
    with pytest.raises(ConfigError, match="--force"):
        export(data, Recipe("sft", "trl"), run.parent / "sft.parquet")
    with pytest.raises(ConfigError, match=r"\.parquet files"):
        export(data, Recipe("sft", "trl"), run.parent / "sft.jsonl")


def test_bad_rows_are_counted(run: Path) -> None:
    with (run / "rollouts.jsonl").open("ab") as file:
        file.write(b"{}\n{torn")
    with pytest.raises(LLMGymError):
        Dataset.open([run])
    manifest = export(Dataset.open([run], skip_bad=True), Recipe("sft", "trl"), run.parent / "sft.parquet")
    assert lost(manifest) == {"a bad row: invalid": 1, "a bad row: torn": 1}


@pytest.mark.parametrize(("kind", "trainer"), [("sft", "trl"), ("sft", "generic"), ("dpo", "trl"), ("dpo", "nemo-rl")])
def test_memory_does_not_grow_with_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Any, trainer: Any
) -> None:
    monkeypatch.setattr(writing_module, "_BYTES", 1 << 18)  # of rows that are held, so that small files tell

    def peak(tasks: int) -> int:
        lines = (long_line(f"t{at // 4}", at % 4) for at in range(4 * tasks))
        data = Dataset.open([run := rows.run_of(tmp_path / str(tasks), lines)])
        recipe = Recipe(kind, trainer, form="messages" if kind == "sft" else None)
        tracemalloc.start()
        try:
            assert export(data, recipe, run / f"x.{'parquet' if trainer == 'trl' else 'jsonl'}")["rows"] >= tasks
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(1)  # imports what it takes
    more = len(long_line("t", 0)) * 4 * (80 - 10)
    assert peak(80) < peak(10) + more / 10


def long_line(task: str, repeat: int) -> bytes:
    """An episode of tens of kilobytes."""
    said = [user(f"say {task}"), assistant(f"{repeat} " + "word " * 8000)]
    return rows.line(task, repeat, float(repeat), messages=said)


# --- the mappings that the seed documents have, as they have them --------------------------------

INTEGRATION = """
import json
from llmgym.data.export import transform_rollouts, write_jsonl

# Load NeMo Gym rollouts
rollouts = [json.loads(line) for line in open('rollouts.jsonl')]

# Transform to framework format
training_data = transform_rollouts(rollouts, target_format="generic")

# Write framework-compatible JSONL
write_jsonl(training_data, 'training_data.jsonl')
"""

FRAMEWORK = """
# Framework config (YAML or Python)
data:
  train_path: "training_data.jsonl"
  input_key: "input"      # Field names vary by framework
  output_key: "output"

model:
  name: "Qwen/Qwen2.5-1.5B"

training:
  algorithm: "grpo"  # or sft, dpo, etc.
"""

VALIDATION = """
import json
from collections import Counter

# Load transformed data
data = [json.loads(line) for line in open('training_data.jsonl')]

print(f"Total examples: {len(data)}")

# Check required fields
required_fields = ["input", "output"]  # Adjust for your framework
for i, item in enumerate(data[:10]):
    missing = [f for f in required_fields if f not in item]
    if missing:
        print(f"Example {i} missing fields: {missing}")

# Check for empty values
empty_inputs = sum(1 for item in data if not item.get("input"))
empty_outputs = sum(1 for item in data if not item.get("output"))
print(f"Empty inputs: {empty_inputs}, Empty outputs: {empty_outputs}")

# Distribution checks
if "reward" in data[0]:
    rewards = [item["reward"] for item in data]
    print(f"Reward range: [{min(rewards):.3f}, {max(rewards):.3f}]")
    print(f"Mean reward: {sum(rewards)/len(rewards):.3f}")
"""


def test_the_snippets_of_the_integration_guide_run_on_our_files(tmp_path: Path) -> None:
    run = rows.run_of(tmp_path / "run", rows.groups({"a": [1.0, 0.0], "b": [0.5]}))
    done = subprocess.run(
        [sys.executable, "-c", INTEGRATION + VALIDATION], cwd=run, capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "Total examples: 3", "Empty inputs: 0, Empty outputs: 0", "Reward range: [0.000, 1.000]", "Mean reward: 0.500",
    ]  # fmt: skip


def test_the_framework_of_the_guide_finds_what_its_configuration_names(tmp_path: Path) -> None:
    rollouts = [json.loads(rows.line("t", repeat, float(repeat))) for repeat in range(2)]
    config = yaml.safe_load(FRAMEWORK)
    path = tmp_path / config["data"]["train_path"]
    write_jsonl(transform_rollouts(rollouts, algorithm=config["training"]["algorithm"]), path)
    made = load_dataset("json", data_files=str(path), split="train", cache_dir=str(tmp_path / "cache"))
    assert made[config["data"]["input_key"]] == ["say t", "say t"]
    assert made[config["data"]["output_key"]] == ["t 0", "t 1"]
    assert made["reward"] == [0.0, 1.0]


FIELDS = """
# For framework expecting "prompt" and "completion"
transformed = {
    "prompt": extract_input(rollout["responses_create_params"]["input"]),
    "completion": extract_output(rollout["output"]),
    "score": rollout["reward"]
}
"""


def test_the_field_mapping_of_the_guide_reads_our_rows_and_is_our_generic_format() -> None:
    rollout = json.loads(rows.line("t", 0, 1.0))
    names: dict[str, Any] = {
        "rollout": rollout,
        "extract_input": lambda items: items[-1]["content"],
        "extract_output": lambda items: items[-1]["content"][0]["text"],
    }
    exec(FIELDS, names)
    assert [names["transformed"]] == transform_rollouts([rollout], algorithm="reward-model")


#: A row as the guide shows it.
SHOWN = {
    "responses_create_params": {
        "input": [{"role": "user", "content": "What is 47 × 23?"}],
        "tools": [{"type": "function", "name": "calculator"}],
    },
    "output": [
        {"type": "function_call", "name": "calculator", "arguments": '{"expression": "47 * 23"}'},
        {"type": "function_call_output", "output": "1081"},
        {"type": "message", "content": [{"text": "The answer is 1,081"}]},
    ],
    "reward": 1.0,
    "accuracy": 1.0,
}


def test_the_rollouts_of_the_guide_become_its_conversation() -> None:
    (row,) = transform_rollouts([SHOWN], "generic", "sft")
    assert row["messages"] == [
        {"role": "user", "content": "What is 47 × 23?"},
        {"role": "assistant", "content": "", "tool_calls": [
            {"name": "calculator", "arguments": {"expression": "47 * 23"}}]},
        {"role": "tool", "content": "1081"},
        {"role": "assistant", "content": "The answer is 1,081"},
    ]  # fmt: skip
    assert row["tools"] == [{"name": "calculator"}]


def test_the_generic_rows_are_those_of_the_guide(run: Path, tmp_path: Path) -> None:
    rollouts = [json.loads(line) for line in (run / "rollouts.jsonl").open()]
    turns = [json.loads(rows.line("t", 0, 1.0, turns=2))]
    (sft,) = transform_rollouts(turns, "generic", "sft")
    assert sft["messages"][1]["tool_calls"] == [{"name": "look", "arguments": {"at": 0}}]
    assert sft["reward"] == 1.0
    (pair,) = transform_rollouts(rollouts, "generic", "dpo", min_quality_difference=0.1)
    assert pair == {"prompt": "say mixed", "chosen": "mixed 0", "rejected": "mixed 1", "margin": 1.0}
    assert transform_rollouts(turns, "generic", "reward-model") == [
        {"prompt": "say t", "completion": "t 0", "score": 1.0}
    ]
    assert transform_rollouts(turns) == [{"input": "say t", "output": "t 0", "reward": 1.0}]
    assert transform_rollouts(turns, "nemo-rl", "sft")[0]["messages"][1]["tool_calls"][0]["type"] == "function"
    with pytest.raises(ConfigError, match="rollout 0"):
        transform_rollouts([{"some": "thing"}])
    write_jsonl([{"a": float("nan")}], tmp_path / "x.jsonl")
    assert (tmp_path / "x.jsonl").read_text() == '{"a": null}\n'
    assert write_jsonl is write_lines
