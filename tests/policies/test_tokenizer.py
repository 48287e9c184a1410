"""Tokenizers read without transformers, held against those that transformers reads of the same files."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmgym.codec import codec_for, describe
from llmgym.errors import MissingExtraError, PolicyError
from llmgym.policies.models import load_tokenizer
from llmgym.policies.tokenizer import LightTokenizer, NeedsTransformers, read_tokenizer
from tests.codec.families import FAMILIES, base, template, tokenizer

transformers: Any = pytest.importorskip("transformers")

CHATML = template("smollm2")
ADDED = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<think>", "á b")
BASE: dict[str, Any] = json.loads(base())
UNKNOWN = ("<|new|>", "<|image|>")  # in no tokenizer.json
NAMES = ("bos_token", "eos_token", "unk_token", "pad_token", "image_token")

FLAGS = st.fixed_dictionaries({name: st.booleans() for name in ("lstrip", "rstrip", "normalized", "special")})


def flags(text: str, **changed: bool) -> dict[str, Any]:
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {"content": text, **plain, **changed}


@st.composite
def token(draw: st.DrawFn) -> Any:
    """A named token as configurations have it."""
    text = draw(st.sampled_from([*ADDED, *UNKNOWN]))
    if draw(st.booleans()):
        return text
    return {"__type": "AddedToken", **{k: v for k, v in flags(text).items() if k != "special"}}


@st.composite
def folders(draw: st.DrawFn) -> dict[str, Any]:
    """The files of a tokenizer, by name; `tokenizer.json` is without what `write` has for all."""
    backend: dict[str, Any] = {}
    free = len(BASE["model"]["vocab"])
    added = [flags(text, **draw(FLAGS)) if draw(st.integers(0, 9)) == 0 else flags(text) for text in ADDED]
    added = added[: draw(st.integers(2, len(added)))]
    start = free + (draw(st.integers(0, 9)) == 0)  # a hole, which only a file can have
    backend["added_tokens"] = [{"id": start + place, **each} for place, each in enumerate(added)]
    backend["padding"] = draw(
        st.sampled_from([None, None, {"strategy": "BatchLongest", "direction": "Right", "pad_to_multiple_of": None,
                                      "pad_id": free, "pad_type_id": 0, "pad_token": "<|endoftext|>"}])
    )  # fmt: skip
    backend["model"] = draw(st.sampled_from([{}, {}, {"continuing_subword_prefix": "", "end_of_word_suffix": ""}]))
    config: dict[str, Any] = draw(st.dictionaries(st.sampled_from(NAMES), st.one_of(st.none(), token()), max_size=5))
    config |= draw(st.sampled_from([{}, {"add_bos_token": True}, {"add_prefix_space": False}, {"add_prefix_space": True}]))
    name = draw(st.sampled_from([None, "PreTrainedTokenizerFast", "GPT2Tokenizer", "Qwen2TokenizerFast",
                                 "Qwen3_5Tokenizer", "GemmaTokenizerFast", "LlamaTokenizerFast"]))  # fmt: skip
    config |= {} if name is None else {"tokenizer_class": name}
    files = {"tokenizer.json": backend, "tokenizer_config.json": config}
    if draw(st.booleans()):
        decoder = {str(start + place): each for place, each in enumerate(added)}
        if draw(st.booleans()):
            decoder[str(start + len(added))] = flags("<|late|>", special=draw(st.booleans()))
        config["added_tokens_decoder"] = decoder
    elif draw(st.booleans()):
        files["special_tokens_map.json"] = {"eos_token": flags("<|im_end|>"), "unk_token": "<|endoftext|>"}
    extra = draw(st.sampled_from([None, ["<|im_start|>", "<|more|>"], {"audio_token": "<|audio|>"}]))
    config |= {} if extra is None else {draw(st.sampled_from(["extra_special_tokens", "additional_special_tokens"])): extra}
    model = draw(st.sampled_from([None, "llama", "qwen2", "qwen3", "qwen3_5", "gemma3_text", "granite", "gpt2", "bert"]))
    if model is not None:
        files["config.json"] = {"model_type": model}
    return files


def write(files: dict[str, Any], folder: Path) -> Path:
    for name, content in files.items():
        if name == "tokenizer.json":
            content = {**BASE, **content, "model": {**BASE["model"], **content["model"]}}
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
    return folder


def theirs(folder: Path) -> Any:
    return transformers.AutoTokenizer.from_pretrained(folder)


def assert_same(light: LightTokenizer, heavy: Any, texts: list[str]) -> None:
    backend = heavy.backend_tokenizer
    assert light.special_tokens_map == heavy.special_tokens_map
    for name in heavy.special_tokens_map:
        assert getattr(light, name) == getattr(heavy, name)
        assert getattr(light, f"{name}_id") == getattr(heavy, f"{name}_id")
    for text in texts:
        try:
            heavy.encode(text)
        except Exception:  # Gemma's unknown token is not there
            with pytest.raises(Exception, match="not found in the vocabulary"):
                light.encode(text)
            continue
        for special in (True, False):
            ids = heavy.encode(text, add_special_tokens=special)
            assert light.encode(text, add_special_tokens=special) == ids
        assert light.decode(ids) == heavy.decode(ids)
        made, wanted = light(text, add_special_tokens=False), heavy(
            text, add_special_tokens=False, return_offsets_mapping=True
        )
        assert (made["input_ids"], made["offset_mapping"]) == (wanted["input_ids"], wanted["offset_mapping"])
    backend.no_padding()
    backend.no_truncation()
    assert light.backend_tokenizer.to_str() == backend.to_str()
    assert (len(light), light.get_vocab()) == (len(heavy), heavy.get_vocab())


TEXTS = st.lists(
    st.one_of(st.text(max_size=12), st.sampled_from([*ADDED, *UNKNOWN, "  x", "12345", "it's", "a\u0301", " \r\n"])), max_size=8
).map("".join)  # fmt: skip


@given(files=folders(), texts=st.lists(TEXTS, min_size=1, max_size=4))
@settings(max_examples=150, deadline=None)
def test_any_folder_is_read_as_transformers_reads_it_or_left_to_it(files: dict[str, Any], texts: list[str]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = write(files, Path(name))
        try:
            light = read_tokenizer(folder)
        except NeedsTransformers:
            return
        assert_same(light, theirs(folder), texts)
