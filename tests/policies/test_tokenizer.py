"""Tokenizers read without transformers, held against those that transformers reads of the same files."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
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
    config |= draw(
        st.sampled_from([{}, {"add_bos_token": True}, {"add_prefix_space": False}, {"add_prefix_space": True}])
    )
    name = draw(st.sampled_from([None, "PreTrainedTokenizerFast", "GPT2Tokenizer", "Qwen2TokenizerFast",
                                 "Qwen3_5Tokenizer", "GemmaTokenizerFast", "LlamaTokenizerFast"]))  # fmt: skip
    config |= {} if name is None else {"tokenizer_class": name}
    files = {"tokenizer.json": backend, "tokenizer_config.json": config}
    if draw(st.booleans()):
        decoder = {str(start + place): each for place, each in enumerate(added)}
        if draw(st.booleans()):
            decoder[str(start + len(added))] = flags("<|late|>", special=draw(st.booleans()))
        if draw(st.integers(0, 4)) == 0:
            del decoder[str(start)]  # then only the file has it
        config["added_tokens_decoder"] = decoder
    elif draw(st.booleans()):
        files["special_tokens_map.json"] = {"eos_token": flags("<|im_end|>"), "unk_token": "<|endoftext|>"}
    extra = draw(st.sampled_from([None, ["<|im_start|>", "<|more|>"], {"audio_token": "<|audio|>"}]))
    config |= (
        {} if extra is None else {draw(st.sampled_from(["extra_special_tokens", "additional_special_tokens"])): extra}
    )
    model = draw(
        st.sampled_from([None, "llama", "qwen2", "qwen3", "qwen3_5", "gemma3_text", "granite", "gpt2", "bert"])
    )
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
        except Exception:  # noqa: BLE001  Gemma's unknown token is not there
            with pytest.raises(Exception, match="not found in the vocabulary"):
                light.encode(text)
            continue
        for special in (True, False):
            ids = heavy.encode(text, add_special_tokens=special)
            assert light.encode(text, add_special_tokens=special) == ids
        assert light.decode(ids) == heavy.decode(ids)
        made, wanted = (
            light(text, add_special_tokens=False),
            heavy(text, add_special_tokens=False, return_offsets_mapping=True),
        )
        assert (made["input_ids"], made["offset_mapping"]) == (wanted["input_ids"], wanted["offset_mapping"])
    backend.no_padding()
    backend.no_truncation()
    assert light.backend_tokenizer.to_str() == backend.to_str()
    assert (len(light), light.get_vocab()) == (len(heavy), heavy.get_vocab())


PIECES = st.sampled_from([*ADDED, *UNKNOWN, "  x", "12345", "it's", "a\u0301", " \r\n"])
TEXTS = st.lists(st.one_of(st.text(max_size=12), PIECES), max_size=8).map("".join)


@given(files=folders(), texts=st.lists(TEXTS, min_size=1, max_size=4))
def test_any_folder_is_read_as_transformers_reads_it_or_left_to_it(files: dict[str, Any], texts: list[str]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = write(files, Path(name))
        try:
            light = read_tokenizer(folder)
        except NeedsTransformers:
            return
        assert_same(light, theirs(folder), texts)


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"tokenizer_config.json": {}}, "no tokenizer.json"),
        ({"tokenizer_config.json": {"auto_map": {"AutoTokenizer": ["a.B", None]}}}, "code of its own"),
        ({"tokenizer_config.json": {"response_template": {"a": 1}}}, "its configuration has response_template"),
        ({"tokenizer_config.json": {"fix_mistral_regex": True}}, "fix_mistral_regex"),
        ({"tokenizer_config.json": {"backend": "sentencepiece"}}, "its backend is sentencepiece"),
        ({"tokenizer_config.json": {"tokenizer_class": "LlamaTokenizer"}}, "it is a LlamaTokenizer"),
        ({"config.json": {"model_type": "newest"}}, "does not know the tokenizers of 'newest' models"),
        ({"added_tokens.json": {"<|x|>": 1500}}, "an added_tokens.json"),
        ({"tokenizer_config.json": {"extra_special_tokens": "<|x|>"}}, "has the special tokens '<|x|>'"),
        ({"tokenizer_config.json": {"eos_token": {"content": "x"}}}, "has the token {'content': 'x'}"),
    ],
)  # fmt: skip
def test_what_is_left_to_transformers(files: dict[str, Any], said: str, tmp_path: Path) -> None:
    backend = {} if said == "no tokenizer.json" else {"tokenizer.json": {"model": {}}}
    with pytest.raises(NeedsTransformers, match=said):
        read_tokenizer(write({**backend, **files}, tmp_path))


@pytest.mark.parametrize(
    "files",
    [
        {"tokenizer_config.json": {"chat_template": CHATML}},
        {"tokenizer_config.json": {"chat_template": "old"}, "chat_template.jinja": CHATML},
        {"tokenizer_config.json": {"chat_template": [{"name": "default", "template": CHATML},
                                                     {"name": "tool_use", "template": "x"}]}},
        {"chat_template.jinja": CHATML, "additional_chat_templates/tool_use.jinja": "x"},
        {"tokenizer_config.json": {"chat_template": [{"name": "rag", "template": "x"}]}},
        {},
    ],
)  # fmt: skip
def test_chat_templates_are_found_where_transformers_finds_them(files: dict[str, Any], tmp_path: Path) -> None:
    folder = write({"tokenizer.json": {"model": {}}, **files}, tmp_path)
    light, heavy = read_tokenizer(folder), theirs(folder)
    assert light.chat_template == heavy.chat_template
    for name in (None, "tool_use", "{{ messages }}"):
        try:
            wanted = heavy.get_chat_template(name)
        except ValueError:
            with pytest.raises(ValueError, match="there is none called default"):
                light.get_chat_template(name)
        else:
            assert light.get_chat_template(name) == wanted


@pytest.mark.parametrize("family", FAMILIES)
def test_a_codec_is_the_same_whoever_read_the_tokenizer(family: str, tmp_path: Path) -> None:
    tokenizer(family).save_pretrained(tmp_path)
    light, heavy = read_tokenizer(tmp_path), theirs(tmp_path)
    ours, others = codec_for(light), codec_for(heavy)
    assert type(ours) is type(others)
    assert ours.fingerprint == others.fingerprint == codec_for(tokenizer(family)).fingerprint
    assert describe(ours, light) == describe(others, heavy)


def test_a_hub_id_is_read_at_one_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub: Any = pytest.importorskip("huggingface_hub")
    write({"tokenizer.json": {"model": {}}}, tmp_path)
    asked: list[Any] = []
    monkeypatch.setattr(hub, "snapshot_download", lambda name, **kw: asked.append((name, kw)) or str(tmp_path))
    assert read_tokenizer("org/name").name_or_path == "org/name"
    [(name, options)] = asked
    assert name == "org/name"
    assert "tokenizer.json" in options["allow_patterns"]


def test_only_where_nothing_else_will_do_transformers_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write({"tokenizer.json": {"model": {}}}, tmp_path)
    assert isinstance(load_tokenizer(folder, "test"), LightTokenizer)
    write({"tokenizer_config.json": {"tokenizer_class": "LlamaTokenizer"}}, folder)
    assert type(load_tokenizer(folder, "test")) is type(theirs(folder))  # by 5.24 not as named
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingExtraError, match=r"it is a LlamaTokenizer\) .*'llmgym\[transformers\]'"):
        load_tokenizer(folder, "test")


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"tokenizer.json": {"model": {"type": "none"}}}, ""),
        ({"tokenizer_config.json": "{"}, "tokenizer_config.json: Expecting property name"),
        ({"tokenizer_config.json": "[1]"}, r"tokenizer_config.json: it holds \[1\], which is no object"),
        ({"config.json": "null"}, "config.json: it holds None, which is no object"),
        ({"tokenizer_config.json": {"chat_template": [{"nam": "default"}]}}, "chat_template is neither text nor"),
        ({"tokenizer_config.json": {"chat_template": 7}}, "chat_template is neither text nor texts by name: 7"),
    ],
)
def test_a_broken_folder_is_told(files: dict[str, Any], said: str, tmp_path: Path) -> None:
    write({"tokenizer.json": {"model": {}}, **files}, tmp_path)
    with pytest.raises(PolicyError, match=f"cannot load a tokenizer from .*{said}"):
        load_tokenizer(tmp_path, "test")
