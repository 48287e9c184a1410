"""Tokens that end replies beside those that templates write, and how episodes go on behind each of them."""

from __future__ import annotations

import json
import logging
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from llmgym.codec import ChatCodec, RendererCodec, TemplateCodec, codec_for
from llmgym.codec.ends import known_ends
from llmgym.errors import CodecError
from llmgym.messages import Message, assistant, tool_call, user
from tests.codec import families
from tests.codec.test_matrix import TOOLS, UNPROVEN, WITH_TOOLS, written

pytest.importorskip("renderers")

# What the checkpoints of these families list beside what their templates write.
LISTED = {
    "<|im_start|>": "<|endoftext|>", "<|eom_id|>": "<|end_of_text|>", "<s>": "</s>", "<bos>": "<eos>",
    "<sop>": "<|endoftext|>",
}  # fmt: skip
# The template's end of a turn says whose message is next.
TELLING = ("glm4moe", "glm4moe-training", "gemma4", "gemma4-v3", "gemma4-v4", "gemma4-v5")


def tokenizer(family: str, folder: Path, ends: Any) -> Any:
    """The tokenizer of a family in a folder with a generation config."""
    known = families.MATRIX[family]
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": ends, "temperature": 0.6}))
    template = families.template(family)
    return families.build(known.special, known.added, known.eos, known.bos, template, str(folder))


def ids(family: str, *texts: str) -> list[int]:
    return [families.tokenizer(family).convert_tokens_to_ids(text) for text in texts]


@cache
def _listed(family: str) -> list[int]:
    special = families.MATRIX[family].special
    return ids(family, *(end for mark, end in LISTED.items() if mark in special and end in special))


@pytest.mark.parametrize("family", WITH_TOOLS)
@pytest.mark.parametrize("kind", ["auto", "template"])
def test_an_episode_goes_on_behind_every_stop_token(family: str, kind: str, tmp_path: Path) -> None:
    codec = codec_for(tokenizer(family, tmp_path, _listed(family)), kind)
    assert set(_listed(family)) <= set(codec.stop_token_ids)
    call = {"id": "call00000", **tool_call("look", where="here")}
    _, turn, rest = written(family, assistant("", call))
    new: list[Message] = [{"role": "tool", "content": "qzresultqz", "name": "look", "tool_call_id": "call00000"}]
    prompt, said = (
        codec.open([user("Where?")], TOOLS),
        families.tokenizer(family).encode(turn, add_special_tokens=False),
    )
    (usual,) = (stop for stop in codec.stop_token_ids if rest.startswith(_text(family, [stop])))
    expected = codec.extend(prompt, [*said, usual], new, TOOLS)
    for stop in codec.stop_token_ids:
        message = codec.parse([*said, stop], prompt, TOOLS)
        assert message == codec.parse([*said, usual], prompt, TOOLS)
        assert "tool_calls" in message
        extension = codec.extend(prompt, [*said, stop], new, TOOLS)
        if expected is None:
            assert family in UNPROVEN or kind == "template"
            assert extension is None
        elif family not in TELLING or stop == usual:
            assert extension == expected, "the sampled token stands in the place of the template's"
        elif stop in codec._openers:  # type: ignore[attr-defined]
            assert extension is None
        else:
            assert extension == [usual, *expected]


def _text(family: str, tokens: list[int]) -> str:
    return families.tokenizer(family).decode(tokens, skip_special_tokens=False)


def test_the_same_stops_in_every_codec(tmp_path: Path) -> None:
    """`<|endoftext|>` also pads in Qwen's models; one that is sampled has ended a reply all the same."""
    made = tokenizer("qwen3", tmp_path, ids("qwen3", "<|im_end|>", "<|endoftext|>"))
    codecs: list[ChatCodec] = [codec_for(made), codec_for(made, "template")]
    assert [type(codec) for codec in codecs] == [RendererCodec, TemplateCodec]
    for codec in codecs:
        assert codec.stop_token_ids == tuple(ids("qwen3", "<|im_end|>", "<|endoftext|>"))


def test_stops_are_a_part_of_the_fingerprint(tmp_path: Path) -> None:
    for family, kind in (("qwen2.5", "template"), ("llama3.1", "renderer")):
        known = families.MATRIX[family]
        listed = ids(family, known.eos), ids(family, known.special[0])
        assert len({codec_for(tokenizer(family, tmp_path, ends), kind).fingerprint for ends in listed}) == 2


@pytest.mark.parametrize(
    ("family", "ends", "found"),
    [
        ("qwen3", None, ["<|im_end|>"]),
        ("qwen3", [], ["<|im_end|>"]),
        ("qwen3", "<|endoftext|>", ["<|im_end|>", "<|endoftext|>"]),
        ("glm4moe", ["<|user|>", "<|observation|>"], ["<|endoftext|>", "<|user|>", "<|observation|>"]),
        ("llama3.1", ["<|end_of_text|>"], ["<|eot_id|>", "<|end_of_text|>", "<|eom_id|>"]),
        ("gpt-oss", [], ["<|return|>", "<|call|>"]),
    ],
)
def test_what_ends_replies(family: str, ends: Any, found: list[str], tmp_path: Path) -> None:
    if ends:
        ends = ids(family, ends)[0] if isinstance(ends, str) else ids(family, *ends)
    assert list(known_ends(tokenizer(family, tmp_path, ends))) == found


def test_without_a_generation_config(tmp_path: Path) -> None:
    for name in (str(tmp_path), "Qwen/Never-Downloaded-1B", "", "a/b/c", "test"):
        assert list(known_ends(families.tokenizer("qwen3", name))) == ["<|im_end|>"]


@pytest.mark.parametrize("ends", [999_999, -1, 65, [65, 999_999]])
def test_ids_that_are_no_control_tokens_are_left_out(ends: Any, tmp_path: Path, caplog: Any) -> None:
    """Configs hold defaults of other vocabularies: Llama's 2 is a quotation mark elsewhere."""
    with caplog.at_level(logging.WARNING, "llmgym.codec"):
        assert list(known_ends(tokenizer("qwen3", tmp_path, ends))) == ["<|im_end|>"]
    assert str(ends if isinstance(ends, list) else [ends]) in caplog.text
    assert str(tmp_path) in caplog.text


@pytest.mark.parametrize("text", ['{"eos_token_id": "<|im_end|>"}', '{"eos_token_id": [true]}', "[]", '{"eos_', "\x00"])
def test_a_broken_generation_config_is_refused(text: str, tmp_path: Path) -> None:
    made = tokenizer("qwen3", tmp_path, 1)
    (tmp_path / "generation_config.json").write_text(text)
    with pytest.raises(
        CodecError, match=r"generation_config\.json.*eos_token_id is the id of a token or a list of ids"
    ):
        codec_for(made)


def test_from_the_cache_of_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = pytest.importorskip("huggingface_hub")
    monkeypatch.setattr(hub.constants, "HF_HUB_CACHE", str(tmp_path))
    repository = tmp_path / "models--Org--Model"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("0" * 40)
    snapshot = repository / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    tokenizer("qwen3", snapshot, ids("qwen3", "<|endoftext|>"))
    assert list(known_ends(families.tokenizer("qwen3", "Org/Model"))) == ["<|im_end|>", "<|endoftext|>"]
