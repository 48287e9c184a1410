from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmgym import Task, TaskSet, ToolEnv
from llmgym.errors import ConfigError
from llmgym.sandbox import LEVELS, Availability, Sandbox, SandboxUnavailable, levels, run_sync, survey, zygotes
from llmgym.sandbox.inside import kernel


@pytest.fixture
def weak(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with nothing but processes."""

    def probe(level: str) -> Availability:
        return Availability(level) if level == "process" else Availability(level, "it is weak", "buy a better one")  # type: ignore[arg-type]

    monkeypatch.setattr(levels, "probe", probe)


@pytest.fixture
def fresh() -> Iterator[None]:
    """Probes that are made anew."""
    levels.probe.cache_clear()
    yield
    levels.probe.cache_clear()


def test_the_strongest_that_is_there_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    there = [found.level for found in survey() if found.available]
    assert Sandbox().level == there[0]
    assert there[-1] == "process"
    for level in there:
        assert Sandbox(level=level).level == level
        monkeypatch.setenv("LLMGYM_SANDBOX", level)
        assert Sandbox().level == level
        assert level in levels.taken()


@pytest.mark.usefixtures("weak")
def test_none_that_is_strong_enough() -> None:
    assert Sandbox().level == "process"
    with pytest.raises(SandboxUnavailable, match="at least landlock") as caught:
        Sandbox(least="landlock").check()
    for level in LEVELS[:-1]:
        assert f"{level}: not there (it is weak; buy a better one)" in str(caught.value)
    assert "process: there" in str(caught.value)


@pytest.mark.usefixtures("weak")
def test_the_level_that_is_asked_for_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SandboxUnavailable, match="bubblewrap is asked for"):
        Sandbox(level="bubblewrap").check()
    monkeypatch.setenv("LLMGYM_SANDBOX", "process")
    with pytest.raises(SandboxUnavailable, match="at least namespaces, and process is asked for"):
        Sandbox(least="namespaces").check()


def test_names_that_are_no_levels(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="'chroot' is no level"):
        Sandbox(least="chroot").check()  # type: ignore[arg-type]
    monkeypatch.setenv("LLMGYM_SANDBOX", "jail")
    with pytest.raises(ConfigError, match="'jail' is no level"):
        Sandbox().check()


@pytest.mark.skipif(sys.platform != "linux", reason="of Linux")
@pytest.mark.usefixtures("fresh")
def test_why_a_level_is_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert levels.probe("bubblewrap").reason == "bwrap is not installed"
    assert "apt-get install bubblewrap" in str(levels.probe("bubblewrap").fix)
    monkeypatch.setattr(kernel, "landlock_abi", lambda: 0)
    assert levels.probe("landlock").reason == "the kernel has no Landlock"


@pytest.mark.skipif(sys.platform != "linux", reason="of Linux")
@pytest.mark.usefixtures("fresh")
def test_a_wall_that_cannot_be_built(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    bwrap = tmp_path / "bwrap"
    bwrap.write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n")
    bwrap.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    zygotes._stock.close()  # those that are up need no other
    found = levels.probe("bubblewrap")
    assert found.reason == "bwrap: No permissions to create new namespace"
    assert "user.max_user_namespaces" in str(found.fix)


@pytest.mark.usefixtures("fresh")
def test_other_systems(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(levels, "LINUX", False)
    assert [found.level for found in survey() if found.available] == ["process"]


# --- environments -------------------------------------------------------------------------------


class Runner(ToolEnv):
    """Runs what it is told."""

    tasks = TaskSet.generated(lambda rng: Task(prompt="Print 1."))
    sandbox = Sandbox(least="landlock")

    async def respond(self, message: object) -> None:
        return None

    async def verify(self, episode: object) -> float:
        assert self.sandbox is not None
        return float((await self.sandbox.run("print(1)")).stdout == "1\n")


@pytest.mark.usefixtures("weak")
def test_an_environment_that_needs_more_cannot_be_made() -> None:
    with pytest.raises(ConfigError, match=r"at least landlock.*buy a better one"):
        Runner()


def test_an_environment_runs_code_in_its_sandbox() -> None:
    if not any(found.available for found in survey()[:-1]):
        pytest.skip("this machine has only processes")
    env = Runner()
    env.reset(seed=0)
    assert env.step("1")[1] == 1.0
    env.close()


def test_the_probe_can_be_made_in_the_background_loop() -> None:
    levels.probe.cache_clear()

    async def check() -> str:
        return Sandbox().level

    assert run_sync(check()) in LEVELS


ELSEWHERE = """
import asyncio, ctypes, os, sys
sys.platform = "darwin"
for name in ("memfd_create", "pidfd_open"):
    if hasattr(os, name):
        delattr(os, name)
class Bare:
    pass
ctypes.CDLL = lambda *args, **kwargs: Bare()
from llmgym.sandbox import Sandbox, survey
box = Sandbox()
print([found.level for found in survey() if found.available], box.level)
print(asyncio.run(box.run("print(input())", stdin="x", files={"f": b"y"}, outputs=["f"])))
"""


def test_the_host_s_side_needs_nothing_of_linux() -> None:
    done = subprocess.run([sys.executable, "-c", ELSEWHERE], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.startswith("['process'] process\nResult(status='ok', exit_code=0, stdout='x\\n'"), done.stderr
    assert "files={'f': b'y'}" in done.stdout
