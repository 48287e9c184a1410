"""Every template that renders tools: they are given to it, and the calls that it writes are read back."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmgym.codec import ChatCodec, codec_for
from llmgym.errors import CodecError
from llmgym.messages import Message, ToolSchema, assistant, tool_call, user
from tests.codec import conversations, families
from tests.codec.conversations import values_of

pytest.importorskip("renderers")

# Only vLLM reads their calls; the other's first template writes none.
UNREAD = ("muse-glimmer", "muse-glimmer-training", "lfm2", "lfm2-training")
# Templates that take reasoning away behind a result, or begin the turn after it in history alone.
UNPROVEN = ("diffusion-gemma", "diffusion-gemma-training", "qwen3.5-nothink", "qwen3.5-nothink-training")
WITH_TOOLS = sorted(
    name for name in families.MATRIX
    if "tools" in families.template(name) and name not in UNREAD
)  # fmt: skip

TOOLS: tuple[ToolSchema, ...] = (
    {
        "type": "function",
        "function": {
            "name": "look",
            "description": "Look somewhere.",
            "parameters": {
                "type": "object",
                "properties": {
                    "where": {"type": "string"},
                    "n": {"type": "integer"},
                    "near": {"type": "boolean"},
                    "of": {"type": "object"},
                    "list": {"type": "array"},
                },
            },
        },
    },
)

PLAIN, QUOTED = "abz 09.,;:!?-_/()éß数🙂", "\n\"'\\"  # LFM2's template escapes none of the latter
BESIDE: tuple[dict[str, str], ...] = ({}, {"content": "Let me see."}, {"reasoning_content": "Well."})
# Older templates of Gemma 4 write null as Python's None, which `renderers` reads as a text.
NO_NULL = ("gemma4", "gemma4-v2", "gemma4-v3", "gemma4-v4")


def arguments(letters: str, nulls: bool = True) -> st.SearchStrategy[dict[str, Any]]:
    words = st.text(st.sampled_from(letters), max_size=12)
    values = st.recursive(
        st.sampled_from([-99, 0, 10**20, 0.5, -1e-7, True, False] + [None] * nulls) | words,
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["a", "b"]), inner, max_size=2),
        max_leaves=4,
    )
    return st.fixed_dictionaries({}, optional={
        "where": words, "n": st.integers(-99, 99), "near": st.booleans(),
        "of": st.dictionaries(st.sampled_from(["a", "b"]), values, max_size=2), "list": st.lists(values, max_size=2),
    })  # fmt: skip


@cache
def codec(family: str) -> ChatCodec:
    return codec_for(families.tokenizer(family))


def written(family: str, said: Message) -> tuple[str, str, str]:
    """The prompt, the turn and what follows it, as the template writes them by itself."""
    found = conversations.written(families.tokenizer(family), codec(family).stop_token_ids, TOOLS, said)
    assert found is not None
    return found


def encode(family: str, text: str) -> list[int]:
    return families.tokenizer(family).encode(text, add_special_tokens=False)


def decode(family: str, ids: list[int]) -> str:
    return families.tokenizer(family).decode(ids, skip_special_tokens=False)


@pytest.mark.parametrize("family", WITH_TOOLS)
def test_tools_are_given_to_the_template(family: str) -> None:
    tokenizer = families.tokenizer(family)
    prompt = codec(family).open([user("Where?")], TOOLS)
    chat: Any = [{"role": "user", "content": "Where?"}]
    assert prompt == tokenizer.apply_chat_template(
        chat, tools=list(TOOLS), add_generation_prompt=True, tokenize=True, return_dict=False
    )


@pytest.mark.parametrize("family", WITH_TOOLS)
@given(data=st.data())
@settings(max_examples=15)
def test_calls_that_a_template_writes_are_read_back(family: str, data: st.DataObject) -> None:
    letters = PLAIN if family.startswith("lfm2") else PLAIN + QUOTED
    most = 1 if family.startswith(("llama", "mistral", "gpt-oss")) else 2  # one call in a message
    several = data.draw(st.lists(arguments(letters, family not in NO_NULL), min_size=1, max_size=most))
    ids = [f"call{n:05}" for n in range(len(several))]
    said = assistant("", *[
        {"id": i, **tool_call("look", json.dumps(arguments))} for i, arguments in zip(ids, several, strict=True)
    ])  # fmt: skip
    said |= data.draw(st.sampled_from(BESIDE))  # type: ignore[arg-type]
    prompt, turn, _ = written(family, said)
    message = codec(family).parse(encode(family, turn), encode(family, prompt), TOOLS)
    assert values_of(message) == [("look", arguments) for arguments in several]
    if "Let me see." in turn and not family.startswith("gpt-oss"):  # which makes it a thought
        assert message["content"].strip() == "Let me see."
    if "Well." in turn:
        assert message.get("reasoning_content") == "Well."


@pytest.mark.parametrize("model", families.MODELS)
@given(data=st.data())
@settings(max_examples=15)
def test_calls_that_a_renderer_writes_are_read_back(model: str, data: st.DataObject) -> None:
    made = codec_for(families.load(model))
    most = 1 if "Llama" in model else 2
    several = data.draw(st.lists(arguments(PLAIN + QUOTED), min_size=1, max_size=most))
    ids = [f"functions.look:{n}" for n in range(len(several))]  # where Kimi reads the name
    calls = [{"id": i, **tool_call("look", json.dumps(one))} for i, one in zip(ids, several, strict=True)]
    said = {**assistant("", *calls), **data.draw(st.sampled_from([{}, {"reasoning_content": "Well."}]))}
    new: list[Message] = [{"role": "tool", "content": "r", "name": "look", "tool_call_id": i} for i in ids]
    prompt, whole = made.open([user("Where?")], TOOLS), made.open([user("Where?"), said, *new], TOOLS)
    # Where the history begins a turn otherwise than the prompt, it is read from there.
    start = next((at for at, (a, b) in enumerate(zip(prompt, whole, strict=False)) if a != b), len(prompt))
    end = next(at for at in range(start, len(whole)) if whole[at] in made.stop_token_ids)
    message = made.parse(whole[start : end + 1], whole[:start], TOOLS)
    assert values_of(message) == [("look", arguments) for arguments in several]
    assert message.get("reasoning_content", "Well.") == "Well."


@pytest.mark.parametrize("family", WITH_TOOLS)
def test_what_follows_calls_is_what_the_template_writes(family: str) -> None:
    call = {"id": "call00000", **tool_call("look", where="here")}
    _, turn, rest = written(family, assistant("", call))
    new: list[Message] = [{"role": "tool", "content": "qzresultqz", "name": "look", "tool_call_id": "call00000"}]
    stop = next(i for i in codec(family).stop_token_ids if rest.startswith(decode(family, [i])))
    prompt_ids, completion = codec(family).open([user("Where?")], TOOLS), [*encode(family, turn), stop]
    extension = codec(family).extend(prompt_ids, completion, new, TOOLS)
    if extension is None:  # then the conversation is rendered afresh
        assert family in UNPROVEN
    else:
        assert decode(family, [*completion, *extension]) == turn + rest


@pytest.mark.parametrize("family", UNREAD)
def test_calls_that_nobody_reads_are_refused_with_the_choices(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llmgym.codec.vllm.parser_names", list)
    what = "no calls" if family.startswith("lfm2") else "calls in a form that nobody here reads: '.*qztoolqz.*'"
    with pytest.raises(CodecError, match=rf"writes {what}; choose .* hermes, .*response_template.*renderers:.*vllm:"):
        codec_for(families.tokenizer(family))
