"""vLLM's tool parsers as the last resort: what they read, what they lose, and that they never raise."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmgym.codec import ChatCodec, codec_for
from llmgym.codec.chat_template import ChatTemplate
from llmgym.codec.vllm import parser_names, vllm_readers
from llmgym.errors import ConfigError
from llmgym.messages import user
from tests.codec import families
from tests.codec.conversations import TOOLS, fuzzed, results, values_of

pytest.importorskip("vllm")
pytestmark = [pytest.mark.integration, pytest.mark.vllm, pytest.mark.timeout(300)]

CALL = (
    '<atem:function_calls>\n<atem:invoke name="look">\n<atem:parameter name="where">x</atem:parameter>\n'
    "</atem:invoke>\n</atem:function_calls>"
)
THOUGHT = " to=self<|message|>Where?<|eom|><|start|>assistant"


@pytest.fixture(scope="module")
def codec() -> ChatCodec:
    return codec_for(families.tokenizer("muse-glimmer"))


def ids(text: str) -> list[int]:
    return families.tokenizer("muse-glimmer").encode(text, add_special_tokens=False)


def test_it_is_found(codec: ChatCodec) -> None:
    assert (codec.call_form, codec.native_tools) == ("vllm:muse_glimmer", True)


@pytest.mark.parametrize("thought", ["", THOUGHT])
def test_turns_are_read(codec: ChatCodec, thought: str) -> None:
    said = codec.parse(ids(f"{thought} to=look<|message|>{CALL}"), (), TOOLS)
    assert values_of(said) == [("look", {"where": "x"})]
    plain = codec.parse(ids(f"{thought} to=user<|message|>It is here."), (), TOOLS)
    assert (plain["content"], "tool_calls" in plain) == ("It is here.", False)
    for message in (said, plain):
        assert message.get("reasoning_content") == ("Where?" if thought else None)


def test_a_call_inside_thoughts_is_none(codec: ChatCodec) -> None:
    said = codec.parse(ids(f" to=self<|message|>I write {CALL}"), (), TOOLS)
    assert "tool_calls" not in said


def test_results_follow_in_the_same_segment(codec: ChatCodec) -> None:
    prompt = codec.open([user("Where?")], TOOLS)
    said = [*ids(f"{THOUGHT} to=look<|message|>{CALL}"), codec.stop_token_ids[0]]
    assert codec.extend(prompt, said, results(1, "here"), TOOLS) is not None
    assert codec.extend(prompt, ids(" to=self<|message|>Whe"), results(1, "here"), TOOLS) is None


@given(data=st.data())
@settings(max_examples=50, suppress_health_check=[*HealthCheck])
def test_nothing_that_is_sampled_raises(codec: ChatCodec, data: st.DataObject) -> None:
    said = data.draw(fuzzed(families.tokenizer("muse-glimmer"), codec.stop_token_ids))
    assert codec.parse(said, (), TOOLS)["role"] == "assistant"


def test_a_parser_that_takes_prose_for_a_call_is_none_of_auto() -> None:
    template = ChatTemplate(families.tokenizer("llama3.1"))
    names = [reader.name for reader in vllm_readers(template)]
    assert "vllm:hermes" in names
    assert "vllm:llama3_json" not in names
    assert "llama3_json" in parser_names()


def test_one_broken_call_leaves_a_message_without_any() -> None:
    codec = codec_for(families.tokenizer("qwen2.5"), "template:vllm:hermes")
    good = '<tool_call>\n{"name": "look", "arguments": {"where": "x"}}\n</tool_call>'
    tokenizer = families.tokenizer("qwen2.5")
    assert values_of(codec.parse(tokenizer.encode(good), (), TOOLS)) == [("look", {"where": "x"})]
    both = codec.parse(tokenizer.encode(f"{good}\n<tool_call>\n{{oops}}\n</tool_call>"), (), TOOLS)
    assert "tool_calls" not in both
    assert "oops" in both["content"]


def test_a_parser_that_there_is_not_is_refused_with_those_that_are() -> None:
    with pytest.raises(ConfigError, match=r"tool parser 'oops' is not there.*hermes"):
        codec_for(families.tokenizer("qwen2.5"), "template:vllm:oops")
