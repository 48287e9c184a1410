"""Runs told to the real trackers, without a network, and read back with the trackers' own code."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("wandb")

from tests.command import environ, llmgym
from tests.rollouts import PLAIN

pytestmark = [pytest.mark.integration, pytest.mark.trackers]

ENV = PLAIN.rpartition(":")[2]
EXPECTED = {
    "episodes/finished": 4.0, "episodes/failed": 0.0, "reward/all": 1.0, f"reward/{ENV}": 1.0,
    "pass_at_1/all": 1.0, "pass_at_2/all": 1.0, "turns": 4.0,
}  # fmt: skip


def rollout(tracker: str, folder: Path, **extra: str) -> None:
    """A tracked run, whose standard output is the summary and nothing else."""
    args = ("--env", PLAIN, "--policy", "script:tests.rollouts.answer", "--num-tasks", 2, "--num-repeats", 2, "--json")
    env = environ(HOME=str(folder), **extra)
    done = llmgym("rollout", *args, "--track", tracker, "--output", folder / "run", env=env, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["finished"] == 4
    assert "failed, and is told no more" not in done.stderr


def expect(found: dict[str, Any]) -> None:
    assert {name: found.get(name) for name in EXPECTED} == EXPECTED


def test_wandb(tmp_path: Path) -> None:
    protocol = pytest.importorskip("wandb.proto.wandb_internal_pb2")
    rollout("wandb", tmp_path, WANDB_MODE="offline")
    (file,) = (tmp_path / "run").glob("wandb/offline-run-*/*.wandb")
    found: dict[str, Any] = {}
    data = file.read_bytes()
    position = 7  # of LevelDB's log format: a header, then records of checksum, length and kind, here all in one block
    while position < len(data):
        length = int.from_bytes(data[position + 4 : position + 6], "little")
        record = protocol.Record()
        record.ParseFromString(data[position + 7 : position + 7 + length])
        position += 7 + length
        for item in record.history.item:
            found["".join(item.nested_key) or item.key] = json.loads(item.value_json)
    expect(found)
    assert found["_step"] == 4


def test_mlflow(tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow")
    address = f"sqlite:///{tmp_path}/tracked.db"
    rollout("mlflow", tmp_path, MLFLOW_TRACKING_URI=address)
    client = mlflow.MlflowClient(address)
    (run,) = client.search_runs([client.get_experiment_by_name("llmgym").experiment_id])
    assert (run.info.run_name, run.info.status) == ("run", "FINISHED")
    assert run.data.params["num_repeats"] == "2"
    expect(run.data.metrics)


def test_tensorboard(tmp_path: Path) -> None:
    accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    tensors = pytest.importorskip("tensorboard.util.tensor_util")

    rollout("tensorboard", tmp_path)
    events = accumulators.EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    events.Reload()
    last = {name: events.Tensors(name)[-1] for name in events.Tags()["tensors"]}
    expect({name: float(tensors.make_ndarray(event.tensor_proto)) for name, event in last.items()})
    assert {event.step for event in last.values()} == {4}


def test_trackio(tmp_path: Path) -> None:
    pytest.importorskip("trackio")
    rollout("trackio", tmp_path, TRACKIO_DIR=str(tmp_path / "tracked"))
    with sqlite3.connect(tmp_path / "tracked" / "llmgym.db") as database:
        ((name, step, metrics),) = database.execute("select run_name, step, metrics from metrics")
    assert (name, step) == ("run", 4)
    expect(json.loads(metrics))


def test_a_service_that_is_not_there_ends_no_run(tmp_path: Path) -> None:
    pytest.importorskip("mlflow")
    args = ("--env", PLAIN, "--policy", "script:tests.rollouts.answer", "--num-tasks", 2, "--track", "mlflow")
    gone = {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
    done = llmgym("rollout", *args, env=environ(HOME=str(tmp_path), **gone), cwd=tmp_path)
    assert done.returncode == 0
    assert "the tracker mlflow failed, and is told no more; the run goes on" in done.stderr
