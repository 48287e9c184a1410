"""Who reads calls, as somebody chooses it: in a run's settings, and from the first prompt to the last result."""

from __future__ import annotations

from pathlib import Path

import pytest

from llmgym.codec import codec_for
from llmgym.errors import CodecError, ConfigError, StoreError
from llmgym.messages import Message, assistant, tool_call, user
from llmgym.rollout import Collector
from llmgym.rollout.config import parse_config
from tests.codec import families
from tests.codec.conversations import TOOLS, results, values_of
from tests.exactness import FuzzPolicy

CHOICES = (
    r"auto, renderer and template, or choose .* hermes, mistral, llama, pythonic, harmony, .*renderers:NAME.*vllm:NAME"
)


@pytest.mark.parametrize("kind", ["jinja", "template:", "renderer:qwen3", ""])
def test_a_kind_that_there_is_not_is_refused_with_the_choices(kind: str) -> None:
    with pytest.raises(ConfigError, match=CHOICES):
        codec_for(families.tokenizer("qwen2.5"), kind)
    with pytest.raises(ConfigError, match=f"codec: {kind!r} is no kind of codec.*{CHOICES}"):
        parse_config({"env_ids": ["llmgym/Calculator-v0"], "codec": kind})


@pytest.mark.parametrize("form", ["xml", "renderers:qwen9", "response_template"])
def test_a_form_that_there_is_not_is_refused_with_the_choices(form: str) -> None:
    with pytest.raises(CodecError, match=f"'test' has nobody who reads calls as '{form}'; choose .*pythonic"):
        codec_for(families.tokenizer("qwen2.5"), f"template:{form}")


def test_a_chosen_form_reads_the_calls() -> None:
    codec = codec_for(families.tokenizer("qwen2.5"), "template:llama")
    said = families.tokenizer("qwen2.5").encode('{"name": "look", "parameters": {"n": 1}}')
    assert values_of(codec.parse(said)) == [("look", {"n": 1})]
    assert codec.call_form == "llama"
    assert codec.fingerprint != codec_for(families.tokenizer("qwen2.5"), "template").fingerprint


def test_a_parser_of_renderers_can_be_chosen() -> None:
    pytest.importorskip("renderers")
    codec = codec_for(families.tokenizer("qwen3"), "template:renderers:qwen3")
    assert (type(codec).__name__, codec.call_form) == ("TemplateCodec", "renderers:qwen3")


def test_a_tokenizer_that_says_how_its_replies_are_read() -> None:
    """By its `response_template`, where nobody else reads the calls; what is no call stays text."""
    pytest.importorskip("transformers", "5.13")
    shown = "{% for t in tools or [] %}{{ t | tojson }}\n{% endfor %}{% for m in messages %}<|im_start|>{{ m.role }}\n"
    calls = (
        "{% for c in m.tool_calls or [] %}<<{{ c.function.name }}>>{{ c.function.arguments | tojson }}<</>>{% endfor %}"
    )
    end = "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    tokenizer = families.build(
        families.CHATML, families.HERMES, "<|im_end|>", None, f"{shown}{{{{ m.content }}}}{calls}{end}", "test"
    )
    with pytest.raises(CodecError, match="nobody here reads: '<<qztoolqz>>"):
        codec_for(tokenizer, "template")
    call = {"type": "function", "function": {"name": "{name}", "arguments": "{content}"}}
    tokenizer.response_template = {
        "defaults": {"role": "assistant"},
        "start_anchor": "<|im_start|>assistant\n",
        "fields": {
            "reasoning_content": {"open": "<think>", "close_pattern": r"</think>\s*", "content": "text"},
            "tool_calls": {"open_pattern": "<<(?P<name>[^>]+)>>", "close_pattern": "<</>>", "repeats": True,
                           "content": "json", "transform": call},
            "content": {"close_pattern": r"<\|im_end\|>\s*", "content": "text"},
        },
    }  # fmt: skip
    codec = codec_for(tokenizer)
    assert codec.call_form == "response_template"

    def read(text: str) -> Message:
        return codec.parse(tokenizer.encode(text), codec.open([user("Where?")], TOOLS), TOOLS)

    message = read('<think>\n<<look>>{}<</>></think>\n\nSo <<look>>{"where": "é \\"1\\""}<</>><<look>>{"n": 1}<</>>')
    assert values_of(message) == [("look", {"where": 'é "1"'}), ("look", {"n": 1})]
    assert (message["content"], message["reasoning_content"]) == ("So", "<<look>>{}<</>>")
    assert read("<<look>>{oops}<</>>") == assistant("<<look>>{oops}<</>>")
    prompt, new = codec.open([user("Where?")], TOOLS), [user("And?")]
    assert codec.extend(prompt, tokenizer.encode("<think>so"), new, TOOLS) is None
    assert codec.extend(prompt, tokenizer.encode("yes"), new, TOOLS) is not None


def test_a_template_without_tools_has_them_described_in_one_form() -> None:
    with pytest.raises(CodecError, match="described with calls of Hermes, not 'llama'"):
        codec_for(families.tokenizer("smollm2"), "template:llama")
    assert codec_for(families.tokenizer("smollm2"), "template:hermes").call_form == "hermes"


def test_calls_that_a_template_does_not_write_stand_in_the_chosen_form() -> None:
    tokenizer = families.tokenizer("lfm2")
    codec = codec_for(tokenizer, "template:pythonic")
    said = assistant("", {"id": "call00000", **tool_call("look", where="x")})
    chat: list[Message] = [user("Where?"), said, *results(1, "here")]
    text = tokenizer.decode(codec.open(chat, TOOLS))
    assert text.count('"name": "look"') == 1  # the template shows the tool, and we do not
    turn = "<|tool_call_start|>[look(where='x')]<|tool_call_end|>"
    assert f"{turn}<|im_end|>" in text
    ids = [*tokenizer.encode(turn), codec.stop_token_ids[0]]
    assert values_of(codec.parse(ids)) == [("look", {"where": "x"})]
    prompt = codec.open(chat[:1], TOOLS)
    extension = codec.extend(prompt, ids, chat[2:], TOOLS)
    assert extension is not None
    assert prompt + ids + extension == codec.open(chat, TOOLS)


async def test_a_run_goes_on_with_its_template_and_its_form_alone(tmp_path: Path) -> None:
    async def collect(template: str, codec: str) -> None:
        tokenizer = families.build(families.CHATML, families.HERMES, "<|im_end|>", None, template, "test")
        policy = FuzzPolicy(tokenizer, [tokenizer.eos_token_id], seed=1)
        await Collector(["test/Talk-v0"], policy, output=tmp_path / "run", num_tasks=2, codec=codec).collect()

    await collect(families.SMOLLM2, "auto")
    (tmp_path / "run/rollouts.jsonl").write_bytes(b"")  # so that something is owed
    edited = families.SMOLLM2.replace("SmolLM", "Sam")
    with pytest.raises(StoreError, match="codec"):
        await collect(edited, "auto")
    await collect(families.SMOLLM2, "template:hermes")  # the same by another name
