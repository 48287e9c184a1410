"""Who reads the calls that a model writes: found by what its chat template itself writes of known calls."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Protocol

from llmgym.codec import probes
from llmgym.codec.chat_template import ChatTemplate
from llmgym.codec.formats import FORMATS, HERMES, ToolFormat, arguments_of
from llmgym.codec.harmony import HarmonyReader
from llmgym.codec.matching import likeness, renderers_for
from llmgym.codec.tagged import tagged_arguments
from llmgym.errors import CodecError
from llmgym.messages import (
    Message,
    ToolCall,
    ToolSchema,
    assistant,
    scrub,
    split_reasoning,
    tool_call,
    written_call,
)

_MOST_MARKS = 4  # control tokens between the arguments of a last call and the token that ends the turn
_TAIL = 64  # tokens of a prompt that tell a parser whether it ends in open reasoning


class Reader(Protocol):
    """Reads sampled ids as an assistant message.

    Attributes:
        name: Of the form of calls.
        inner_ends: Tokens that end a part of a turn, and no turn, although a template may end turns with them.
    """

    name: str
    inner_ends: frozenset[int]

    def read(self, ids: list[int], prompt_ids: Sequence[int], tools: Sequence[ToolSchema]) -> Message:
        """Read ids without the token that ends the turn; never raises on what a model may sample."""
        ...

    def is_thinking(self, ids: list[int], prompt_ids: Sequence[int]) -> bool:
        """Whether a turn that was cut short ends in the middle of its reasoning."""
        ...


class FormatReader:
    """Reads one of our own formats of calls, and reasoning in `<think>` tags."""

    inner_ends = frozenset[int]()

    def __init__(self, form: ToolFormat, tokenizer: Any, opens: Callable[[Sequence[int]], bool | None]) -> None:
        """Read a format; `opens` says whether a prompt has opened reasoning, None where that is not known."""
        self.name, self.form = form.name, form
        self._tokenizer, self._opens = tokenizer, opens

    def read(self, ids: list[int], prompt_ids: Sequence[int], tools: Sequence[ToolSchema]) -> Message:
        """See `Reader.read`; all our formats are JSON, which says itself what is a string."""
        reasoning, rest, _ = self._split(ids, prompt_ids)
        content, calls = self.form.parse(rest)
        return assistant(content, *calls, reasoning=reasoning)

    def is_thinking(self, ids: list[int], prompt_ids: Sequence[int]) -> bool:
        """See `Reader.is_thinking`."""
        return self._split(ids, prompt_ids)[2]

    def _split(self, ids: list[int], prompt_ids: Sequence[int]) -> tuple[str, str, bool]:
        return split_reasoning(self._tokenizer.decode(ids), self._opens(prompt_ids), self.form.marker)


class RendererReader:
    """Reads with the parser of one of the `renderers`."""

    inner_ends = frozenset[int]()

    def __init__(self, tokenizer: Any, renderer: Any) -> None:
        """Read for a tokenizer."""
        self.name = f"renderers:{renderer.config.name}"
        self._tokenizer, self.renderer = tokenizer, renderer

    def read(self, ids: list[int], prompt_ids: Sequence[int], tools: Sequence[ToolSchema]) -> Message:
        """See `Reader.read`.

        Families that write calls in XML (Qwen3.5, GLM, MiniMax and others) put no quotes around strings: only with
        `tools` is a parameter declared a string read as one where it looks like a number, `true` or `null`; see
        `tagged_arguments`.
        """
        try:
            parsed = self._parse(ids, prompt_ids, tools)
            blocks = groupby(parsed.tool_calls, key=lambda call: call.token_span)
            calls = [_parsed_call(call, at, tools) for _, block in blocks for at, call in enumerate(block)]
        except Exception:  # noqa: BLE001  a parser may trip over what a model samples; the text is still the message
            return {"role": "assistant", "content": self._tokenizer.decode(ids)}
        return assistant(parsed.content, *calls, reasoning=(parsed.reasoning_content or "").strip())

    def is_thinking(self, ids: list[int], prompt_ids: Sequence[int]) -> bool:
        """See `Reader.is_thinking`."""
        try:
            parsed = self._parse(ids, prompt_ids, ())
        except Exception:  # noqa: BLE001  as above
            return True
        if parsed.reasoning_complete is None:
            return bool(parsed.reasoning_content) and not parsed.content and not parsed.tool_calls
        return not parsed.reasoning_complete

    def _parse(self, ids: list[int], prompt_ids: Sequence[int], tools: Sequence[ToolSchema]) -> Any:
        tail = list(prompt_ids[-_TAIL:])
        return self.renderer.parse_response(ids, prompt_ids=tail or None, tools=list(tools) or None)


class ResponseReader:
    """Reads by the response template that a tokenizer carries (transformers 5.13 and later)."""

    name = "response_template"
    inner_ends = frozenset[int]()

    def __init__(self, tokenizer: Any) -> None:
        """Read for a tokenizer."""
        self._tokenizer = tokenizer

    def read(self, ids: list[int], prompt_ids: Sequence[int], tools: Sequence[ToolSchema]) -> Message:
        """See `Reader.read`."""
        try:
            prefix = self._tokenizer.decode(list(prompt_ids[-_TAIL:]))
            parsed = self._tokenizer.parse_response(
                self._tokenizer.decode(ids), prefix=prefix, tools=list(tools) or None
            )
            calls = [_spoken_call(call["function"]) for call in parsed.get("tool_calls") or ()]
            content, reasoning = parsed.get("content") or "", parsed.get("reasoning_content") or parsed.get("thinking")
            return assistant(content, *calls, reasoning=(reasoning or "").strip())
        except Exception:  # noqa: BLE001  as above
            return {"role": "assistant", "content": self._tokenizer.decode(ids)}

    def is_thinking(self, ids: list[int], prompt_ids: Sequence[int]) -> bool:
        """See `Reader.is_thinking`."""
        message = self.read(ids, prompt_ids, ())
        return not message["content"] and "tool_calls" not in message


def turn_of(completion_ids: Sequence[int], stops: frozenset[int]) -> list[int]:
    """Sampled ids up to the first token that ends a turn."""
    ids = list(completion_ids)
    ends = [ids.index(stop) for stop in stops.intersection(ids)]
    return ids[: min(ends)] if ends else ids


def _spoken_call(function: dict[str, Any]) -> ToolCall:
    arguments = function["arguments"]
    text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    return tool_call(scrub(function["name"]), scrub(text))


def _parsed_call(parsed: Any, number: int, tools: Sequence[ToolSchema]) -> ToolCall:
    """Take over a call as parsed, the `number`-th of its block, in the model's own text where that is JSON.

    One that is not valid keeps its text, and any name that was read; but JSON with a name is a call in every family.
    """
    raw, name, arguments = scrub(parsed.raw), parsed.name or "", parsed.arguments
    written = written_call(raw, bare=False)
    if written and name in ("", raw.strip(), written["function"]["name"]):
        return tool_call(written["function"]["name"], written["function"]["arguments"], parsed.id)
    # A value that is not JSON for its type is for the environment to refuse, like any other wrong argument.
    readable = isinstance(arguments, dict) and parsed.status in ("ok", "invalid_json", "unknown_tool")
    if not name or not (readable or parsed.status == "ok"):
        return tool_call(name, raw, parsed.id)
    text = tagged_arguments(raw, name, number, tools)
    if text is None:
        text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    return tool_call(name, scrub(text), parsed.id)


# ---- finding one

#: Forms of calls that are read by name: our own formats, and harmony.
FORMS = (*(form.name for form in FORMATS), HarmonyReader.name)


def reader_of(template: ChatTemplate, form: str) -> Reader:
    """The reader that somebody chose, whatever the template writes.

    Args:
        template: The template.
        form: One of `FORMS`, or another name that a reader has.

    Raises:
        CodecError: There is no such reader, it lacks tokens, or does not fit what the template leaves to us.
        MissingExtraError: What it needs is not installed.
    """
    reader = _reader_named(template, form)
    if reader is None:
        why = "has not the tokens of" if form in FORMS else "has nobody who reads calls as"
        raise CodecError(f"{template.tokenizer.name_or_path!r} {why} {form!r}; {choices()}")
    if not template.writes_calls and not isinstance(reader, FormatReader):
        raise CodecError(f"the chat template writes no calls, so that they are in a form of ours, and not {form!r}")
    if not template.native_tools and form != HERMES.name:
        raise CodecError(f"the chat template shows no tools: they are described with calls of Hermes, not {form!r}")
    return reader


def _reader_named(template: ChatTemplate, form: str) -> Reader | None:
    from llmgym.codec.vllm import VLLMReader

    for known in FORMATS:
        if known.name == form:
            return FormatReader(known, template.tokenizer, template.opens)
    package, _, name = form.partition(":")
    if package == "vllm":
        return VLLMReader(template, name)
    return next((reader for reader in _others(template) if reader.name == form), None)


def choices() -> str:
    """What can be chosen, for an error."""
    return (
        f"choose with codec `template:FORM`, where FORM is one of {', '.join(FORMS)}, {ResponseReader.name} (the "
        "tokenizer's own), renderers:NAME (a parser of the package `renderers`) or vllm:NAME (a tool parser of vLLM)"
    )


@dataclass(frozen=True, slots=True)
class Sample:
    """A turn of calls as a template writes it: the ids before it, its own up to the token that ends it, the message."""

    prompt_ids: list[int]
    ids: list[int]
    text: str
    end: str
    said: Message


def find_reader(template: ChatTemplate) -> tuple[Reader | None, list[Sample]]:
    """The reader that recovers the most of what a template writes, and at least its plain calls; None if none does.

    Where a turn of calls ends is found along with it, and left in the template. The parsers of vLLM, which takes long
    to load, are asked where nobody else recovers anything.
    """
    from llmgym.codec.vllm import vllm_readers

    ours: list[Reader] = [FormatReader(form, template.tokenizer, template.opens) for form in FORMATS]
    reader, samples = best_of(template, ours, lambda: _others(template))
    if reader is None and samples:
        reader, samples = best_of(template, list(vllm_readers(template)))
    return reader, samples


def best_of(
    template: ChatTemplate, readers: Sequence[Reader], more: Callable[[], Iterable[Reader]] = tuple
) -> tuple[Reader | None, list[Sample]]:
    """The best of some readers, and of more where these do not recover all; see `find_reader`."""
    others: list[Reader] | None = None
    for template.call_marks in range(_MOST_MARKS):
        samples = list(_samples(template))
        found = [(reader, _recovered(reader, samples)) for reader in readers]
        if max((recovered for _, recovered in found), default=0) < len(samples):
            others = list(more()) if others is None else others
            found += [(reader, _recovered(reader, samples)) for reader in others]
        most = max((recovered for _, recovered in found), default=0)
        if most:
            best = [reader for reader, recovered in found if recovered == most]
            return max(best, key=lambda reader: _likeness(template, reader)) if len(best) > 1 else best[0], samples
    template.call_marks = 0
    return None, list(_samples(template))


def _likeness(template: ChatTemplate, reader: Reader) -> int:
    """Tells readers apart that recover the same: ours first, then the renderer that writes most like the template."""
    if isinstance(reader, FormatReader | HarmonyReader):
        return 1 << 10
    return likeness(template, reader.renderer) if isinstance(reader, RendererReader) else 0


def _others(template: ChatTemplate) -> Iterator[Reader]:
    if HarmonyReader.speaks(template.tokenizer):
        yield HarmonyReader(template.tokenizer)
    for renderer in renderers_for(template):
        yield RendererReader(template.tokenizer, renderer)
    if getattr(template.tokenizer, "response_template", None):
        yield ResponseReader(template.tokenizer)


def _recovered(reader: Reader, samples: Sequence[Sample]) -> int:
    """How many of the turns are read as they were meant; none if the plainest is not among them."""
    found = [recovers(reader, sample.prompt_ids, sample.ids, sample.said) for sample in samples]
    return sum(found) if found[:1] == [True] else 0


def recovers(reader: Reader, prompt_ids: Sequence[int], ids: Sequence[int], said: Message) -> bool:
    """Whether a reader finds the calls of a message in what was written of it behind a prompt."""
    return _calls_of(reader.read(list(ids), prompt_ids, probes.TOOLS)) == _calls_of(said)


def _calls_of(message: Message) -> list[tuple[str, Any]]:
    return [(call["function"]["name"], arguments_of(call)) for call in message.get("tool_calls", ())]


def _samples(template: ChatTemplate) -> Iterator[Sample]:
    """Turns of calls, the plainest first, of all that the template takes."""
    history = probes.history("none")
    starts = [template.attempt(history, probes.TOOLS), template.attempt(history, probes.TOOLS, ask=False)]
    for said in probes.calls():
        text = template.attempt([*history, said, *probes.results(said)], probes.TOOLS)
        start = next((start for start in starts if start and text and text.startswith(start)), None)
        if text is None or start is None:
            continue
        end = template.find_end(text, text.find(probes.SAID), max(text.find(probes.RESULT), 0), None, call=True)
        if end is not None:
            turn = text[len(start) : end[0]]
            encode = template.tokenizer.encode
            ids = encode(turn, add_special_tokens=False)
            yield Sample(encode(start, add_special_tokens=False), ids, turn, end[1], said)
