"""Control groups: limits of all processes of a run together, where this system lets llmgym make groups."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from llmgym.sandbox import Limits, Sandbox, control_groups, groups

MISSING = groups.missing()
needs_groups = pytest.mark.skipif(MISSING is not None, reason=f"no control groups: {MISSING}")

LIMITS = Limits(wall=60, memory=64 << 20, disk=1 << 20, processes=8)
# Two children, one of which has 40 MB until the other has its own too; how the first to end has ended.
BOTH = """
import os, time
reading, writing = os.pipe()
if os.fork() == 0:
    mine = b"x" * (40 << 20)
    os.write(writing, b"x")
    time.sleep(60)
if os.fork() == 0:
    os.read(reading, 1)
    mine = b"x" * (size << 20)
    os._exit(0)
raise SystemExit(os.wait()[1] != 0)
"""


@pytest.fixture(autouse=True)
def leaves_nothing(box: Sandbox) -> object:
    """Every group is gone after a test."""
    if box.level == "docker":
        pytest.skip("a container is a group itself")
    yield
    if MISSING is None:
        groups.remove_those_that_ended()
        assert not list(groups.place().glob(f"llmgym-{os.getpid()}-*"))


@needs_groups
async def test_processes_share_the_memory(box: Sandbox) -> None:
    assert (await box.run(f"size = 40{BOTH}", limits=LIMITS)).status == "memory"
    assert (await box.run(f"size = 1{BOTH}", limits=LIMITS)).ok


@needs_groups
async def test_a_shell_outlives_a_command_that_ran_out(box: Sandbox) -> None:
    async with box.shell(files={"both.py": f"size = 40{BOTH}".encode()}, limits=LIMITS) as shell:
        assert (await shell.run("python3 both.py", timeout=60)).status == "memory"
        assert (await shell.run("false")).status == "error"
        assert (await shell.run("echo well")).stdout == "well\n"


@needs_groups
async def test_few_processes(box: Sandbox) -> None:
    limits = Limits(processes=4, threads=1)
    assert (await box.command("for i in 1 2 3 4 5 6 7 8; do sleep 1 & done; wait", limits=limits)).status == "error"
    assert (await box.command("sleep 0 & sleep 0 & wait; echo $?", limits=limits)).stdout == "0\n"


@needs_groups
async def test_programs_without_processes_need_none(box: Sandbox) -> None:
    result = await box.run("print(open('/proc/self/cgroup').read())")
    assert "llmgym" not in result.stdout


def version_2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, enabled: str) -> None:
    for folder in ("", "a", "a/b"):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / "cgroup.procs").touch()
        (tmp_path / folder / "cgroup.subtree_control").write_text("")
    (tmp_path / "a" / "cgroup.subtree_control").write_text(enabled)
    monkeypatch.setattr(groups, "_around", lambda: [tmp_path / "a/b", tmp_path / "a", tmp_path])
    groups.place.cache_clear()


def test_the_place_is_the_nearest_that_has_limits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    request.addfinalizer(groups.place.cache_clear)
    version_2(tmp_path, monkeypatch, "cpu memory pids")
    assert groups.place() == tmp_path / "a"
    version_2(tmp_path, monkeypatch, "cpu pids")
    with pytest.raises(LookupError, match="no control group of version 2"):
        groups.place()


def test_doctor_says_what_is_lacking() -> None:
    found = control_groups()
    assert found.reason == MISSING
    assert (found.fix is None) == found.available
