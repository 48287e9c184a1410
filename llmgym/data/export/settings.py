"""What a trainer is told of an export, under its own names, and what its loader does that one should know."""

from __future__ import annotations

from llmgym.data.export.recipe import Recipe

_TRL = {"sft": "SFTConfig", "dpo": "DPOConfig", "kto": "KTOConfig", "reward-model": "RewardConfig"}

_AS_TEXT = "this trainer gives chat templates no tools: they stand in the system message, calls and results in the text"


def settings_of(recipe: Recipe, file: str, length: int) -> list[str]:
    """Settings for a file whose longest row has so many tokens, a line each, to be copied."""
    return {"trl": _trl, "verl": _verl, "openrlhf": _openrlhf, "nemo-rl": _nemo_rl, "generic": _generic}[
        recipe.trainer
    ](recipe, file, length)


def notes_of(recipe: Recipe) -> list[str]:
    """What to know before one trains on it."""
    notes: list[str] = []
    if recipe.tokens:
        notes.append("the tokens are those of the model that was sampled: train that one, or use --form messages")
    if recipe.unit == "pair" and recipe.kind == "dpo":
        notes.append("a pair is the first reply in which two episodes differ; what follows it is not trained")
    if recipe.kind == "kto":
        notes.append("each reply has the reward of its whole episode")
    if (recipe.trainer, recipe.kind) in {
        ("openrlhf", "sft"), ("openrlhf", "dpo"), ("openrlhf", "reward-model"), ("openrlhf", "grpo"),
        ("nemo-rl", "dpo"), ("nemo-rl", "reward-model"),
    }:  # fmt: skip
        notes.append(_AS_TEXT)
    if recipe.trainer == "nemo-rl" and recipe.kind == "sft":
        notes.append(
            "its processor renders every prefix: templates that refuse a lone system message (Qwen3.5 and later) fail "
            "where there is one"
        )
    return notes


def _trl(recipe: Recipe, file: str, length: int) -> list[str]:
    lines = [f'load_dataset("parquet", data_files="{file}", split="train")']
    if recipe.kind == "grpo":
        return [*lines, f"the longest prompt has {length} tokens: vllm_max_model_length is that and the completion's"]
    only = ", assistant_only_loss=True" if recipe.kind == "sft" and not recipe.tokens else ""
    return [*lines, f"{_TRL[recipe.kind]}(max_length={length}{only})  # 1024 if it is not set, and cut without a word"]


def _verl(recipe: Recipe, file: str, length: int) -> list[str]:
    if recipe.kind == "grpo":
        return [f"data.train_files={file}", f"data.max_prompt_length={length}"]
    name = "ExactSFTDataset" if recipe.tokens else "MessagesSFTDataset"
    return [
        f"data.train_files={file}",
        f"data.max_length={length} data.truncation=error",
        f"data.custom_cls.path=pkg://llmgym.trainers.verl data.custom_cls.name={name}",
    ]


def _openrlhf(recipe: Recipe, file: str, length: int) -> list[str]:
    if recipe.kind == "grpo":
        keys = "--data.input_key input --data.label_key label"
        return [f"--data.prompt_dataset {file} {keys} --data.apply_chat_template", f"--data.max_len {length} and more"]
    keys = {
        "sft": "--data.input_key messages --data.multiturn",
        "dpo": "--data.prompt_key prompt --data.chosen_key chosen --data.rejected_key rejected",
    }
    return [
        f"--data.dataset {file} {keys.get(recipe.kind, keys['dpo'])} --data.apply_chat_template",
        f"--data.max_len {length}",
    ]


def _nemo_rl(recipe: Recipe, file: str, length: int) -> list[str]:
    name = {"sft": "openai_format", "grpo": "NemoGymDataset"}.get(recipe.kind, "PreferenceDataset")
    keep = " data.train.use_preserving_dataset=true" if recipe.kind == "sft" else ""
    return [
        f"data.train.dataset_name={name} data.train.data_path={file}{keep}",
        f"policy.max_total_sequence_length={length}",
    ]


def _generic(recipe: Recipe, file: str, length: int) -> list[str]:
    return [f"the longest row has {length} tokens"]
