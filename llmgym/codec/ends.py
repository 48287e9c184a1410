"""Tokens that end a reply beside those that a chat template writes: what models are made to stop at.

A model also ends its replies with tokens that its template never shows, or shows elsewhere. Its checkpoint lists them
in `generation_config.json`, from where other engines take them. Here they belong to the codec, so that every policy
stops at the same tokens and whatever ended a reply is read as its end.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import msgspec

from llmgym.errors import CodecError

_GENERATION_CONFIG = "generation_config.json"

_CALL_ENDS = ("<|eom_id|>", "<|call|>")  # Llama's and gpt-oss's: their templates may leave them to the model

_log = logging.getLogger("llmgym.codec")


def known_ends(tokenizer: Any) -> dict[str, int]:
    """Text and id of the tokens that are known to end a reply, whatever the chat template says.

    They are the tokenizer's end of text, all ends in the generation config that lies beside it, in its folder or in the
    Hub's cache, and control tokens that end calls in any family that has them. A config may list the token that also
    pads: it is kept, since a padded batch has a mask, and a model that samples it has ended its reply. Ids that are no
    control token of the tokenizer, such as defaults of another vocabulary, are left out with a line in the log.

    Args:
        tokenizer: A `FastTokenizer`, or one of transformers.

    Raises:
        CodecError: The generation config cannot be read.
    """
    added: dict[str, int] = getattr(tokenizer, "added", None) or getattr(tokenizer, "added_tokens_encoder", {})
    texts = {index: text for text, index in added.items()}
    if tokenizer.eos_token_id is not None:
        texts.setdefault(tokenizer.eos_token_id, tokenizer.eos_token)
    listed = _listed(tokenizer.name_or_path)
    if strange := [index for index in listed if index not in texts]:
        _log.warning(
            "%s of %s ends replies with %s, which are no control tokens of the tokenizer: left out",
            _GENERATION_CONFIG, tokenizer.name_or_path, strange,
        )  # fmt: skip
    calls = [added[text] for text in _CALL_ENDS if text in added]
    return {texts[index]: index for index in (tokenizer.eos_token_id, *listed, *calls) if index in texts}


class _GenerationConfig(msgspec.Struct):
    eos_token_id: int | list[int] | None = None


def _listed(name: str) -> list[int]:
    """The ends in the generation config of a folder, or of what is in the Hub's cache; none where there is none."""
    path = _path_of(name)
    if path is None:
        return []
    try:
        ends = msgspec.json.decode(path.read_bytes(), type=_GenerationConfig).eos_token_id
    except (msgspec.MsgspecError, OSError) as error:
        raise CodecError(
            f"{path}: {error}; eos_token_id is the id of a token or a list of ids: mend the file or take it away"
        ) from None
    return [] if ends is None else [ends] if isinstance(ends, int) else ends


def _path_of(name: str) -> Path | None:
    if not name:  # of a tokenizer that was made in memory
        return None
    path = Path(name, _GENERATION_CONFIG)
    if path.is_file():
        return path
    try:
        import huggingface_hub
        from huggingface_hub.errors import HFValidationError
    except ImportError:
        return None
    try:
        cached = huggingface_hub.try_to_load_from_cache(name, _GENERATION_CONFIG)
    except HFValidationError:  # the name of a folder, or none at all
        return None
    return Path(cached) if isinstance(cached, str) else None
