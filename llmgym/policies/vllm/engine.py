"""Starting and ending an `AsyncLLM`, what its errors mean, and the event loop that it lives in."""

from __future__ import annotations

import asyncio
import importlib
import os
import secrets
import threading
import weakref
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from typing import Any, TypeVar

from llmgym.errors import ConfigError, MissingExtraError, PolicyError, PolicyUnavailable
from llmgym.policies.base import EngineLoad, LogprobsMode

T = TypeVar("T")

_WORKER = "llmgym.policies.vllm.worker"
_BACKEND = "llmgym-files"  # as in `worker`, which only vLLM's processes import
_OWNER = "LLMGYM_VLLM_OWNER"

_CPU_CACHE = 2 << 30  # bytes of keys and values where nothing is set: vLLM would take most of the machine
_SHUTDOWN_S = 10.0

_LOWER = (
    "vLLM's log says what went wrong. Where it ran out of memory, lower gpu_memory_utilization, max_model_len, "
    "max_num_seqs or, on a CPU, kv_cache_memory_bytes or VLLM_CPU_KVCACHE_SPACE. Where it speaks of the bootstrapping "
    'phase of a process, guard the script with `if __name__ == "__main__":`'
)


class Home:
    """An event loop in a thread of its own, because an `AsyncLLM` is tied to the loop that it was made in.

    With it, a policy serves any loop, also several in turn, as `asyncio.run` once a training step makes them.
    """

    def __init__(self, name: str) -> None:
        """Start the thread; it ends when this object is dropped or the interpreter exits."""
        loop = self._loop = asyncio.new_event_loop()
        threading.Thread(target=_run, args=(loop,), name=f"vllm-{name}", daemon=True).start()
        weakref.finalize(self, loop.call_soon_threadsafe, loop.stop)

    async def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine there; cancelling the wait cancels it."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(coroutine, self._loop))


def _run(loop: asyncio.AbstractEventLoop) -> None:
    try:
        loop.run_forever()
    finally:
        loop.close()


def import_vllm() -> None:
    """Import vLLM; in a thread of its own, for something that it imports keeps the frames of its callers alive.

    With the frames, it would keep what their variables hold, such as an engine long ended.

    Raises:
        MissingExtraError: vLLM is not installed.
    """
    # Read when vLLM is imported. Results go to standard output; its log must not.
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
    os.environ.setdefault("VLLM_LOGGING_STREAM", "ext://sys.stderr")
    try:
        for module in ("vllm.platforms", "vllm.engine.arg_utils", "vllm.v1.engine.async_llm"):
            importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError("VLLMPolicy", "vllm") from error


def arguments(folder: str, mode: LogprobsMode, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of the engine: what is given, over defaults for rollouts on this device.

    Raises:
        ConfigError: An argument contradicts what the policy does.
    """
    from vllm.platforms import current_platform  # pyright: ignore[reportMissingImports]

    taken = {"model": "the first argument", "logprobs_mode": "'processed' or 'raw'"}
    for name in taken.keys() & given.keys():
        raise ConfigError(f"engine argument {name}={given[name]!r}: it is set by VLLMPolicy; give it {taken[name]}")
    here = {
        "disable_log_stats": True,
        "use_tqdm_on_load": False,
        "weight_transfer_config": {"backend": _BACKEND},
        "worker_extension_cls": f"{_WORKER}.WorkerExtension",
    }
    defaults = {**for_rollouts(on_cpu=current_platform.is_cpu()), **here}
    return {**defaults, **given, "model": folder, "logprobs_mode": f"{mode}_logprobs"}


def for_rollouts(*, on_cpu: bool) -> dict[str, Any]:
    """Arguments that an engine has for rollouts unless others are given, in this process or as a server."""
    chosen: dict[str, Any] = {
        "enable_prefix_caching": True,
        "seed": secrets.randbits(31),  # vLLM's default is the same in every run, and so would be unseeded replies
        "generation_config": "vllm",  # not the checkpoint's: a request says all that matters
    }
    if on_cpu:
        # Few CPUs are fast at bfloat16. -1 is the model's own length, or less where that is what the cache holds.
        chosen |= {"dtype": "float32", "enforce_eager": True, "max_model_len": -1}
        if not os.environ.get("VLLM_CPU_KVCACHE_SPACE"):
            chosen["kv_cache_memory_bytes"] = _CPU_CACHE
    return chosen


class Gauge:
    """Keeps the latest statistics of each engine core; vLLM calls it a stat logger."""

    def __init__(self) -> None:
        """Nothing has been seen."""
        self._latest: dict[int, Any] = {}
        self._preemptions = self._excused = 0

    def __call__(self, config: Any, engine_index: int = 0) -> Gauge:
        """Serve as the logger of one more core."""
        return self

    def record(
        self, scheduler_stats: Any, iteration_stats: Any, mm_cache_stats: Any = None, engine_idx: int = 0
    ) -> None:
        """Take the statistics of a step."""
        if scheduler_stats is not None:
            self._latest[engine_idx] = scheduler_stats
        if iteration_stats is not None and (preempted := iteration_stats.num_preempted_reqs):
            excused = min(preempted, self._excused)
            self._excused -= excused
            self._preemptions += preempted - excused

    def excuse(self, requests: int) -> None:
        """Do not count the next preemptions of so many requests: it is no want of room that puts them back."""
        self._excused = requests

    @property
    def load(self) -> EngineLoad:
        """All cores together."""
        stats = self._latest.values()
        return EngineLoad(
            running=sum(s.num_running_reqs for s in stats),
            waiting=sum(s.num_waiting_reqs + s.num_skipped_waiting_reqs for s in stats),
            kv_cache_usage=max((s.kv_cache_usage for s in stats), default=0.0),
            preemptions=self._preemptions,
        )

    def log(self) -> None:
        """Nothing to print."""

    def log_engine_initialized(self) -> None:
        """Nothing to print."""

    def record_sleep_state(self, is_awake: int, level: int) -> None:
        """Nothing to note."""


def launch(name: str, args: dict[str, Any], gauge: Gauge) -> tuple[Any, list[Any]]:
    """Make an `AsyncLLM` in the running loop, which is blocked until it is there.

    Args:
        name: Name for messages.
        args: As `arguments` gives them.
        gauge: Takes the engine's statistics, where `args` do not disable them.

    Returns:
        The engine, and the processes that it consists of.

    Raises:
        ConfigError: vLLM does not know an argument.
        PolicyError: vLLM refuses the model or the configuration.
        PolicyUnavailable: The engine did not start.
    """
    import psutil
    from vllm.engine.arg_utils import AsyncEngineArgs  # pyright: ignore[reportMissingImports]
    from vllm.v1.engine.async_llm import AsyncLLM  # pyright: ignore[reportMissingImports]

    os.environ[_OWNER] = str(os.getpid())
    try:
        engine_args = AsyncEngineArgs(**args)
    except TypeError as error:
        raise ConfigError(f"{name}: vLLM does not take such an engine argument: {error}") from error
    try:
        config = engine_args.create_engine_config()
    except Exception as error:  # a wrong name, a broken config.json, values that do not fit each other
        raise PolicyError(f"{name}: vLLM refuses the model or its engine arguments: {error}") from error
    try:
        quiet = args["disable_log_stats"]
        loggers: Any = None if quiet else [gauge]
        llm: Any = AsyncLLM.from_vllm_config(config, disable_log_stats=quiet, stat_loggers=loggers)
    except Exception as error:  # no memory, a crash, a timeout: all end the start
        raise PolicyUnavailable(f"{name}: the engine did not start: {said(error)}. {_LOWER}") from error
    roots = [psutil.Process(process.pid) for process in llm.engine_core.resources.engine_manager.processes]
    return llm, [*roots, *(child for root in roots for child in root.children(recursive=True))]


def end(llm: Any, processes: list[Any]) -> None:
    """End an engine and all of its processes, whatever state they are in."""
    import psutil

    try:
        llm.shutdown(timeout=_SHUTDOWN_S)
    finally:
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.kill()  # not another process with the same id: psutil compares start times
        psutil.wait_procs(processes, timeout=_SHUTDOWN_S)


def translate(name: str, error: Exception) -> PolicyError:
    """Say what an error of vLLM means to an episode."""
    from vllm.v1.engine.exceptions import EngineDeadError  # pyright: ignore[reportMissingImports]

    if isinstance(error, PolicyError):
        return error
    if isinstance(error, EngineDeadError):
        return PolicyUnavailable(f"the engine of {name} died; await restart() for a new one with the first weights")
    return PolicyError(f"{name}: {said(error)}")


def said(error: BaseException) -> str:
    """The error, and why it happened where it is only a wrapper."""
    text = str(error) or type(error).__name__
    return f"{text} ({said(error.__cause__)})" if error.__cause__ is not None else text
