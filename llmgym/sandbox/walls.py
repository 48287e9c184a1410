"""How a zygote is started at each level: what is outside of it, and what it does to its runs."""

from __future__ import annotations

import os
import shutil
import stat
import sys
import sysconfig
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from llmgym.sandbox.inside.contain import BOX, LINUX, SLOTS, Containment

#: What a sandbox is made of, the strongest first.
Level = Literal["bubblewrap", "namespaces", "landlock", "process"]
_APART = ("bubblewrap", "namespaces")  # with namespaces of mounts and processes
LEVELS: tuple[Level, ...] = ("bubblewrap", "namespaces", "landlock", "process")

_HERE = Path(__file__).parent
_MODULES = "/opt/llmgym"
_DEVICES = tuple(f"/dev/{name}" for name in ("null", "zero", "full", "random", "urandom"))
_SYSTEM = ("/usr", "/etc/ld.so.cache", "/etc/alternatives")
_ROOTS = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")  # links into /usr, or folders of their own
_TEMPORARY = ("/tmp", "/dev/shm")  # links to the run's own, unless Python itself lies there

# llmgym's own package is never imported inside: its name stands for the folder of these modules only.
_START = """
import sys, types
place, control, host = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
for name, folder in (("llmgym", place), ("llmgym.sandbox", place + "/sandbox")):
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = [folder]
from llmgym.sandbox.inside import zygote
for name in [name for name in sys.modules if name.partition(".")[0] == "llmgym"]:
    del sys.modules[name]
zygote.main(control, host)
"""


@dataclass(frozen=True)
class Wall:
    """What starts a zygote.

    Attributes:
        command: Program and arguments, without the two descriptors.
        config: First message to it, without the user of its runs.
        own_users: Whether each run gets a user of its own.
    """

    command: tuple[str, ...]
    config: dict[str, Any]
    own_users: bool


def build(level: Level, imports: Sequence[str]) -> Wall:
    """Plan a zygote.

    Args:
        level: How it is walled in.
        imports: Modules that it has loaded; with any, programs see the packages of this Python.
    """
    packages = _packages() if imports else []
    needed = _apart({*_interpreter(), *packages})
    inner = level in _APART
    own = own_users(level)
    links = [(path, os.readlink(path)) for path in _ROOTS if os.path.islink(path)]
    links += [(path, f"{BOX}/tmp") for path in _TEMPORARY if not any(_beneath(other, path) for other in needed)]
    roots = [path for path in _ROOTS if os.path.isdir(path) and not os.path.islink(path)]
    binds = [path for path in (*_SYSTEM, *roots, *needed, *_DEVICES) if os.path.exists(path)]
    containment = Containment(
        apart=inner,
        user_namespace=inner and not own,
        first_uid=None,
        readable=binds if level == "landlock" else None,
        seccomp=level != "process",
        scratch=BOX if inner else _scratch_folder(),
    )
    folders = sorted({str(parent) for path in (*binds, "/proc/") for parent in Path(path).parents} - {"/"})
    layout = {
        "binds": binds,
        "links": links,
        "folders": [*folders, "/proc", BOX],
    }
    python = [str(_program()), "-s", "-P", "-S", "-c", _START]
    if level == "bubblewrap":
        # To give runs users of their own, or a namespace of users in which root is one.
        more = ("SETUID", "SETGID", "KILL") if own else ("SETFCAP",) if os.getuid() == 0 else ()
        command = [*_bubblewrap(layout, ("SYS_ADMIN", *more)), "--", *python, _MODULES]
    else:
        command = [*python, str(_HERE.parent)]
    config = {
        "containment": containment._asdict(),
        "layout": layout if level == "namespaces" else None,
        "packages": packages,
        "imports": list(imports),
    }
    return Wall(tuple(command), config, own)


def own_users(level: Level) -> bool:
    """Whether each run gets a user of its own.

    For that this process must be root, of more than a container with one user, and the run's must be able to reach
    Python; behind a wall, where all folders on the way are new, any user can.
    """
    if not LINUX or os.getuid() != 0 or first_uid(0) is None:
        return False
    return level in _APART or all(map(_open_to_all, _interpreter()))


def first_uid(pid: int) -> int | None:
    """Users for the runs of a zygote that no other zygote on the machine has, above all that people or tools give out.

    In a container with a small range of users they are from that range, and may be shared; None where it has too few.
    """
    with open("/proc/self/uid_map") as file:
        ranges = [(int(first), int(count)) for first, _, count in (line.split() for line in file)]
    for wanted in (0x70000000 + pid % (1 << 18) * SLOTS, 20000 + pid * 64 % 40000):
        if any(first <= wanted < first + count - SLOTS for first, count in ranges):
            return wanted
    return None


def _bubblewrap(layout: dict[str, Any], capabilities: Sequence[str]) -> list[str]:
    args = [shutil.which("bwrap") or "bwrap", "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts"]
    args += ["--unshare-cgroup-try", "--new-session", "--clearenv", "--cap-drop", "ALL"]
    if os.getuid() != 0:
        args += ["--unshare-user"]
    for name in capabilities:
        args += ["--cap-add", f"CAP_{name}"]
    for path in layout["folders"]:
        args += ["--dir", path]
    for path, target in layout["links"]:
        args += ["--symlink", target, path]
    for path in layout["binds"]:
        args += ["--dev-bind" if path in _DEVICES else "--ro-bind", path, path]
    args += ["--ro-bind", str(_HERE), f"{_MODULES}/sandbox", "--proc", "/proc", "--remount-ro", "/", "--chdir", "/"]
    return args


def _interpreter() -> list[str]:
    """Folders that this Python needs."""
    return [os.path.realpath(path) for path in (sys.base_prefix, sys.base_exec_prefix, _program().parent)]


def _program() -> Path:
    """This Python itself, not the link to it of a virtual environment."""
    return Path(os.path.realpath(sys.executable))


def _packages() -> list[str]:
    """Folders of installed packages."""
    paths = sysconfig.get_paths()
    return sorted({os.path.realpath(paths[name]) for name in ("purelib", "platlib")})


def _apart(folders: set[str]) -> list[str]:
    """Those that are in none of the others, nor there anyway."""
    return sorted(
        path for path in folders if not any(_beneath(path, other) for other in {*_SYSTEM, *folders} if other != path)
    )


def _beneath(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _open_to_all(path: str) -> bool:
    return all(os.stat(place).st_mode & stat.S_IXOTH for place in (path, *map(str, Path(path).parents)))


def _scratch_folder() -> str:
    folder = tempfile.mkdtemp(prefix="llmgym-sandbox-")
    os.chmod(folder, 0o711)
    return folder
