"""New weights as files: a checkpoint folder as it is, or a state dict written to memory that processes share."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from llmgym.errors import PolicyError

_INDEX = "model.safetensors.index.json"
_SHARED_MEMORY = Path("/dev/shm")

#: A folder with safetensors files, or tensors by their names in such files.
Weights = str | os.PathLike[str] | Mapping[str, Any]


@contextmanager
def as_files(source: Weights) -> Generator[list[str]]:
    """Give the files of a model's weights; those that had to be written are deleted afterwards.

    Raises:
        PolicyError: There are none, or they cannot be written.
    """
    if not isinstance(source, Mapping):
        yield checkpoint_files(Path(source).expanduser())
        return
    if not source:
        raise PolicyError("the state dict of the new weights is empty")
    tensors = _detached(source)
    size = sum(tensor.nbytes for tensor in tensors.values())
    with tempfile.TemporaryDirectory(prefix="llmgym-weights-", dir=_room(size)) as folder:
        file = str(Path(folder, "model.safetensors"))
        _save(tensors, file)
        del tensors
        yield [file]


def checkpoint_files(folder: Path) -> list[str]:
    """Return the weight files of a checkpoint folder as `save_pretrained` writes it.

    Raises:
        PolicyError: It holds none, or one that its index names is missing.
    """
    index = folder / _INDEX
    try:
        if index.is_file():
            files = sorted({folder / name for name in json.loads(index.read_bytes())["weight_map"].values()})
        else:
            files = sorted(file for file in folder.glob("*.safetensors") if not file.name.startswith("adapter_"))
    except (OSError, ValueError, LookupError) as error:
        raise PolicyError(f"cannot read the weights' index {index}: {error}") from error
    missing = [file.name for file in files if not file.is_file()]
    if missing or not files:
        what = f"lacks {missing[0]}" if missing else "holds no *.safetensors of a whole model"
        raise PolicyError(f"the checkpoint {folder} {what}; write it with save_pretrained (adapters merged)")
    return [str(file.resolve()) for file in files]


def _detached(source: Mapping[str, Any]) -> dict[str, Any]:
    """Whole tensors on the CPU, none sharing memory with another, which safetensors refuses."""
    seen = set[int]()
    found = dict[str, Any]()
    for name, tensor in source.items():
        whole = tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor  # a shard of FSDP
        whole = whole.detach().cpu().contiguous()
        place = whole.untyped_storage().data_ptr()
        found[name] = whole.clone() if place in seen or whole.nbytes != whole.untyped_storage().nbytes() else whole
        seen.add(place)
    return found


def _room(size: int) -> str | None:
    """Shared memory where it has room, else the folder of temporary files."""
    if _SHARED_MEMORY.is_dir() and shutil.disk_usage(_SHARED_MEMORY).free > 1.1 * size:
        return str(_SHARED_MEMORY)
    return None


def _save(tensors: dict[str, Any], file: str) -> None:
    from safetensors.torch import save_file

    try:
        save_file(tensors, file)
    except Exception as error:  # no room, or a type of tensor that the format does not know
        raise PolicyError(f"cannot write the new weights to {file}: {error}; free space or set TMPDIR") from error
