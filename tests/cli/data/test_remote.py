"""`llmgym data push` and `llmgym data pull`, in processes of their own, which are killed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("duckdb")
pytest.importorskip("datasets")

from llmgym.data import Dataset
from llmgym.data.export import Recipe, export
from tests.command import environ, llmgym
from tests.data import rows
from tests.data.remote.hub import OWNER, FakeHub, fake_hub
from tests.rollouts import ROOT

URL = "hf://datasets/me/runs"


@pytest.fixture(name="hub")
def running_hub() -> Iterator[FakeHub]:
    with fake_hub() as hub:
        yield hub


@pytest.fixture(name="run")
def made_run(tmp_path: Path) -> Path:
    return rows.described_run(tmp_path / "first", {"a": [1.0, 0.0, None], "b": [1.0, 1.0]})


def env(hub: FakeHub, folder: Path, **more: str) -> dict[str, str]:
    own = {"HF_ENDPOINT": hub.url, "HF_HUB_DISABLE_XET": "1", "HF_HOME": str(folder / "hf"), "HF_TOKEN": OWNER}
    return environ(**{**own, **more})


def data(hub: FakeHub, folder: Path, *arguments: object, code: int = 0, **more: str) -> Any:
    done = llmgym("data", *arguments, env=env(hub, folder, **more))
    assert done.returncode == code, done.stderr
    return done


@pytest.mark.slow
def test_load_dataset_reads_what_was_pushed(hub: FakeHub, run: Path, tmp_path: Path) -> None:
    export(Dataset.open([run]), Recipe("sft", "generic"), tmp_path / "sft.jsonl")
    export(Dataset.open([run]), Recipe("dpo", "trl"), tmp_path / "dpo.parquet")
    files = [run, tmp_path / "sft.jsonl", tmp_path / "dpo.parquet"]
    done = data(hub, tmp_path, "push", *files, URL, "--license", "mit", "--json")
    assert [made["name"] for made in json.loads(done.stdout)] == ["first", "sft.jsonl", "dpo.parquet"]
    script = """
import json, sys
from datasets import get_dataset_config_names, load_dataset
names = get_dataset_config_names("me/runs")
sets = {name: load_dataset("me/runs", name, split="train") for name in names}
rewards = sets["first"]["reward"][:]
print(json.dumps([names, rewards, [len(sets[name]) for name in names], sets["dpo"][0]["chosen"]]))
"""
    args = [sys.executable, "-c", script]
    found = subprocess.run(args, check=False, env=env(hub, tmp_path), cwd=tmp_path, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    names, rewards, counts, chosen = json.loads(found.stdout.splitlines()[-1])
    assert names == ["dpo", "first", "sft"]  # all of one form, which `datasets` demands
    assert rewards == [1.0, 0.0, None, 1.0, 1.0]
    assert counts == [1, 5, 5]
    assert chosen == [{"role": "assistant", "content": "a 0"}]


@pytest.mark.slow
def test_what_is_killed_goes_on(hub: FakeHub, run: Path, tmp_path: Path) -> None:
    hub.stall("commit/main")
    killed(hub, tmp_path, "push", run, URL)
    sent = hub.count("PUT /lfs/")
    assert sent
    data(hub, tmp_path, "push", run, URL)
    assert hub.count("PUT /lfs/") == sent

    out = tmp_path / "out"
    hub.stall("GET .*/resolve/main/first/summary.json")
    killed(hub, tmp_path, "pull", URL, "-o", out)
    assert [path.name for path in out.iterdir()] == [".pull"]
    hub.asked.clear()
    assert data(hub, tmp_path, "pull", URL, "-o", out).stdout == f"{out / 'first'}\n"
    assert not hub.count("resolve/main/first/rollouts.jsonl")
    assert sorted(path.name for path in out.iterdir()) == ["first"]
    for path in (out / "first").iterdir():
        assert path.read_bytes() == (run / path.name).read_bytes()


def killed(hub: FakeHub, folder: Path, *arguments: object) -> None:
    """Run it until the hub keeps it waiting, and kill it."""
    args = [sys.executable, "-m", "llmgym", "data", *map(str, arguments)]
    with subprocess.Popen(args, env=env(hub, folder), cwd=ROOT, stderr=subprocess.PIPE) as process:
        while not hub.stalled.wait(0.05):
            assert process.poll() is None, process.communicate()
        process.send_signal(signal.SIGKILL)
        process.wait()
    hub.resume()


@pytest.mark.slow
def test_what_is_wrong_is_a_line(hub: FakeHub, run: Path, tmp_path: Path) -> None:
    def error(*arguments: object, code: int = 2, **more: str) -> str:
        said = data(hub, tmp_path, *arguments, code=code, **more).stderr
        assert said.startswith("error: ")
        assert said.count("\n") == 1, said
        return said

    assert "there is no token of the Hub" in error("push", run, URL, HF_TOKEN="")
    with (run / "rollouts.jsonl").open("ab") as file:
        file.write(b'{"torn')
    assert "it ends without a line end" in error("push", run, URL, code=3)
    assert data(hub, tmp_path, "push", run, URL, "--skip-bad").stdout.startswith("first: ")
    (tmp_path / "out").write_text("a file")
    assert "cannot write" in error("pull", URL, "-o", tmp_path / "out")
