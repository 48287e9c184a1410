"""What worker processes do in the soak; light to import, since each new worker does."""

from __future__ import annotations

import os
import signal
import subprocess
import time


def work(how: str, mark: str) -> str:
    """Do a little, or go wrong; some leave a process behind."""
    match how:
        case "hang":
            subprocess.Popen(["sleep", "3600"])
            time.sleep(3600)
        case "bug":
            subprocess.Popen(["sleep", "3600"])
            raise KeyError(mark)
        case "exit":
            subprocess.Popen(["sleep", "3600"])
            os._exit(3)
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "memory":
            bytearray(1 << 62)
    return mark
