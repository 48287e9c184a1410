"""Ids of tokens as texts that people read, from a tokenizer that is on this machine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llmgym.codec.tokenizer import token_bytes
from llmgym.errors import ConfigError, LLMGymError
from llmgym.policies.models import MODELS, cache_dir, load_tokenizer


class Vocabulary:
    """Texts of the tokens of a model.

    Attributes:
        name: What the model is called; "" where that is not known.
        missing: Why there are no texts; None where there are.
    """

    def __init__(self, name: str = "", backend: Any = None, missing: str | None = None) -> None:
        """Take a tokenizer of `tokenizers`, or why there is none."""
        self.name, self.missing = name, missing
        self._bytes = None if backend is None else token_bytes(backend)
        self._texts: dict[int, str] = {}

    def texts(self, ids: Any) -> dict[int, str]:
        """The text of each of some ids; those that have none are left out."""
        if self._bytes is None:
            return {}
        return {index: text for index in ids if (text := self._text(int(index)))}

    def _text(self, index: int) -> str:
        text = self._texts.get(index)
        if text is None:
            assert self._bytes is not None
            text = self._texts[index] = self._bytes(index).decode("utf-8", "backslashreplace")
        return text


def vocabulary_of(confirmed: Mapping[str, Any] | None, named: str | None) -> Vocabulary:
    """The vocabulary of a run's model; nothing is fetched for it.

    Args:
        confirmed: What `run.json` says of the policy.
        named: Model, folder or Hub id whose tokenizer to take; None takes that of the run.

    Raises:
        LLMGymError: The one that was named cannot be had.
    """
    name = named or str((confirmed or {}).get("model") or "")
    if not name:
        return Vocabulary(missing="the rows do not say of which model they are; --tokenizer names one")
    try:
        return Vocabulary(name, _backend(name))
    except LLMGymError as error:
        if named:
            raise
        return Vocabulary(name, missing=" ".join(str(error).split()))


def _backend(name: str) -> Any:
    source = _on_this_machine(name)
    if source is None:
        raise ConfigError(f"{name} is not on this machine; --tokenizer names a folder that has its tokenizer")
    backend = getattr(load_tokenizer(source, "token texts"), "backend_tokenizer", None)
    if backend is None:
        raise ConfigError(f"the tokenizer of {name} is none of `tokenizers`, of which ids can be looked up")
    return backend


def _on_this_machine(name: str) -> Path | None:
    for folder in (Path(name), cache_dir() / name if name in MODELS else None):
        if folder is not None and (folder / "tokenizer.json").is_file():
            return folder
    if name in MODELS:
        return None
    try:
        import huggingface_hub

        return Path(huggingface_hub.snapshot_download(name, local_files_only=True))
    except Exception:  # noqa: BLE001 -- not installed, no id, not there: it is not on this machine
        return None
