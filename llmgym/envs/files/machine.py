"""A shell in this process: shellsim, which runs no program of the host, reads no file of it, and counts what it spends.

It is young, so all that is known of it stands here.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import cache
from typing import Any

from llmgym.envs.files.trees import Tree
from llmgym.errors import MissingExtraError

_ROOT = "/work"
# Ordinary commands take some thousands of these units; an endless loop is stopped after a tenth of a second.
SECONDS = 3.0  # that a command may take
_PATIENCE = 30.0  # seconds that reading the folder may; it takes some 15 ms, and more where the model's jobs still run
_BUDGET = {"cpu": 20_000_000, "memory": 64 << 20, "disk": 16 << 20, "output": 2 << 20}
# Every entry with a letter: a file, a link, something else.
_WALK = f"""
walk() {{
  local entry
  for entry in "$1"/* "$1"/.*; do
    if [[ $entry == */. || $entry == */.. ]]; then continue
    elif [[ -L $entry ]]; then printf 'l%s\\0' "$entry"
    elif [[ -d $entry ]]; then walk "$entry"
    elif [[ -f $entry ]]; then printf 'f%s\\0' "$entry"
    elif [[ -e $entry ]]; then printf 'o%s\\0' "$entry"
    fi
  done
}}
walk {_ROOT}
true
"""


class Machine:
    """A shell on a folder of its own."""

    def __init__(self, tree: Tree) -> None:
        """Start it.

        Raises:
            MissingExtraError: shellsim is not there.
        """
        shellsim = load()
        self._error: type[Exception] = shellsim.SimulationError
        self._token: Callable[[], Any] = shellsim.CancellationToken
        self._machine: Any = _context().Environment(shellsim.Limits(**_BUDGET))
        for path, said in tree.items():
            if folder := path.rpartition("/")[0]:
                self._machine.mkdir(f"{_ROOT}/{folder}", parents=True)
            self._machine.write_file(f"{_ROOT}/{path}", said)
        self._shell = self._begun()

    def _begun(self) -> Any:
        shell = self._machine.create_shell()
        shell.run(f"cd {_ROOT}")
        return shell

    @property
    def is_spent(self) -> bool:
        """Whether it has used up what it had, so that it runs nothing any more."""
        return self._machine.terminated

    def run(self, command: str) -> Any:
        """Run a command; a shell that an earlier one has ended is begun anew."""
        try:
            return self._within_time(self._shell.run, command)
        except self._error:
            self._shell = self._begun()
            return self._within_time(self._shell.run, command)

    def _within_time(self, run: Callable[..., Any], command: str, seconds: float = SECONDS) -> Any:
        """What a command gives; one past its time is interrupted, since there are some that spend next to nothing."""
        token = self._token()
        timer = threading.Timer(seconds, token.cancel)
        timer.start()
        try:
            return run(command, cancellation=token)
        finally:
            timer.cancel()

    def files(self) -> dict[str, bytes | None] | None:
        """Contents by path, None for what is no file; None where it is spent, or jobs of the model leave it no time."""
        # A shell of its own, and what is built into it: the model's can be made to lie, and so can programs.
        found = self._within_time(self._machine.run, _WALK, _PATIENCE)
        if self.is_spent or found.returncode:
            return None
        entries = (entry for entry in found.stdout.decode("utf-8", "surrogateescape").split("\0") if entry)
        return {
            entry[1:].removeprefix(f"{_ROOT}/"): self._machine.read_file(entry[1:]) if entry[0] == "f" else None
            for entry in entries
        }


@cache
def _context() -> Any:
    """What machines are made from: preparing it takes longer than making one."""
    return load().Context(offline=True)


def load() -> Any:
    """The module.

    Raises:
        MissingExtraError: It is not there.
    """
    try:
        import shellsim  # pyright: ignore[reportMissingImports]
    except ModuleNotFoundError:
        raise MissingExtraError("a shell in the process", "shell") from None
    return shellsim
