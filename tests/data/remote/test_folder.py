"""Pushed to folders of fsspec, and pulled back."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("duckdb")

import fsspec
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem

from llmgym.data.remote import RemoteError, pull, pulling, push
from llmgym.errors import ConfigError, MissingExtraError
from llmgym.rollout.journal import FolderInUseError, lock_folder

OF_A_RUN = ["failures.jsonl", "rollouts.jsonl", "run.json", "summary.json"]


@pytest.fixture(name="url", params=["memory", "file"])
def remote(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "file":
        yield f"file://{tmp_path}/there"
        return
    MemoryFileSystem.store.clear()
    yield "memory://there/runs"
    MemoryFileSystem.store.clear()


def same(one: Path, other: Path) -> bool:
    return all((one / name).read_bytes() == (other / name).read_bytes() for name in OF_A_RUN)


def at(url: str) -> Any:
    return fsspec.filesystem(url.partition("://")[0]), url.partition("://")[2]


def test_what_is_pushed_comes_back(url: str, run: Path, tmp_path: Path) -> None:
    other = tmp_path / "some rows.jsonl"
    shutil.copy(run / "rollouts.jsonl", other)
    (tmp_path / "some rows.jsonl.manifest.json").write_text("{}")
    told: list[tuple[int, int]] = []
    assert [made.kind for made in push([run, other], url, progress=lambda *now: told.append(now))] == ["run", "rows"]
    assert told[-1][0] == told[-1][1] > 0
    out = tmp_path / "out"
    told.clear()
    pull(url, out, progress=lambda *now: told.append(now))
    assert told[-1][0] == told[-1][1] > 0
    assert same(run, out / "first")
    assert sorted(path.name for path in (out / "first").iterdir()) == OF_A_RUN
    assert sorted(path.name for path in out.iterdir()) == ["first", "some rows.jsonl", "some rows.jsonl.manifest.json"]
    pull(url, tmp_path / "one", ["some rows.jsonl"])
    assert not (tmp_path / "one" / "first").exists()
    with pytest.raises(ConfigError, match="has no 'second'; it has first, some rows"):
        pull(url, out, ["second"])


def test_what_is_there_is_not_sent_again(url: str, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    push([run], url)
    fs, _ = at(url)
    monkeypatch.setattr(type(fs), "put_file", None)
    monkeypatch.setattr(type(fs), "pipe_file", None)
    push([run], url)


def test_what_was_damaged_there_is_sent_again(url: str, run: Path, tmp_path: Path) -> None:
    push([run], url)
    fs, root = at(url)
    fs.pipe_file(f"{root}/first/rollouts.jsonl", b"#" + (run / "rollouts.jsonl").read_bytes()[1:])
    fs.rm_file(f"{root}/first/summary.json")
    with pytest.raises(RemoteError, match=r"is not what its manifest says: .*push --force"):
        pull(url, tmp_path / "out")
    push([run], url, force=True)
    pull(url, tmp_path / "out")
    assert same(run, tmp_path / "out" / "first")


def test_nothing_is_replaced_without_a_word(url: str, run: Path, tmp_path: Path) -> None:
    push([run], url)
    pull(url, tmp_path / "out")
    before = (run / "summary.json").read_bytes()
    (run / "summary.json").write_text("another")
    with pytest.raises(ConfigError, match="first is there already, and is another one; --force replaces it"):
        push([run], url)
    pull(url, tmp_path / "out")
    assert (tmp_path / "out" / "first" / "summary.json").read_bytes() == before
    (run / "failures.jsonl").unlink()
    push([run], url, force=True)
    fs, root = at(url)
    assert not fs.exists(f"{root}/first/failures.jsonl")
    with pytest.raises(ConfigError, match=r"summary.json is there already, and is another one; --force replaces it"):
        pull(url, tmp_path / "out")
    assert (tmp_path / "out" / "first" / "summary.json").read_bytes() == before
    pull(url, tmp_path / "out", force=True)
    assert (tmp_path / "out" / "first" / "summary.json").read_text() == "another"
    assert not (tmp_path / "out" / pulling.WAITING).exists()


def breaking(monkeypatch: pytest.MonkeyPatch, fs: Any, method: str, calls: set[int], error: Exception) -> list[str]:
    """Let some of the calls of a method fail, counted from 0; the paths that it is called with."""
    real, seen = getattr(type(fs), method), list[str]()

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        seen.append(str(args[-1] if method == "put_file" else args[0]).rpartition("there")[2])
        if len(seen) - 1 in calls:
            raise error
        return real(self, *args, **kwargs)

    monkeypatch.setattr(type(fs), method, call)
    return seen


def test_a_moment_of_trouble_is_waited_out(
    url: str, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fs, _ = at(url)
    said: list[str] = []
    breaking(monkeypatch, fs, "put_file", {0, 1, 4}, ConnectionResetError(errno.ECONNRESET, "reset"))
    push([run], url, say=said.append)
    breaking(monkeypatch, fs, "cat_file", {0, 2}, TimeoutError("slow"))
    pull(url, tmp_path / "out", say=said.append)
    assert same(run, tmp_path / "out" / "first")
    assert len(said) == 5
    assert "first/rollouts.jsonl: reset; again in 0 s" in said[0]


def test_a_push_that_stopped_goes_on(url: str, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fs, _ = at(url)
    with monkeypatch.context() as patch:
        breaking(patch, fs, "put_file", {2, 3, 4}, ConnectionResetError(errno.ECONNRESET, "reset"))
        with pytest.raises(
            RemoteError, match=r"run\.json: reset, 3 times; what has arrived is kept: repeat the command"
        ):
            push([run], url)
    with pytest.raises(RemoteError, match="its push has not ended"):
        pull(url, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    sent = breaking(monkeypatch, fs, "put_file", set(), OSError())
    push([run], url)
    assert [path.rpartition("/")[2] for path in sent] == ["run.json", "summary.json"]
    pull(url, tmp_path / "out")
    assert same(run, tmp_path / "out" / "first")


def test_a_pull_that_stopped_goes_on_within_a_file(
    url: str, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fs, _ = at(url)
    push([run], url)
    monkeypatch.setattr(pulling, "_BLOCK", 1000)
    with monkeypatch.context() as patch:
        breaking(patch, fs, "cat_file", {4}, PermissionError(errno.EACCES, "Access Denied"))
        with pytest.raises(RemoteError, match=r"reading .*/first/rollouts\.jsonl: Access Denied$"):
            pull(url, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == [pulling.WAITING]
    asked = breaking(monkeypatch, fs, "cat_file", set(), OSError())
    pull(url, tmp_path / "out")
    blocks = -(-(run / "rollouts.jsonl").stat().st_size // 1000)
    assert sum(path.endswith("rollouts.jsonl") for path in asked) == blocks - 3
    assert same(run, tmp_path / "out" / "first")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["first"]


def test_a_disk_that_fills_leaves_no_half_file(
    url: str, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push([run], url)
    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1, 1, 10))  # type: ignore[attr-defined]
        with pytest.raises(ConfigError, match="MB are to come, and there is room for 0"):
            pull(url, out)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", partial(full))
        with pytest.raises(ConfigError, match=r"No space left on device; what has come is in .*\.pull: make room and"):
            pull(url, out)
    assert [path.name for path in out.iterdir()] == [pulling.WAITING]
    pull(url, out)
    assert same(run, out / "first")


def test_a_full_disk_there_leaves_a_manifest_that_can_be_read(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"file://{tmp_path}/there"
    push([run], url)
    (run / "summary.json").write_text("another")
    real = LocalFileSystem.pipe_file

    def half(self: Any, path: str, value: bytes, **kwargs: Any) -> None:
        real(self, path, value[: len(value) // 2], **kwargs)
        full(0)

    with monkeypatch.context() as patch:
        patch.setattr(LocalFileSystem, "pipe_file", half)
        with pytest.raises(RemoteError, match=r"No space left on device$"):
            push([run], url, force=True)
    assert sorted(path.name for path in (tmp_path / "there").iterdir()) == ["first", "first.pushed.json"]
    pull(url, tmp_path / "out")  # as it was before
    push([run], url, force=True)


def full(_: int) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_what_is_not_what_it_was_is_not_taken(url: str, run: Path, tmp_path: Path) -> None:
    push([run], url)
    fs, root = at(url)
    path = f"{root}/first/rollouts.jsonl"
    data = fs.cat_file(path)
    fs.pipe_file(path, data[:-10] + b"tampered!\n")
    with pytest.raises(RemoteError, match=r"rollouts\.jsonl is not what its manifest says"):
        pull(url, tmp_path / "out")
    fs.pipe_file(path, data[:-10])
    with pytest.raises(RemoteError, match="bytes came, and not"):
        pull(url, tmp_path / "out")
    fs.rm_file(path)
    with pytest.raises(RemoteError, match=r"rollouts\.jsonl is not there"):
        pull(url, tmp_path / "out")
    assert not (tmp_path / "out" / "first").exists()
    fs.pipe_file(path, data)
    pull(url, tmp_path / "out")
    assert same(run, tmp_path / "out" / "first")


def test_a_run_that_goes_on_is_not_pushed(run: Path) -> None:
    lock = lock_folder(run)
    try:
        with pytest.raises(FolderInUseError):
            push([run], "memory://there")
    finally:
        os.close(lock)


def test_what_cannot_be_pushed_says_why(run: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="me/runs is no URL: hf://datasets/OWNER/NAME, s3://"):
        push([run], "me/runs")
    with pytest.raises(ConfigError, match="nosuch"):
        push([run], "nosuch://there")
    with pytest.raises(ConfigError, match="is no run folder"):
        push([tmp_path], "memory://there")
    with pytest.raises(ConfigError, match="there is no such file"):
        push([tmp_path / "x"], "memory://there")
    with pytest.raises(ConfigError, match="would both be first there"):
        push([run, run], "memory://there")
    hidden = tmp_path / ".x.jsonl"
    hidden.touch()
    with pytest.raises(ConfigError, match="give it another one"):
        push([hidden], "memory://there")
    with pytest.raises(ConfigError, match="nothing is there that `llmgym data push` wrote"):
        pull("memory://elsewhere", tmp_path / "out")


def test_s3_needs_its_extra(run: Path) -> None:
    try:
        import s3fs  # noqa: F401  # pyright: ignore[reportMissingImports]
    except ImportError:
        with pytest.raises(MissingExtraError, match=r"llmgym\[s3\]"):
            push([run], "s3://there/runs")
