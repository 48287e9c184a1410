"""The run folder under torn lines, full disks, other processes and other runs."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmgym.errors import StoreError
from llmgym.rollout import RunStore, read_rollouts
from llmgym.rollout import store as module
from llmgym.trajectory import Trajectory
from tests.rollouts import ROOT, environ

IDENTITY: dict[str, Any] = {"model": "m", "seed": 0, "environments": [{"id": "x/Y-v0", "kwargs": {}}]}


def open_store(path: Path, fsync_seconds: float = 0.0, **identity: Any) -> RunStore:
    return RunStore(path, IDENTITY | identity, {}, fsync_seconds)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RunStore]:
    store = open_store(tmp_path / "run")
    yield store
    store.close()


def episode(number: int, **fields: Any) -> Trajectory:
    return Trajectory("x/Y-v0", f"t{number}", 0, 1, reward=1.0, metrics={"num_turns": 2.0}, **fields)


def test_finished_episodes_and_failures_go_to_their_files(store: RunStore) -> None:
    store.append(episode(1))
    store.append(episode(2, status="env_error", error="lost"))
    assert set(store.records) == {"x/Y-v0/t1/0"}
    assert store.records["x/Y-v0/t1/0"].num_turns == 2
    assert store.load("x/Y-v0/t1/0").reward == 1.0
    [failure] = (store.path / "failures.jsonl").read_bytes().splitlines()
    assert orjson.loads(failure)["error"] == "lost"


def test_a_folder_is_opened_again(tmp_path: Path) -> None:
    for session in range(3):
        store = open_store(tmp_path)
        assert len(store.records) == session
        store.append(episode(session))
        store.close()
        store.close()
    assert len(orjson.loads((tmp_path / "run.json").read_bytes())["sessions"]) == 3
    assert [t.task_id for t in read_rollouts(tmp_path)] == ["t0", "t1", "t2"]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_torn_line_is_cut_off_and_the_lines_before_it_stay(tmp_path: Path, data: st.DataObject) -> None:
    folder = Path(tempfile.mkdtemp(dir=tmp_path))
    file = folder / "rollouts.jsonl"
    store = open_store(folder)
    for number in range(4):
        store.append(episode(number, messages=[{"role": "user", "content": "ü" * 50}]))
    store.close()
    whole = file.read_bytes()
    size = data.draw(st.integers(0, len(whole)))
    os.truncate(file, size)

    kept = whole[: whole.rfind(b"\n", 0, size) + 1]
    assert len(list(read_rollouts(folder))) == kept.count(b"\n")  # a reader leaves the torn line out
    store = open_store(folder)
    assert file.read_bytes() == kept
    for number in range(4):
        if f"x/Y-v0/t{number}/0" not in store.records:
            store.append(episode(number, messages=[{"role": "user", "content": "ü" * 50}]))
    store.close()
    assert file.read_bytes() == whole


def test_a_torn_line_may_be_longer_than_a_block(tmp_path: Path) -> None:
    (tmp_path / "rollouts.jsonl").write_bytes(b"x" * 200_000)
    open_store(tmp_path).close()
    assert (tmp_path / "rollouts.jsonl").read_bytes() == b""


def test_a_line_that_is_no_rollout_is_named(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.append(episode(1))
    store.close()
    with (tmp_path / "rollouts.jsonl").open("ab") as file:
        file.write(b'{"id": 3}\n')
    with pytest.raises(StoreError, match=r"rollouts\.jsonl:2: not a rollout"):
        open_store(tmp_path)
    with pytest.raises(StoreError, match=r"rollouts\.jsonl:2: not a rollout"):
        list(read_rollouts(tmp_path))


def test_reading_no_run_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot read"):
        list(read_rollouts(tmp_path))


# --- full disks ---------------------------------------------------------------------------------


def full_after(monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    """Let `os.write` write so many bytes and then fail as on a full disk."""
    write = os.write
    left = [room]

    def limited(fd: int, data: Any) -> int:
        if left[0] == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        part = bytes(data)[: left[0]]
        left[0] -= len(part)
        return write(fd, part)

    monkeypatch.setattr(module.os, "write", limited)


def test_a_full_disk_leaves_whole_lines(store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.append(episode(1))
    before = (store.path / "rollouts.jsonl").read_bytes()
    with monkeypatch.context() as patch:
        full_after(patch, 100)
        with pytest.raises(StoreError, match="No space left on device; what was written before is safe"):
            store.append(episode(2))
    assert (store.path / "rollouts.jsonl").read_bytes() == before
    assert set(store.records) == {"x/Y-v0/t1/0"}
    store.append(episode(2))
    assert store.load("x/Y-v0/t2/0").task_id == "t2"


def test_a_disk_that_fails_to_sync_stops_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(tmp_path, fsync_seconds=0.001)
    store.append(episode(1))
    failed = module.threading.Event()

    def fsync(fd: int) -> None:
        failed.set()
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(module.os, "fsync", fsync)
        store._dirty = True
        assert failed.wait(10)
        while store._lost is None:
            time.sleep(0.001)
        with pytest.raises(StoreError, match="Input/output error"):
            store.append(episode(2))
        with pytest.raises(StoreError, match="Input/output error"):
            store.close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_summary_is_never_half_written(store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.write_summary({"planned": 1})

    def fsync(fd: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(module.os, "fsync", fsync)
        with pytest.raises(StoreError, match="cannot write"):
            store.write_summary({"planned": 2})
    assert orjson.loads((store.path / "summary.json").read_bytes()) == {"planned": 1}
    assert sorted(p.name for p in store.path.iterdir()) == [
        "failures.jsonl", "lock", "rollouts.jsonl", "run.json", "summary.json",
    ]  # fmt: skip


# --- whose folder it is -------------------------------------------------------------------------


def test_another_process_is_kept_out(store: RunStore) -> None:
    code = f"from tests.rollout.test_store import *; open_store(Path({str(store.path)!r}))"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environ(), cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert "is in use: wait for the other run or choose another folder" in done.stderr


def test_a_folder_is_free_again_after_an_error(tmp_path: Path) -> None:
    open_store(tmp_path).close()
    with pytest.raises(StoreError, match="holds another run"):
        open_store(tmp_path, seed=1)
    (tmp_path / "rollouts.jsonl").write_bytes(b"no rollout\n")
    with pytest.raises(StoreError, match="not a rollout"):
        open_store(tmp_path)
    (tmp_path / "rollouts.jsonl").write_bytes(b"")
    open_store(tmp_path).close()


def test_another_run_is_refused_by_what_differs(tmp_path: Path) -> None:
    open_store(tmp_path).close()
    with pytest.raises(StoreError) as error:
        open_store(tmp_path, seed=1, model="n")
    assert "holds another run (model was 'm', is 'n'; seed was 0, is 1): choose another folder" in str(error.value)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b'{"sessions": []}'])
def test_a_folder_of_something_else_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_bytes(content)
    with pytest.raises(StoreError, match=r"run\.json is not the description of a run"):
        open_store(tmp_path)
    assert (tmp_path / "run.json").read_bytes() == content


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot make the run folder"):
        open_store(tmp_path / "file" / "run")
