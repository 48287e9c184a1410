"""A tokenizer and a random model that are made in a second, without a network, for the tests of trainers' adapters.

The chat template is Qwen2.5's as TRL carries it: it has tools, keeps its prefixes, and is one that TRL knows.
"""

from __future__ import annotations

import string
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from tests.codec.families import template

CONTROL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
MARKUP = ["<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>"]


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer of some 700 tokens, the same each time."""
    bpe: Any = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=700, special_tokens=CONTROL, initial_alphabet=alphabet, show_progress=False
    )
    bpe.train_from_iterator(_corpus(), trainer)
    bpe.add_tokens([AddedToken(text, special=False, normalized=False) for text in MARKUP])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe, eos_token="<|im_end|>", pad_token="<|endoftext|>", padding_side="left"
    )
    tokenizer.chat_template = template("qwen2.5")
    return tokenizer


def tiny_model(
    tokenizer: Any, *, hidden: int = 64, layers: int = 2, context_length: int = 4096, seed: int = 0
) -> LlamaForCausalLM:
    """A Llama of some hundred thousand random float32 weights, in evaluation mode, the same for the same seed."""
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=context_length,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        tie_word_embeddings=True,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LlamaForCausalLM(config).eval()


def save(folder: Path) -> Path:
    """Write both to a folder, as a trainer loads them by name."""
    tokenizer = tiny_tokenizer()
    tokenizer.save_pretrained(folder)
    tiny_model(tokenizer).save_pretrained(folder)
    return folder


def _corpus() -> Iterator[str]:
    """Markup of the template, JSON of tools, and common words; every character comes through the alphabet."""
    yield from [template("qwen2.5").replace("\\n", "\n")] * 4
    words = "system user assistant tool name description parameters properties type string required the you said is"
    for letter in string.ascii_letters:
        yield f'{{"name": "echo", "arguments": {{"text": "{letter}"}}}}'
        yield f"{letter} {words}"
