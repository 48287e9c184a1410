"""The calls of the kernel that a run may not make, as a BPF program for seccomp."""

from __future__ import annotations

import errno
import os
import struct

_Calls = dict[str, tuple[int | None, int | None]]

_ARCHITECTURES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}

# Numbers on x86-64 and on arm64; None where there is no such call. What neither a run nor the zygote ever needs: other
# processes' memory, the kernel's own workings, keys, and what outlives a run or escapes its limits, such as shared
# memory and queues.
_NEVER: _Calls = {
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "pidfd_getfd": (438, 438),
    "process_madvise": (440, 440), "kcmp": (312, 272), "move_pages": (279, 239), "migrate_pages": (256, 238),
    "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282), "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426), "io_uring_register": (427, 427), "fanotify_init": (300, 262), "syslog": (103, 116),
    "kexec_load": (246, 104), "kexec_file_load": (320, 294), "init_module": (175, 105), "finit_module": (313, 273),
    "delete_module": (176, 106), "reboot": (169, 142), "swapon": (167, 224), "swapoff": (168, 225), "acct": (163, 89),
    "quotactl": (179, 60), "settimeofday": (164, 170), "clock_settime": (227, 112), "adjtimex": (159, 171),
    "clock_adjtime": (305, 266), "sethostname": (170, 161), "setdomainname": (171, 162), "iopl": (172, None),
    "ioperm": (173, None), "modify_ldt": (154, None), "personality": (135, 92), "vhangup": (153, 58),
    "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219), "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265), "shmget": (29, 194), "semget": (64, 190), "msgget": (68, 186),
    "mq_open": (240, 180), "memfd_secret": (447, 447), "chroot": (161, 51),
    # What the zygote has done by then: the wall around it, and files in memory, which escape the limit of memory.
    "umount2": (166, 39), "pivot_root": (155, 41), "open_tree": (428, 428), "open_tree_attr": (467, 467),
    "move_mount": (429, 429), "fsopen": (430, 430), "fsconfig": (431, 431), "fsmount": (432, 432),
    "fspick": (433, 433), "mount_setattr": (442, 442), "memfd_create": (319, 279),
}  # fmt: skip
# What the zygote needs, and no run does. Few: a program costs every run time by its length.
_ZYGOTES: _Calls = {"mount": (165, 40), "unshare": (272, 97), "setns": (308, 268)}
# Changes to what a file is, which Landlock does not cover: done by nobody, and nobody is told.
_METADATA: _Calls = {
    "chmod": (90, None), "fchmodat": (268, 53), "fchmodat2": (452, 452), "chown": (92, None), "lchown": (94, None),
    "fchownat": (260, 54), "utime": (132, None), "utimes": (235, None), "futimesat": (261, None),
    "utimensat": (280, 88), "setxattr": (188, 5), "lsetxattr": (189, 6), "removexattr": (197, 14),
    "lremovexattr": (198, 15), "setxattrat": (463, 463), "removexattrat": (466, 466), "file_setattr": (469, 469),
}  # fmt: skip
_CLONE3: _Calls = {"clone3": (435, 435)}
_FORKS: _Calls = {"fork": (57, None), "vfork": (58, None)}
_CLONE, _SOCKET = (56, 220), (41, 198)
_CLONE_THREAD, _NAMESPACES = 0x10000, 0x7E020080
_AF_UNIX = 1

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL, _ERROR = 0x7FFF0000, 0x80000000, 0x50000
_NUMBER, _ARCHITECTURE, _FIRST = 0, 4, 16  # offsets in what the kernel hands to the program


def supported() -> bool:
    """Whether the numbers of this machine's calls are known."""
    return os.uname().machine in _ARCHITECTURES


def never() -> bytes:
    """The program for the zygote, which its runs inherit: two short ones cost a run less than one that is long."""
    column, code = _begin()
    return b"".join([*code, *_refuse_all(_NEVER, column, errno.EPERM), _return(_ALLOW)])


def refusing(*, processes: bool, local_sockets: bool, metadata: bool) -> bytes:
    """The program for a run, on top of the zygote's.

    Args:
        processes: Whether new processes are allowed; threads always are.
        local_sockets: Whether Unix sockets are; no others ever are.
        metadata: Whether modes, owners and times of files by path are.
    """
    column, code = _begin()
    code += _refuse_all(_ZYGOTES, column, errno.EPERM)
    code += _refuse_all(_CLONE3, column, errno.ENOSYS)  # its arguments are in memory; the C library then uses clone
    if not metadata:
        code += _refuse_all(_METADATA, column, 0)
    # Calls that depend on their first argument: past two comparisons, or on to them.
    clone = [_load(_FIRST), *_refuse(_ANY_BIT, _NAMESPACES, errno.EPERM)]
    if not processes:
        code += _refuse_all(_FORKS, column, errno.EPERM)
        clone += [_jump(_ANY_BIT, _CLONE_THREAD, 1, 0), _return(_ERROR | errno.EPERM)]
    socket = [_return(_ERROR | errno.EAFNOSUPPORT)]
    if local_sockets:
        socket = [_load(_FIRST), _jump(_EQUAL, _AF_UNIX, 1, 0), *socket]
    for numbers, inspect in ((_CLONE, clone), (_SOCKET, socket)):
        inspect = [*inspect, _return(_ALLOW)]
        code += [_jump(_EQUAL, numbers[column], 0, len(inspect)), *inspect]
    return b"".join([*code, _return(_ALLOW)])


def _begin() -> tuple[int, list[bytes]]:
    """The column of this machine's numbers, and a beginning that refuses those of any other."""
    architecture, column = _ARCHITECTURES[os.uname().machine]
    code = [_load(_ARCHITECTURE), _jump(_EQUAL, architecture, 1, 0), _return(_KILL), _load(_NUMBER)]
    if column == 0:  # the calls of x32 have other numbers
        code += _refuse(_AT_LEAST, 0x40000000, errno.ENOSYS)
    return column, code


def _refuse_all(calls: _Calls, column: int, number: int) -> list[bytes]:
    known = [numbers[column] for numbers in calls.values()]
    return [part for call in known if call is not None for part in _refuse(_EQUAL, call, number)]


def _load(offset: int) -> bytes:
    return struct.pack("<HBBI", _LOAD, 0, 0, offset)


def _jump(test: int, value: int, yes: int, no: int) -> bytes:
    return struct.pack("<HBBI", test, yes, no, value)


def _return(value: int) -> bytes:
    return struct.pack("<HBBI", _RETURN, 0, 0, value)


def _refuse(test: int, value: int, number: int) -> list[bytes]:
    return [_jump(test, value, 0, 1), _return(_ERROR | number)]
