"""What a run may use, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Literal

from llmgym.errors import ConfigError, EnvironmentFailure

#: How a run ended, as the program's own doing.
#:
#: "ok" (exit code 0), "error" (another, or a signal of its own), "timeout" (`wall`), "cpu", "memory" (a Python program
#: that did not catch its MemoryError), "output" (`output`), "files" (what it should leave is too large or no regular
#: file), "killed" (by somebody else, such as the kernel out of memory), "lost" (a session that has ended).
Status = Literal["ok", "error", "timeout", "cpu", "memory", "output", "files", "killed", "lost"]


class SandboxFailure(EnvironmentFailure):
    """The sandbox failed, which says nothing about the program."""

    def __init__(self, message: str) -> None:
        """Say what failed."""
        super().__init__(message, kind="infrastructure")


@dataclass(frozen=True, slots=True)
class Limits:
    """What a run may use; what it must stay within is the sandbox's to enforce, as far as its level does.

    Attributes:
        wall: Seconds on the clock, from its start; of a session in all.
        cpu: Seconds of a processor, in whole seconds upwards; of a session in all.
        memory: Bytes of address space, of each process.
        processes: Child processes at once; 0 lets none be made.
        threads: Threads at once.
        output: Bytes of standard output that are kept, and of standard error.
        disk: Bytes of all that it writes; of one file where the level bounds no sum.
        files: Open files of a process.
    """

    wall: float = 10.0
    cpu: float = 5.0
    memory: int = 256 << 20
    processes: int = 0
    threads: int = 16
    output: int = 1 << 20
    disk: int = 16 << 20
    files: int = 64

    def __post_init__(self) -> None:
        """Refuse what makes no sense.

        Raises:
            ConfigError: A limit is no number, or too small.
        """
        for entry in fields(self):
            value = getattr(self, entry.name)
            whole = entry.name not in ("wall", "cpu")
            least = 0 if entry.name == "processes" else _LEAST.get(entry.name, 1)
            if isinstance(value, bool) or not isinstance(value, int if whole else int | float) or not value >= least:
                kind = "a whole number" if whole else "a number"
                raise ConfigError(f"Limits({entry.name}=) must be {kind}, at least {least}; it is {value!r}")


_LEAST = {"wall": 0.001, "cpu": 0.001, "memory": 1 << 20, "disk": 1 << 16, "files": 16}

#: For shell commands, which are programs that start programs.
COMMAND_LIMITS = Limits(processes=32)
#: For sessions and shells, whose time is bounded cell by cell.
SESSION_LIMITS = Limits(wall=3600.0, cpu=600.0)
SHELL_LIMITS = Limits(wall=3600.0, cpu=600.0, processes=32)


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a run, or of a cell of a session.

    All but the last four fields is what untrusted code says: it is data to compare, outside, with what is right.

    Attributes:
        status: How it ended.
        exit_code: As `subprocess` has it: negative for a signal; None where a session was lost.
        stdout: What it printed, cut at the limit.
        stderr: The same of standard error.
        files: Contents of the files that were asked for, those that are there.
        cpu_s: Seconds of a processor that it took; of a cell, by its own word.
        wall_s: Seconds from its start to its end.
        peak_memory: Bytes of memory of its largest process, with about 10 MB of Python's; 0 for a cell.
        level: Level of the sandbox.
    """

    status: Status
    exit_code: int | None
    stdout: str
    stderr: str
    files: Mapping[str, bytes] = field(default_factory=dict)
    cpu_s: float = 0.0
    wall_s: float = 0.0
    peak_memory: int = 0
    level: str = "process"

    @property
    def ok(self) -> bool:
        """Whether it ended well."""
        return self.status == "ok"
