"""Exports for verl, in verl's own datasets and by its own way to name a class."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("verl")

import torch
from omegaconf import OmegaConf
from torch.utils.data import DataLoader
from verl.trainer.sft_trainer import create_sft_dataset
from verl.utils.dataset.rl_dataset import RLHFDataset

from llmgym.data.export import Recipe, transform_rollouts
from llmgym.data.export.rows import shape_of
from llmgym.data.export.writing import writer_of
from llmgym.errors import ConfigError
from llmgym.trainers.verl.data import task_of
from tests.data.export.collected import ENVS, collect
from tests.trainers.tiny import tiny_tokenizer

pytestmark = [pytest.mark.integration, pytest.mark.verl, pytest.mark.timeout(300)]

NEVER_TRAINED = ("Error", "UnknownTool", "You said", "<tool_response>", "candles", "null")


@pytest.fixture(scope="module", name="rollouts")
def collected_rollouts(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    run = collect(tmp_path_factory.mktemp("run") / "run")
    return [json.loads(line) for line in (run / "rollouts.jsonl").open()]


def written(rollouts: list[Any], path: Path, kind: Any, **settings: Any) -> int:
    """Write what `llmgym data export` would; DuckDB is not in this environment."""
    writer = writer_of(path, shape_of(Recipe(kind, "verl", **settings)))
    rows = transform_rollouts(rollouts, "verl", kind, **settings)
    for row in rows:
        writer.write(row)
    writer.close()
    return len(rows)


def dataset(path: Path, name: str, **settings: Any) -> Any:
    config = OmegaConf.create(
        {"custom_cls": {"path": "pkg://llmgym.trainers.verl", "name": name}, "max_length": 2048, **settings}
    )
    return create_sft_dataset(str(path), config, tiny_tokenizer(), processor=None)


@pytest.mark.parametrize(("form", "name"), [("tokens", "ExactSFTDataset"), ("messages", "MessagesSFTDataset")])
@pytest.mark.parametrize("pad_mode", ["right", "no_padding"])
def test_verl_trains_what_was_sampled(rollouts: list[Any], tmp_path: Path, form: str, name: str, pad_mode: str) -> None:
    rows = written(rollouts, tmp_path / "sft.parquet", "sft", form=form)
    data = dataset(tmp_path / "sft.parquet", name, pad_mode=pad_mode)
    assert len(data) == rows > 10
    tokenizer, trained, text = tiny_tokenizer(), 0, ""
    for row in (data[at] for at in range(rows)):
        assert {values.dtype for values in row.values()} == {torch.int64}
        assert row["input_ids"].shape == row["position_ids"].shape == row["loss_mask"].shape
        trained += int(row["loss_mask"].sum())
        text += tokenizer.decode(row["input_ids"][row["loss_mask"].bool()])
    for words in NEVER_TRAINED:
        assert words not in text
    assert '"text": "crane"' in text
    if form == "tokens":
        assert trained == sum(rollout["counts"]["sampled_tokens"] for rollout in rollouts)
    if pad_mode == "right":
        batch = next(iter(DataLoader(data, batch_size=4)))
        assert batch["attention_mask"].shape == (4, 2048)


def test_rows_that_are_too_long_are_refused_or_cut_as_verl_does(rollouts: list[Any], tmp_path: Path) -> None:
    written(rollouts, tmp_path / "sft.parquet", "sft")
    whole = dataset(tmp_path / "sft.parquet", "ExactSFTDataset", pad_mode="no_padding")[0]["input_ids"]
    with pytest.raises(ConfigError, match=rf"row 0 has {len(whole)} tokens, and data.max_length is 64"):
        dataset(tmp_path / "sft.parquet", "ExactSFTDataset", max_length=64)[0]
    for side, kept in (("left", whole[-64:]), ("right", whole[:64])):
        data = dataset(tmp_path / "sft.parquet", "ExactSFTDataset", max_length=64, truncation=side)
        assert torch.equal(data[0]["input_ids"], kept)


def test_verl_takes_the_tasks(rollouts: list[Any], tmp_path: Path) -> None:
    rows = written(rollouts, tmp_path / "tasks.parquet", "grpo")
    config = OmegaConf.create(
        {"max_prompt_length": 1024, "return_raw_chat": True, "filter_overlong_prompts_workers": 1,
         "cache_dir": str(tmp_path / "cache")}
    )  # fmt: skip
    data = RLHFDataset(str(tmp_path / "tasks.parquet"), tiny_tokenizer(), config)
    assert len(data) == rows == 10
    assert {row["data_source"] for row in data} == {env.rpartition(":")[2] for env in ENVS}
    assert [row["index"] for row in data] == list(range(10))
    with pytest.raises(ConfigError):  # rows in memory do not say which run they are of
        task_of(data[0]["tools_kwargs"])
