"""The calls of the Linux kernel that Python does not have, by ctypes."""

from __future__ import annotations

import ctypes
import os
import stat
import struct
from collections.abc import Iterable
from typing import Any

MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_PRIVATE = 2, 4, 8, 4096, 16384, 1 << 18
NEWNS, NEWCGROUP, NEWUTS, NEWIPC = 0x20000, 0x2000000, 0x4000000, 0x8000000
NEWUSER, NEWPID, NEWNET = 0x10000000, 0x20000000, 0x40000000

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_SECCOMP, _PR_SET_CHILD_SUBREAPER, _PR_SET_NO_NEW_PRIVS = 1, 4, 22, 36, 38
_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446
_CAPSET = {"x86_64": 126, "aarch64": 91}
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
_MOUNT_SETATTR = 442
_DETACH = 2

_MACHINE = os.uname().machine

# Functions and buffers are made here, once: making them costs a forked child more than the calls do.
_libc = ctypes.CDLL(None, use_errno=True)


def _function(name: str, *types: Any) -> Any:
    """A function of the C library; None on other systems, which lets this be imported there."""
    function = getattr(_libc, name, None)
    if function is not None:
        function.argtypes = types
    return function


_text, _word = ctypes.c_char_p, ctypes.c_ulong
_unshare = _function("unshare", ctypes.c_int)
_setns = _function("setns", ctypes.c_int, ctypes.c_int)
_mount = _function("mount", _text, _text, _text, _word, _text)
_umount = _function("umount2", _text, ctypes.c_int)
_prctl = _function("prctl", ctypes.c_int, *[_word] * 4)
_call = _function("syscall", *[ctypes.c_long] * 7)
_NO_CAPABILITIES = ctypes.create_string_buffer(struct.pack("<Ii", 0x20080522, 0), 8), ctypes.create_string_buffer(24)


def _check(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def _syscall(what: str, number: int, *args: int) -> int:
    return _check(_call(number, *args, *(0,) * (6 - len(args))), what)


def unshare(flags: int) -> None:
    """Leave namespaces for new ones."""
    _check(_unshare(flags), "unshare")


def setns(fd: int, kind: int) -> None:
    """Enter a namespace."""
    _check(_setns(fd, kind), "setns")


def mount(source: str, target: str, kind: str, flags: int = 0, options: str = "") -> None:
    """Mount a file system, or bind a folder."""
    _check(_mount(source.encode(), target.encode(), kind.encode(), flags, options.encode()), f"mount {target}")


def read_only(target: str) -> None:
    """Make a mount read-only, with all that is mounted in it."""
    at_recursive, at_fdcwd, rdonly, nosuid = 0x8000, -100, 1, 2
    path = ctypes.create_string_buffer(target.encode())
    attributes = ctypes.create_string_buffer(struct.pack("<QQQQ", rdonly | nosuid, 0, 0, 0), 32)
    where, what = ctypes.addressof(path), ctypes.addressof(attributes)
    _syscall(f"mount_setattr {target}", _MOUNT_SETATTR, at_fdcwd, where, at_recursive, what, 32)


def pivot_root(new: str) -> None:
    """Make a mounted folder the root, and let go of the old one."""
    os.chdir(new)
    here = ctypes.create_string_buffer(b".")
    _syscall("pivot_root", _PIVOT_ROOT[_MACHINE], ctypes.addressof(here), ctypes.addressof(here))
    _check(_umount(b".", _DETACH), "umount the old root")
    os.chdir("/")


def end_with_parent(signal: int) -> None:
    """Be sent a signal when the parent ends."""
    _check(_prctl(_PR_SET_PDEATHSIG, signal, 0, 0, 0), "prctl PDEATHSIG")


def adopt_orphans() -> None:
    """Become the parent of descendants whose own has ended."""
    _check(_prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "prctl SUBREAPER")


def gain_nothing() -> None:
    """Have no program ever run with more rights than this one."""
    _check(_prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl NO_NEW_PRIVS")


def dumpable() -> None:
    """Own one's files in /proc again, after a change of user."""
    _check(_prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0), "prctl DUMPABLE")


def drop_capabilities() -> None:
    """Give all capabilities up."""
    _syscall("capset", _CAPSET[_MACHINE], *map(ctypes.addressof, _NO_CAPABILITIES))


def map_user(uid: int, gid: int) -> None:
    """In a new user namespace, stay who one is."""
    for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
        fd = os.open(f"/proc/self/{name}", os.O_WRONLY)
        try:
            os.write(fd, text.encode())
        finally:
            os.close(fd)


class Filter:
    """A BPF program that the kernel asks about every call, ready to be installed."""

    def __init__(self, program: bytes) -> None:
        """Lay it out in memory."""
        self._code = ctypes.create_string_buffer(program, len(program))
        packed = struct.pack("@HP", len(program) // 8, ctypes.addressof(self._code))
        self._program = ctypes.create_string_buffer(packed, len(packed))

    def install(self) -> None:
        """Have the kernel ask it from now on."""
        _check(_prctl(_PR_SET_SECCOMP, 2, ctypes.addressof(self._program), 0, 0), "prctl SECCOMP")


# --- Landlock ---------------------------------------------------------------------------------

_EXECUTE, _WRITE, _READ, _LIST, _REFER, _TRUNCATE, _IOCTL = 1, 2, 4, 8, 1 << 13, 1 << 14, 1 << 15
_ON_FILES = _EXECUTE | _WRITE | _READ | _TRUNCATE
_FILE_SYSTEM = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1}
_CREATE_VERSION, _RULE_PATH = 1, 1
_ruleset, _rule = ctypes.create_string_buffer(24), ctypes.create_string_buffer(12)


def landlock_abi() -> int:
    """Version of Landlock that the kernel has; 0 for none."""
    try:
        return _syscall("landlock", _LANDLOCK_CREATE, 0, 0, _CREATE_VERSION)
    except OSError:
        return 0


def landlock(readable: Iterable[str], writable: Iterable[str]) -> None:
    """Leave of the file system only some paths, of the network no TCP, and nobody outside to signal.

    Args:
        readable: Folders and files to read and execute; those that do not exist are left out.
        writable: The same to read and write.
    """
    abi = landlock_abi()
    everything = _FILE_SYSTEM.get(abi, (1 << 16) - 1)
    size = 24 if abi >= 6 else 16 if abi >= 4 else 8
    struct.pack_into("<QQQ", _ruleset, 0, everything, 3, 3)  # also no TCP; and no signals nor abstract sockets outside
    rules = _syscall("landlock", _LANDLOCK_CREATE, ctypes.addressof(_ruleset), size, 0)
    try:
        for path in readable:
            _allow(rules, path, everything & (_EXECUTE | _READ | _LIST))
        for path in writable:
            _allow(rules, path, everything & ~_IOCTL)
        _syscall("landlock_restrict_self", _LANDLOCK_RESTRICT, rules, 0)
    finally:
        os.close(rules)


def _allow(rules: int, path: str, access: int) -> None:
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except (FileNotFoundError, PermissionError):
        return
    try:
        if not stat.S_ISDIR(os.fstat(fd).st_mode):
            access &= _ON_FILES
        struct.pack_into("<Qi", _rule, 0, access, fd)
        _syscall("landlock_add_rule", _LANDLOCK_ADD, rules, _RULE_PATH, ctypes.addressof(_rule), 0)
    finally:
        os.close(fd)
