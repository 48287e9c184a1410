"""Which levels this machine has, found out by running the real thing, once in a process."""

from __future__ import annotations

import asyncio
import os
import shutil
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

from llmgym.errors import ConfigError
from llmgym.sandbox import groups, runs, walls, zygotes
from llmgym.sandbox.inside import calls, kernel
from llmgym.sandbox.inside.contain import LINUX
from llmgym.sandbox.results import Limits, SandboxFailure
from llmgym.sandbox.walls import LEVELS, Level

#: Names the level to take, where it is there, instead of the strongest.
VARIABLE = "LLMGYM_SANDBOX"

# A level that claims to hide files and to have no network must show it.
_PROBE = """
import socket
for name, reach in ("the network", socket.socket), ("files", lambda: open("/etc/passwd")):
    try:
        reach()
        print(name, "can be reached")
    except OSError:
        pass
"""
_NAMESPACES = (
    "allow namespaces: sysctl kernel.apparmor_restrict_unprivileged_userns=0 (Ubuntu) or "
    "user.max_user_namespaces=15000; in Docker --security-opt seccomp=unconfined --cap-add SYS_ADMIN"
)
_FIXES = {
    "docker": "start Docker, or podman, on this machine and let this user talk to it: `docker info` must answer",
    "bubblewrap": _NAMESPACES,
    "namespaces": _NAMESPACES,
    "landlock": "use a kernel of 5.13 or newer with `landlock` in its boot option lsm=",
    "process": "see that this Python runs: python -s -P -S -c pass",
}


class SandboxUnavailable(ConfigError):
    """No level is there that is as strong as what is asked for."""


@dataclass(frozen=True, slots=True)
class Availability:
    """What a probe found.

    Attributes:
        level: The level; "cgroups" for limits of all that a run has started together, at any level but `docker`.
        reason: Why it is not there; None where it is.
        fix: What to do about that.
    """

    level: Level | Literal["cgroups"]
    reason: str | None = None
    fix: str | None = None

    @property
    def available(self) -> bool:
        """Whether it is there."""
        return self.reason is None


@cache
def probe(level: Level) -> Availability:
    """See whether a level is there, by a run that tries what it must not reach."""
    if level == "process":
        return Availability(level)
    if not LINUX:
        return Availability(level, "it is Linux's", "use Linux, such as in a container or a virtual machine")
    if not calls.supported():
        return Availability(level, f"calls of {os.uname().machine} are not known", "use x86-64 or arm64")
    if level == "bubblewrap" and shutil.which("bwrap") is None:
        return Availability(level, "bwrap is not installed", "apt-get install bubblewrap, or dnf install bubblewrap")
    if level == "landlock" and (lacking := _landlock_lacks()):
        return lacking
    found: list[str] = []
    thread = threading.Thread(target=lambda: found.append(asyncio.run(_try(level))), name="llmgym-probe")
    thread.start()
    thread.join()
    return Availability(level, found[0], _FIXES[level]) if found[0] else Availability(level)


def _landlock_lacks() -> Availability | None:
    abi = kernel.landlock_abi()
    if abi == 0:
        return Availability("landlock", "the kernel has no Landlock", _FIXES["landlock"])
    if abi < 6 and not walls.own_users("landlock"):
        fix = "use a kernel of 6.12 or newer, or run as root a Python that every user can reach"
        return Availability("landlock", f"Landlock {abi} lets programs signal other processes of this user", fix)
    return None


async def _try(level: Level) -> str:
    """Why a level is not there; nothing where it is."""
    try:
        async with zygotes.leased(level, ()) as zygote:
            result = await runs.run(zygote, "program", _PROBE.encode(), (), b"", {}, (), Limits())
    except SandboxFailure as failure:
        return str(failure).removeprefix(f"the sandbox {level}: ")
    return result.stdout.strip() or result.stderr.strip().rpartition("\n")[2]


def survey() -> list[Availability]:
    """What is there of all levels, the strongest first."""
    return [probe(level) for level in LEVELS]


def control_groups() -> Availability:
    """Whether the memory of a run's processes together can be bounded, and not only that of each."""
    reason = groups.missing()
    fix = "systemd-run --user --scope COMMAND; in a container, processes in one group and a parent that can be written"
    return Availability("cgroups", reason, None if reason is None else fix)


def choose(least: Level, level: Level | None = None) -> Level:
    """The strongest level that is there, or the one that is asked for.

    Args:
        least: The weakest that will do.
        level: The one to take; None for what `LLMGYM_SANDBOX` says, or else the strongest.

    Raises:
        SandboxUnavailable: There is none; shows the table of `llmgym doctor`.
        ConfigError: A name is no level's.
    """
    asked = level or os.environ.get(VARIABLE) or None
    for name in (least, asked):
        if name is not None and name not in LEVELS:
            raise ConfigError(f"{name!r} is no level of the sandbox; there is {', '.join(LEVELS)}")
    for candidate in LEVELS[: LEVELS.index(least) + 1]:
        if candidate == "docker" and "docker" not in (least, asked):
            continue  # containers are made where somebody asks for them
        if asked in (None, candidate) and probe(candidate).available:
            _taken[candidate] = None
            return candidate
    what = f"at least {least}" + (f", and {asked} is asked for" if asked else "")
    raise SandboxUnavailable(f"no sandbox will do: it must be {what}. {table(survey())}")


def taken() -> list[Level]:
    """The levels that anything in this process has had."""
    return list(_taken)


_taken: dict[Level, None] = {}


def table(found: Sequence[Availability]) -> str:
    """What was found, as a sentence for each level."""
    return "; ".join(
        f"{one.level}: there" if one.available else f"{one.level}: not there ({one.reason}; {one.fix})" for one in found
    )
