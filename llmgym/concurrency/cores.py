"""How many cores this process may use: a container often has fewer than its host."""

from __future__ import annotations

import contextlib
import math
import os
from pathlib import Path

_CGROUPS, _OWN = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def usable(cgroups: Path = _CGROUPS, own: Path = _OWN) -> int:
    """Cores that this process may use: those that it may run on, or what the quota of its control group comes to.

    `docker run --cpus` and the limits of Kubernetes are such quotas, which Python's own counts do not know of. The
    formats are those of Linux, of versions 2 and 1: docs.kernel.org/admin-guide/cgroup-v2.html (`cpu.max`) and
    docs.kernel.org/scheduler/sched-bwc.html (`cpu.cfs_quota_us`).

    Args:
        cgroups: Where control groups are mounted.
        own: Says which one is that of this process.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([allowed, *_quotas(cgroups, own)]))


def _quotas(cgroups: Path, own: Path) -> list[int]:
    """The quotas of this process's group and of those around it, in cores; a core that is begun counts."""
    sources = [[folder / "cpu.max"] for folder in _folders(cgroups, own)]
    sources += [[cgroups / "cpu" / name for name in ("cpu.cfs_quota_us", "cpu.cfs_period_us")]]
    found: list[int] = []
    for files in sources:
        with contextlib.suppress(OSError, ValueError):  # it is not there, or "max"
            quota, period = map(int, " ".join(map(Path.read_text, files)).split())
            found += [math.ceil(quota / period)] if quota > 0 else []
    return found


def _folders(cgroups: Path, own: Path) -> list[Path]:
    """The folders of this process's group and of those around it, of version 2."""
    lines = own.read_text().splitlines() if own.exists() else []
    parts = [Path(line.removeprefix("0::/")).parts for line in lines if line.startswith("0::")]
    return [cgroups, *(cgroups.joinpath(*group[:end]) for group in parts for end in range(1, len(group) + 1))]
