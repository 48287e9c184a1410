"""Attention in which groups of heads read the same keys and values, without a copy for each head."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

_NAME = "llmgym_grouped"


@contextmanager
def grouped(config: Any, device: str) -> Generator[None]:
    """Let a model on a CPU attend so; elsewhere torch has no fast kernel for groups with a mask.

    With a mask, transformers copies keys and values for each head, which takes most of the time of small models.
    """
    if device != "cpu" or config._attn_implementation != "sdpa":
        yield
        return
    _register()
    config._attn_implementation = _NAME  # not for good: a trainer's model comes here too
    try:
        yield
    finally:
        config._attn_implementation = "sdpa"


@cache  # once, not for each pass
def _register() -> None:
    from transformers import AttentionInterface

    AttentionInterface.register(_NAME, _attend)


def _attend(
    _module: object,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor,
    *,
    scaling: float | None = None,
    **_: object,
) -> tuple[Tensor, None]:
    """Attend from query [rows, heads, width, dim] to keys and values [rows, groups, cells, dim]."""
    from torch.nn.functional import scaled_dot_product_attention

    out = scaled_dot_product_attention(query, key, value, attn_mask=attention_mask, scale=scaling, enable_gqa=True)
    return out.transpose(1, 2).contiguous(), None
