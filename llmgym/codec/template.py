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

from llmgym.codec import probes, turns
from llmgym.codec.chat_template import ChatTemplate
from llmgym.codec.deltas import Deltas
from llmgym.codec.formats import HERMES
from llmgym.codec.readers import FormatReader, Reader, Sample, best_of, choices, find_reader, reader_of, turn_of
from llmgym.codec.tokenizer import fingerprint
from llmgym.codec.turns import Turn
from llmgym.errors import CodecError
from llmgym.messages import Message, ToolSchema


class TemplateCodec:
    """A `ChatCodec` for a fast tokenizer and its chat template, or another template.

    A template that knows no tools gets them described in the system message in Hermes format, calls as
    `<tool_call>` blocks, and results as `<tool_response>` blocks in user messages. One that does is always
    given them, and how its calls are read is found by what it writes of known ones
    (`llmgym.codec.readers`). A template that refuses a system message gets it in front of the first user
    message.

    Control tokens spelled inside the content of system, user and tool messages are tokenised as
    plain text, so that a tool result cannot forge turns. Everything else gets the ids that
    `tokenizer.apply_chat_template` gives it, to the last one.

    Args:
        tokenizer: A fast tokenizer of transformers.
        template: Jinja text, or the name of one of the tokenizer's templates; its default if None. One that was
            learned already is taken with its own variables and stop tokens.
        template_kwargs: Variables for the template, such as `enable_thinking`.
        stop_tokens: Further tokens that end a turn.
        form: Who reads calls, whatever the template writes, by the name that `call_form` has for it; found by default.

    Attributes:
        stop_token_ids: Tokens that end an assistant turn: those that the template writes come first, then those that
            the model is made to stop at (`llmgym.codec.ends`).
        fingerprint: Hash of tokenizer, template and settings.
        native_tools: Whether the template renders tools, calls and results itself.
        call_form: Name of the form of calls: one of our own, or who reads it.

    Raises:
        CodecError: The tokenizer is not fast or has no template, the template does not render a
            user message, nobody reads the calls that it writes, or a stop token is not in the vocabulary.
    """

    def __init__(
        self,
        tokenizer: Any,
        *,
        template: str | ChatTemplate | None = None,
        template_kwargs: Mapping[str, Any] | None = None,
        stop_tokens: Sequence[str] = (),
        form: str | None = None,
    ) -> None:
        if not isinstance(template, ChatTemplate):
            template = ChatTemplate(tokenizer, template, template_kwargs, stop_tokens)
        self._template = template
        self._tokenizer = self._template.tokenizer
        self.native_tools: bool = self._template.native_tools
        self._reader, ends = _reader_of(self._template, form)
        self.call_form = self._reader.name
        self._turns: dict[tuple[tuple[str, ...], bool], Turn | None] = {}
        self._deltas: dict[tuple[str, bool], Deltas] = {}
        learned = [turns.learn(self._template, (role,)) for role in ("user", "tool")]
        written = [turn.terminator_id for turn in learned if turn]
        inner = self._reader.inner_ends
        self._openers = frozenset(written) if len({*written}) > 1 and not inner else frozenset[int]()
        stops = dict.fromkeys([*written, *ends, *self._template.ends.values()])
        self.stop_token_ids: tuple[int, ...] = tuple(stop for stop in stops if stop not in inner)
        self._stops = frozenset(self.stop_token_ids)
        self.fingerprint: str = fingerprint(
            "TemplateCodec 1",
            self._tokenizer.serialise(),
            self._template.text,
            repr(sorted(self._template.variables.items())),
            repr((self.stop_token_ids, self.call_form, self.native_tools, self._template.folds_system)),
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

        A turn that was cut short is closed the way the template closes one. Where it ended with a
        stop token other than the template's, that one stands in its place; the template's own
        follows all the same where it says whose message is next.

        Returns:
            The ids; None where the template rewrites history before such messages, where the turn
            ended with a token that begins another's message, where a stop token lies inside it, and
            where it was cut in the middle of its reasoning.
        """
        turn = self._turn((message["role"] for message in new_messages), bool(tools))
        if turn is None or not self._stops.isdisjoint(completion_ids[:-1]):
            return None
        ended = len(completion_ids) > 0 and completion_ids[-1] in self._stops
        foreign = ended and completion_ids[-1] != turn.terminator_id
        if foreign and completion_ids[-1] in self._openers:
            return None
        if not ended and self._reader.is_thinking(turn_of(completion_ids, self._stops), prompt_ids):
            return None
        if not turn.keeps_reasoning and self._reasons(prompt_ids, completion_ids):
            return None
        if not turn.keeps_calls and sum(message["role"] == "tool" for message in new_messages) > 1:
            return None
        if not turn.keeps_content and self._read(completion_ids, prompt_ids)["content"]:
            return None
        disarmed = [self._tokenizer.disarm(message) for message in new_messages]
        delta = self._deltas_of(turn).of(disarmed)
        if delta is None or probes.TOOL in delta:  # what the template looked up is the probe's own call
            return None
        # A sampled end token is encoded along and then dropped: some tokens swallow the space that follows them.
        ids = self._tokenizer.encode((turn.terminator if ended else turn.close) + delta, add_special_tokens=False)
        return ids[1:] if ended and not (foreign and self._openers) else ids

    def parse(
        self, completion_ids: Sequence[int], prompt_ids: Sequence[int] = (), tools: Sequence[ToolSchema] = ()
    ) -> Message:
        """Read sampled ids, up to the first stop token, as an assistant message; see `ChatCodec.parse`."""
        return self._reader.read(turn_of(completion_ids, self._stops), prompt_ids, tools)

    def _deltas_of(self, turn: Turn) -> Deltas:
        """The texts that follow a turn, as far as they are known."""
        key = turn.prefix, turn.named
        found = self._deltas.get(key)
        if found is None:
            found = self._deltas[key] = Deltas(functools.partial(turn.delta, self._template))
        return found

    def _turn(self, roles: Iterable[str], tools: bool) -> Turn | None:
        """The proven continuation for new messages of these roles, proven at the first call."""
        key = tuple(role for role, _ in groupby(roles)), tools
        if key not in self._turns:
            allowed = bool(key[0]) and "assistant" not in key[0]
            turn = turns.learn(self._template, key[0]) if allowed else None
            self._turns[key] = turn and turns.prove(self._template, turn, *key)
        return self._turns[key]

    def _reasons(self, prompt_ids: Sequence[int], completion_ids: Sequence[int]) -> bool:
        """Whether a turn has reasoning, be it empty."""
        start = self._tokenizer.decode(completion_ids[:16]).lstrip()
        if start.startswith("<think>") or self._template.opens(prompt_ids):
            return True
        return "reasoning_content" in self._read(completion_ids, prompt_ids)

    def _read(self, completion_ids: Sequence[int], prompt_ids: Sequence[int]) -> Message:
        return self._reader.read(turn_of(completion_ids, self._stops), prompt_ids, ())


def _reader_of(template: ChatTemplate, form: str | None) -> tuple[Reader, list[int]]:
    """The reader of a template's calls, and the tokens that end turns of them.

    Raises:
        CodecError: Nobody recovers the calls that the template writes, it writes none, or the form is none.
    """
    samples: list[Sample] = []
    if form is not None:
        reader = reader_of(template, form)
    else:
        reader = None if template.native_tools else FormatReader(HERMES, template.tokenizer, template.opens)
    if template.native_tools and template.writes_calls:
        found, samples = find_reader(template) if reader is None else best_of(template, [reader])
        reader = reader or found
    if reader is None:
        what = f"calls in a form that nobody here reads: {samples[0].text!r}" if samples else "no calls"
        raise CodecError(f"the chat template of {template.tokenizer.name_or_path!r} writes {what}; {choices()}")
    if isinstance(reader, FormatReader):  # which also writes what the template does not
        template.tool_format = reader.form
    return reader, [template.tokenizer.added[sample.end] for sample in samples]
