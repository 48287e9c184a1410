"""What llmgym says of transformers' tokenizers, held against the installed release."""

from __future__ import annotations

from typing import Any

import pytest

from llmgym.policies import tokenizer_classes as classes

auto: Any = pytest.importorskip("transformers.models.auto.tokenization_auto")

NAMED = [
    None,
    "PreTrainedTokenizerFast",
    "TokenizersBackend",
    "GPT2Tokenizer",
    "Qwen2TokenizerFast",
    "LlamaTokenizerFast",
]
KNOWN = sorted({*classes._AS_NAMED, *classes._ALWAYS_PLAIN, *classes._OWN})


@pytest.mark.parametrize("model_type", KNOWN)
def test_a_type_has_the_class_that_transformers_gives_it(model_type: str) -> None:
    registered = auto.TOKENIZER_MAPPING_NAMES.get(model_type)
    if model_type in classes._AS_NAMED:
        assert registered is None
    elif model_type in classes._ALWAYS_PLAIN:
        # From 5.24 on it sees that the files of DeepSeek's are byte-level, and has no class for them.
        by_file = hasattr(auto.TokenizersBackend, "_tokenizer_json_has_byte_level") and "deepseek" in model_type
        assert registered == (None if by_file else classes.PLAIN)
    else:
        assert registered == classes._OWN[model_type]
        in_vain = model_type in auto.MODELS_WITH_INCORRECT_HUB_TOKENIZER_CLASS
        assert in_vain == (model_type in classes._NAMED_IN_VAIN)


def test_a_type_stands_once() -> None:
    assert len(KNOWN) == len(classes._AS_NAMED) + len(classes._ALWAYS_PLAIN) + len(classes._OWN)


@pytest.mark.parametrize(
    ("model_type", "named", "found"),
    [
        ("llama", "PreTrainedTokenizerFast", classes.PLAIN),
        ("llama", "LlamaTokenizerFast", "LlamaTokenizer"),
        ("llama", None, classes.PLAIN),
        ("deepseek_v3", "LlamaTokenizerFast", classes.PLAIN),
        ("qwen2", "LlamaTokenizerFast", "Qwen2Tokenizer"),
        ("qwen3", "PreTrainedTokenizerFast", classes.PLAIN),
        ("qwen3", None, "Qwen2Tokenizer"),
        (None, None, classes.PLAIN),
        (None, "GPT2Tokenizer", "GPT2Tokenizer"),
        ("newest", "GPT2Tokenizer", None),
    ],
)
def test_the_class_of(model_type: str | None, named: str | None, found: str | None) -> None:
    assert classes.class_of(model_type, named) == found
