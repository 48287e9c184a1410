"""Tokenizers of model families without a download: a small BPE, each family's control tokens and chat template.

The templates are those that the `trl` package carries; SmolLM2's and Mistral's are written out here.
"""

from __future__ import annotations

import base64
import json
import re
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

SMOLLM2 = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\n"
    "You are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n' }}{% endif %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)

# The shape of Mistral's chat templates with tools: tools before the last user message, strict ids, roles in turn.
MISTRAL = """{{- bos_token }}
{%- set chat = messages[1:] if messages[0]["role"] == "system" else messages %}
{%- set users = chat | selectattr("role", "equalto", "user") | list %}
{%- set ns = namespace(index=0) %}
{%- for message in chat if message["role"] == "user" or message["role"] == "assistant" and not message["tool_calls"] %}
{%- if (message["role"] == "user") != (loop.index0 % 2 == 0) %}{{- raise_exception("must alternate") }}{%- endif %}
{%- endfor %}
{%- if chat | length != messages | length %}
{{- "[SYSTEM_PROMPT] " + messages[0]["content"] + "[/SYSTEM_PROMPT]" }}{%- endif %}
{%- for message in chat %}
{%- if message["role"] == "user" %}
{%- if tools and message == users[-1] %}
{{- "[AVAILABLE_TOOLS] " + (tools | tojson) + "[/AVAILABLE_TOOLS]" }}{%- endif %}
{{- "[INST] " + message["content"] + "[/INST]" }}
{%- elif message["tool_calls"] %}
{{- "[TOOL_CALLS] [" }}
{%- for call in message["tool_calls"] %}
{%- if call["id"] is undefined or call["id"] | length != 9 %}{{- raise_exception("ids have length 9") }}{%- endif %}
{{- (call["function"] | tojson)[:-1] + ', "id": "' + call["id"] + '"}' + ("" if loop.last else ", ") }}
{%- endfor %}
{{- "]" + eos_token }}
{%- elif message["role"] == "assistant" %}{{- " " + message["content"] | trim + eos_token }}
{%- elif message["role"] == "tool" %}
{%- if message["tool_call_id"] is undefined or message["tool_call_id"] | length != 9 %}
{{- raise_exception("ids have length 9") }}{%- endif %}
{{- '[TOOL_RESULTS] {"content": ' + (message["content"] | tojson) }}
{{- ', "call_id": "' + message["tool_call_id"] + '"}[/TOOL_RESULTS]' }}
{%- else %}{{- raise_exception("unknown role") }}{%- endif %}
{%- endfor %}"""


@dataclass(frozen=True)
class Family:
    """Template (a file of trl, or text), control tokens, other added tokens, end-of-text and begin-of-text token."""

    template: str
    special: tuple[str, ...]
    added: tuple[str, ...] = ()
    eos: str = "<|im_end|>"
    bos: str | None = None


CHATML = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
VISION = (*CHATML, "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>")
HERMES = ("<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>", "<think>", "</think>")
LLAMA = (
    "<|begin_of_text|>",
    "<|end_of_text|>",
    "<|eom_id|>",
    "<|eot_id|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|python_tag|>",
)
GEMMA = ("<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>")
GEMMA4 = (
    "<bos>", "<eos>", "<|turn>", "<turn|>", "<|channel>", "<channel|>", "<|think|>", "<|tool>", "<tool|>",
    "<|tool_call>", "<tool_call|>", "<|tool_response>", "<tool_response|>", "<|image|>", "<|audio|>", "<|video|>",
    "<|image>", "<image|>", '<|"|>',
)  # fmt: skip
PHI3 = ("<|endoftext|>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>")
GLM = ("<|endoftext|>", "[gMASK]", "<sop>", "<|system|>", "<|user|>", "<|assistant|>", "<|observation|>")
GLM_ADDED = (*HERMES, "<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>")
DEEPSEEK = ("<｜User｜>", "<｜Assistant｜>", "<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>")
COHERE = (
    "<BOS_TOKEN>", "<EOS_TOKEN>", "<|START_OF_TURN_TOKEN|>", "<|END_OF_TURN_TOKEN|>", "<|USER_TOKEN|>",
    "<|CHATBOT_TOKEN|>", "<|SYSTEM_TOKEN|>", "<|START_RESPONSE|>", "<|END_RESPONSE|>",
)  # fmt: skip
HARMONY = ("<|start|>", "<|end|>", "<|message|>", "<|channel|>", "<|constrain|>", "<|return|>", "<|call|>")
LFM2 = (
    "<|startoftext|>", "<|im_start|>", "<|im_end|>", "<|tool_list_start|>", "<|tool_list_end|>",
    "<|tool_call_start|>", "<|tool_call_end|>", "<|tool_response_start|>", "<|tool_response_end|>",
)  # fmt: skip
MUSE = ("<|begin_of_text|>", "<|start|>", "<|message|>", "<|eom|>", "<|eot|>", "<|patch|>", "<|video|>")
TOKENS_MISTRAL = (
    "<s>", "</s>", "[INST]", "[/INST]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "[AVAILABLE_TOOLS]",
    "[/AVAILABLE_TOOLS]", "[TOOL_CALLS]", "[TOOL_RESULTS]", "[/TOOL_RESULTS]",
)  # fmt: skip

FAMILIES: dict[str, Family] = {
    "smollm2": Family(SMOLLM2, CHATML),
    "qwen2.5": Family("qwen2_5", CHATML, HERMES[:2]),
    "qwen3": Family("qwen3", CHATML, HERMES),
    "qwen3-training": Family("qwen3_training", CHATML, HERMES),
    "qwen3-instruct": Family("qwen3_instruct_2507", CHATML, HERMES),
    "qwen3.5-think": Family("qwen3_5_think", VISION, HERMES),
    "llama3.1": Family("llama3_1", LLAMA, eos="<|eot_id|>", bos="<|begin_of_text|>"),
    "mistral": Family(MISTRAL, TOKENS_MISTRAL, eos="</s>", bos="<s>"),
    "gemma": Family("gemma", GEMMA, eos="<end_of_turn>", bos="<bos>"),
    "phi3": Family("phi3", PHI3, eos="<|end|>"),
    "glm4moe": Family("glm4moe", GLM, GLM_ADDED, "<|endoftext|>"),
    "deepseek-r1": Family("deepseek_r1_distill", DEEPSEEK, HERMES[4:], DEEPSEEK[3], DEEPSEEK[2]),
}

# All templates of trl that render tools, and those of more families that do not.
MATRIX: dict[str, Family] = {
    **FAMILIES,
    "llama3": Family("llama3", LLAMA, eos="<|eot_id|>", bos="<|begin_of_text|>"),
    "phi3.5": Family("phi3_5", PHI3, eos="<|end|>"),
    "gemma3": Family("gemma3", GEMMA, eos="<end_of_turn>", bos="<bos>"),
    "cohere": Family("cohere", COHERE, eos=COHERE[3], bos=COHERE[0]),
    "cohere2": Family("cohere2", COHERE, eos=COHERE[3], bos=COHERE[0]),
    "deepseek-v3": Family("deepseekv3", DEEPSEEK, (), DEEPSEEK[3], DEEPSEEK[2]),
    "qwen3.5-nothink-training": Family("qwen3_5_nothink_training", VISION, HERMES),
    "qwen2.5-training": Family("qwen2_5_training", CHATML, HERMES[:2]),
    "qwen3-instruct-training": Family("qwen3_instruct_2507_training", CHATML, HERMES),
    "qwen3-vl": Family("qwen3_vl", VISION, HERMES),
    "qwen3-vl-training": Family("qwen3_vl_training", VISION, HERMES),
    "qwen3.5-nothink": Family("qwen3_5_nothink", VISION, HERMES),
    "qwen3.5-think-training": Family("qwen3_5_think_training", VISION, HERMES),
    "qwen3.6": Family("qwen3_6", VISION, HERMES),
    "qwen3.6-training": Family("qwen3_6_training", VISION, HERMES),
    "qwen3.8": Family("qwen3_8", VISION, HERMES),
    "qwen3.8-training": Family("qwen3_8_training", VISION, HERMES),
    "llama3.2": Family("llama3_2", LLAMA, eos="<|eot_id|>", bos="<|begin_of_text|>"),
    "glm4moe-training": Family("glm4moe_training", GLM, GLM_ADDED, "<|endoftext|>"),
    **{name: Family(name.replace("-", "_"), GEMMA4, eos="<turn|>", bos="<bos>")
       for name in ("gemma4", "gemma4-v2", "gemma4-v3", "gemma4-v4", "gemma4-v5", "diffusion-gemma",
                    "diffusion-gemma-training")},
    **{name: Family(name.replace("-", "_"), CHATML, HERMES)
       for size in ("nano", "super", "ultra", "5-lightning")
       for name in (f"nemotron-3-{size}", f"nemotron-3-{size}-training")},
    "lfm2": Family("lfm2", LFM2, bos=LFM2[0]),
    "lfm2-training": Family("lfm2_training", LFM2, bos=LFM2[0]),
    "lfm2-v2": Family("lfm2_v2", LFM2, bos=LFM2[0]),
    "lfm2-v2-training": Family("lfm2_v2_training", LFM2, bos=LFM2[0]),
    "lfm2.5": Family("lfm2_2_5", LFM2, HERMES[4:], bos=LFM2[0]),
    "lfm2.5-v2": Family("lfm2_2_5_v2", LFM2, HERMES[4:], bos=LFM2[0]),
    "lfm2.5-vl": Family("lfm2_2_5_vl", LFM2, HERMES[4:], bos=LFM2[0]),
    "gpt-oss": Family("gptoss", HARMONY, eos="<|return|>"),
    "gpt-oss-training": Family("gptoss_training", HARMONY, eos="<|return|>"),
    "muse-glimmer": Family("muse_glimmer", MUSE, eos="<|eot|>", bos=MUSE[0]),
    "muse-glimmer-training": Family("muse_glimmer_training", MUSE, eos="<|eot|>", bos=MUSE[0]),
}  # fmt: skip


# One model for each of the `renderers` that need no files beside the tokenizer.
MODELS = (
    "Qwen/Qwen3-8B", "PrimeIntellect/Qwen3-1.7B", "Qwen/Qwen3.5-4B", "Qwen/Qwen3.5-2B", "Qwen/Qwen3.6-35B-A3B",
    "Qwen/Qwen3.8-27B", "Qwen/Qwen3-VL-4B-Instruct", "google/gemma-4-E4B-it", "zai-org/GLM-5", "zai-org/GLM-5.1",
    "zai-org/GLM-5.3", "zai-org/GLM-4.5-Air", "MiniMaxAI/MiniMax-M2", "deepseek-ai/DeepSeek-V3",
    "deepseek-ai/DeepSeek-R1", "deepseek-ai/DeepSeek-V4-Flash-0731", "moonshotai/Kimi-K2-Instruct",
    "moonshotai/Kimi-K2.5", "nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16",
    "nvidia/NVIDIA-Nemotron-3-Ultra-550B-A55B-BF16", "nvidia/NVIDIA-Nemotron-3.5-Lightning-30B-A3B-BF16",
    "meta-llama/Llama-3.2-1B-Instruct", "poolside/Laguna-XS.2", "poolside/Laguna-M.1", "poolside/Laguna-XS-2.1",
    "poolside/Laguna-S-2.1", "thinkingmachines/Inkling", "tencent/Hy3",
)  # fmt: skip

# Families that have another name as a renderer; other versions of a template, and those for training, are of one.
_SAME = {
    "glm4moe": "glm-4.5", "llama3": "llama-3", "llama3.1": "llama-3", "llama3.2": "llama-3", "prime-qwen3": "qwen3",
    "nemotron-3-nano": "nemotron-3", "nemotron-3-super": "nemotron-3", "nemotron-3-5-lightning": "nemotron-3.5",
    "tekken": "mistral",
}  # fmt: skip

# Who reads the calls of templates that write none, and those that only vLLM reads.
KINDS = {"lfm2": "template:pythonic", "muse-glimmer": "template:vllm:muse_glimmer"}


def every() -> list[str]:
    """All that codecs are tried on: templates, models that `renderers` knows by name, real vocabularies."""
    return [*MATRIX, *MODELS, "real gpt-oss", "real mistral", "tekken"]


def load(name: str) -> Any:
    """The tokenizer of one of them."""
    if name == "tekken":  # with the template that mistral-common makes
        from transformers.tokenization_mistral_common import MistralCommonBackend

        from llmgym.codec.tokenizer import with_backend

        return with_backend(MistralCommonBackend(tekken()))
    if name.startswith("real "):
        return real(name.removeprefix("real "))
    return tokenizer(name) if name in MATRIX else named(name)


def kind(name: str) -> str:
    """The kind of codec for it."""
    return KINDS.get(name.removesuffix("-training"), "auto")


def lineage(name: str) -> str:
    """The family of models that one of them is of."""
    from renderers.base import MODEL_RENDERER_MAP

    name = MODEL_RENDERER_MAP.get(name, name).removeprefix("real ").removesuffix("-training")
    name = re.sub(r"(?<!deepseek)-v[2-9]$|-(think|nothink|instruct)$|(?<=^lfm2\.5)-vl$", "", name)
    return "laguna" if name.startswith("laguna") else _SAME.get(name, name)


@cache
def base() -> str:
    """Train the small byte-level BPE that all families share, and serialise it."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(pattern=_words(), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=1500, initial_alphabet=alphabet, show_progress=False)
    text = [Path(__file__).read_text("utf-8"), *(path.read_text("utf-8") for path in templates().glob("qwen*.jinja"))]
    tokenizer.train_from_iterator(text, trainer)
    return tokenizer.to_str()


def templates() -> Path:
    spec = find_spec("trl")
    assert spec is not None, "the codec tests read the chat templates of the `trl` package"
    assert spec.origin is not None
    return Path(spec.origin).parent / "chat_templates"


def template(family: str) -> str:
    text = MATRIX[family].template
    return text if "{" in text else (templates() / f"{text}.jinja").read_text("utf-8")


@cache
def tokenizer(family: str, name: str = "") -> Any:
    """The fast tokenizer of a family, under the name of a model."""
    known = MATRIX[family]
    return build(known.special, known.added, known.eos, known.bos, template(family), name)


@cache
def named(model: str) -> Any:
    """A tokenizer without a template that has what `renderers` asks for, for the model of that name."""
    import renderers

    asked = Asked(model)
    eos = asked.tokens[renderers.create_renderer(asked).get_stop_token_ids()[0]]
    special = tuple(token for token in asked.tokens if not re.search("think|arg_|tool_call>|tool_response>", token))
    added = tuple(token for token in asked.tokens if token not in special)
    return build(special, added, eos, None, None, model)


class Asked:
    """A tokenizer that has every token it is asked for, and remembers which those were."""

    def __init__(self, model: str) -> None:
        self.name_or_path, self.eos_token_id, self.unk_token_id = model, 0, None
        self.tokens: list[str] = []

    def convert_tokens_to_ids(self, token: str) -> int:
        self.tokens += [token] if token not in self.tokens else []
        return self.tokens.index(token)

    def encode(self, text: str, **_: Any) -> list[int]:
        return [self.convert_tokens_to_ids(text)]

    def __getattr__(self, name: str) -> Any:
        return getattr(tokenizer("smollm2"), name)


def build(
    special: tuple[str, ...], added: tuple[str, ...], eos: str, bos: str | None, chat_template: str | None, name: str
) -> Any:
    from tokenizers import AddedToken, Tokenizer
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer.from_str(base())
    # Phi-3's tokens swallow the white space after them, which a codec has to reproduce.
    swallows = "<|assistant|>" in special and "<|end|>" in special
    backend.add_special_tokens([AddedToken(text, special=True, normalized=False, rstrip=swallows) for text in special])
    backend.add_tokens([AddedToken(text, special=False, normalized=False) for text in added])
    made = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token=eos, bos_token=bos)
    made.chat_template = chat_template
    made.name_or_path = name or "test"
    return made


def _words() -> Any:
    from tokenizers import Regex

    return Regex(
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|"
        r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    )


@cache
def real(family: str) -> Any:
    """A tokenizer with the real vocabulary of a model, from what pip packages carry: "gpt-oss" or "mistral"."""
    from transformers import PreTrainedTokenizerFast

    known = MATRIX[family]
    ranks, special, pattern = {"gpt-oss": _harmony, "mistral": _tekken}[family]()
    made = PreTrainedTokenizerFast(tokenizer_object=_byte_pairs(ranks, special, pattern), eos_token=known.eos)
    made.bos_token = known.bos
    made.chat_template = template(family)
    made.name_or_path = f"real-{family}"
    return made


def harmony() -> Any:
    """The encoding of gpt-oss.

    Raises:
        LookupError: Its vocabulary is not here: `oss-harmony` brings it, `openai-harmony` downloads it.
    """
    from openai_harmony import HarmonyEncodingName, HarmonyError, load_harmony_encoding

    try:
        return load_harmony_encoding(HarmonyEncodingName.HARMONY_GPT_OSS)
    except HarmonyError as error:
        raise LookupError(f"the vocabulary of gpt-oss is not here: {error}") from error


def _harmony() -> tuple[dict[bytes, int], dict[str, int], str]:
    encoding: Any = harmony()._inner
    special = {text: encoding.encode(text, [text])[0] for text in encoding.special_tokens()}
    ranks = {bytes(encoding.decode_bytes([index])): index for index in range(min(special.values()))}
    letters, marks = r"\p{Lm}\p{Lo}\p{M}", r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    words = (
        rf"[^\r\n\p{{L}}\p{{N}}]?[\p{{Lu}}\p{{Lt}}{letters}]*[\p{{Ll}}{letters}]+{marks}"
        rf"|[^\r\n\p{{L}}\p{{N}}]?[\p{{Lu}}\p{{Lt}}{letters}]+[\p{{Ll}}{letters}]*{marks}"
    )
    return ranks, special, rf"{words}|\p{{N}}{{1,3}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def tekken() -> Path:
    """The file of the vocabulary that `mistral_common` carries."""
    import mistral_common

    return Path(mistral_common.__file__).parent / "data" / "tekken_240911.json"


def _tekken() -> tuple[dict[bytes, int], dict[str, int], str]:
    file = json.loads(tekken().read_text("utf-8"))
    config = file["config"]
    reserved = config["default_num_special_tokens"]
    words = file["vocab"][: config["default_vocab_size"] - reserved]
    ranks = {base64.b64decode(word["token_bytes"]): word["rank"] + reserved for word in words}
    # The file has ranks alone; the template's own tokens take the first of the reserved places.
    return ranks, {name: index for index, name in enumerate(TOKENS_MISTRAL)}, config["pattern"]


def _byte_pairs(ranks: dict[bytes, int], special: dict[str, int], pattern: str) -> Any:
    """A backend for a vocabulary whose merges are told by the ranks of what they make."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    letters = bytes_to_unicode()

    def text(word: bytes) -> str:
        return "".join(letters[byte] for byte in word)

    merges = [
        (rank, ranks[word[:cut]], ranks[word[cut:]], word[:cut], word[cut:])
        for word, rank in ranks.items()
        for cut in range(1, len(word))
        if word[:cut] in ranks and word[cut:] in ranks
    ]
    pairs = [(text(left), text(right)) for _, _, _, left, right in sorted(merges)]
    model = models.BPE({text(word): rank for word, rank in ranks.items()} | special, pairs, ignore_merges=True)
    backend = Tokenizer(model)
    split = pre_tokenizers.Split(Regex(pattern), behavior="isolated")
    backend.pre_tokenizer = pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(False, use_regex=False)])
    backend.decoder = decoders.ByteLevel()
    ordered = sorted(special, key=lambda name: special[name])
    backend.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in ordered])
    return backend
