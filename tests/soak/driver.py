"""The command line in a process that kills itself at a moment it is told, and says at its end what it has open.

The variable `SOAK_DIE` is "write FILE N SHARE", for the middle of the Nth write to a file of that name, with a share of
it written; or "replace FILE", for when the file is about to be replaced.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
    signal.pause()


def die_writing(name: str, count: str, share: str) -> None:
    real, left = os.write, int(count)

    def write(file: int, data: Any) -> int:
        nonlocal left
        if os.path.basename(os.readlink(f"/proc/self/fd/{file}")) != name:
            return real(file, data)
        left -= 1
        if left == 0:
            real(file, bytes(data)[: int(float(share) * len(data))])
            die()
        return real(file, data)

    os.write = write


def die_replacing(name: str) -> None:
    real = Path.replace

    def replace(self: Path, target: Any) -> Path:
        if os.path.basename(target) == name:
            die()
        return real(self, target)

    Path.replace = replace  # type: ignore[method-assign]


def arm(moment: str) -> None:
    """See to it that the process dies at a moment."""
    match moment.split():
        case ["write", name, count, share]:
            die_writing(name, count, share)
        case ["replace", name]:
            die_replacing(name)


def children() -> list[str]:
    """Processes that this one has."""
    found: list[str] = []
    for task in Path("/proc/self/task").iterdir():
        found += (task / "children").read_text().split()
    return found


def census() -> tuple[int, int, int]:
    """Open files, threads besides this one, and child processes."""
    return len(os.listdir("/proc/self/fd")), threading.active_count() - 1, len(children())


def main() -> None:
    from tests.soak.chaos import ledger

    arm(os.environ.get("SOAK_DIE", ""))
    ledger()
    before = census()
    from llmgym.cli import main as llmgym

    try:
        llmgym()
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the command is over; what follows is no part of it
        time.sleep(0.2)  # threads that have been told to end
        ledger().note("census", *(now - then for now, then in zip(census(), before, strict=True)))


if __name__ == "__main__":
    main()
