"""Chat messages to token ids and back, exactly: one codec for each tokenizer and chat template."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from llmgym.codec.base import ChatCodec
from llmgym.codec.chat_template import ChatTemplate
from llmgym.codec.description import describe
from llmgym.codec.matching import matching_config
from llmgym.codec.readers import choices
from llmgym.codec.renderer import RendererCodec, supports
from llmgym.codec.template import TemplateCodec
from llmgym.codec.tokenizer import is_fast, with_backend
from llmgym.errors import ConfigError

__all__ = ["ChatCodec", "RendererCodec", "TemplateCodec", "check_kind", "codec_for", "describe"]


def codec_for(tokenizer: Any, kind: str = "auto") -> ChatCodec:
    """Make the codec for a tokenizer.

    Args:
        tokenizer: A tokenizer of transformers.
        kind: "renderer" for the `renderers` package, "template" for the tokenizer's chat template, and
            "template:FORM" for that with calls read as FORM, whatever the template writes;
            "auto" for the first where one of the renderers writes what the chat template writes, or where the
            tokenizer has no template and `renderers` knows the model by its name, else for the second. What the
            model is called decides nothing else.

    Raises:
        ConfigError: The kind is unknown.
        CodecError: The tokenizer cannot serve this kind of codec.
        MissingExtraError: `renderers` was asked for and is not installed.
    """
    check_kind(kind)
    tokenizer = with_backend(tokenizer)
    kind, _, form = kind.partition(":")
    if kind == "template":
        return TemplateCodec(tokenizer, form=form or None)
    has_template = is_fast(tokenizer) and getattr(tokenizer, "chat_template", None)
    template = ChatTemplate(tokenizer) if has_template else None
    config = matching_config(template) if template else None
    by_name = template is None and find_spec("renderers") is not None and supports(tokenizer)
    if kind == "renderer" or config is not None or by_name:
        return RendererCodec(tokenizer, config)
    return TemplateCodec(tokenizer, template=template)


def check_kind(kind: str) -> None:
    """See that a kind of codec is one; a form of calls is found where there is a tokenizer.

    Raises:
        ConfigError: It is not.
    """
    name, colon, form = kind.partition(":")
    if name not in ("auto", "renderer", "template") or (colon and (name != "template" or not form)):
        raise ConfigError(f"{kind!r} is no kind of codec; there are auto, renderer and template, or {choices()}")
