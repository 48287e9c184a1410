"""What transformers makes of a `tokenizer.json`, told without transformers.

Most models have the tokenizer that the file describes. But transformers has classes that take only vocabulary and
merges from it and write the rest themselves, and it goes by the type of the model, by the class that a configuration
names, or by neither. A tokenizer that was read here has to give the ids, and the fingerprint, of one that was read
there; so what is not known here is left to transformers. The tests hold all of this against the installed release.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

PLAIN = "TokenizersBackend"  # the class that takes the file as it is

_PLAIN_NAMES = frozenset({PLAIN, "PreTrainedTokenizer"})

# Types of models for which transformers has no class, so that the one that is named is taken.
_AS_NAMED = frozenset({
    "afmoe", "apertus", "arcee", "bamba", "bitnet", "dots1", "exaone4", "exaone_moe", "falcon", "falcon_h1",
    "gemma4", "gemma4_text", "glm_moe_dsa", "gpt_oss", "granitemoe_swa", "helium", "hunyuan_v1_dense",
    "hunyuan_v1_moe", "hy_v3", "laguna", "lfm2", "lfm2_moe", "lfm2_vl", "llama", "llama4", "llama4_text",
    "longcat_flash", "minimax", "muse_glimmer", "nanochat", "nemotron_h", "seed_oss", "smollm3", "solar_open",
})  # fmt: skip

# Types whose files are taken as they are, whatever class is named.
_ALWAYS_PLAIN = frozenset({
    "deepseek_v2", "deepseek_v3", "deepseek_v32", "deepseek_v4", "ernie4_5", "ernie4_5_moe", "flex_olmo", "glm",
    "glm4", "glm4_moe", "glm4_moe_lite", "glm4v", "glm4v_moe", "gpt_bigcode", "granite", "granitemoe",
    "granitemoehybrid", "granitemoeshared", "jamba", "mimo_v2_flash", "minimax_m2", "nemotron", "olmo2", "olmo3",
    "olmo_hybrid", "phi3", "phimoe", "smolvlm", "stablelm",
})  # fmt: skip

# Classes that types have of their own, taken where none is named; of some types, also where another one is named.
_OWN = {
    model_type: name
    for name, types in {
        "Qwen2Tokenizer": (
            "qwen2", "qwen2_moe", "qwen2_vl", "qwen2_5_vl",
            "qwen3", "qwen3_moe", "qwen3_next", "qwen3_vl", "qwen3_vl_moe",
        ),
        "Qwen3_5Tokenizer": ("qwen3_5", "qwen3_5_text", "qwen3_5_moe", "qwen3_5_moe_text"),
        "GemmaTokenizer": ("gemma", "gemma2", "gemma3", "gemma3_text", "gemma3n", "gemma3n_text"),
        "GPT2Tokenizer": ("gpt2", "phi", "starcoder2"),
    }.items()
    for model_type in types
}  # fmt: skip
_NAMED_IN_VAIN = frozenset({"qwen2", "qwen3_5", "qwen3_5_moe", "qwen3_5_moe_text"})


def class_of(model_type: str | None, named: str | None) -> str | None:
    """Which class transformers takes.

    Args:
        model_type: Of the model, None where there is none.
        named: Class that the configuration names, if any.

    Returns:
        Its name, without `Fast`; None where that is not known here.
    """
    own = _OWN.get(model_type or "")
    if model_type in _ALWAYS_PLAIN:
        return PLAIN
    if own is None and model_type and model_type not in _AS_NAMED:
        return None
    if own is not None and (named is None or model_type in _NAMED_IN_VAIN):
        return own
    named = PLAIN if named is None else named.removesuffix("Fast")
    return PLAIN if named in _PLAIN_NAMES else named


@dataclass(frozen=True, slots=True)
class Made:
    """What a class writes itself.

    Attributes:
        normalizer: Its normalizer, if any.
        pre_tokenizer: Its pre-tokenizer.
        decoder: Its decoder.
        model: What it sets of the BPE model; nothing else is set, and an unknown token is the one of `tokens`.
        tokens: Named tokens that it has, or has not, where a configuration says nothing of them.
        marks_special: Whether it makes all special tokens plain ones, without flags for the space around them.
    """

    normalizer: Any
    pre_tokenizer: Any
    decoder: Any
    model: Mapping[str, Any]
    tokens: Mapping[str, str | None]
    marks_special: bool = False


_END: dict[str, str | None] = {"eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>"}
_BYTE_MODEL = {"continuing_subword_prefix": "", "end_of_word_suffix": ""}
_WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?%s+|\p{N}| ?[^\s%s\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def _gpt2(config: Mapping[str, Any]) -> Made:
    from tokenizers import decoders, pre_tokenizers

    words = pre_tokenizers.ByteLevel(add_prefix_space=bool(config.get("add_prefix_space")))
    tokens = {**_END, "bos_token": "<|endoftext|>", "pad_token": None}
    return Made(None, words, decoders.ByteLevel(), _BYTE_MODEL, tokens)


def _qwen(letters: str, others: str, marks_special: bool) -> Callable[[Mapping[str, Any]], Made]:
    def make(config: Mapping[str, Any]) -> Made:
        from tokenizers import Regex, decoders, normalizers, pre_tokenizers

        split = pre_tokenizers.Split(Regex(_WORDS % (letters, others)), behavior="isolated", invert=False)
        prefix = bool(config.get("add_prefix_space"))
        words = pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=prefix, use_regex=False)])
        tokens = {**_END, "bos_token": None, "pad_token": "<|endoftext|>"}
        return Made(normalizers.NFC(), words, decoders.ByteLevel(), _BYTE_MODEL, tokens, marks_special)

    return make


def _gemma(_config: Mapping[str, Any]) -> Made:
    from tokenizers import decoders, normalizers, pre_tokenizers

    names = ("unk", "bos", "eos", "pad", "mask")
    words = pre_tokenizers.Split(pattern=" ", behavior="merged_with_previous", invert=False)
    decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    model = {"fuse_unk": True, "byte_fallback": True, "unk_token": "<unk>"}
    return Made(normalizers.Replace(" ", "▁"), words, decoder, model, {f"{name}_token": f"<{name}>" for name in names})


CLASSES: Mapping[str, Callable[[Mapping[str, Any]], Made]] = {
    "GPT2Tokenizer": _gpt2,
    "Qwen2Tokenizer": _qwen(r"\p{L}", r"\p{L}", marks_special=True),
    "Qwen3_5Tokenizer": _qwen(r"[\p{L}\p{M}]", r"\p{L}\p{M}", marks_special=False),
    "GemmaTokenizer": _gemma,
}
