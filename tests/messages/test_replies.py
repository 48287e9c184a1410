"""Replies as text: read as a codec reads their tokens."""

from __future__ import annotations

from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgym.codec import ChatCodec, TemplateCodec
from llmgym.messages import assistant, opens_reasoning, read_reply, tool_call, user
from tests.codec import families
from tests.replies import CALL, REPLIES

pytest.importorskip("transformers")

# Of Qwen3's tokenizer; DeepSeek's template opens reasoning, and its end token is not spelled <|...|>.
FAMILIES = {"qwen3-instruct": ("<|im_end|>", "<|endoftext|>"), "deepseek-r1": ("<｜end▁of▁sentence｜>",)}


@cache
def codec_of(family: str) -> ChatCodec:
    return TemplateCodec(families.tokenizer(family))


@pytest.mark.parametrize("family", FAMILIES)
@given(REPLIES, st.lists(st.sampled_from(["\n", " ", "END"]), max_size=4))
def test_text_is_read_as_its_tokens_are(family: str, said: str, ends: list[str]) -> None:
    codec, tokenizer = codec_of(family), families.tokenizer(family)
    prompt = codec.open([user("Where?")], ())
    text = said + "".join([FAMILIES[family][0], *ends] if "END" in ends else []).replace("END", FAMILIES[family][-1])
    opened = opens_reasoning(tokenizer.decode(prompt, skip_special_tokens=False))
    assert opened == (family == "deepseek-r1")
    assert read_reply(text, opened) == codec.parse(tokenizer.encode(text, add_special_tokens=False), prompt, ())


@pytest.mark.parametrize(
    "end",
    [
        "", "\n", "<|im_end|>", "<|im_end|>\n<|endoftext|>", "<|eot_id|>", "<|eom_id|>", "<|END_OF_TURN_TOKEN|>",
        "<|return|>", "<｜end▁of▁sentence｜>", "<｜hy_eos:opensource｜>", "[|endofturn|]", "<turn|>", "<|turn>",
        "<end_of_turn>", "<end_of_utterance>", "<seed:eos>", "</s>", "<eos>", "<EOT>", "<im_end>", "<extra_id_1>",
        "<SPECIAL_12>", "[e~[", "[PAD]", "</assistant>", "<eos>" + "<pad>" * 10_000, "</s> <pad> <pad>\n",
    ],
)  # fmt: skip
def test_tokens_that_end_a_reply_are_no_part_of_it(end: str) -> None:
    message = read_reply(f"<think>A</think>\nAnswer: B{end}")
    assert message["content"].strip() == "Answer: B"
    assert read_reply(f"{CALL}{end}") == assistant("", tool_call("look", where="x"))
    assert read_reply(f"<think>Answer: A{end}", True)["content"] == ""


@pytest.mark.parametrize(
    "text",
    ["", "<b>x</b>", "x</answer>", "a < b > c", "a |> b", "[A]", "[1|2]", "<div>", "</strings>", "<send>", "[", ">"],
)
def test_what_a_model_writes_itself_stays(text: str) -> None:
    assert read_reply(text) == assistant(text)
