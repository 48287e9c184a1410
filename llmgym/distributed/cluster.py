"""The Ray cluster of a run: one that is there, or one that is made on this machine for as long as the run goes on."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Generator
from contextlib import AsyncExitStack, contextmanager, suppress
from importlib.metadata import version
from typing import Any

from llmgym.errors import ConfigError, LLMGymError, MissingExtraError

LOCAL, AUTO = "local", "auto"
_CONNECT_S = 10.0


class ClusterError(LLMGymError):
    """The Ray cluster cannot be reached, or cannot run the workers."""


def import_ray() -> Any:
    """Ray.

    Raises:
        MissingExtraError: It is not installed.
    """
    try:
        import ray
    except ImportError as error:
        raise MissingExtraError("llmgym rollout --ray", "ray") from error
    return ray


async def connect(stack: AsyncExitStack, address: str, num_cpus: int | None = None) -> Any:
    """Join a cluster, unless this process has one already; gives Ray.

    Args:
        stack: Leaves it again.
        address: "local" starts one here, "auto" finds the one that this machine is part of, "HOST:PORT" names the one
            whose head listens there.
        num_cpus: Processors that a local one may use; None for all.

    Raises:
        MissingExtraError: Ray is not installed.
        ConfigError: It is no address, or the cluster runs another version of Ray or Python.
        ClusterError: Nothing answers there.
    """
    ray = import_ray()
    if ray.is_initialized():
        return ray
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if address == LOCAL:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it reports home otherwise
        options |= {"num_cpus": num_cpus, "include_dashboard": False}
    else:
        options["address"] = address
        await _knock(address)
    with _signals_kept():
        try:
            await asyncio.to_thread(ray.init, **options)
        except (Exception, SystemExit) as error:
            raise _said(error, address) from error
    stack.callback(ray.shutdown)
    return ray


async def _knock(address: str) -> None:
    """See that something listens at an address: Ray waits for five minutes."""
    if address == AUTO:
        return
    host, _, port = address.rpartition(":")
    if "://" in address or not host or not port.isdigit():
        raise ConfigError(
            f"{address!r} is no address of a Ray cluster: give {LOCAL}, {AUTO}, or the HOST:PORT that "
            "`ray start --head` printed (its port is 6379), on one of the cluster's machines"
        )
    try:
        async with asyncio.timeout(_CONNECT_S):
            _, writer = await asyncio.open_connection(host, int(port))
    except (OSError, OverflowError, TimeoutError) as error:
        said = "no answer" if isinstance(error, TimeoutError) else str(error)
        raise ClusterError(f"no Ray cluster at {address}: {said}; `ray status` shows whether it runs") from None
    writer.close()


def _said(error: BaseException, address: str) -> LLMGymError:
    """Why a cluster could not be joined."""
    text = " ".join(str(error).split())
    if "ersion mismatch" in text:
        return ConfigError(f"{address}: {text}; here is Ray {version('ray')}: install the same on all machines")
    if isinstance(error, ConnectionError) and address == AUTO:
        return ClusterError("this machine is part of no Ray cluster: start one with `ray start --head`, or give local")
    return ClusterError(f"cannot join the Ray cluster {address}: {type(error).__name__}: {text:.500}")


@contextmanager
def _signals_kept() -> Generator[None]:
    """Put back what Ray does to signals: by it, SIGTERM would end a run in the middle of a line."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def enter(folder: str) -> None:
    """Be where the run was started, so that relative paths mean the same; Ray starts processes where it was started."""
    with suppress(OSError):  # this machine has no such folder, and may not need it
        os.chdir(folder)
