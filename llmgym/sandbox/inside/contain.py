"""What is done to a child before it runs what nobody trusts, in the order that the kernel wants it."""

from __future__ import annotations

import math
import os
import resource
import signal
import sys
from typing import Any, NamedTuple

from llmgym.sandbox.inside import calls, kernel

LINUX = sys.platform == "linux"

BOX = "/box"  # all that a run may write, in a mount namespace of its own: `work`, where it starts, and `tmp`
SLOTS = 1024  # runs and sessions of a zygote
_INODES = 16384

_filters: list[kernel.Filter] = []  # for runs without and with child processes


def first_uid(seed: int) -> int | None:
    """Users for the runs of a zygote that no other zygote on the machine has, above all that people or tools give out.

    In a container with a small range of users they are from that range, and may be shared; None where it has too few.
    """
    with open("/proc/self/uid_map") as file:
        ranges = [(int(first), int(count)) for first, _, count in (line.split() for line in file)]
    for wanted in (0x70000000 + seed % (1 << 18) * SLOTS, 20000 + seed * 64 % 40000):
        if any(first <= wanted < first + count - SLOTS for first, count in ranges):
            return wanted
    return None


class Containment(NamedTuple):
    """What a level does to each run; the host decides it.

    Attributes:
        apart: Whether a run has namespaces of its own: sees, and takes with it, only its own files and processes.
        user_namespace: Whether it gets a user namespace of its own, so that its processes are counted apart.
        first_uid: User of the first slot, the next has the next; None leaves the user as he is.
        readable: What Landlock leaves to be read; None for no Landlock.
        seccomp: Whether calls of the kernel are filtered.
        scratch: Folder for what runs write, one of each; where they are apart, it is mounted at `BOX`.
    """

    apart: bool
    user_namespace: bool
    first_uid: int | None
    readable: list[str] | None
    seccomp: bool
    scratch: str

    def folder(self, slot: int) -> str:
        """Where the run in a slot starts."""
        return f"{BOX}/work" if self.apart else f"{self.scratch}/{slot}"

    def variables(self, slot: int) -> dict[str, str]:
        """What the environment of the run in a slot says of its folders."""
        return {"HOME": self.folder(slot), "TMPDIR": f"{BOX}/tmp" if self.apart else self.folder(slot)}

    def prepare(self) -> None:
        """Do to the zygote what it can bear itself, and what costs time of every run."""
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if self.first_uid is not None:
            os.setgroups([])
        if not LINUX:
            return
        kernel.adopt_orphans()
        kernel.gain_nothing()
        if self.seccomp:
            kernel.Filter(calls.never()).install()
            for processes in (False, True):
                program = calls.refusing(
                    processes=processes, local_sockets=self.apart, metadata=self.apart or self.first_uid is not None
                )
                _filters.append(kernel.Filter(program))

    def apply(self, slot: int, limits: dict[str, Any], own_size: int) -> None:
        """Contain this process for good.

        Args:
            slot: Its number among the runs of the zygote.
            limits: Its limits, as `llmgym.sandbox.Limits` has them.
            own_size: Bytes of address space that the zygote takes.

        Raises:
            OSError: Something cannot be had.
        """
        os.setpgid(0, 0)  # no session: the kernel would make it a group for its scheduler too, which is dear
        uid = None if self.first_uid is None else self.first_uid + slot
        if self.apart:
            _mount(limits["disk"], uid)
        else:
            os.mkdir(self.folder(slot), 0o700)
            if uid is not None:
                os.chown(self.folder(slot), uid, uid)
        _limit(limits, own_size, hard_cpu=self.apart)
        if uid is not None:
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
        elif self.user_namespace:
            uid, gid = os.getuid(), os.getgid()
            kernel.unshare(kernel.NEWUSER)
            kernel.map_user(uid, gid)
        if self.apart:
            os.mkdir(f"{BOX}/tmp", 0o700)
            os.mkdir(f"{BOX}/work", 0o700)
        os.chdir(self.folder(slot))
        if self.first_uid is not None or self.user_namespace:  # else it would count all of the user's processes
            resource.setrlimit(resource.RLIMIT_NPROC, (limits["processes"] + limits["threads"],) * 2)
        if LINUX:
            self._give_up(self.folder(slot), limits)

    def _give_up(self, folder: str, limits: dict[str, Any]) -> None:
        if self.first_uid is None:  # else the change of user has done it
            kernel.drop_capabilities()
        kernel.end_with_parent(signal.SIGKILL)  # a change of user, or of its namespace, would undo it
        kernel.dumpable()
        if self.readable is not None:
            kernel.landlock([*self.readable, "/proc/self"], [folder, "/dev/null"])
        if self.seccomp:
            _filters[limits["processes"] > 0].install()


def _mount(disk: int, uid: int | None) -> None:
    """A small file system in memory for all that a run may write, and its own view of processes."""
    kernel.unshare(kernel.NEWNS)  # those of IPC and names are the wall's: their calls are refused
    owner = "" if uid is None else f",uid={uid},gid={uid}"
    options = f"size={disk},nr_inodes={_INODES},mode=755{owner}"
    kernel.mount("tmpfs", BOX, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, options)
    kernel.mount("proc", "/proc", "proc", kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC)


def _limit(limits: dict[str, Any], own_size: int, *, hard_cpu: bool) -> None:
    seconds, size = math.ceil(limits["cpu"]), own_size + limits["memory"]
    # The first process of a namespace is not sent the soft limit's signal.
    _set(resource.RLIMIT_CPU, seconds, seconds if hard_cpu else seconds + 1)
    _set(resource.RLIMIT_FSIZE, *(max(limits["disk"], limits["output"] + 1),) * 2)
    _set(resource.RLIMIT_AS, size, size)


def limit_files(count: int) -> None:
    """Limit the files that this process may have open, once the last descriptor is passed.

    The kernel holds against this limit how many descriptors of the user are on their way over any socket (unix(7),
    ETOOMANYREFS), and those of many runs that begin at once are more than a run may have open.
    """
    _set(resource.RLIMIT_NOFILE, count, count)


def _set(kind: int, soft: int, hard: int) -> None:
    try:  # noqa: SIM105 -- dearer, and this is for each run
        resource.setrlimit(kind, (soft, hard))
    except ValueError:  # a lower one is there already; of memory, not every system has one
        pass
