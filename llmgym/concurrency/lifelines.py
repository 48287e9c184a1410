"""Groups of processes that end with the process which started them, however that ends; on Linux."""

from __future__ import annotations

import fcntl
import os
import signal

#: Whether the kernel does this.
CAN_TIE = hasattr(fcntl, "F_SETSIG")


def tie(group: int, pipe: int) -> None:
    """Have the kernel kill a group once the other end of a pipe is closed; it must be open for as long on this side.

    Args:
        group: The group.
        pipe: The end that is read.
    """
    fcntl.fcntl(pipe, fcntl.F_SETOWN, -group)
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

    def tie(self, group: int) -> None:
        """Tie the group, once there is one; it has the only copy of its end from now on."""
        if CAN_TIE:
            tie(group, self.end)
        os.close(self.end)
        self.end = -1

    def close(self) -> None:
        """Let go of it, once the group has ended."""
        os.close(self._held)
        if self.end >= 0:
            os.close(self.end)
