"""Random conversations and random completions for the codec tests."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

from llmgym.messages import Message, ToolSchema, assistant, system, tool_call, user
from tests.codec.families import FAMILIES

TOOLS: tuple[ToolSchema, ...] = (
    {
        "type": "function",
        "function": {
            "name": "look",
            "description": "Look somewhere.",
            "parameters": {"type": "object", "properties": {"where": {"type": "string"}, "n": {"type": "integer"}}},
        },
    },
)

_SCRAPS = [
    "", " ", "\n", "\n\n", "  a", "b \n", "é", "日本", "🙂", "a\u0301", "\u200b", "\r\n", "{}", '"', "\\", "<", "<|",
    "|>", "<|im_", "</", "the", " end", "assistant", "user\n", "1234", "\t", "\x00",
]  # fmt: skip

_TOKENS = {token for family in FAMILIES.values() for token in (*family.special, *family.added)}

# Text without control tokens or tags in it, which hypothesis finds in our code: what must come out to the byte.
texts = st.one_of(
    st.lists(st.sampled_from(_SCRAPS), max_size=6).map("".join),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\ufdd0\ufdd1"), max_size=20),
).filter(lambda text: not any(token in text for token in _TOKENS))


def results(count: int, text: str) -> list[Message]:
    """Make tool results."""
    return [{"role": "tool", "content": text, "name": "look", "tool_call_id": f"call{n:05}"} for n in range(count)]


def conversations() -> st.SearchStrategy[list[Message]]:
    """Whole conversations: system or not, plain exchanges, calls with their results, a user at the end."""

    @st.composite
    def draw(draw: st.DrawFn) -> list[Message]:
        made = [system(draw(texts))] if draw(st.booleans()) else []
        for _ in range(draw(st.integers(0, 2))):
            made.append(user(draw(texts)))
            for _ in range(draw(st.integers(0, 2))):
                calls = draw(st.integers(1, 3))
                made.append(assistant(draw(texts), *[tool_call("look", where=draw(texts)) for _ in range(calls)]))
                made += results(calls, draw(texts))
            made.append(assistant(draw(texts)))
        return [*made, user(draw(texts))]

    return draw()


def fuzzed(tokenizer: Any, stops: Sequence[int]) -> st.SearchStrategy[list[int]]:
    """Completions as no model should write them: any ids, control tokens, halves of characters, marks in any order."""
    marks = [
        "<think>", "</think>", "<tool_call>", "</tool_call>", "[TOOL_CALLS]", "[ARGS]", '{"name": "look", ',
        '"parameters": ', '"arguments": {"where": "x"}}', "[" * 300, "1" * 5000, '"\\ud800"', "NaN", "日本🙂", "\n",
    ]  # fmt: skip
    pieces = st.one_of(
        st.integers(0, len(tokenizer) - 1).map(lambda index: [index]),
        st.sampled_from(sorted(tokenizer.added_tokens_decoder)).map(lambda index: [index]),
        st.sampled_from(marks).map(lambda text: tokenizer.encode(text, add_special_tokens=False)),
        st.sampled_from(["é", "日", "🙂"]).map(lambda text: tokenizer.encode(text, add_special_tokens=False)[:-1]),
        st.sampled_from(list(stops)).map(lambda index: [index]),
    )
    body = st.lists(pieces, max_size=8).map(lambda lists: [index for ids in lists for index in ids])
    return st.builds(lambda ids, end: ids + end, body, st.sampled_from([[], [stops[0]], [stops[-1]]]))


def as_chat(messages: list[Message]) -> list[dict[str, Any]]:
    """What a user of transformers would pass: the arguments as objects."""
    chat: list[dict[str, Any]] = [{**message} for message in messages]
    for message in chat:
        if "tool_calls" in message:
            message["tool_calls"] = [_as_call(call) for call in message["tool_calls"]]
    return chat


def written(
    tokenizer: Any,
    stops: Sequence[int],
    tools: Sequence[ToolSchema],
    said: Message,
    follows: Sequence[Message] = (),
    sampled: bool = False,
) -> tuple[str, str, str] | None:
    """The prompt, a turn and what follows it, as a template writes them by itself; None where it refuses them, or
    writes the beginning otherwise.

    Args:
        tokenizer: With the template.
        stops: Tokens that end turns.
        tools: What the template is given.
        said: The turn.
        follows: What follows it; by default the results of its calls.
        sampled: Whether the turn has to go on from the generation prompt; else it may begin with its own header.
    """
    before: list[Message] = [user("Where?")]
    results: list[Message] = [
        {"role": "tool", "content": "qzresultqz", "name": call["function"]["name"], "tool_call_id": call["id"]}
        for call in said.get("tool_calls", ())
    ]

    def render(chat: list[Message], ask: bool) -> str:
        return tokenizer.apply_chat_template(
            as_chat(chat), tools=list(tools) or None, tokenize=False, add_generation_prompt=ask
        )

    try:
        prompt, whole = render(before, True), render([*before, said, *(follows or results)], True)
    except Exception:  # noqa: BLE001 -- a template is foreign code and refuses with any exception
        return None
    start = prompt if sampled or whole.startswith(prompt) else render(before, False)
    rest = whole.removeprefix(start)
    ends = [rest.index(stop) for index in stops if (stop := tokenizer.convert_ids_to_tokens(index)) in rest]
    return (prompt, rest[: min(ends)], rest[min(ends) :]) if ends and rest != whole else None


def values_of(message: Message) -> list[tuple[str, Any]]:
    """Names and arguments of a message's calls."""
    return [
        (call["function"]["name"], json.loads(call["function"]["arguments"])) for call in message.get("tool_calls", [])
    ]


def _as_call(call: Any) -> dict[str, Any]:
    return {**call, "function": {**call["function"], "arguments": json.loads(call["function"]["arguments"])}}
