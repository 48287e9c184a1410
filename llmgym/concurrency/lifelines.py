"""Groups of processes that end with the process which started them, however that ends; on Linux."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import sys
from collections.abc import Sequence

#: Whether the kernel does this.
CAN_TIE = hasattr(fcntl, "F_SETSIG")


def tie(pipe: int) -> None:
    """Have the kernel kill the group that this process leads once the other end of a pipe is closed.

    Args:
        pipe: The end that is read; it must be open for as long on this side.
    """
    fcntl.fcntl(pipe, fcntl.F_SETOWN, -os.getpid())
    fcntl.fcntl(pipe, fcntl.F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(pipe, fcntl.F_SETFL, fcntl.fcntl(pipe, fcntl.F_GETFL) | os.O_ASYNC)


class Lifeline:
    """A pipe whose one end this process has, and whose other a group that it starts and that is to end with it.

    Attributes:
        end: The descriptor to hand to the group's first process.
    """

    def __init__(self) -> None:
        """Open it."""
        self.end, self._held = os.pipe()

    def tied(self, command: Sequence[str]) -> list[str]:
        """The command that ties its group before it becomes another; it says so where that cannot be run."""
        return [sys.executable, "-I", "-S", __file__, str(self.end), *command] if CAN_TIE else list(command)

    def hand_over(self) -> None:
        """Leave the group the only copy of its end."""
        os.close(self.end)
        self.end = -1

    def close(self) -> None:
        """Let go of it, once the group has ended."""
        os.close(self._held)
        if self.end >= 0:
            os.close(self.end)


def _become(pipe: int, command: Sequence[str]) -> str:
    """Be a command in a tied group; what is wrong where that cannot be."""
    tie(pipe)
    if select.select([pipe], [], [], 0)[0]:
        return "the process that started this has ended"
    for ignored in (signal.SIGPIPE, signal.SIGXFSZ):  # by Python, and by all that it becomes
        signal.signal(ignored, signal.SIG_DFL)
    try:
        os.execvp(command[0], [*command])
    except OSError as error:
        return f"cannot run {command[0]!r}: {error.strerror}"


if __name__ == "__main__":
    print(_become(int(sys.argv[1]), sys.argv[2:]), file=sys.stderr)  # noqa: T201 -- a script
    sys.exit(127)
