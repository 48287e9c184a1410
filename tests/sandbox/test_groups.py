"""Control groups: limits of all processes of a run together, where this system lets llmgym make groups."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from llmgym.sandbox import Limits, Sandbox, control_groups, groups

MISSING = groups.missing()
needs_groups = pytest.mark.skipif(MISSING is not None, reason=f"no control groups: {MISSING}")

LIMITS = Limits(memory=64 << 20, disk=1 << 20, processes=8, wall=20)
FILL = "python3 -c 'x = bytearray({} << 20)\nimport time; time.sleep(1)'"


@pytest.fixture(autouse=True)
def leaves_nothing(box: Sandbox) -> object:
    """Every group is gone after a test."""
    if box.level == "docker":
        pytest.skip("a container is a group itself")
    yield
    if MISSING is None:
        groups.remove_those_that_ended()
        assert not list(groups._place().glob(f"llmgym-{os.getpid()}-*"))


@needs_groups
async def test_processes_share_the_memory(box: Sandbox) -> None:
    both = await box.command(f"{FILL.format(40)} & {FILL.format(40)} & wait %1 && wait %2", limits=LIMITS)
    assert both.status == "memory"
    assert (await box.command(f"{FILL.format(40)} && {FILL.format(40)}", limits=LIMITS)).ok


@needs_groups
async def test_a_shell_outlives_a_command_that_ran_out(box: Sandbox) -> None:
    async with box.shell(limits=Limits(memory=64 << 20, disk=1 << 20, processes=8)) as shell:
        command = f"{FILL.format(40)} & {FILL.format(40)} & wait %1 && wait %2"
        assert (await shell.run(command)).status == "memory"
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
    groups._place.cache_clear()


def test_the_place_is_the_nearest_that_has_limits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    request.addfinalizer(groups._place.cache_clear)
    version_2(tmp_path, monkeypatch, "cpu memory pids")
    assert groups._place() == tmp_path / "a"
    version_2(tmp_path, monkeypatch, "cpu pids")
    with pytest.raises(LookupError, match="no control group of version 2"):
        groups._place()


def test_doctor_says_what_is_lacking() -> None:
    found = control_groups()
    assert found.reason == MISSING
    assert (found.fix is None) == found.available
