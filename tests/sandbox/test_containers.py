"""The seams of the level `docker`, without an engine: its command line, what it refuses, and the door."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from llmgym.sandbox import SandboxFailure, containers, levels
from llmgym.sandbox.containers import Door
from llmgym.sandbox.wire import Channel

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the walls are Linux's")

LAYOUT = {"binds": ["/usr", "/etc/ld.so.cache"], "links": [("/bin", "usr/bin")], "folders": ["/etc", "/box"]}


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that is all of PATH."""
    monkeypatch.setenv("PATH", str(tmp_path))
    containers.engine.cache_clear()
    yield tmp_path
    containers.engine.cache_clear()


def engine(path: Path, name: str, body: str) -> None:
    """An engine that writes down what it is asked."""
    file = path / name
    file.write_text(f'#!/bin/sh\necho "$@" >> {path}/{name}.log\n{body}\n')
    file.chmod(0o755)


@pytest.fixture
def door() -> Iterator[Door]:
    door = Door()
    yield door
    door.close()


def test_why_there_is_no_engine(path: Path) -> None:
    with pytest.raises(SandboxFailure, match="neither docker nor podman is installed"):
        containers.engine()
    engine(path, "docker", "echo 'Cannot connect to the Docker daemon.' >&2; exit 1")
    with pytest.raises(SandboxFailure, match="Cannot connect to the Docker daemon"):
        containers.engine()
    engine(path, "podman", "exit 0")
    assert containers.engine() == str(path / "podman")


def test_a_container_has_nothing_that_it_is_not_given(path: Path, door: Door) -> None:
    engine(path, "docker", "[ $1 != image ]")
    args = containers.command(LAYOUT, {"/here": "/opt/llmgym"}, door, {"NAME": "value"})
    line = " ".join(args)
    for option in (
        "--network none",
        "--ipc none",
        "--read-only",
        "--cap-drop ALL",
        "no-new-privileges",
        "--pull never",
    ):
        assert option in line
    assert all(f"{name} " in line for name in ("--memory", "--memory-swap", "--pids-limit"))
    mounts = [args[place + 1] for place, word in enumerate(args) if word == "--mount"]
    assert [mount.split(",")[1] for mount in mounts] == [
        "source=/usr", "source=/etc/ld.so.cache", "source=/here", f"source={door.folder}"
    ]  # fmt: skip
    assert all(mount.endswith(",readonly") for mount in mounts)
    assert args[-3:] == ["/usr/bin/env", "-i", "NAME=value"]  # no proxies of the engine's own
    assert [call.split()[0] for call in (path / "docker.log").read_text().splitlines()] == ["info", "image", "import"]


def test_an_image_is_made_once(path: Path, door: Door) -> None:
    engine(path, "docker", "exit 0")
    containers.command(LAYOUT, {}, door, {})
    assert "import" not in (path / "docker.log").read_text()


def test_a_folder_that_cannot_be_mounted(path: Path, door: Door) -> None:
    engine(path, "docker", "exit 0")
    with pytest.raises(SandboxFailure, match="has a comma"):
        containers.command({**LAYOUT, "binds": ["/a,b"]}, {}, door, {})


def test_descriptors_are_handed_in_once(door: Door) -> None:
    process = subprocess.Popen(["/bin/sleep", "30"])
    try:
        reading, writing = os.pipe()
        door.hand_in(process, [writing], 30)
        os.close(writing)
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(f"{door.folder}/door")
        ((_, (passed,)),) = Channel(connection).receive()
        os.write(passed, b"x")
        assert os.read(reading, 1) == b"x"
        os.close(passed)
        assert os.read(reading, 1) == b""  # nobody else has kept it
        os.close(reading)
    finally:
        process.kill()
        process.wait()


def test_a_container_that_never_comes_keeps_nothing_open(door: Door) -> None:
    reading, writing = os.pipe()
    process = subprocess.Popen(["/bin/true"])
    door.hand_in(process, [writing], 30)
    os.close(writing)
    assert os.read(reading, 1) == b""
    os.close(reading)
    process.wait()


def test_docker_is_taken_where_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(levels, "probe", levels.Availability)
    monkeypatch.delenv("LLMGYM_SANDBOX", raising=False)
    assert levels.choose("process") == "bubblewrap"
    assert levels.choose("docker") == levels.choose("process", "docker") == "docker"
    monkeypatch.setenv("LLMGYM_SANDBOX", "docker")
    assert levels.choose("landlock") == "docker"
