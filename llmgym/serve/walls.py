"""A wall round an agent program, by bubblewrap: nothing outside of its folder can be changed, and no network reached.

Programs bring interpreters and libraries from anywhere, so what the machine has can be read. The loopback behind the
wall is another one, on which a forwarder listens where the gateway does outside: all addresses stay as they are.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from llmgym.errors import ConfigError

_FORWARDER = Path(__file__).with_name("forwarder.py")
_ARGS = (
    "--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL", "--ro-bind", "/", "/", "--dev", "/dev",
    "--proc", "/proc", "--tmpfs", "/tmp", "--tmpfs", "/run",  # sockets of other services lie there
)  # fmt: skip
_PASSED_ON = ("LANG", "LC_ALL", "PATH", "TERM", "TZ")


def check() -> None:
    """See that there is a wall.

    Raises:
        ConfigError: There is none here.
    """
    reason = "bwrap is not installed: apt-get install bubblewrap"
    if shutil.which("bwrap") is not None:
        tried = subprocess.run(["bwrap", *_ARGS, "--", "true"], capture_output=True, text=True, check=False)
        reason = f"bwrap cannot make one here: {tried.stderr.strip()[-300:]}; `llmgym doctor` says what helps"
        if tried.returncode == 0:
            return
    raise ConfigError(f"agent_sandbox: {reason}")


def walled(command: Sequence[str], folder: str, door: str, port: int) -> list[str]:
    """The command that runs a program behind the wall.

    Args:
        command: The program with its arguments; those that are files are seen behind it, wherever they lie.
        folder: Its folder, which it may write to.
        door: The gateway's socket.
        port: The port where it finds the gateway.
    """
    files = (word for word in command if os.path.isabs(word) and os.path.exists(word))
    seen = [sys.prefix, str(_FORWARDER), door, *files]  # which may lie where temporary files do
    binds = [part for path in seen for part in ("--ro-bind", path, path)]
    python = os.path.realpath(sys.executable)
    inside = [python, "-I", "-S", str(_FORWARDER), door, str(port), *command]
    return ["bwrap", *_ARGS, *binds, "--bind", folder, folder, "--chdir", folder, "--", *inside]


def variables() -> dict[str, str]:
    """Those of this process's environment variables that are no secrets, and which a program may need."""
    return {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
