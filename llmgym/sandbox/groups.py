"""Control groups: bounds for all that a run has started together, where this system lets llmgym make them."""

from __future__ import annotations

import contextlib
import itertools
import os
import subprocess
from functools import cache
from pathlib import Path

from llmgym.sandbox.inside.contain import LINUX
from llmgym.sandbox.results import Limits, SandboxFailure

_CONTROLLERS = {"memory", "pids"}
_numbers = itertools.count()
_leaving: set[Path] = set()  # groups whose processes are still dying


class Group:
    """The group of one run: whoever is in it, and all that it starts from then on, shares the limits."""

    def __init__(self, around: Path, limits: Limits) -> None:
        """Make it.

        Raises:
            OSError: It cannot be made.
        """
        remove_those_that_ended()
        self._folder = around / f"llmgym-{os.getpid()}-{next(_numbers)}"
        self._folder.mkdir()
        try:
            self._set("memory.max", limits.memory + limits.disk)  # files in memory count too
            self._set("pids.max", limits.processes + limits.threads)
            with contextlib.suppress(FileNotFoundError):  # a kernel without swap
                self._set("memory.swap.max", 0)
            #: Whoever writes "0" here has joined, with the rights of this process.
            self.fd = os.open(self._folder / "cgroup.procs", os.O_WRONLY)
        except OSError:
            self._folder.rmdir()
            raise
        self._seen = 0

    def _set(self, name: str, value: int) -> None:
        (self._folder / name).write_text(str(value))

    def ran_out(self) -> bool:
        """Whether the kernel has ended a process of it for want of memory since this was last asked."""
        events = dict(line.split() for line in (self._folder / "memory.events").read_text().splitlines())
        before, self._seen = self._seen, int(events["oom_kill"])
        return self._seen > before

    def close(self) -> None:
        """End what is still in it, and remove it."""
        os.close(self.fd)
        with contextlib.suppress(FileNotFoundError):  # a kernel before 5.14
            self._set("cgroup.kill", 1)
        _leaving.add(self._folder)
        remove_those_that_ended()


def remove_those_that_ended() -> None:
    """Remove groups that are closed and empty."""
    for folder in list(_leaving):
        with contextlib.suppress(OSError):
            folder.rmdir()
            _leaving.discard(folder)


def group(limits: Limits) -> Group | None:
    """A group for a run that may have several processes, each of which is bounded by itself; None where there is none.

    Raises:
        SandboxFailure: It cannot be made, though one could before.
    """
    if limits.processes == 0 or missing() is not None:
        return None
    try:
        return Group(place(), limits)
    except OSError as error:
        raise SandboxFailure(f"a control group cannot be made: {error}") from error


@cache
def missing() -> str | None:
    """Why there are no groups, found out by a process that joins one; None where there are."""
    if not LINUX:
        return "it is Linux's"
    try:
        tried = Group(place(), Limits())
    except (OSError, LookupError) as error:
        return str(error)
    try:
        join = ["/bin/sh", "-c", f"echo 0 >&{tried.fd}"]
        done = subprocess.run(join, pass_fds=[tried.fd], capture_output=True, text=True, check=False)
    finally:
        tried.close()
    return done.stderr.strip() or None


@cache
def place() -> Path:
    """The nearest group around this process in which it may make others that have limits.

    Raises:
        LookupError: There is none.
    """
    for folder in _around():
        with contextlib.suppress(OSError):
            enabled = set((folder / "cgroup.subtree_control").read_text().split())
            if enabled >= _CONTROLLERS and all(os.access(path, os.W_OK) for path in (folder, folder / "cgroup.procs")):
                _remove_of_the_dead(folder)
                return folder
    raise LookupError("no control group of version 2 around this process may have others with limits in it")


def _around() -> list[Path]:
    mounts = [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    top = next(
        (fields[4] for fields in mounts if fields[fields.index("-") + 1] == "cgroup2" and fields[3] == "/"), None
    )
    own = [line[3:] for line in Path("/proc/self/cgroup").read_text().splitlines() if line.startswith("0::")]
    if top is None or not own:
        return []
    here = Path(top + own[0])
    return [here, *(parent for parent in here.parents if parent.is_relative_to(top))]


def _remove_of_the_dead(around: Path) -> None:
    """Remove what processes have left that were killed."""
    for folder in around.glob("llmgym-*-*"):
        if not Path("/proc", folder.name.split("-")[1]).exists():
            with contextlib.suppress(OSError):
                folder.rmdir()
