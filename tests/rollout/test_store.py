"""The run folder under torn lines, full disks, other processes, other runs and changed tasks."""

from __future__ import annotations

import codecs
import errno
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from llmgym.errors import StoreError
from llmgym.failures import Failure
from llmgym.records import UnstorableError, dump_row
from llmgym.rollout import RunStore, open_records, read_rollouts
from llmgym.rollout import journal as module
from llmgym.rollout import store as store_module
from llmgym.rollout.description import check_same
from llmgym.tasks import Task
from llmgym.trajectory import Trajectory
from tests.command import environ
from tests.rollouts import ROOT

IDENTITY: dict[str, Any] = {"model": "m", "seed": 0, "environments": [{"label": "x/Y-v0", "id": "x/Y-v0"}]}
LOST = Failure("environment", "verify", "none", "KeyError")
local = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def open_store(path: Path, fsync_seconds: float = 0.0, **identity: Any) -> RunStore:
    return RunStore(path, IDENTITY | identity, {}, fsync_seconds)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RunStore]:
    store = open_store(tmp_path / "run")
    yield store
    store.close()


def episode(number: int, content: str = "", **fields: Any) -> Trajectory:
    made = Trajectory("x/Y-v0", f"t{number}", 0, 1, reward=1.0)
    made.task = Task(id=made.task_id, prompt=content)
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def game(number: int, *agents: str, of: int = 0, **fields: Any) -> list[Trajectory]:
    return [episode(number, agent=agent, agents=of or len(agents), **fields) for agent in agents]


def row_id(number: int) -> str:
    return f"x/Y-v0/t{number}/0"


def lines(path: Path) -> list[Any]:
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


def test_finished_episodes_and_failures_go_to_their_files(store: RunStore) -> None:
    store.append(episode(1))
    store.append(episode(2, status="env_error", error="lost", failure=LOST))
    store.append(episode(3, status="policy_error"))
    assert set(store.records) == {row_id(1)}
    assert store.records[row_id(1)].counts.turns == 0
    assert store.load(row_id(1)).reward == 1.0
    assert store.failures == {"environment": 1, "policy_error": 1}
    assert [failure["error"] for failure in lines(store.path / "failures.jsonl")] == ["lost", None]
    with pytest.raises(StoreError, match="has no x/Y-v0/t2/0"):
        store.load(row_id(2))


def test_a_failure_counts_until_its_episode_has_finished(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.append(episode(1, status="env_error", failure=LOST))
    store.append(episode(1, status="timeout", failure=Failure("episode_timeout", "episode", "done", "TimeoutError")))
    store.append(episode(2, status="env_error", failure=LOST))
    assert store.failures == {"episode_timeout": 1, "environment": 1}
    store.append(episode(2))
    store.close()
    store = open_store(tmp_path)
    assert store.failures == {"episode_timeout": 1}
    assert [(f.id, f.failure and f.failure.stage) for f in open_records(tmp_path).failed] == [(row_id(1), "episode")]
    store.append(episode(1))
    assert not store.failures
    store.close()


def test_a_folder_is_opened_again(tmp_path: Path) -> None:
    for session in range(3):
        store = open_store(tmp_path)
        assert len(store.records) == session
        store.append(episode(session))
        store.close()
        store.close()
    assert len(orjson.loads((tmp_path / "run.json").read_bytes())["sessions"]) == 3
    assert [t.task_id for t in read_rollouts(tmp_path)] == ["t0", "t1", "t2"]
    assert [t.task_id for t in read_rollouts(str(tmp_path / "rollouts.jsonl"))] == ["t0", "t1", "t2"]
    found = open_records(str(tmp_path))
    assert list(found.records) == [row_id(number) for number in range(3)]
    assert found.description.identity == IDENTITY


def test_an_episode_is_stored_once(store: RunStore) -> None:
    store.append(episode(1))
    before = (store.path / "rollouts.jsonl").read_bytes()
    with pytest.raises(StoreError, match="x/Y-v0/t1/0 is there already"):
        store.append(episode(1, reward=0.0))
    assert (store.path / "rollouts.jsonl").read_bytes() == before
    assert store.load(row_id(1)).reward == 1.0


def test_what_a_row_cannot_hold_leaves_the_folder_alone(store: RunStore) -> None:
    with pytest.raises(UnstorableError, match="odd is 1j"):
        store.append(episode(1, metrics={"odd": 1j}))
    assert not store.records
    store.append(episode(1))


# --- torn lines and other damage ------------------------------------------------------------------


@local
@given(data=st.data())
def test_a_torn_line_is_cut_off_and_the_lines_before_it_stay(tmp_path: Path, data: st.DataObject) -> None:
    folder = Path(tempfile.mkdtemp(dir=tmp_path))
    file = folder / "rollouts.jsonl"
    episodes = [
        game(number, *data.draw(st.sampled_from([("agent",), ("w", "b"), ("x", "y", "z")])), error="ü" * 50)
        for number in range(4)
    ]
    store = open_store(folder)
    for made in episodes:
        store.append(*made)
    store.close()
    whole = file.read_bytes()
    size = data.draw(st.integers(0, len(whole)))
    os.truncate(file, size)

    ends = [0]
    for made in episodes:
        ends.append(ends[-1] + sum(len(dump_row(t)) for t in made))
    kept = whole[: max(end for end in ends if end <= size)]
    assert len(list(read_rollouts(folder))) == kept.count(b"\n")  # a reader leaves the torn episode out
    assert len(open_records(folder).records) == kept.count(b"\n")
    store = open_store(folder)
    assert file.read_bytes() == kept
    for made in episodes:
        if made[0].id not in store.records:
            store.append(*made)
    store.close()
    assert file.read_bytes() == whole


def test_a_torn_line_may_be_longer_than_a_block(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.append(episode(1, error="x" * 3_000_000))
    store.append(episode(2))
    store.close()
    before = (tmp_path / "rollouts.jsonl").read_bytes()
    (tmp_path / "rollouts.jsonl").write_bytes(before + b"x" * 2_000_000)
    store = open_store(tmp_path)
    assert (tmp_path / "rollouts.jsonl").read_bytes() == before
    assert len(store.load(row_id(1)).error or "") == 3_000_000
    assert set(store.records) == {row_id(1), row_id(2)}
    store.close()


def damaged(**fields: Any) -> bytes:
    return orjson.dumps(orjson.loads(dump_row(episode(2))) | fields) + b"\n"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b'{"id": "3"}\n', "not a rollout: .*missing required field `format`"),
        (dump_row(episode(2)).partition(b',"seed"')[0] + b"\n", "not a rollout: Input data was truncated"),
        (b"no rollout\n", "not a rollout"),
        (dump_row(episode(2))[:-2] + b"\n", "not a rollout: the line does not end in }"),
        (dump_row(episode(2)).replace(b'"error":null', b'"error":"\xff"'), "not UTF-8: the file was damaged"),
        (dump_row(episode(2)).replace(b'"x/Y-v0"', b'"x/\xff"'), "not UTF-8: the file was damaged"),
        (dump_row(episode(0)), "x/Y-v0/t0/0 is there twice"),
        (damaged(status="env_error"), "x/Y-v0/t2/0 ended as env_error: a failure has no place here"),
        (damaged(status="won"), "not a rollout: .*won"),
        (damaged(env_id="x/Z-v0", id="x/Z-v0/t2/0"), "x/Z-v0/t2/0 is of another environment than those of the run"),
        (damaged(format=2), "a row of format 2; this version of llmgym reads format 1"),
        (damaged(agents=0), "one of 0 agents"),
        (damaged(agents=2), "does not name 'agent', one of 2 agents"),
        (b"".join(map(dump_row, game(2, "w", of=2))), "comes after 1 of 2 agents of x/Y-v0/t2/0: lines are missing"),
        (b"".join(map(dump_row, game(2, "w", "w"))), "x/Y-v0/t2/0/w is there twice"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("before", [1, 3])
def test_a_line_that_does_not_belong_there_is_named(line: bytes, said: str, before: int, tmp_path: Path) -> None:
    store = open_store(tmp_path)
    numbers = [0, 10, 11][:before]
    for number in numbers:
        store.append(episode(number, error="ü" * 100_000))
    store.close()
    with (tmp_path / "rollouts.jsonl").open("ab") as file:
        file.write(line + dump_row(episode(3)))
    content = (tmp_path / "rollouts.jsonl").read_bytes()
    place = before + 2 if said.startswith("comes") or "/w is" in said else before + 1
    for read in (open_store, open_records):
        with pytest.raises(StoreError, match=rf"rollouts\.jsonl:{place}: .*{said}"):
            read(tmp_path)
    assert (tmp_path / "rollouts.jsonl").read_bytes() == content


def test_files_that_an_editor_wrote_again_are_read(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    for number in (1, 2):
        store.append(episode(number, error="ü" * 300_000))
    store.append(Trajectory("x/Y-v0", "t3", 0, 1, "env_error", error="lost"))
    store.close()
    for name in ("rollouts.jsonl", "failures.jsonl"):
        lines = (tmp_path / name).read_bytes().replace(b"\n", b"\r\n \r\n\n")
        (tmp_path / name).write_bytes(codecs.BOM_UTF8 + lines)
    found = open_records(tmp_path)
    assert (set(found.records), len(found.failed)) == ({row_id(1), row_id(2)}, 1)
    assert [made.id for made in read_rollouts(tmp_path)] == [row_id(1), row_id(2)]
    again = open_store(tmp_path)
    again.append(episode(4))
    assert [again.load(row_id(number)).id for number in (1, 2, 4)] == [row_id(1), row_id(2), row_id(4)]
    again.close()
    assert len(open_records(tmp_path).records) == 3


def test_readers_name_the_line(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.append(episode(1))
    store.close()
    with (tmp_path / "rollouts.jsonl").open("ab") as file:
        file.write(b'{"id": 3}\n')
    with pytest.raises(StoreError, match=r"rollouts\.jsonl:2: not a rollout"):
        list(read_rollouts(tmp_path))
    with pytest.raises(StoreError, match=r"rollouts\.jsonl:2: not a rollout.*; take that line out to read the others$"):
        open_records(tmp_path)
    (tmp_path / "rollouts.jsonl").write_bytes(b"")
    (tmp_path / "failures.jsonl").write_bytes(b"7\n")
    with pytest.raises(StoreError, match=r"failures\.jsonl:1: not a rollout.*; take that line out to read the others$"):
        open_store(tmp_path)


def test_rows_that_another_program_wrote_again_are_read(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.append(episode(1))
    store.append(*game(2, "w", "b"))
    store.close()
    file = tmp_path / "rollouts.jsonl"
    rows = lines(file)
    import json

    file.write_text("".join(json.dumps(dict(reversed(row.items()))) + "\n" for row in rows))
    store = open_store(tmp_path)
    assert list(store.records) == [row_id(1), f"{row_id(2)}/w", f"{row_id(2)}/b"]
    assert store.load(f"{row_id(2)}/b").agent == "b"
    store.close()


def test_reading_no_run_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot read"):
        list(read_rollouts(tmp_path))
    with pytest.raises(StoreError, match=r"is no run folder: it has no run\.json"):
        open_records(tmp_path)


# --- episodes of several agents, and ready-made lines ---------------------------------------------


def test_the_agents_of_an_episode_are_stored_together(store: RunStore) -> None:
    store.append(*game(1, "white", "black"))
    store.append(*game(2, "white", "black", status="env_error", failure=LOST))
    assert list(store.records) == [f"{row_id(1)}/white", f"{row_id(1)}/black"]
    assert store.failures == {"environment": 1}
    with pytest.raises(StoreError, match="x/Y-v0/t3/0 has 1 of 2 agents"):
        store.append(*game(3, "white", of=2))
    with pytest.raises(StoreError, match="white is there already"):
        store.append(*game(1, "white", "black"))
    with pytest.raises(StoreError, match="comes after 1 of 2 agents"):
        store.append(*game(3, "white", of=2), *game(4, "black", of=2))
    assert len(lines(store.path / "rollouts.jsonl")) == 2


def test_many_lines_are_appended_at_once_or_none(store: RunStore) -> None:
    store.append(episode(0))
    made = [dump_row(episode(number)) for number in range(1, 4)] + [dump_row(t) for t in game(9, "w", "b")]
    store.append_lines(made)
    assert list(store.records) == [*(row_id(n) for n in range(4)), f"{row_id(9)}/w", f"{row_id(9)}/b"]
    for row in store.records:
        assert store.load(row).id == row
    before = (store.path / "rollouts.jsonl").read_bytes()
    four = dump_row(episode(4))
    for bad, said in [
        (dump_row(episode(1)), "t1/0 is there already"),
        (four, "t4/0 is there twice"),
        (four[:-1], "a row is one line"),
        (dump_row(episode(5)) * 2, "a row is one line"),
        (dump_row(episode(5, status="env_error")), "a failure has no place here"),
        (dump_row(Trajectory("x/Z-v0", "t", 0, 1)), "of another environment"),
        (dump_row(game(6, "w", of=2)[0]), "has 1 of 2 agents"),
        (dump_row(episode(5)).replace(b'"error":null', b'"error":"\xff"'), "not UTF-8"),
        (b'{"format":2}\n', "a row of format 2"),
    ]:
        with pytest.raises(StoreError, match=said):
            store.append_lines([four, bad])
    assert (store.path / "rollouts.jsonl").read_bytes() == before
    store.append_lines([four])
    store.append_lines([])


# --- changed tasks ------------------------------------------------------------------------------


def test_a_retired_episode_is_left_out_and_its_id_is_free(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    for number in range(3):
        store.append(episode(number, "old"))
    old = store.records[row_id(1)].task_hash
    store.retire([row_id(1)], "its task has changed")
    assert row_id(1) not in store.records
    assert lines(tmp_path / "retired.jsonl") == [{"id": row_id(1), "task_hash": old, "why": "its task has changed"}]
    with pytest.raises(StoreError, match="has no x/Y-v0/t1/0"):
        store.load(row_id(1))
    with pytest.raises(StoreError, match="has no x/Y-v0/t1/0"):
        store.retire([row_id(0), row_id(1)], "again")
    store.append(episode(1, "new", reward=0.5))
    for _ in range(2):
        store.close()
        store = open_store(tmp_path)
        assert store.load(row_id(1)).reward == 0.5
        assert list(store.retired) == [(row_id(1), old)]
        assert {t.id: t.reward for t in read_rollouts(tmp_path)} == {row_id(0): 1.0, row_id(1): 0.5, row_id(2): 1.0}
        assert open_records(tmp_path).records == store.records
    store.close()


def test_a_retired_episode_can_be_taken_back(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.append(*game(1, "w", "b", content="old"))
    key = row_id(1), Task(prompt="old").content_hash
    store.retire([f"{row_id(1)}/b"], "changed")
    assert not store.records
    store.append(*game(1, "w", "b", content="new"))
    with pytest.raises(StoreError, match="has another x/Y-v0/t1/0/w: retire that first"):
        store.restore([key])
    store.retire([f"{row_id(1)}/w", f"{row_id(1)}/b"], "changed back")
    store.restore([key])
    with pytest.raises(StoreError, match="has no retired"):
        store.restore([key])
    for _ in range(2):
        assert {t.task.prompt for t in read_rollouts(tmp_path) if t.task} == {"old"}
        assert store.load(f"{row_id(1)}/b").agent == "b"
        assert list(store.retired) == [(row_id(1), Task(prompt="new").content_hash)]
        store.close()
        store = open_store(tmp_path)
    store.close()


def test_the_same_task_may_be_run_again(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    for reward in (0.1, 0.2, 0.3):
        if store.records:
            store.retire([row_id(1)], "the verifier was wrong")
        store.append(episode(1, "same", reward=reward))
        store.close()
        store = open_store(tmp_path)
        assert [t.reward for t in read_rollouts(tmp_path)] == [store.records[row_id(1)].reward] == [reward]
    store.close()


def test_rows_that_were_lost_are_not_held_against_new_ones(tmp_path: Path) -> None:
    """A person took the retired line out of the file."""
    store = open_store(tmp_path)
    store.append(episode(1, "same"))
    store.retire([row_id(1)], "changed")
    store.close()
    (tmp_path / "rollouts.jsonl").write_bytes(b"")
    store = open_store(tmp_path)
    store.append(episode(1, "same", reward=0.5))
    store.close()
    store = open_store(tmp_path)
    assert store.records[row_id(1)].reward == 0.5
    assert [t.reward for t in read_rollouts(tmp_path)] == [0.5]
    store.close()


class Folder(RuleBasedStateMachine):
    """Appends, retirements, restorations, reopenings and crashes in any order against a plain model of them."""

    live: dict[int, str]

    def __init__(self) -> None:
        super().__init__()
        self.path = Path(tempfile.mkdtemp())
        self.store = open_store(self.path)
        self.live = {}
        self.gone: set[tuple[int, str]] = set()

    @rule(number=st.integers(0, 3), content=st.sampled_from("ab"), agents=st.sampled_from([("agent",), ("w", "b")]))
    def append(self, number: int, content: str, agents: tuple[str, ...]) -> None:
        if number in self.live:
            return
        if len(agents) > 1:
            number += 10
            if number in self.live:
                return
        self.store.append(*game(number, *agents, content=content))
        self.live[number] = content

    @rule(data=st.data())
    def retire(self, data: st.DataObject) -> None:
        if self.live:
            number = data.draw(st.sampled_from(sorted(self.live)))
            self.store.retire([row for row in self.store.records if row.startswith(row_id(number))][:1], "changed")
            self.gone.add((number, self.live.pop(number)))

    @rule(data=st.data())
    def restore(self, data: st.DataObject) -> None:
        if back := sorted((n, c) for n, c in self.gone if n not in self.live):
            number, content = data.draw(st.sampled_from(back))
            self.store.restore([(row_id(number), Task(prompt=content).content_hash)])
            self.gone.remove((number, content))
            self.live[number] = content

    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.store = open_store(self.path)

    @rule(name=st.sampled_from(["rollouts.jsonl", "retired.jsonl", "failures.jsonl"]), torn=st.binary(max_size=9))
    def crash(self, name: str, torn: bytes) -> None:
        self.store.close()
        with (self.path / name).open("ab") as file:
            file.write(torn.replace(b"\n", b" "))
        self.store = open_store(self.path)

    @invariant()
    def holds_what_counts(self) -> None:
        for records in (self.store.records, open_records(self.path).records):
            found = {record.episode_id: record.task_hash for record in records.values()}
            assert found == {row_id(n): Task(prompt=c).content_hash for n, c in self.live.items()}
        read = {(t.episode_id, t.agent): t.task.prompt for t in read_rollouts(self.path) if t.task}
        assert {i: p for (i, _), p in read.items()} == {row_id(n): c for n, c in self.live.items()}
        assert len(read) == sum(2 if number >= 10 else 1 for number in self.live)

    def teardown(self) -> None:
        self.store.close()
        shutil.rmtree(self.path)


TestFolder = Folder.TestCase
TestFolder.settings = settings(max_examples=25, stateful_step_count=20)


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
    failed = store_module.threading.Event()

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


def test_a_file_that_was_half_written_when_the_process_was_killed_is_written_over(store: RunStore) -> None:
    code = (
        "import os, pathlib\n"
        "from llmgym.rollout.journal import write_atomically\n"
        "pathlib.Path.replace = lambda *_: os.kill(os.getpid(), 9)\n"
        f"write_atomically(pathlib.Path({str(store.path)!r}, 'summary.json'), b'lost')\n"
    )
    assert subprocess.run([sys.executable, "-c", code], env=environ(), cwd=ROOT, check=False).returncode == -9
    assert ".summary.json.new" in os.listdir(store.path)
    store.write_summary({"planned": 1})
    assert not [name for name in os.listdir(store.path) if name.startswith(".")]


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
        "failures.jsonl", "lock", "retired.jsonl", "rollouts.jsonl", "run.json", "summary.json",
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
    with pytest.raises(StoreError, match=r"codec \(of tokenizer, chat template and stop tokens\) was 'a', is 'b'"):
        check_same(tmp_path, {"codec": "a"}, {"codec": "b"})


def test_identities_are_compared_both_ways_and_inside(tmp_path: Path) -> None:
    made = {"environments": [{"id": "x/Y-v0", "kwargs": {"depth": 1}}], "weights": 7, "order": ["a", "b"]}
    open_store(tmp_path, **made).close()
    before = (tmp_path / "run.json").read_bytes()
    for change, said in [
        ({"environments": [{"id": "x/Y-v0", "kwargs": {"depth": 2}}]}, r"environments\[0\].kwargs.depth was 1, is 2"),
        ({"environments": [{"id": "x/Y-v0", "kwargs": {}}]}, r"environments\[0\].kwargs.depth was 1, is not there"),
        ({"new": None}, "new was not there, is None"),
        ({"weights": 7.5}, "weights was 7, is 7.5"),
        ({"weights": True}, "weights was 7, is True"),
        ({"order": ["b"]}, r"order was \['a', 'b'\], is \['b'\]"),
        ({"order": [str(n) for n in range(10_000)]}, r"is \['0', .*\.\.\.\)"),
    ]:
        with pytest.raises(StoreError, match=said):
            open_store(tmp_path, **(made | change))
    with pytest.raises(StoreError, match="weights was 7, is not there"):
        open_store(tmp_path, **{name: value for name, value in made.items() if name != "weights"})
    assert (tmp_path / "run.json").read_bytes() == before
    open_store(tmp_path, **made).close()


def test_the_rest_of_an_identity_is_confirmed_later(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.confirm({"weights": 7, "codec": "c"}, planned=12)
    store.close()
    assert open_records(tmp_path).description.planned == 12
    for wrong, said in [
        ({"weights": 0, "codec": "c"}, "weights was 7, is 0"),
        ({"codec": "c"}, "weights was 7, is not there"),
        ({"weights": 7, "codec": "c", "x": 1}, "x was not there, is 1"),
    ]:
        store = open_store(tmp_path)
        with pytest.raises(StoreError, match=said):
            store.confirm(wrong)
        store.close()
    store = open_store(tmp_path)
    store.confirm({"weights": 7, "codec": "c"}, planned=24)
    assert open_records(tmp_path).description.planned == 24
    store.close()


def test_secrets_are_not_written_and_do_not_tell_runs_apart(tmp_path: Path) -> None:
    for secret in ("hush-1", "hush-2"):
        config = {"policy_options": {"api_key": secret, "base_url": f"http://me:{secret}@host"}, "max_output_tokens": 5}
        store = RunStore(tmp_path, IDENTITY | {"options": config["policy_options"]}, config, 0.0)
        store.confirm({"token": secret})
        store.append(episode(len(store.records), status="policy_error", error=f"https://{secret}@host is gone"))
        store.write_summary({"url": f"https://{secret}@host"})
        store.close()
    for file in tmp_path.iterdir():
        assert b"hush" not in file.read_bytes()
    assert open_records(tmp_path).description.config["max_output_tokens"] == 5


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"[]", b"{}", b'{"sessions": []}', b'{"format":1}', b'{"format":1,"identity":null}',
        b'{"format":1,"identity":[]}', b'{"format":1,"identity":{},"sessions":7}', b"\xff", b"[" * 9000,
    ],
)  # fmt: skip
def test_a_folder_of_something_else_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_bytes(content)
    for read in (open_store, open_records):
        with pytest.raises(StoreError, match=r"run\.json is not the description of a run"):
            read(tmp_path)
    assert (tmp_path / "run.json").read_bytes() == content


def test_a_folder_of_another_format_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_bytes(b'{"format":2,"identity":{}}')
    with pytest.raises(StoreError, match=r"run\.json: a run of format 2; this version of llmgym reads format 1"):
        open_store(tmp_path)


@pytest.mark.parametrize("name", ["rollouts.jsonl", "failures.jsonl", "retired.jsonl", "summary.json"])
def test_a_lost_description_is_not_made_up(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"torn")
    with pytest.raises(StoreError, match=rf"has a {name} and no run\.json"):
        open_store(tmp_path)
    assert (tmp_path / name).read_bytes() == b"torn"
    (tmp_path / name).write_bytes(b"")
    open_store(tmp_path).close()


@pytest.mark.parametrize("path", ["", ".", Path("")])
def test_a_folder_needs_a_name(path: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StoreError, match="the run folder has no name of its own"):
        open_store(path)
    assert list(tmp_path.iterdir()) == []


def test_seconds_between_two_syncs_may_be_beyond_what_a_thread_can_wait(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    store = open_store(tmp_path, 1e300)
    for thread in set(threading.enumerate()) - before:
        thread.join(0.1)
    assert [thread.name for thread in set(threading.enumerate()) - before] == ["llmgym-fsync"]
    store.close()


def test_a_folder_stays_where_it_is_though_an_environment_changes_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    store = open_store(Path("run"))
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "other")
    store.write_summary({"planned": 1})
    store.waiting.add("a", episode(0))
    store.close()
    assert not list(Path().iterdir())
    assert {path.name for path in (tmp_path / "run").iterdir()} >= {"summary.json", "waiting"}


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot make the run folder"):
        open_store(tmp_path / "file" / "run")
