"""The sandbox as it is used: programs, commands, sessions and shells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from llmgym.sandbox import levels, runs
from llmgym.sandbox.results import COMMAND_LIMITS, SESSION_LIMITS, SHELL_LIMITS, Limits, Result
from llmgym.sandbox.sessions import Session
from llmgym.sandbox.walls import Level
from llmgym.sandbox.zygotes import leased

_PROGRAM_LIMITS = Limits()


class Sandbox:
    """Runs what nobody trusts: each program in a contained process of its own, in an empty folder, without a network.

    Making one costs nothing; processes are started with the first run, shared by all sandboxes of the process, and
    ended with it. It can be used from any event loop, and synchronously by `run_sync`.
    """

    def __init__(self, *, least: Level = "process", level: Level | None = None, imports: Sequence[str] = ()) -> None:
        """Describe it.

        Args:
            least: The weakest level that will do.
            level: The level to take; None for the strongest that is there, or the one that `LLMGYM_SANDBOX` names.
            imports: Modules that programs find loaded, such as "numpy"; with any, they see all installed packages.
        """
        self.least: Level = least
        self._level: Level | None = level
        self._imports = tuple(imports)

    @property
    def level(self) -> Level:
        """The level that it has.

        Raises:
            SandboxUnavailable: None is there that will do; says what each needs.
        """
        return levels.choose(self.least, self._level)

    def check(self) -> None:
        """See that a level is there that will do; `level` raises where there is none."""
        _ = self.level

    async def run(
        self,
        program: str,
        *,
        stdin: str | bytes = b"",
        argv: Sequence[str] = (),
        files: Mapping[str, bytes] | None = None,
        outputs: Sequence[str] = (),
        limits: Limits = _PROGRAM_LIMITS,
    ) -> Result:
        """Run a Python program to its end. Cancelling the call kills it.

        Args:
            program: Its source.
            stdin: What it reads.
            argv: Its arguments.
            files: Contents of files in its folder, by name.
            outputs: Names of files that it leaves there, to be given back where it ended well.
            limits: What it may use.

        Raises:
            SandboxFailure: The sandbox failed, which says nothing about the program.
            SandboxUnavailable: No level is there that will do.
            ConfigError: An argument makes no sense.
        """
        async with leased(self.level, self._imports) as zygote:
            source, read = runs.as_bytes(program), runs.as_bytes(stdin)
            return await runs.run(zygote, "program", source, argv, read, files or {}, outputs, limits)

    async def command(
        self,
        command: str | Sequence[str],
        *,
        stdin: str | bytes = b"",
        files: Mapping[str, bytes] | None = None,
        outputs: Sequence[str] = (),
        limits: Limits = COMMAND_LIMITS,
    ) -> Result:
        """Run a program of the system to its end: a command of a shell, or a program and its arguments; see `run`."""
        argv = ["/bin/sh", "-c", command] if isinstance(command, str) else command
        async with leased(self.level, self._imports) as zygote:
            read = runs.as_bytes(stdin)
            return await runs.run(zygote, "command", b"", argv, read, files or {}, outputs, limits)

    def session(self, *, files: Mapping[str, bytes] | None = None, limits: Limits = SESSION_LIMITS) -> Session:
        """A Python that keeps its names from cell to cell.

        Args:
            files: Contents of files in its folder, by name.
            limits: What it may use in all.
        """
        return Session("session", self.level, self._imports, files or {}, limits)

    def shell(self, *, files: Mapping[str, bytes] | None = None, limits: Limits = SHELL_LIMITS) -> Session:
        """A shell that keeps its folder, its files and exported variables from command to command; see `session`."""
        return Session("shell", self.level, self._imports, files or {}, limits)
