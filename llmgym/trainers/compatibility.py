"""What must fit: the version of a trainer, and the tokenizers of a trainer and its engine."""

from __future__ import annotations

import importlib.metadata
from typing import Any, Final

from packaging.version import Version

from llmgym.codec import codec_for
from llmgym.errors import ConfigError, MissingExtraError

#: Trainers by the extra that installs them: package, lowest version, and the first that is too new.
SUPPORTED: Final = {
    "trl": ("trl", "1.16", "1.17"),
    "verl": ("verl", "0.7", "0.10"),
    "openrlhf": ("openrlhf", "0.11", "0.12"),
    "skyrl": ("skyrl-gym", "0.4", "0.5"),
}


def check_version(extra: str) -> Version:
    """Give the installed version of a trainer.

    Args:
        extra: Key of `SUPPORTED`.

    Raises:
        MissingExtraError: It is not installed.
        ConfigError: It is outside the range that its adapter was tested with.
    """
    package, lowest, below = SUPPORTED[extra]
    try:
        version = Version(importlib.metadata.version(package))
    except importlib.metadata.PackageNotFoundError:
        raise MissingExtraError(f"llmgym.trainers.{extra}", extra) from None
    if not Version(lowest) <= version < Version(below):
        raise ConfigError(
            f"{package} {version} is installed; llmgym.trainers.{extra} works with {package}>={lowest},<{below}"
        )
    return version


def check_same_tokenizer(trainer: Any, engine: Any, kind: str = "auto") -> None:
    """See that the trainer's tokenizer is the engine's.

    Raises:
        ConfigError: They differ, in their tokens or their chat template.
    """
    prints = [codec_for(tokenizer, kind).fingerprint for tokenizer in (trainer, engine)]  # type: ignore[arg-type]
    if prints[0] != prints[1]:
        raise ConfigError(
            f"the trainer's tokenizer ({_name(trainer)}, {prints[0]}) is not the engine's ({_name(engine)}, "
            f"{prints[1]}): load both from the same folder, with the same chat template"
        )


def _name(tokenizer: Any) -> str:
    return str(getattr(tokenizer, "name_or_path", "")) or type(tokenizer).__name__
