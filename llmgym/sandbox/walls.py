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

from llmgym.sandbox import containers
from llmgym.sandbox.inside import kernel
from llmgym.sandbox.inside.contain import BOX, LINUX, Containment, first_uid

#: What a sandbox is made of, the strongest first.
Level = Literal["docker", "bubblewrap", "namespaces", "landlock", "process"]
_APART = ("bubblewrap", "namespaces")  # with namespaces of mounts and processes for each run
LEVELS: tuple[Level, ...] = ("docker", "bubblewrap", "namespaces", "landlock", "process")

_HERE = Path(__file__).parent
_MODULES = "/opt/llmgym"
_DEVICES = tuple(f"/dev/{name}" for name in ("null", "zero", "full", "random", "urandom"))
_SYSTEM = ("/usr", "/etc/ld.so.cache", "/etc/alternatives")
_ROOTS = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")  # links into /usr, or folders of their own
_TEMPORARY = ("/tmp", "/dev/shm")  # links to the run's own, unless Python itself lies there

#: The environment of a zygote. Sets have the same order in each; and functions of libraries are looked up once, by the
#: zygote, where each of its children would do so again.
VARIABLES = {
    "PYTHONHASHSEED": "0",
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "LANG": "C.UTF-8",
    "LD_BIND_NOW": "1",
}

# llmgym's own package is never imported inside: its name stands for the folder of these modules only.
_START = """
import sys, types
place, *way = sys.argv[1:]
for name, folder in (("llmgym", place), ("llmgym.sandbox", place + "/sandbox")):
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = [folder]
from llmgym.sandbox.inside import zygote
for name in [name for name in sys.modules if name.partition(".")[0] == "llmgym"]:
    del sys.modules[name]
zygote.main(*way)
"""


@dataclass(frozen=True)
class Wall:
    """What starts a zygote.

    Attributes:
        command: Program and arguments, without the two descriptors.
        config: First message to it.
        own_users: Whether each run gets a user of its own.
        scratch: Folder of this system for what runs write, where they share it.
        door: Where it takes the descriptors, which it cannot inherit.
    """

    command: tuple[str, ...]
    config: dict[str, Any]
    own_users: bool
    scratch: str | None
    door: containers.Door | None


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
    if inner:
        links += [(path, f"{BOX}/tmp") for path in _TEMPORARY if not any(_beneath(other, path) for other in needed)]
    roots = [path for path in _ROOTS if os.path.isdir(path) and not os.path.islink(path)]
    binds = [path for path in (*_SYSTEM, *roots, *needed, *_DEVICES) if os.path.exists(path)]
    folders = sorted({str(parent) for path in (*binds, "/proc/") for parent in Path(path).parents} - {"/"})
    layout = {
        "binds": binds,
        "links": links,
        "folders": [*folders, "/proc", BOX],
    }
    command, door = _command(level, layout, own)
    scratch = None if inner or door else _scratch_folder()
    containment = Containment(
        apart=inner,
        user_namespace=inner and not own,
        first_uid=None,
        readable=binds if level == "landlock" or (level == "docker" and kernel.landlock_abi()) else None,
        seccomp=level != "process",
        scratch=scratch or BOX,
    )
    config = {
        "containment": containment._asdict(),
        "layout": layout if level == "namespaces" else None,
        "packages": packages,
        "imports": list(imports),
    }
    return Wall(tuple(command), config, own, scratch, door)


def _command(level: Level, layout: dict[str, Any], own: bool) -> tuple[list[str], containers.Door | None]:
    python = [str(_program()), "-s", "-P", "-S", "-c", _START]
    if level == "docker":
        door = containers.Door()
        try:
            seen = {**layout, "binds": [path for path in layout["binds"] if path not in _DEVICES]}
            outside = containers.command(seen, {str(_HERE): f"{_MODULES}/sandbox"}, door, VARIABLES)
        except BaseException:
            door.close()
            raise
        return [*outside, *python, _MODULES, containers.DOOR], door
    if level == "bubblewrap":
        # To give runs users of their own, or a namespace of users in which root is one.
        more = ("SETUID", "SETGID", "KILL") if own else ("SETFCAP",) if os.getuid() == 0 else ()
        return [*_bubblewrap(layout, ("SYS_ADMIN", *more)), "--", *python, _MODULES], None
    return [*python, str(_HERE.parent)], None


def own_users(level: Level) -> bool:
    """Whether each run gets a user of its own.

    For that this process must be root, of more than a container with one user, and the run's must be able to reach
    Python; behind a wall, where all folders on the way are new, any user can.
    """
    if level == "docker":  # root of the container is there to give them
        return True
    if not LINUX or os.getuid() != 0 or first_uid(0) is None:
        return False
    return level in _APART or all(map(_open_to_all, _interpreter()))


def _bubblewrap(layout: dict[str, Any], capabilities: Sequence[str]) -> list[str]:
    args = [shutil.which("bwrap") or "bwrap", "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts"]
    args += ["--unshare-cgroup-try", "--new-session", "--clearenv", "--cap-drop", "ALL"]
    if os.getuid() != 0:
        args += ["--unshare-user"]
    for name, value in VARIABLES.items():
        args += ["--setenv", name, value]
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
