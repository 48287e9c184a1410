"""The outer wall of the level `namespaces`, which the zygote builds around itself."""

from __future__ import annotations

import os
import signal
from typing import Any

from llmgym.sandbox.inside import kernel

_ROOT = "/sys"  # is everywhere, and nothing of it is needed


def build(layout: dict[str, Any]) -> None:
    """Go where nothing is but what the layout names; what returns is the first process of a new namespace.

    Args:
        layout: `folders`, `binds`, `links` are what there is.

    Raises:
        OSError: Something cannot be had.
    """
    uid, gid = os.getuid(), os.getgid()
    kinds = kernel.NEWNS | kernel.NEWIPC | kernel.NEWUTS | kernel.NEWPID | kernel.NEWNET | kernel.NEWCGROUP
    if uid == 0:
        kernel.unshare(kinds)
    else:
        kernel.unshare(kinds | kernel.NEWUSER)
        kernel.map_user(uid, gid)
    _enter()
    kernel.mount("none", "/", "", kernel.MS_REC | kernel.MS_PRIVATE)
    kernel.mount("tmpfs", _ROOT, "tmpfs", kernel.MS_NOSUID, "mode=755,size=1m")
    for path in layout["folders"]:
        os.makedirs(_ROOT + path, 0o755, exist_ok=True)
    for path, target in layout["links"]:
        os.symlink(target, _ROOT + path)
    for path in layout["binds"]:
        _bind(path, _ROOT + path)
    kernel.read_only(_ROOT)
    kernel.mount("proc", _ROOT + "/proc", "proc", kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC)
    kernel.pivot_root(_ROOT)


def _bind(source: str, target: str) -> None:
    if os.path.isdir(source):
        os.makedirs(target, 0o755, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(target), 0o755, exist_ok=True)
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o644))
    kernel.mount(source, target, "", kernel.MS_BIND | kernel.MS_REC)


def _enter() -> None:
    """Fork into the new process namespace; the process outside ends with the one inside, and the other way round."""
    inner = os.fork()
    if inner:
        _, status = os.waitpid(inner, 0)
        os._exit(os.waitstatus_to_exitcode(status) & 0xFF)
    kernel.end_with_parent(signal.SIGKILL)
