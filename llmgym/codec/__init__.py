"""Chat messages to token ids and back, exactly: one codec for each tokenizer and chat template."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from llmgym.codec.base import ChatCodec
from llmgym.codec.renderer import RendererCodec, supports
from llmgym.codec.template import TemplateCodec
from llmgym.errors import ConfigError

__all__ = ["ChatCodec", "RendererCodec", "TemplateCodec", "codec_for"]


def codec_for(tokenizer: Any, kind: str = "auto") -> ChatCodec:
    """Make the codec for a tokenizer.

    Args:
        tokenizer: A tokenizer of transformers.
        kind: "renderer" for the `renderers` package, "template" for the tokenizer's chat template;
            "auto" for the first where `renderers` is installed and has code of its own for exactly
            this model (by `name_or_path`), else the second.

    Raises:
        ConfigError: The kind is unknown.
        CodecError: The tokenizer cannot serve this kind of codec.
        MissingExtraError: `renderers` was asked for and is not installed.
    """
    if kind == "auto":
        kind = "renderer" if find_spec("renderers") and supports(tokenizer) else "template"
    if kind == "renderer":
        return RendererCodec(tokenizer)
    if kind == "template":
        return TemplateCodec(tokenizer)
    raise ConfigError(f'unknown codec kind {kind!r}; use "auto", "renderer" or "template"')
