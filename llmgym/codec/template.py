"""A codec for any Jinja chat template: it learns from probes how the template continues a conversation.

A template renders whole conversations; a rollout needs only what follows the turn that the model
just sampled. That text, the delta, is cut out of the rendering of a tiny probe conversation followed
by the new messages. It is exact if the template is prefix-stable: if appending messages changes
nothing before them. Whether it is, for each sequence of roles, is proven on many probe conversations
before the first use; where the proof fails, `extend` answers None.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

from llmgym.codec import turns
from llmgym.codec.chat_template import ChatTemplate
from llmgym.codec.deltas import Deltas
from llmgym.codec.tokenizer import fingerprint
from llmgym.codec.turns import Turn
from llmgym.messages import Message, ToolSchema, split_reasoning


class TemplateCodec:
    """A `ChatCodec` for a fast tokenizer and its chat template, or another template.

    A template that knows no tools, or writes calls in a way that this codec cannot read, gets the
    tools described in the system message in Hermes format, calls as `<tool_call>` blocks, and
    results as `<tool_response>` blocks in user messages. A template that refuses a system message
    gets it in front of the first user message.

    Control tokens spelled inside the content of system, user and tool messages are tokenised as
    plain text, so that a tool result cannot forge turns. Everything else gets the ids that
    `tokenizer.apply_chat_template` gives it, to the last one.

    Args:
        tokenizer: A fast tokenizer of transformers.
        template: Jinja text, or the name of one of the tokenizer's templates; its default if None.
        template_kwargs: Variables for the template, such as `enable_thinking`.
        stop_tokens: Further tokens that end a turn, such as those of a generation config.

    Attributes:
        stop_token_ids: Tokens that end an assistant turn: those that the template writes come first.
        fingerprint: Hash of tokenizer, template and settings.
        native_tools: Whether the template renders tools, calls and results itself.
        tool_format: Name of the format of calls.

    Raises:
        CodecError: The tokenizer is not fast or has no template, the template does not render a
            user message, or a stop token is not in the vocabulary.
    """

    def __init__(
        self,
        tokenizer: Any,
        *,
        template: str | None = None,
        template_kwargs: Mapping[str, Any] | None = None,
        stop_tokens: Sequence[str] = (),
    ) -> None:
        self._template = ChatTemplate(tokenizer, template, template_kwargs or {}, stop_tokens)
        self._tokenizer = self._template.tokenizer
        self._turns: dict[tuple[tuple[str, ...], bool], Turn | None] = {}
        self._deltas: dict[str, Deltas] = {}
        learned = [turns.learn(self._template, (role,)) for role in ("user", "tool")]
        written = [turn.terminator_id for turn in learned if turn]
        self.stop_token_ids: tuple[int, ...] = tuple(dict.fromkeys([*written, *self._template.ends.values()]))
        self._stops = frozenset(self.stop_token_ids)
        self.native_tools: bool = self._template.native_tools
        self.tool_format: str = self._template.tool_format.name
        self._marker = self._template.tool_format.marker
        self.fingerprint: str = fingerprint(
            "TemplateCodec 1",
            self._tokenizer.serialise(),
            self._template.text,
            repr(sorted(self._template.variables.items())),
            repr((self.stop_token_ids, self.tool_format, self.native_tools, self._template.folds_system)),
        )
        for role in ("user", "tool"):
            self.can_extend([role], tools=True)

    def can_extend(self, roles: Iterable[str], *, tools: bool) -> bool:
        """Tell whether new messages of these roles can follow a sampled turn, in a run with or without tools."""
        return self._turn(roles, tools) is not None

    def open(self, messages: Sequence[Message], tools: Sequence[ToolSchema]) -> list[int]:
        """Render a whole conversation, ending with the generation prompt.

        Raises:
            CodecError: The template refuses the conversation.
        """
        return self._tokenizer.encode(self._template.render(messages, tools), add_special_tokens=False)

    def extend(
        self,
        prompt_ids: Sequence[int],
        completion_ids: Sequence[int],
        new_messages: Sequence[Message],
        tools: Sequence[ToolSchema],
    ) -> list[int] | None:
        """Ids to append after `prompt_ids + completion_ids`; see `ChatCodec.extend`.

        A turn that was cut short is closed the way the template closes one.

        Returns:
            The ids; None where the template rewrites history before such messages, where the turn
            ended with a token with which the template does not end it, where a stop token lies
            inside it, and where it was cut in the middle of its reasoning.
        """
        turn = self._turn((message["role"] for message in new_messages), bool(tools))
        if turn is None or not self._stops.isdisjoint(completion_ids[:-1]):
            return None
        ended = len(completion_ids) > 0 and completion_ids[-1] in self._stops
        if ended and completion_ids[-1] != turn.terminator_id:
            return None
        if not ended and self._still_reasons(prompt_ids, completion_ids):
            return None
        if not turn.keeps_reasoning and self._reasons(prompt_ids, completion_ids):
            return None
        disarmed = [self._tokenizer.disarm(message) for message in new_messages]
        delta = self._deltas_of(turn).of(disarmed)
        if delta is None:
            return None
        # A sampled end token is encoded along and then dropped: some tokens swallow the space that follows them.
        ids = self._tokenizer.encode((turn.terminator if ended else turn.close) + delta, add_special_tokens=False)
        return ids[1:] if ended else ids

    def parse(
        self, completion_ids: Sequence[int], prompt_ids: Sequence[int] = (), tools: Sequence[ToolSchema] = ()
    ) -> Message:
        """Read sampled ids, up to the first stop token, as an assistant message; see `ChatCodec.parse`.

        All formats that this codec reads are JSON, which says itself what is a string, so `tools` is
        not needed.
        """
        opened = self._opens_reasoning(prompt_ids)
        reasoning, text, _ = split_reasoning(self._text(completion_ids), opened, self._marker)
        content, calls = self._template.tool_format.parse(text)
        message: Message = {"role": "assistant", "content": content}
        if reasoning:
            message["reasoning_content"] = reasoning
        if calls:
            message["tool_calls"] = calls
        return message

    def _deltas_of(self, turn: Turn) -> Deltas:
        """The texts that follow a turn, as far as they are known."""
        found = self._deltas.get(turn.prefix)
        if found is None:
            found = self._deltas[turn.prefix] = Deltas(functools.partial(turn.delta, self._template))
        return found

    def _turn(self, roles: Iterable[str], tools: bool) -> Turn | None:
        """The proven continuation for new messages of these roles, proven at the first call."""
        key = tuple(role for role, _ in groupby(roles)), tools
        if key not in self._turns:
            allowed = bool(key[0]) and "assistant" not in key[0]
            turn = turns.learn(self._template, key[0]) if allowed else None
            self._turns[key] = turn and turns.prove(self._template, turn, *key)
        return self._turns[key]

    def _text(self, completion_ids: Sequence[int]) -> str:
        ids = list(completion_ids)
        ends = [ids.index(stop) for stop in self._stops.intersection(ids)]
        return self._tokenizer.decode(ids[: min(ends)] if ends else ids)

    def _opens_reasoning(self, prompt_ids: Sequence[int]) -> bool:
        """Whether the prompt, by default the template's usual one, ends in an open `<think>`."""
        if len(prompt_ids) == 0:
            return self._template.opens_reasoning
        return self._tokenizer.decode(prompt_ids[-8:]).rstrip().endswith("<think>")

    def _reasons(self, prompt_ids: Sequence[int], completion_ids: Sequence[int]) -> bool:
        start = self._tokenizer.decode(completion_ids[:16]).lstrip()
        return start.startswith("<think>") or self._opens_reasoning(prompt_ids)

    def _still_reasons(self, prompt_ids: Sequence[int], completion_ids: Sequence[int]) -> bool:
        opened = self._opens_reasoning(prompt_ids)
        return split_reasoning(self._text(completion_ids), opened, self._marker)[2]
