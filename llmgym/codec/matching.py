"""Which renderer of `renderers` a tokenizer needs: told by what its chat template writes, never by the model's name.

A checkpoint is the same model in whatever folder it lies, and a fine-tuned one with a template of its own is another
one under the same name. So renderers are compared with the template on probe conversations.
"""

from __future__ import annotations

import typing
from collections.abc import Iterator
from typing import Any

from llmgym.codec import probes
from llmgym.codec.chat_template import Chat, ChatTemplate
from llmgym.messages import Message, ToolSchema

_GENERIC = frozenset({"auto", "custom", "default"})
_OWN_VOCABULARY = {"gpt-oss": "<|constrain|>"}  # renderers that load theirs, for a second, and a token that it has
# Each renderer insists on one of these. For a tokenizer without any there is none, and `renderers` takes a third of a
# second to import.
_MARKS = (
    "</think>", "<think:opensource>", "<|turn>", "<|constrain|>", "<|message_user|>", "<|im_middle|>", "<|eom_id|>",
    "<｜User｜>",
)  # fmt: skip


def renderers_for(template: ChatTemplate) -> Iterator[Any]:
    """The renderers that a template's tokenizer has the tokens for, that of its name first; none if not installed."""
    tokenizer = template.tokenizer
    if all(tokenizer.convert_tokens_to_ids(mark) in (None, tokenizer.unk_token_id) for mark in _MARKS):
        return
    try:
        import renderers
        from renderers.base import MODEL_RENDERER_MAP
        from renderers.configs import config_from_name
    except ImportError:
        return
    classes = typing.get_args(typing.get_args(renderers.RendererConfig)[0])
    names = [cls.model_fields["name"].default for cls in classes]
    named = MODEL_RENDERER_MAP.get(tokenizer.name_or_path)
    for name in sorted(names, key=lambda name: name != named):
        own = _OWN_VOCABULARY.get(name)
        if name not in _GENERIC and (own is None or own in tokenizer.special):
            try:
                config: Any = config_from_name(name)
                yield renderers.create_renderer(tokenizer, config)
            except Exception:  # noqa: BLE001 -- a renderer of other tokens says so with any
                continue


def matching_config(template: ChatTemplate) -> Any:
    """The configuration of a renderer that writes all probe conversations as the template does; None if none does."""
    for renderer in renderers_for(template):
        if all(_compare(template, renderer)):
            return renderer.config
    return None


def likeness(template: ChatTemplate, renderer: Any) -> int:
    """Of how many probe conversations a renderer writes what the template does."""
    return sum(_compare(template, renderer))


def _compare(template: ChatTemplate, renderer: Any) -> Iterator[bool]:
    """Whether a renderer writes what the template does, for each of the conversations that the template takes."""
    for messages, tools in _conversations():
        chat = template.prepare(messages, tools)
        text = template.render_prepared(chat, tools)
        if text is not None:
            yield template.tokenizer.encode(text, add_special_tokens=False) == _ids(renderer, chat, tools)


def _ids(renderer: Any, chat: Chat, tools: typing.Sequence[ToolSchema]) -> list[int] | None:
    try:
        return list(renderer.render_ids(chat, tools=list(tools) or None, add_generation_prompt=True))
    except Exception:  # noqa: BLE001 -- foreign code refuses with any exception
        return None


def _conversations() -> Iterator[tuple[list[Message], typing.Sequence[ToolSchema]]]:
    for tools in ((), probes.TOOLS):
        yield probes.history("none"), tools
        for style in ("none", "field"):
            for roles in (("user",), ("tool",)):
                for before, said, new in probes.trials(roles, style):
                    yield [*before, said, *new], tools
        for said in probes.calls():
            yield [*probes.history("none"), said, *probes.results(said)], tools
