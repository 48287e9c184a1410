"""A codec on the `renderers` package, which has token-exact code for some thirty model families."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from llmgym.codec import probes
from llmgym.codec.ends import known_ends
from llmgym.codec.formats import FORMATS, HERMES, inline_calls, template_call
from llmgym.codec.readers import FormatReader, Reader, RendererReader, recovers, turn_of
from llmgym.codec.tokenizer import SEAM, FastTokenizer, fingerprint, is_fast
from llmgym.errors import CodecError, MissingExtraError
from llmgym.messages import Message, ToolSchema, opens_reasoning

# A bridge looks back from the end of the prompt to the header of the turn it continues, no further. That is part of
# the generation prompt, at most a dozen tokens in every renderer; the tests compare with whole prompts.
_TAIL = 64
_CALL_ID = "functions.qztoolqz:0"  # Kimi reads the name of a call from its id


class RendererCodec:
    """A `ChatCodec` on the renderer that `renderers` has for a model.

    Control tokens spelled inside the content of system, user and tool messages are tokenised as
    plain text where the renderer tokenises through the given tokenizer (gpt-oss brings its own, which
    does the same).

    Args:
        tokenizer: A tokenizer of transformers, or one with the surface that `renderers` asks for.
        config: A typed configuration of `renderers`, such as `Qwen3RendererConfig()`; needed for a
            model that `renderers` does not know by name, such as a fine-tuned one.

    Attributes:
        stop_token_ids: Tokens that end an assistant turn: the renderer's come first, then those that the model is
            made to stop at (`llmgym.codec.ends`).
        fingerprint: Hash of tokenizer, renderer and settings.
        call_form: Name of the form of calls.
        native_tools: True.

    Raises:
        CodecError: `renderers` has no renderer for the model, or it does not fit the tokenizer.
        MissingExtraError: `renderers` is not installed.
    """

    native_tools: bool = True

    def __init__(self, tokenizer: Any, config: Any = None) -> None:
        if config is None and not supports(tokenizer):
            raise CodecError(
                f"none of `renderers` writes what the chat template of {tokenizer.name_or_path!r} writes, or is for a "
                'model of that name; use kind="template", or pass config=, such as Qwen3RendererConfig()'
            )
        self._tokenizer: Any = FastTokenizer(tokenizer) if is_fast(tokenizer) else tokenizer
        self._renderer = _renderer(self._tokenizer, config)
        ends = [*self._renderer.get_stop_token_ids(), *known_ends(self._tokenizer).values()]
        self.stop_token_ids: tuple[int, ...] = tuple(dict.fromkeys(ends))
        self._stops = frozenset(self.stop_token_ids)
        self._disarms = is_fast(tokenizer) and self._tokenises_here()
        self._write = HERMES.write
        self._reader = self._find_reader()
        self.call_form = self._reader.name
        offsets = _renderer(tokenizer, config)
        written: set[int] = set()
        self._terminators = {answers: self._proven_terminator(offsets, answers, written) for answers in (False, True)}
        self._openers = frozenset(written) if len(written) > 1 else frozenset[int]()
        self.fingerprint: str = fingerprint("RendererCodec 1", *self._identity())

    def can_extend(self, roles: Iterable[str], *, tools: bool) -> bool:
        """Tell whether new messages of these roles can follow a sampled turn that does not reason."""
        first = next(iter(roles), None)
        return first not in (None, "assistant") and self._terminators[first == "tool"] is not None

    def open(self, messages: Sequence[Message], tools: Sequence[ToolSchema]) -> list[int]:
        """Render a whole conversation, ending with the generation prompt.

        Raises:
            CodecError: The renderer refuses the conversation.
        """
        try:
            return self._renderer.render_ids(
                self._prepare(messages), tools=list(tools) or None, add_generation_prompt=True
            )
        except Exception as error:
            raise CodecError(
                f"{self._name} refuses messages with the roles {[message['role'] for message in messages]}: "
                f"{type(error).__name__}: {error}; change the messages"
            ) from error

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
            The ids; None where the renderer cannot bridge, or does not bridge to what it renders,
            where the turn ended with a token that begins another's message, where a stop token lies
            inside it, and where it was cut in the middle of its reasoning.
        """
        if not new_messages or not self._stops.isdisjoint(completion_ids[:-1]):
            return None
        terminator = self._terminators[new_messages[0]["role"] == "tool"]
        if terminator is None:
            return None
        tail, sampled = list(prompt_ids[-_TAIL:]), list(completion_ids)
        if not sampled or sampled[-1] not in self._stops:
            extension = self._bridge(tail, sampled, new_messages, tools)
            return extension if extension and extension[0] == terminator else None
        if sampled[-1] == terminator:
            return self._bridge(tail, sampled, new_messages, tools)
        if sampled[-1] in self._openers:
            return None
        extension = self._bridge(tail, [*sampled[:-1], terminator], new_messages, tools)
        return [terminator, *extension] if extension and self._openers else extension

    def parse(
        self, completion_ids: Sequence[int], prompt_ids: Sequence[int] = (), tools: Sequence[ToolSchema] = ()
    ) -> Message:
        """Read sampled ids, up to the first stop token, as an assistant message; see `ChatCodec.parse`."""
        return self._reader.read(turn_of(completion_ids, self._stops), prompt_ids, tools)

    @property
    def _name(self) -> str:
        return type(self._renderer).__name__

    def _prepare(self, messages: Sequence[Message]) -> list[dict[str, Any]]:
        """Bring messages into the form that renderers take: arguments as objects, broken calls as text."""
        prepared: list[dict[str, Any]] = []
        for message in messages:
            said = self._tokenizer.disarm(message) if self._disarms else message
            plain: dict[str, Any] = {**inline_calls(said, self._write)}
            if calls := plain.pop("tool_calls", None):
                plain["tool_calls"] = [template_call(call) for call in calls]
            prepared.append(plain)
        return prepared

    def _find_reader(self) -> Reader:
        """Ours where it reads all calls that the renderer writes, so that JSON is read in one way; else the renderer's.

        Broken calls are written back in the same form.
        """
        turns = list(self._turns_of_calls())
        for form in FORMATS:
            reader = FormatReader(form, self._tokenizer, self._opens)
            if turns and all(recovers(reader, *turn) for turn in turns):
                self._write = form.write
                return reader
        return RendererReader(self._tokenizer, self._renderer)

    def _turns_of_calls(self) -> Iterator[tuple[list[int], list[int], Message]]:
        """Turns of calls that the renderer takes: the prompt, what it writes of the turn, the message."""
        head = probes.history("none")
        prompt = self.open(head, probes.TOOLS)
        for said in probes.calls():
            try:
                whole = self.open([*head, said, *probes.results(said)], probes.TOOLS)
            except CodecError:
                continue
            yield prompt, turn_of(whole[len(prompt) :], self._stops), said

    def _opens(self, prompt_ids: Sequence[int]) -> bool | None:
        return opens_reasoning(self._tokenizer.decode(prompt_ids[-8:])) if len(prompt_ids) else None

    def _proven_terminator(self, offsets: Any, answers: bool, written: set[int]) -> int | None:
        """The token that ends a turn before a tool result, or before a user message.

        None if the renderer does not bridge a probe to what it renders of the whole: not every one does.
        `offsets` is the renderer on the full tokenizer, which alone tells what a model samples. `written` gets what
        the renderer ends such a turn with, proven or not.
        """
        head: list[Message] = [probes.message("user", "x")]
        new = probes.news(["tool" if answers else "user"], _CALL_ID)
        if answers:  # Inkling bridges to results that say whose they are
            new[0]["name"] = probes.asks("none", _CALL_ID).get("tool_calls", [])[0]["function"]["name"]
        for style in ("none", "field"):
            said = probes.asks(style, _CALL_ID) if answers else probes.says(style)
            try:
                prompt, whole = self.open(head, probes.TOOLS), self.open([*head, said, *new], probes.TOOLS)
                rendered = offsets.render(self._prepare([*head, said, *new]), tools=list(probes.TOOLS))
            except Exception:  # noqa: BLE001  a renderer that refuses results never bridges to one
                return None
            owned = zip(rendered.token_ids, rendered.sampled_mask, rendered.message_indices, strict=True)
            sampled = [index for index, by_model, owner in owned if by_model and owner == 1]
            written |= self._stops.intersection(sampled[-1:])
            if not sampled or whole[: len(prompt)] != prompt or sampled[-1] not in whole[len(prompt) :]:
                continue
            end = whole.index(sampled[-1], len(prompt)) + 1
            if self._bridge(prompt, whole[len(prompt) : end], new, probes.TOOLS) == whole[end:]:
                return sampled[-1]
        return None

    def _bridge(
        self, prompt: list[int], completion: list[int], new: Sequence[Message], tools: Sequence[ToolSchema]
    ) -> list[int] | None:
        """What the renderer appends; None where it appends nothing, or takes something away."""
        try:
            bridge = self._renderer.bridge_to_next_turn(
                prompt, completion, self._prepare(new), tools=list(tools) or None
            )
        except Exception:  # noqa: BLE001  what a renderer refuses here, `open` refuses with a reason
            return None
        known = prompt + completion
        return bridge.token_ids[len(known) :] if bridge and bridge.token_ids[: len(known)] == known else None

    def _tokenises_here(self) -> bool:
        """Whether content reaches this codec's tokenizer, which takes the seams out again."""
        ids = self._renderer.render_ids([{"role": "user", "content": f"a{SEAM}b"}], add_generation_prompt=True)
        return SEAM[0] not in self._tokenizer.decode(ids)

    def _identity(self) -> list[str]:
        from importlib.metadata import version

        if isinstance(self._tokenizer, FastTokenizer):
            vocabulary = self._tokenizer.serialise()
        else:
            vocabulary = json.dumps(self._tokenizer.get_vocab(), sort_keys=True)
        config = self._renderer.config
        settings = [config.model_dump_json(), repr(self.stop_token_ids), self.call_form]
        return [vocabulary, version("renderers"), self._name, *settings]


def supports(tokenizer: Any) -> bool:
    """Whether `renderers` has code of its own for the model of a tokenizer.

    Raises:
        MissingExtraError: `renderers` is not installed.
    """
    try:
        from renderers.base import MODEL_RENDERER_MAP
    except ImportError as error:
        raise MissingExtraError("RendererCodec", "transformers") from error
    return tokenizer.name_or_path in MODEL_RENDERER_MAP


def _renderer(tokenizer: Any, config: Any) -> Any:
    try:
        from renderers import create_renderer
    except ImportError as error:
        raise MissingExtraError("RendererCodec", "transformers") from error
    try:
        return create_renderer(tokenizer, config)
    except (AssertionError, TypeError, ValueError) as error:
        name = config.name if config else "its renderer"
        raise CodecError(
            f"{name} does not fit the tokenizer of {tokenizer.name_or_path!r}: {error}; check the model's name"
        ) from error
