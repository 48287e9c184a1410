"""The programs for seccomp, run by an interpreter of their few instructions: on both machines, whatever this one is."""

from __future__ import annotations

import errno
import os
import struct
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgym.sandbox.inside import calls

ALLOW, KILL = 0x7FFF0000, 0x80000000
X86, ARM = 0xC000003E, 0xC00000B7
MACHINES = {"x86_64": X86, "aarch64": ARM}
CLONE = {"x86_64": 56, "aarch64": 220}
SOCKET = {"x86_64": 41, "aarch64": 198}
THREAD = 0x3D0F00  # flags of a thread, as the C library makes one
FORK = 0x1200011


def decide(program: bytes, architecture: int, number: int, first: int = 0) -> int:
    data = struct.pack("<IIQQ", number, architecture, 0, first) + bytes(40)
    accumulator, place = 0, 0
    while True:
        code, yes, no, value = struct.unpack_from("<HBBI", program, place * 8)
        place += 1
        if code == 0x20:
            (accumulator,) = struct.unpack_from("<I", data, value)
        elif code == 0x06:
            return value
        else:
            test = {0x15: accumulator == value, 0x35: accumulator >= value, 0x45: bool(accumulator & value)}[code]
            place += yes if test else no


def refused(program: bytes, architecture: int, number: int, first: int = 0) -> int | None:
    """The error that a call gives; None where it is allowed."""
    decision = decide(program, architecture, number, first)
    return None if decision == ALLOW else decision & 0xFFFF if decision >> 16 == 5 else -1


@pytest.fixture(params=MACHINES)
def machine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(machine=request.param))
    return request.param


def test_the_zygote_may_do_its_work_and_nothing_worse(machine: str) -> None:
    column, here = list(MACHINES).index(machine), MACHINES[machine]
    program = calls.never()
    for name, numbers in calls._NEVER.items():
        if (number := numbers[column]) is not None:
            assert refused(program, here, number) == errno.EPERM, name
    for name, numbers in calls._ZYGOTES.items():
        number = numbers[column]
        assert number is not None
        assert refused(program, here, number) is None, name


@pytest.mark.parametrize("processes", [False, True])
@pytest.mark.parametrize("local", [False, True])
@pytest.mark.parametrize("metadata", [False, True])
def test_what_a_run_may_call(machine: str, processes: bool, local: bool, metadata: bool) -> None:
    column, here = list(MACHINES).index(machine), MACHINES[machine]
    program = calls.refusing(processes=processes, local_sockets=local, metadata=metadata)
    for name, numbers in calls._ZYGOTES.items():
        number = numbers[column]
        assert number is not None
        assert refused(program, here, number) == errno.EPERM, name
    for numbers in calls._METADATA.values():
        if (number := numbers[column]) is not None:
            assert decide(program, here, number) == (ALLOW if metadata else 0x50000)
    assert refused(program, here, CLONE[machine], THREAD) is None
    assert refused(program, here, CLONE[machine], FORK) == (None if processes else errno.EPERM)
    assert refused(program, here, CLONE[machine], FORK | 0x20000000) == errno.EPERM  # a new namespace of processes
    assert refused(program, here, 435) == errno.ENOSYS
    assert refused(program, here, SOCKET[machine], 1) == (None if local else errno.EAFNOSUPPORT)
    for family in (2, 10, 16, 17, 40):  # the internet twice, netlink, packets, virtual machines
        assert refused(program, here, SOCKET[machine], family) == errno.EAFNOSUPPORT
    if machine == "x86_64":
        for number in (57, 58):
            assert refused(program, here, number) == (None if processes else errno.EPERM)


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_calls_of_another_machine_end_the_process(number: int, architecture: int) -> None:
    if os.uname().machine not in MACHINES or architecture == MACHINES[os.uname().machine]:
        return
    for program in (calls.never(), calls.refusing(processes=True, local_sockets=True, metadata=True)):
        assert decide(program, architecture, number) == KILL


def test_calls_of_x32_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "uname", lambda: SimpleNamespace(machine="x86_64"))
    assert refused(calls.never(), X86, 0x40000000 | 101) == errno.ENOSYS


def test_ordinary_calls_are_allowed(machine: str) -> None:
    ordinary = {"x86_64": [0, 1, 9, 12, 60, 202, 257, 262], "aarch64": [56, 63, 64, 93, 98, 214, 222, 291]}
    for program in (calls.never(), calls.refusing(processes=False, local_sockets=False, metadata=False)):
        for number in ordinary[machine]:
            assert refused(program, MACHINES[machine], number) is None
