"""A chat template as a function from messages to text, with what it cannot render said in another way."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from llmgym.codec import formats, probes
from llmgym.codec.ends import known_ends
from llmgym.codec.formats import HERMES, ToolFormat
from llmgym.codec.jinja import compiled
from llmgym.codec.tokenizer import FastTokenizer
from llmgym.errors import CodecError
from llmgym.messages import Message, ToolSchema, opens_reasoning

_REASONING_KEYS = ("reasoning_content", "reasoning", "thinking")  # how templates call it; gpt-oss and LFM2.5 the last
_SHORT_ID = re.compile(r"[A-Za-z0-9]{9}")

Chat = list[dict[str, Any]]


class ChatTemplate:
    """Renders messages with a Jinja chat template, after learning from probes what the template takes.

    Attributes:
        tokenizer: The tokenizer that the text is for.
        ends: Text and id of tokens known to end a turn: those given, and those that models are made to stop at.
        tool_format: How calls are written where the template does not do that itself.
        native_tools: Whether the template shows tools and results itself; it is then given them.
        writes_calls: Whether one that does writes calls too; where not, they go into the content in `tool_format`.
        folds_system: Whether a system message has to go into the first user message.
        short_ids: Whether the template insists on call ids of nine letters and digits, as Mistral's do.
        header: What the generation prompt puts before a turn.
        opens_reasoning: Whether the generation prompt ends in an open `<think>`.
        call_marks: How many control tokens stand after the arguments of a last call before the one that ends the turn,
            where that is not a known end.
    """

    def __init__(
        self,
        source: Any,
        template: str | None = None,
        variables: Mapping[str, Any] | None = None,
        stop_tokens: Sequence[str] = (),
    ) -> None:
        self.tokenizer = FastTokenizer(source)
        self.text = _text_of(source, template)
        self.variables = {**source.special_tokens_map, **(variables or {})}
        self.ends = {**_ids_of(self.tokenizer, stop_tokens), **known_ends(self.tokenizer)}
        self.tool_format: ToolFormat = HERMES
        self.native_tools = self.folds_system = self.short_ids = False
        self.writes_calls = True
        # A template that says what day it is says the codec's: at midnight a run would not know its own prompts.
        self._clock = datetime.now().strftime
        self.call_marks = 0
        self._reasoning_key = next((key for key in _REASONING_KEYS if _names(self.text, key)), _REASONING_KEYS[0])
        shown = self.render([probes.message("user")], ())
        if probes.RESULT not in shown:
            raise CodecError(f"the chat template does not show what a user says: it makes {shown[:100]!r} of it")
        asked = self.render(probes.history("none"), ())
        self.header = asked.removeprefix(self.attempt(probes.history("none"), (), ask=False) or "") or asked
        self.opens_reasoning = opens_reasoning(asked)
        text = self.attempt([probes.message("system"), *probes.history("none")], ())
        self.folds_system = text is None or probes.RESULT not in text
        self._learn_tools()

    def opens(self, prompt_ids: Sequence[int]) -> bool:
        """Whether a prompt, by default the template's usual one, ends in an open `<think>`."""
        if len(prompt_ids) == 0:
            return self.opens_reasoning
        return opens_reasoning(self.tokenizer.decode(prompt_ids[-8:]))

    def prepare(self, messages: Sequence[Message], tools: Sequence[ToolSchema]) -> Chat:
        """Bring messages into the form that the template takes."""
        write, every = self.tool_format.write, not self.writes_calls
        said = [formats.inline_calls(self.tokenizer.disarm(message), write, every) for message in messages]
        if not self.native_tools:
            said = formats.with_tools(said, tools)
        if self.folds_system:
            said = formats.fold_system(said)
        chat = [_plain_dict(message, self._reasoning_key) for message in said]
        return _with_short_ids(chat) if self.short_ids else chat

    def render_prepared(self, chat: Chat, tools: Sequence[ToolSchema] = (), ask: bool = True) -> str | None:
        """Render prepared messages; None where the template refuses them.

        Args:
            chat: Messages from `prepare`.
            tools: Tools, for a template that renders them itself.
            ask: Whether to end with the generation prompt.
        """
        try:
            return self._call(chat, tools, ask)
        except Exception:  # noqa: BLE001  a template is foreign code and refuses with any exception
            return None

    def attempt(self, messages: Sequence[Message], tools: Sequence[ToolSchema], ask: bool = True) -> str | None:
        """Render messages; None where the template refuses them."""
        return self.render_prepared(self.prepare(messages, tools), tools, ask)

    def render(self, messages: Sequence[Message], tools: Sequence[ToolSchema]) -> str:
        """Render messages, ending with the generation prompt.

        Raises:
            CodecError: The template refuses them, or leaves out a tool.
        """
        chat = self.prepare(messages, tools)
        try:
            text = self._call(chat, tools, ask=True)
        except Exception as error:
            raise CodecError(
                f"the chat template refuses messages with the roles {[message['role'] for message in chat]}: "
                f"{type(error).__name__}: {error}; change the messages, or give `TemplateCodec` a template that takes "
                "them, or the variables that this one needs as `template_kwargs`"
            ) from error
        if hidden := [tool["function"]["name"] for tool in tools if tool["function"]["name"] not in text]:
            raise CodecError(
                f"the chat template of {self.tokenizer.name_or_path!r} does not show the tool {hidden[0]!r} beside "
                f"messages with the roles {[message['role'] for message in chat]}; change the messages (some templates "
                "want a system message), or pass a template that shows it"
            )
        return text

    def find_end(self, text: str, start: int, stop: int, usual: str | None, call: bool) -> tuple[int, str] | None:
        """Find the token that ends a turn.

        After plain content it is the added token that follows. After a call, whose own markup may
        hold added tokens, it is a known end token, and failing that the first control token behind
        `call_marks` others.

        Args:
            text: A rendered conversation.
            start: End of the last word of the turn.
            stop: Start of the first word after it.
            usual: The token that ends a turn of plain content.
            call: Whether the turn is a call.

        Returns:
            Its index in `text`, and the token; None if there is none.
        """
        region = text[start:stop]
        if not call:
            found = _first(region, self.tokenizer.added)
            return None if found is None or region[: found[0]].strip() else (start + found[0], found[1])
        if found := _first(region, [usual or "", *self.ends]):
            return start + found[0], found[1]
        token = ""
        for _ in range(self.call_marks + 1):
            found = _first(text[start:stop], self.tokenizer.special)
            if found is None:
                return None
            token = found[1]
            start += found[0] + len(token)
        return start - len(token), token

    def _call(self, chat: Chat, tools: Sequence[ToolSchema], ask: bool) -> str:
        schemas = list(tools) if tools and self.native_tools else None
        return compiled(self.text).render(
            messages=chat, tools=schemas, documents=None, add_generation_prompt=ask,
            **{"strftime_now": self._clock, **self.variables},
        )  # fmt: skip

    def _learn_tools(self) -> None:
        """Find out whether the template shows tools, calls and results itself, and which ids of calls it takes.

        Raises:
            CodecError: It shows tools, and refuses or leaves out what they answer.
        """
        self.native_tools = True
        openings = [probes.history("none"), probes.history("none", opening=True)]
        if not any(probes.TOOL in (self.attempt(opening, probes.TOOLS) or "") for opening in openings):
            self.native_tools = False
            return
        cycle = [probes.asks("none", "call_1"), *probes.answers("call_1")]
        said = "refuses calls or their results"
        for self.short_ids in (False, True):
            for history in openings:
                text = self.attempt([*history, *cycle], probes.TOOLS)
                if text is not None:
                    said = "leaves their results out"
                    self.writes_calls = probes.SAID in text
                    if probes.RESULT in text:
                        return
        self.short_ids = False
        raise CodecError(
            f"the chat template of {self.tokenizer.name_or_path!r} shows tools, but {said}; pass a template that takes "
            "messages of the role 'tool'"
        )


def _text_of(source: Any, template: str | None) -> str:
    try:
        return source.get_chat_template(template)
    except ValueError as error:
        raise CodecError(f"{source.name_or_path!r} has no chat template; pass `template=`: {error}") from None


def _names(template: str, key: str) -> bool:
    """Whether a template takes something of this name from a message."""
    return re.search(rf"message(?:\.|\[['\"]|\.get\(['\"]){key}\b", template) is not None


def _ids_of(tokenizer: FastTokenizer, stop_tokens: Sequence[str]) -> dict[str, int]:
    ends = {text: tokenizer.convert_tokens_to_ids(text) for text in stop_tokens}
    for text, index in ends.items():
        if index is None or index == tokenizer.unk_token_id:
            raise CodecError(
                f"stop token {text!r} is not in the vocabulary of {tokenizer.name_or_path!r}; spell it out"
            )
    return ends


def _first(text: str, tokens: Sequence[str] | Mapping[str, int]) -> tuple[int, str] | None:
    """The first of the tokens in a text, the longest one where several start."""
    found = [(text.find(token), -len(token), token) for token in tokens if token and token in text]
    return (min(found)[0], min(found)[2]) if found else None


def _plain_dict(message: Message, reasoning_key: str) -> dict[str, Any]:
    """A message as templates want it: arguments as an object, no empty list of calls, reasoning by their name."""
    plain: dict[str, Any] = {**message}
    if "reasoning_content" in plain:
        plain[reasoning_key] = plain.pop("reasoning_content")
    calls = plain.pop("tool_calls", None)
    if calls:
        plain["tool_calls"] = [formats.template_call(call) for call in calls]
    return plain


def _with_short_ids(chat: Chat) -> Chat:
    """Give calls and results ids of nine letters and digits: their own, a hash of it, or their index."""
    index = 0
    for message in chat:
        for place, call in enumerate(message.get("tool_calls", ())):
            call["id"] = _short_id(call.get("id"), place)
        if message["role"] == "tool":
            message["tool_call_id"] = _short_id(message.get("tool_call_id"), index)
        index = index + 1 if message["role"] == "tool" else 0
    return chat


def _short_id(given: str | None, index: int) -> str:
    if given is None:
        return f"call{index:05}"
    return given if _SHORT_ID.fullmatch(given) else hashlib.sha256(given.encode()).hexdigest()[:9]
