"""Datasets for verl's supervised trainers, over the files of `llmgym data export sft --to verl`.

verl calls what `data.custom_cls` names with the arguments of its own class. That one reads conversations as structs of
Parquet, in which the arguments of each call have the keys of all others, with null; and renders each message alone.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import torch
from torch.nn import functional
from torch.utils.data import Dataset
from verl.utils.dataset.multiturn_sft_dataset import MultiTurnSFTDataset

from llmgym.errors import ConfigError


class ExactSFTDataset(Dataset[dict[str, torch.Tensor]]):
    """The tokens that were sampled, and the context that they were sampled in; loss on the former alone."""

    def __init__(
        self, parquet_files: str | Sequence[str], tokenizer: Any, config: Any, processor: Any = None,
        max_samples: int = -1,
    ) -> None:  # fmt: skip
        """Read files.

        Args:
            parquet_files: Their paths.
            tokenizer: Of the model; pads.
            config: verl's `data`: `max_length`, `pad_mode`, `truncation`, `shuffle`, `seed`.
            processor: Not used.
            max_samples: Take so many rows; -1 for all.
        """
        from datasets import load_dataset

        files = [parquet_files] if isinstance(parquet_files, str) else [str(file) for file in parquet_files]
        rows: Any = load_dataset("parquet", data_files=files, split="train", columns=["input_ids", "loss_mask"])
        if 0 < max_samples < len(rows):
            rows = (rows.shuffle(seed=config.get("seed")) if config.get("shuffle") else rows).select(range(max_samples))
        self._rows = rows.with_format("torch")
        self._pad_id: int = tokenizer.pad_token_id or 0
        self._max_length: int = config.get("max_length", 1024)
        self._padded = config.get("pad_mode", "right") == "right"
        self._truncation: str = config.get("truncation", "error")

    def __len__(self) -> int:
        """How many rows there are."""
        return len(self._rows)

    def __getitem__(self, item: int) -> dict[str, torch.Tensor]:
        """A row, as verl's own class has it.

        Raises:
            ConfigError: It is longer than `max_length`, and `truncation` is "error".
        """
        row = self._rows[item]
        ids, mask, most = row["input_ids"].long(), row["loss_mask"].long(), self._max_length
        if len(ids) > most and self._truncation == "error":
            raise ConfigError(f"row {item} has {len(ids)} tokens, and data.max_length is {most}")
        kept = slice(-most, None) if self._truncation == "left" else slice(most)
        ids, mask = ids[kept], mask[kept]
        found = {"input_ids": ids, "position_ids": torch.arange(len(ids)), "loss_mask": mask}
        if not self._padded:
            return found
        missing = (0, most - len(ids))
        found = {name: functional.pad(values, missing) for name, values in found.items()}
        found["input_ids"][len(ids) :] = self._pad_id
        return found | {"attention_mask": functional.pad(torch.ones_like(ids), missing)}


class MessagesSFTDataset(MultiTurnSFTDataset):
    """verl's own dataset over messages and tools in columns of JSON, with the keys that each of them has."""

    def _read_files_and_process(self) -> None:
        super()._read_files_and_process()
        for name in (self.messages_key, self.tools_key):
            if name in self.dataframe:
                self.dataframe[name] = [_read(text) for text in self.dataframe[name]]
        self.messages = self.dataframe[self.messages_key].tolist()
        self.tools = self.dataframe[self.tools_key].tolist() if self.tools_key in self.dataframe else None


def _read(text: Any) -> Any:
    return json.loads(text) if isinstance(text, str) else None
