"""Each export in the code that it is for: loaded, trained a step, and what is trained of it decoded."""

from __future__ import annotations

import json
import types
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("duckdb")
pytest.importorskip("trl")

import torch
from datasets import Dataset as HubDataset
from datasets import load_dataset
from trl import (
    DPOConfig,
    DPOTrainer,
    GRPOConfig,
    GRPOTrainer,
    KTOConfig,
    KTOTrainer,
    RewardConfig,
    RewardTrainer,
    SFTConfig,
    SFTTrainer,
)

from llmgym.data import Dataset
from llmgym.data.export import Recipe, export
from llmgym.rollout.reference import TaskRef
from llmgym.trainers.trl.prompts import ref_of
from tests.data.export.collected import ENVS, collect
from tests.trainers.tiny import save, tiny_tokenizer

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

#: What the tools and users of the run say, and no reply.
NEVER_TRAINED = ("Error", "UnknownTool", "You said", "<tool_response>", "candles", "null")


@pytest.fixture(scope="module", name="run")
def collected_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return collect(tmp_path_factory.mktemp("run") / "run")


@pytest.fixture(scope="module", name="model")
def saved_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save(tmp_path_factory.mktemp("model")))


def exported(run: Path, folder: Path, kind: Any, trainer: Any, **settings: Any) -> tuple[Path, dict[str, Any]]:
    recipe = Recipe(kind, trainer, **settings)
    path = folder / f"{kind}.{'jsonl' if trainer in ('nemo-rl', 'generic') else 'parquet'}"
    return path, export(Dataset.open([run]), recipe, path)


def loaded(path: Path, cache: Path) -> HubDataset:
    return load_dataset("parquet", data_files=str(path), split="train", cache_dir=str(cache / "cache"))


def of(config: type, folder: Path, **settings: Any) -> Any:
    """A configuration for one step on the CPU."""
    return config(
        output_dir=str(folder / "out"), max_steps=1, report_to=[], use_cpu=True, bf16=False, save_strategy="no",
        gradient_checkpointing=False, **settings,
    )  # fmt: skip


def check_trained(ids: torch.Tensor, mask: torch.Tensor) -> str:
    """Decode what is trained of a batch, and see that it is what the policy said."""
    tokenizer = tiny_tokenizer()
    text = "\n".join(tokenizer.decode(row[own]) for row, own in zip(ids, mask.bool(), strict=True))
    assert text.strip()
    for words in NEVER_TRAINED:
        assert words not in text, text
    return text


@pytest.mark.parametrize("form", ["tokens", "messages"])
def test_trl_trains_what_was_sampled_and_nothing_else(run: Path, model: str, tmp_path: Path, form: str) -> None:
    path, manifest = exported(run, tmp_path, "sft", "trl", form=form)
    settings: dict[str, Any] = {"assistant_only_loss": True} if form == "messages" else {}
    rows = loaded(path, tmp_path)
    assert len(rows) == manifest["rows"]
    config = of(SFTConfig, tmp_path, max_length=2048, per_device_train_batch_size=len(rows), **settings)
    trainer = SFTTrainer(model=model, args=config, train_dataset=rows, processing_class=tiny_tokenizer())
    batch = next(iter(trainer.get_train_dataloader()))
    text = check_trained(batch["input_ids"], batch["labels"] != -100)
    assert '"text": "crane"' in text
    assert "The answer is 7." in text
    if form == "tokens":
        sampled = sum(t.sampled_tokens for t in Dataset.open([run]).trajectories(Dataset.open([run]).select()))
        assert int((batch["labels"] != -100).sum()) == sampled
    assert torch.isfinite(torch.tensor(trainer.train().training_loss))


def test_trl_dpo(run: Path, model: str, tmp_path: Path) -> None:
    path, manifest = exported(run, tmp_path, "dpo", "trl", pairs=None, malformed_calls="text")
    rows = loaded(path, tmp_path)
    config = of(DPOConfig, tmp_path, max_length=2048, per_device_train_batch_size=len(rows))
    trainer = DPOTrainer(model=model, args=config, train_dataset=rows, processing_class=tiny_tokenizer())
    assert len(trainer.train_dataset) == manifest["rows"] > 10
    batch = next(iter(trainer.get_train_dataloader()))
    check_trained(batch["input_ids"], batch["completion_mask"])
    assert torch.isfinite(torch.tensor(trainer.train().training_loss))


def test_trl_kto(run: Path, model: str, tmp_path: Path) -> None:
    path, _ = exported(run, tmp_path, "kto", "trl")
    rows = loaded(path, tmp_path)
    assert set(rows["label"]) == {True, False}
    config = of(KTOConfig, tmp_path, max_length=2048, per_device_train_batch_size=8)
    trainer = KTOTrainer(model=model, args=config, train_dataset=rows, processing_class=tiny_tokenizer())
    tokenizer = tiny_tokenizer()
    for row in trainer.train_dataset:
        ids = row["completion_ids"] if "completion_ids" in row else row["completion_input_ids"]
        assert not any(words in tokenizer.decode(ids) for words in NEVER_TRAINED)
    assert torch.isfinite(torch.tensor(trainer.train().training_loss))


def test_trl_reward_model(run: Path, model: str, tmp_path: Path) -> None:
    path, _ = exported(run, tmp_path, "reward-model", "trl", malformed_calls="text")
    rows = loaded(path, tmp_path)
    config = of(RewardConfig, tmp_path, max_length=2048, per_device_train_batch_size=len(rows))
    trainer = RewardTrainer(model=model, args=config, train_dataset=rows, processing_class=tiny_tokenizer())
    assert torch.isfinite(torch.tensor(trainer.train().training_loss))
    text = tiny_tokenizer().decode(trainer.train_dataset[0]["chosen_ids"])
    assert "# Tools" in text
    assert "null" not in text


def test_trl_grpo_takes_the_tasks(run: Path, model: str, tmp_path: Path) -> None:
    path, _ = exported(run, tmp_path, "grpo", "trl")
    rows = loaded(path, tmp_path)
    assert {ref_of(prompt).env.id for prompt in rows["prompt"]} == set(ENVS)
    seen: list[Any] = []

    def reward(completions: Any, pass_rate: Any, task_id: Any, **_: Any) -> list[float]:
        seen.extend(zip(task_id, pass_rate, strict=True))
        return [float(len(str(completion))) for completion in completions]

    config = of(
        GRPOConfig, tmp_path, per_device_train_batch_size=4, num_generations=2, max_completion_length=8,
    )  # fmt: skip
    trainer = GRPOTrainer(
        model=model, args=config, train_dataset=rows, processing_class=tiny_tokenizer(), reward_funcs=[reward]
    )
    trainer.train()
    assert len(seen) == 4


def strategy(**data: Any) -> Any:
    """What OpenRLHF's datasets ask of its strategy."""
    return types.SimpleNamespace(
        args=types.SimpleNamespace(data=types.SimpleNamespace(**data), use_ms=False),
        print=lambda *_: None, is_rank_0=lambda: False,
    )  # fmt: skip


def test_openrlhf_sft(run: Path, tmp_path: Path) -> None:
    module = pytest.importorskip("openrlhf.datasets.sft_dataset")
    path, manifest = exported(run, tmp_path, "sft", "openrlhf", malformed_calls="text")
    keys = strategy(input_key="messages", output_key=None, apply_chat_template=True)
    data = module.SFTDataset(loaded(path, tmp_path), tiny_tokenizer(), 4096, keys, num_processors=None, multiturn=True)
    assert len(data) == manifest["rows"]
    for ids, _, mask in (data[at] for at in range(len(data))):
        # the mask is of what is predicted, a place before it
        text = check_trained(ids[:, 1:], mask[:, :-1])
        assert "# Tools" not in text
    assert "<tools>" in tiny_tokenizer().decode(data[0][0][0])


@pytest.mark.parametrize("kind", ["dpo", "reward-model"])
def test_openrlhf_pairs(run: Path, tmp_path: Path, kind: Any) -> None:
    module = pytest.importorskip("openrlhf.datasets.reward_dataset")
    path, manifest = exported(run, tmp_path, kind, "openrlhf", malformed_calls="text")
    keys = strategy(prompt_key="prompt", chosen_key="chosen", rejected_key="rejected", apply_chat_template=True)
    tokenizer = tiny_tokenizer()
    data = module.RewardDataset(
        loaded(path, tmp_path), tokenizer, 4096, keys, is_dpo=kind == "dpo", num_processors=None
    )
    assert len(data) == manifest["rows"]
    for chosen, _, rejected, _, extra in (data[at] for at in range(len(data))):
        assert not torch.equal(chosen, rejected)
        assert "<tools>" in tokenizer.decode(chosen[0])
        if kind == "dpo":
            for ids in (chosen[0, extra:], rejected[0, extra:]):
                assert not any(words in tokenizer.decode(ids) for words in NEVER_TRAINED)


def test_openrlhf_prompts_name_their_tasks(run: Path, tmp_path: Path) -> None:
    module = pytest.importorskip("openrlhf.datasets.prompts_dataset")
    path, manifest = exported(run, tmp_path, "grpo", "openrlhf")
    keys = strategy(input_key="input", label_key="label", apply_chat_template=True)
    data = module.PromptDataset(loaded(path, tmp_path), tiny_tokenizer(), keys)
    assert len(data) == manifest["rows"]
    for source, prompt, label, _ in (data[at] for at in range(len(data))):
        assert TaskRef.loads(label).env.name == source
        assert prompt.endswith("<|im_start|>assistant\n")


def test_no_export_fills_arguments_or_tools(run: Path, tmp_path: Path) -> None:
    """Two environments are in one file, whose tools have other parameters."""
    path, _ = exported(run, tmp_path, "sft", "trl", form="messages")
    names = {"echo": {"text"}, "add": {"a", "b"}, "subtract": {"a", "b"}}
    for row in loaded(path, tmp_path):
        for tool in row["tools"]:
            function = tool["function"]
            assert None not in function["parameters"]["properties"].values()
        calls = [call["function"] for message in row["messages"] for call in message.get("tool_calls") or ()]
        assert all(call["arguments"].keys() == names[call["name"]] for call in calls), json.dumps(calls)
