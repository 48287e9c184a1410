"""Forward passes over rows of different lengths."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from llmgym.errors import PolicyError
from llmgym.policies.transformers.attention import grouped
from llmgym.policies.transformers.request import Ids
from llmgym.policies.transformers.store import Store

if TYPE_CHECKING:
    from torch import Tensor

#: Most tokens of one prefill pass, padding included: bounds its memory, and how long it cannot be interrupted.
PASS_TOKENS = 2048


class Runner:
    """Forward passes over consecutive rows of the store, each row from its own position on.

    Attributes:
        vocabulary: Number of ids that the model knows.
        store: Keys and values of the rows.
    """

    def __init__(self, model: Any, context_length: int, max_cells: int) -> None:
        self._model = model
        self._config = model.config.get_text_config()
        self.vocabulary = int(self._config.vocab_size)
        self.store = Store(context_length, max_cells)

    def prefill(self, first: int, chunks: Sequence[Sequence[int] | Ids], starts: Sequence[int]) -> None:
        """Compute keys and values of a chunk of ids for each row from `first` on; some chunks may be empty."""
        self._forward(first, chunks, starts)

    def logits(self, tokens: Sequence[int], starts: Sequence[int]) -> Tensor:
        """Append one token to each row from 0 on, and return the next token's logits [rows, vocabulary]."""
        return self._forward(0, [[token] for token in tokens], starts)

    def plain_logits(self, ids: Sequence[int]) -> Tensor:
        """Return the next token's logits [vocabulary] without any of this module's batching."""
        import torch

        return self._model(torch.tensor([list(ids)], device=self._model.device)).logits[0, -1]

    def _forward(self, first: int, chunks: Sequence[Sequence[int] | Ids], starts: Sequence[int]) -> Tensor:
        """Compute the logits [rows, vocabulary] after each row's last cell, which padding may have written."""
        inputs = self._inputs(first, chunks, starts)
        with grouped(self._config, self._model.device.type):
            # The whole model, though a prefill needs no head: mixed precision wraps the whole.
            return self._model(**inputs, logits_to_keep=1).logits[:, -1]

    def _inputs(self, first: int, chunks: Sequence[Sequence[int] | Ids], starts: Sequence[int]) -> dict[str, Any]:
        """Pad chunks on the right.

        Padding writes rubbish to cells after its row's end, which the mask hides until real tokens overwrite it.
        """
        import torch

        width = max(map(len, chunks))
        ids = np.zeros((len(chunks), width), np.int64)
        for row, chunk in enumerate(chunks):
            ids[row, : len(chunk)] = chunk
        cells = np.minimum(np.array(starts)[:, None] + np.arange(width), self.store.length - 1)
        end = max(start + len(chunk) for start, chunk in zip(starts, chunks, strict=True))
        device = self._model.device
        positions = torch.as_tensor(cells, device=device)
        self.store.aim(first, positions, end)
        return {
            "input_ids": torch.as_tensor(ids, device=device),
            "position_ids": positions,
            "attention_mask": self._masks(positions, end),
            "past_key_values": self.store,
            "use_cache": True,
        }

    def _masks(self, positions: Tensor, end: int) -> Any:
        """Build the masks as `transformers.masking_utils.create_masks_for_generate` does, for ragged rows."""
        layer_types = getattr(self._config, "layer_types", None)
        if layer_types:
            return {kind: self._mask(kind, positions, end) for kind in set(layer_types)}
        if getattr(self._config, "sliding_window", None):
            return self._mask("sliding_attention", positions, end)
        if getattr(self._config, "attention_chunk_size", None):
            return self._mask("chunked_attention", positions, end)
        return self._mask("full_attention", positions, end)

    def _mask(self, kind: str, positions: Tensor, end: int) -> Tensor:
        """Say which cells each position attends to, [rows, 1, width, end]."""
        import torch

        here = positions[:, None, :, None]
        cells = torch.arange(end, device=positions.device)
        seen = cells <= here
        if kind == "sliding_attention":
            seen &= cells > here - self._config.sliding_window
        elif kind == "chunked_attention":
            size = self._config.attention_chunk_size
            seen &= cells // size == here // size
        elif kind != "full_attention":
            raise PolicyError(f"layers of kind {kind!r} keep a state that is not keys and values")
        if self._config._attn_implementation == "sdpa":
            return seen
        dtype = self._model.dtype
        return torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill_(~seen, torch.finfo(dtype).min)
