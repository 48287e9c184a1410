"""`run.json`: what a run is, so that another is never mixed into its folder."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from llmgym.errors import StoreError
from llmgym.records import FORMAT
from llmgym.redaction import redact
from llmgym.rollout.journal import write_atomically
from llmgym.sandbox import taken

FILE = "run.json"
_SHOWN = 6  # differences that a message names
_ABSENT = object()
# What hashes are of, for whoever changed it.
_HASHED = {"codec": " (of tokenizer, chat template and stop tokens)", "policy.weights": " (of the model's files)"}


class Description(msgspec.Struct, kw_only=True):
    """What `run.json` holds.

    Attributes:
        format: Version of the folder's format, which is that of its rows.
        identity: What makes two runs the same, as far as it is known before the policy runs.
        confirmed: The rest of it; None before it was known.
        config: Whole configuration of the last session.
        planned: Episodes that the run is to hold; None where that is not known or there is no end.
        versions: What the last session ran with, the levels of the sandbox included that its process had.
        sessions: When each session started.
    """

    format: int
    identity: dict[str, Any]
    confirmed: dict[str, Any] | None = None
    config: dict[str, Any] = {}
    planned: int | None = None
    versions: dict[str, str] = {}
    sessions: list[str] = []

    @property
    def env_ids(self) -> frozenset[str] | None:
        """Environments of the run, as its rows name them; None where the identity has none."""
        named = self.identity.get("environments")
        if not isinstance(named, list):
            return None
        labels = [env.get("label") for env in named if isinstance(env, dict)]
        return frozenset(label for label in labels if isinstance(label, str)) or None

    def write(self, folder: Path) -> None:
        """Replace the file.

        Raises:
            StoreError: It cannot be written.
        """
        write_atomically(folder / FILE, msgspec.json.format(msgspec.json.encode(self)))

    def starts(self, config: Mapping[str, Any]) -> None:
        """Note a session."""
        self.config = as_json(config)
        self.versions = _versions()
        self.sessions = [*self.sessions, datetime.now(UTC).isoformat(timespec="seconds")]


def read_description(folder: Path) -> Description | None:
    """Read `run.json`; None where there is none.

    Raises:
        StoreError: It is something else, of another format, or cannot be read.
    """
    file = folder / FILE
    try:
        data = file.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError(f"cannot read {file}: {error.strerror}") from error
    try:
        known = msgspec.json.decode(data, type=Description)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise StoreError(f"{file} is not the description of a run: {error}; choose another folder") from None
    if known.format != FORMAT:
        raise StoreError(
            f"{file}: a run of format {known.format}; this version of llmgym reads format {FORMAT}: use the one that "
            "wrote it, or a newer one, or choose another folder"
        )
    return known


def as_json(data: Mapping[str, Any]) -> dict[str, Any]:
    """Data as it comes back from a file, without its secrets."""
    return msgspec.json.decode(msgspec.json.encode(redact(plain(data))))


def plain(data: Any) -> Any:
    """As JSON data; an object that has no such form by its class."""
    return msgspec.to_builtins(data, enc_hook=named, str_keys=True)


def named(value: Any) -> Any:
    """What stands for an object that is no JSON data: a path and NumPy's numbers say what they are."""
    if isinstance(value, PathLike):
        return fspath(value)
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    cls = value if isinstance(value, type) or callable(value) else type(value)
    return f"{cls.__module__}.{getattr(cls, '__qualname__', type(cls).__qualname__)}"


def check_same(folder: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """See that two identities are the same, with the keys of either.

    Raises:
        StoreError: They differ; shows both values of what does.
    """
    different = list(differences("", before, now))
    if different:
        more = f"; and {len(different) - _SHOWN} more" if len(different) > _SHOWN else ""
        raise StoreError(
            f"{folder} holds another run ({'; '.join(different[:_SHOWN])}{more}): choose another folder, or set back "
            "what has changed"
        )


def differences(name: str, before: Any, now: Any) -> Iterator[str]:
    """Where data under a name differs, each with both values."""
    if type(before) is type(now) and before == now:
        return
    if isinstance(before, dict) and isinstance(now, dict):
        for key in [*before, *(key for key in now if key not in before)]:
            path = f"{name}.{key}" if name else key
            yield from differences(path, before.get(key, _ABSENT), now.get(key, _ABSENT))
    elif isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        for place, (one, other) in enumerate(zip(before, now, strict=True)):
            yield from differences(f"{name}[{place}]", one, other)
    elif before is _ABSENT or now is _ABSENT or before != now:
        yield f"{name}{_HASHED.get(name, '')} was {_shown(before)}, is {_shown(now)}"


def _shown(value: Any) -> str:
    if value is _ABSENT:
        return "not there"
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}..."


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in ("llmgym", "gymnasium", "torch", "transformers", "tokenizers", "renderers", "vllm"):
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    if levels := taken():
        found["sandbox"] = f"{', '.join(levels)} on {platform.system()} {platform.release()}"
    return found
