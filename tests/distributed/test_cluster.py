"""What a person is told where a run cannot go on a cluster."""

from __future__ import annotations

import socket
import subprocess
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from llmgym.distributed import ClusterError, RayCollector
from llmgym.distributed.cluster import connect
from llmgym.distributed.engines import EngineSetup
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
        (["--ray-engines", "2"], 2, "--ray-engines is for runs on a cluster; give --ray ADDRESS"),
        (["--ray", "local", "--ray-engines", "2"], 2, "engines on a cluster are for --policy vllm:MODEL, not 'oracle'"),
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


def test_workers_and_engines_are_counted() -> None:
    with pytest.raises(ConfigError, match="num_workers is 0"):
        RayCollector(["llmgym/Calculator-v0"], num_workers=0)
    with pytest.raises(ConfigError, match="num_engines is 0"):
        RayCollector(["llmgym/Calculator-v0"], "vllm:smollm2", num_engines=0)


def test_arguments_of_an_engine_are_those_of_vllm_serve(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("VLLM_CPU_KVCACHE_SPACE", raising=False)
    options = {
        "tensor_parallel_size": 2, "enforce_eager": True, "enable_prefix_caching": False, "disable_log_stats": False,
        "hf_overrides": {"a": [1]}, "middleware": ["b", "c"], "max_model_len": 64, "quantization": None, "seed": -1,
    }  # fmt: skip
    words = EngineSetup("server", str(tmp_path), options, 2, 60.0, ".").command("10.0.0.1", 8000)
    assert words[:3] == [sys.executable, "-m", "server"]
    assert {
        "--host=10.0.0.1", "--port=8000", f"--model={tmp_path}", f"--served-model-name={tmp_path}",
        "--enable-scale-out", "--tensor-parallel-size=2", "--enforce-eager", "--no-enable-prefix-caching",
        '--hf-overrides={"a": [1]}', "--max-model-len=64", "--seed=-1",
    } <= set(words)  # fmt: skip
    assert words[words.index("--middleware") :][:3] == ["--middleware", "b", "c"]
    assert not [word for word in words if "log-stats" in word or "quantization" in word or "dtype" in word]
    on_cpu = EngineSetup("server", str(tmp_path), {"dtype": "bfloat16"}, 0, 60.0, ".").command("10.0.0.1", 8000)
    assert {"--dtype=bfloat16", "--enforce-eager", "--max-model-len=-1", f"--kv-cache-memory-bytes={2 << 30}"} <= set(
        on_cpu
    )
