"""What vLLM's own processes import: weights from files, and an end when the owner dies.

vLLM's transports for new weights need CUDA (NCCL, CUDA IPC, RDMA); this one reads safetensors files, so it also serves
a CPU. It plugs into vLLM's `WeightTransferEngine`, so versions, pauses and layerwise reloading are vLLM's.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from vllm.distributed.weight_transfer.base import (  # noqa: TID253 # pyright: ignore[reportMissingImports]
    WeightTransferEngine,
    WeightTransferInitInfo,
    WeightTransferUpdateInfo,
)
from vllm.distributed.weight_transfer.factory import (  # noqa: TID253 # pyright: ignore[reportMissingImports]
    WeightTransferEngineFactory,
)

BACKEND = "llmgym-files"
OWNER = "LLMGYM_VLLM_OWNER"  # environment variable: process id of who started the engine

_WATCH_S = 1.0


@dataclass
class FilesInit(WeightTransferInitInfo):  # pyright: ignore[reportUntypedBaseClass]
    """Nothing to agree on."""


@dataclass
class Files(WeightTransferUpdateInfo):  # pyright: ignore[reportUntypedBaseClass]
    """Safetensors files that hold the whole model, in the names of its checkpoint."""

    files: Sequence[str]


class FilesTransfer(WeightTransferEngine):  # pyright: ignore[reportUntypedBaseClass, reportMissingTypeArgument]
    """Loads new weights from files that this process can open."""

    init_info_cls = FilesInit
    update_info_cls = Files
    supports_draft_weight_update = False

    def init_transfer_engine(self, init_info: FilesInit) -> None:
        """Nothing to connect."""

    def shutdown(self) -> None:
        """Nothing to disconnect."""

    def start_weight_update(self) -> None:
        """Put the layers into the state in which they take checkpoint tensors."""
        from vllm.model_executor.model_loader.reload import (  # pyright: ignore[reportMissingImports]
            initialize_layerwise_reload,
        )

        self._missing: set[str] = {name for name, _ in self.model.named_parameters()}
        initialize_layerwise_reload(self.model)

    def update_weights(self, update_info: dict[str, Any]) -> None:
        """Load, and wait for the device; vLLM's own version of this fails where there is no accelerator."""
        import torch

        self.receive_weights(self.parse_update_info(update_info))
        if torch.accelerator.is_available():
            torch.accelerator.synchronize()

    def receive_weights(self, update_info: Files) -> None:
        """Load all tensors of the files."""
        model: Any = self.model
        loaded = model.load_weights(_tensors(update_info.files))
        # Quantised layers compute some of their parameters, and some models do not say what they loaded.
        if loaded is None or self.model_config.quantization is not None:
            self._missing.clear()
        else:
            self._missing -= loaded

    def finish_weight_update(self) -> None:
        """Make the layers ready to compute.

        Raises:
            ValueError: The files lack parameters of the model, which keep their old values.
        """
        from vllm.model_executor.model_loader.reload import (  # pyright: ignore[reportMissingImports]
            finalize_layerwise_reload,
        )

        finalize_layerwise_reload(self.model, self.model_config)
        _repack(self.model)
        if self._missing:
            names = ", ".join(sorted(self._missing)[:5])
            raise ValueError(f"the new weights lack {len(self._missing)} parameters of the model, such as {names}")


def _tensors(files: Sequence[str]) -> Iterator[tuple[str, Any]]:
    from safetensors import safe_open

    for file in files:
        with safe_open(file, framework="pt") as opened:
            for name in opened.keys():  # noqa: SIM118 -- it is no dict and cannot be iterated over
                yield name, opened.get_tensor(name)


def _repack(model: Any) -> None:
    """Pack the output layer anew on a CPU.

    There, vLLM 0.32 may compute with packed copies of the weights, as oneDNN likes them. It makes new ones for each
    layer that loaded something; an output layer tied to the input embeddings loads nothing, and would keep its old one.
    """
    from vllm.model_executor.layers.vocab_parallel_embedding import (  # pyright: ignore[reportMissingImports]
        ParallelLMHead,
    )
    from vllm.platforms import current_platform  # pyright: ignore[reportMissingImports]

    if current_platform.is_cpu():
        for layer in model.modules():
            if isinstance(layer, ParallelLMHead):
                layer.quant_method.process_weights_after_loading(layer)


class WorkerExtension:
    """Named to vLLM so that its workers import this module; adds no methods to them."""


def watch(owner: int, engine: int) -> None:
    """End this process and the engine's when the owner is gone; vLLM 0.32 lets them run for ever.

    Args:
        owner: Process that started the engine.
        engine: Parent of this process, which is the owner where vLLM runs its worker inside the engine's process.
    """
    import psutil

    try:
        process = psutil.Process(owner)
        # A killed process stays a zombie until its parent asks for it.
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            time.sleep(_WATCH_S)
    except psutil.NoSuchProcess:
        pass
    if engine != owner and os.getppid() == engine:
        os.kill(engine, signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


def _start() -> None:
    WeightTransferEngineFactory.register_engine(BACKEND, FilesTransfer)
    parent, owner = multiprocessing.parent_process(), os.environ.get(OWNER, "")
    if parent is not None and parent.pid is not None and owner.isdecimal():
        threading.Thread(target=watch, args=(int(owner), parent.pid), name="llmgym-watch", daemon=True).start()


_start()
