"""Pushed to S3 by the real client, as a server of moto plays it, and pulled back."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("moto")
pytest.importorskip("s3fs")

from tests.command import environ, llmgym
from tests.data import rows

pytestmark = [pytest.mark.integration, pytest.mark.s3]

URL = "s3://mine-1/runs"


@pytest.fixture(name="server", scope="module")
def moto_server() -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        for _ in range(600):
            try:
                urllib.request.urlopen(address, timeout=5).close()
                break
            except OSError:
                assert process.poll() is None
                time.sleep(0.1)
        yield address
        process.terminate()


@pytest.fixture(name="env")
def environment(server: str, tmp_path: Path) -> dict[str, str]:
    """A bucket, and what leads there."""
    import s3fs

    keys = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_DEFAULT_REGION": "us-east-1"}
    s3 = s3fs.S3FileSystem(key="key", secret="secret", endpoint_url=server, skip_instance_cache=True)
    if s3.exists("mine-1"):
        s3.rm("mine-1", recursive=True)
    s3.mkdir("mine-1")
    return environ(AWS_ENDPOINT_URL=server, HOME=str(tmp_path), **keys)


@pytest.fixture(name="run")
def made_run(tmp_path: Path) -> Path:
    run = rows.described_run(tmp_path / "first", {"a": [1.0, 0.0, None], "b": [1.0, 1.0]})
    with (run / "failures.jsonl").open("wb") as file:
        file.write(os.urandom(60 << 20))  # in several parts, and several requests
    return run


def test_a_run_comes_back(run: Path, env: dict[str, str], tmp_path: Path) -> None:
    done = llmgym("data", "push", run, URL, env=env)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "first: 4 files, 62.9 MB\n"
    done = llmgym("data", "pull", URL, "-o", tmp_path / "out", env=env)
    assert done.returncode == 0, done.stderr
    for path in (tmp_path / "out" / "first").iterdir():
        assert path.read_bytes() == (run / path.name).read_bytes()
    assert len(list((tmp_path / "out" / "first").iterdir())) == 4


def test_a_push_that_is_killed_goes_on(run: Path, env: dict[str, str], tmp_path: Path, server: str) -> None:
    import s3fs

    s3 = s3fs.S3FileSystem(key="key", secret="secret", endpoint_url=server, skip_instance_cache=True)
    arguments = [sys.executable, "-m", "llmgym", "data", "push", str(run), URL]
    note = "mine-1/runs/first.pushed.json"
    with subprocess.Popen(arguments, env=env) as process:
        while not s3.exists(note) or b"rollouts.jsonl" not in s3.cat_file(note):  # which says what has arrived
            assert process.poll() is None
            s3.invalidate_cache()
        process.kill()
    sent = s3.info("mine-1/runs/first/rollouts.jsonl", refresh=True)["LastModified"]
    time.sleep(1)  # S3 says seconds
    assert (
        "its push has not ended; repeat that first"
        in llmgym("data", "pull", URL, "-o", tmp_path / "out", env=env).stderr
    )
    assert llmgym("data", "push", run, URL, env=env).returncode == 0
    assert s3.info("mine-1/runs/first/rollouts.jsonl", refresh=True)["LastModified"] == sent
    assert llmgym("data", "pull", URL, "-o", tmp_path / "out", env=env).returncode == 0


def test_what_is_wrong_is_a_line(run: Path, env: dict[str, str], tmp_path: Path) -> None:
    def error(*arguments: object, **more: str) -> str:
        done = llmgym("data", *arguments, env={**env, **more})
        assert done.returncode in (2, 3), done.stderr
        assert done.stderr.splitlines()[-1].startswith("error: ")
        return done.stderr

    said = error("push", run, "s3://mine-2/runs")
    assert "make the folder or bucket first" in said
    assert said.count("\n") == 1
    assert "nothing is there" in error("pull", "s3://mine-2/runs", "-o", tmp_path / "out")
    gone = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_EC2_METADATA_DISABLED": "true"}
    assert "redentials" in error("push", run, URL, **gone)
