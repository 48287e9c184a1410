"""What a person is told where a run cannot go on a cluster."""

from __future__ import annotations

import socket
import subprocess
import sys
from contextlib import AsyncExitStack

import pytest

from llmgym.distributed import ClusterError, RayCollector
from llmgym.distributed.cluster import connect
from llmgym.errors import ConfigError
from tests.command import ROOT, environ, llmgym


def test_without_ray_the_command_says_what_to_install() -> None:
    script = (
        "import sys; sys.modules['ray'] = None\n"
        "from llmgym.cli import main\n"
        "sys.argv = ['llmgym', 'rollout', '--env', 'llmgym/Calculator-v0', '--policy', 'oracle', '--num-tasks', '1', "
        "'--ray', 'local']\nmain()"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=environ(), capture_output=True, text=True, check=False
    )
    assert ended.returncode == 2
    assert "error: llmgym rollout --ray needs an optional dependency: pip install 'llmgym[ray]'" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("flags", "code", "said"),
    [
        (["--ray", "somewhere"], 2, "'somewhere' is no address of a Ray cluster: give local, auto, or the HOST:PORT"),
        (["--ray", "ray://head:10001"], 2, "'ray://head:10001' is no address of a Ray cluster"),
        (["--ray", "127.0.0.1:{port}"], 3, "no Ray cluster at 127.0.0.1:{port}"),
        (["--ray-workers", "2"], 2, "--ray-workers is for runs on a cluster; give --ray ADDRESS"),
        (["--ray", "local", "--ray-workers", "0"], 2, "--ray-workers"),
    ],
)
def test_an_address_that_is_none_is_refused_in_a_line(flags: list[str], code: int, said: str) -> None:
    pytest.importorskip("ray")
    with socket.socket() as closed:  # bound, and nobody listens
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        flags = [flag.format(port=port) for flag in flags]
        ended = llmgym("rollout", "--env", "llmgym/Calculator-v0", "--policy", "oracle", "--num-tasks", "1", *flags)
    assert ended.returncode == code
    assert said.format(port=port) in ended.stderr
    assert "Traceback" not in ended.stderr


async def test_another_version_of_ray_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = pytest.importorskip("ray")

    def refuse(**options: object) -> None:
        raise RuntimeError("Version mismatch: The cluster was started with:\n    Ray: 2.55.0\n    Python: 3.12.1")

    monkeypatch.setattr(ray, "init", refuse)
    async with AsyncExitStack() as stack:
        with pytest.raises(ConfigError, match=r"Version mismatch: .* Ray: 2.55.0 .*here is Ray .*install the same"):
            await connect(stack, "local")


async def test_no_cluster_here_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = pytest.importorskip("ray")

    def refuse(**options: object) -> None:
        raise ConnectionError("Could not find any running Ray instance.")

    monkeypatch.setattr(ray, "init", refuse)  # this machine may be part of one
    async with AsyncExitStack() as stack:
        with pytest.raises(ClusterError, match="part of no Ray cluster: start one with `ray start --head`"):
            await connect(stack, "auto")


def test_workers_are_counted() -> None:
    with pytest.raises(ConfigError, match="num_workers is 0"):
        RayCollector(["llmgym/Calculator-v0"], num_workers=0)
