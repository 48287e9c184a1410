"""Datasets for verl's supervised trainers, over the files of `llmgym data export sft --to verl`.

verl calls what `data.custom_cls` names with the arguments of its own class. That one reads conversations as structs of
Parquet, in which the arguments of each call have the keys of all others, with null; and it renders each message alone,
which templates that join the results of several calls, as Qwen's do, are not for.
"""

# ruff: noqa: TID253 -- verl imports it by name

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import torch
from torch.nn import functional
from torch.utils.data import Dataset

from llmgym.errors import ConfigError


class _Rows(Dataset[dict[str, torch.Tensor]]):
    """Rows of tokens and what of them is trained, cut and padded as verl's own class does it."""

    columns: Sequence[str]

    def __init__(
        self, parquet_files: str | Sequence[str], tokenizer: Any, config: Any, processor: Any = None,
        max_samples: int = -1,
    ) -> None:  # fmt: skip
        """Read files.

        Args:
            parquet_files: Their paths.
            tokenizer: Of the model.
            config: verl's `data`: `max_length`, `pad_mode`, `truncation`, `shuffle`, `seed`.
            processor: Not used.
            max_samples: Take so many rows; -1 for all.
        """
        from datasets import load_dataset

        files = [parquet_files] if isinstance(parquet_files, str) else [str(file) for file in parquet_files]
        rows: Any = load_dataset("parquet", data_files=files, split="train", columns=list(self.columns))
        if 0 < max_samples < len(rows):
            rows = (rows.shuffle(seed=config.get("seed")) if config.get("shuffle") else rows).select(range(max_samples))
        self._rows, self._tokenizer, self._config = rows, tokenizer, config

    def _tokens(self, row: Any) -> tuple[list[int], list[int]]:
        """Ids, and 1 for those that are trained."""
        raise NotImplementedError

    def __len__(self) -> int:
        """How many rows there are."""
        return len(self._rows)

    def __getitem__(self, item: int) -> dict[str, torch.Tensor]:
        """A row.

        Raises:
            ConfigError: It is longer than `max_length`, and `truncation` is "error".
        """
        ids, mask = (torch.tensor(values) for values in self._tokens(self._rows[item]))
        most, truncation = self._config.get("max_length", 1024), self._config.get("truncation", "error")
        if len(ids) > most and truncation == "error":
            raise ConfigError(f"row {item} has {len(ids)} tokens, and data.max_length is {most}")
        kept = slice(-most, None) if truncation == "left" else slice(most)
        ids, mask = ids[kept], mask[kept]
        found = {"input_ids": ids, "position_ids": torch.arange(len(ids)), "loss_mask": mask}
        if self._config.get("pad_mode", "right") != "right":
            return found
        missing = (0, most - len(ids))
        padded = {name: functional.pad(values, missing) for name, values in found.items()}
        padded["input_ids"][len(ids) :] = self._tokenizer.pad_token_id or 0
        return padded | {"attention_mask": functional.pad(torch.ones_like(ids), missing)}


class ExactSFTDataset(_Rows):
    """The tokens that were sampled, in the context that they were sampled in; loss on the former alone."""

    columns = ("input_ids", "loss_mask")

    def _tokens(self, row: Any) -> tuple[list[int], list[int]]:
        return row["input_ids"], row["loss_mask"]


class MessagesSFTDataset(_Rows):
    """Messages as the model's template renders them; loss on what the assistant said, to the token that ends it."""

    columns = ("messages", "tools")

    def _tokens(self, row: Any) -> tuple[list[int], list[int]]:
        messages, tools = (json.loads(v) if isinstance(v, str) else v for v in (row["messages"], row["tools"]))
        ids, mask, done = list[int](), list[int](), ""
        for at, message in enumerate(messages):
            if message["role"] != "assistant":
                continue
            before = self._render(messages[:at], tools, add_generation_prompt=True)
            after = self._render(messages[: at + 1], tools)
            if not before.startswith(done) or not after.startswith(before):
                raise ConfigError("the chat template rewrites what was said before: export tokens, not messages")
            context, said = before[len(done) :], after[len(before) :].rstrip("\n")
            done = before + said
            for text, trained in ((context, 0), (said, 1)):
                new = self._tokenizer.encode(text, add_special_tokens=False)
                ids += new
                mask += [trained] * len(new)
        return ids, mask

    def _render(self, messages: Any, tools: Any, **options: Any) -> str:
        settings = self._config.get("apply_chat_template_kwargs", {})
        return self._tokenizer.apply_chat_template(messages, tools=tools, tokenize=False, **options, **settings)
