"""A run in sessions, each a process that is ended in some way, and what may be left of it afterwards."""

from __future__ import annotations

import fcntl
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.command import environ
from tests.rollouts import ROOT
from tests.soak.chaos import IDS, read_ledger

PARALLEL, ATTEMPTS, REPEATS = 16, 2, 2
FILES = {"run.json", "rollouts.jsonl", "failures.jsonl", "retired.jsonl", "summary.json", "lock"}
JOURNALS = ("rollouts.jsonl", "failures.jsonl")
GRACE_S = 20.0
_NOISE = ("never retrieved", "never awaited", "KeyboardInterrupt", "resource_tracker", "Fatal Python error")


@dataclass(frozen=True)
class Session:
    """A session that is over.

    Attributes:
        pid: Its process.
        how: How it was to end.
        status: Its exit status.
        lines: Whole lines that it added to each journal.
    """

    pid: int
    how: str
    status: int
    lines: dict[str, list[bytes]]

    @property
    def killed(self) -> bool:
        """Whether it was ended by SIGKILL."""
        return self.status == -signal.SIGKILL

    @property
    def complete(self) -> bool:
        """Whether it ran to its end; 1 says that episodes have failed."""
        return self.status in (0, 1)


class Run:
    """A run folder, and the sessions that it had."""

    def __init__(self, folder: Path, rng: random.Random) -> None:
        """Begin with nothing."""
        self.folder, self.rng = folder, rng
        self.out, self.temporary, self.boxes = folder / "run", folder / "tmp", folder / "boxes"
        for path in (self.temporary, self.boxes):
            path.mkdir()
        self.sessions: list[Session] = []
        self._journals = dict.fromkeys(JOURNALS, b"")
        self._token = f"SOAK_TOKEN={os.urandom(8).hex()}"

    # --- one session ----------------------------------------------------------------------------

    def session(self, num_tasks: int, how: str) -> Session:
        """Run a session until it ends or is ended, and see that it leaves nothing and has lost nothing."""
        summary = self._summary()
        process = self._start(num_tasks, how)
        try:
            _ENDS.get(how, Run._wait)(self, process, summary)
            status = process.wait(timeout=600)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
        lines = {name: self._added(name) for name in JOURNALS}
        session = Session(process.pid, how, status, lines)
        self.sessions.append(session)
        assert status in (0, 1, -signal.SIGKILL, 130, 143, -signal.SIGINT, -signal.SIGTERM), self.said()
        self._check_left(session)
        return session

    def _start(self, num_tasks: int, how: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tests.soak.driver", "rollout", "--output", str(self.out)]
        for name in IDS.values():
            command += ["--env", f"tests.soak.chaos:{name}"]
        settings = {
            "policy": "script:tests.soak.chaos.policy", "num-tasks": num_tasks, "num-repeats": REPEATS,
            "num-samples-in-parallel": PARALLEL, "seed": 7,
        }  # fmt: skip
        for name, value in settings.items():
            command += [f"--{name}", str(value)]
        for name, value in {"generation_timeout": 2, "episode_timeout": 30, "max_attempts": ATTEMPTS}.items():
            command += ["--set", f"{name}={value}"]
        token, _, value = self._token.partition("=")
        extra = {"SOAK": str(self.folder), token: value, "TMPDIR": str(self.temporary), "SOAK_DIE": self._moment(how)}
        with (self.folder / "said").open("wb") as said:
            return subprocess.Popen(
                command, env=environ(**extra), cwd=ROOT, stdout=said, stderr=said, start_new_session=True
            )

    def _moment(self, how: str) -> str:
        """When the process kills itself."""
        rng = self.rng
        match how:
            case "kill in a write":
                name, most = rng.choice([("rollouts.jsonl", 4), ("rollouts.jsonl", 4), ("failures.jsonl", 1)])
                return f"write {name} {rng.randrange(most) + 1} {rng.random()}"
            case "kill before a replacement":
                return f"replace {rng.choice(['run.json', 'summary.json'])}"
        return ""

    def said(self) -> str:
        """What the last session printed."""
        return (self.folder / "said").read_text(errors="replace")[-9000:]

    # --- ways to end ----------------------------------------------------------------------------

    def _wait(self, process: subprocess.Popen[bytes], summary: int) -> None:
        """Let it end."""

    def _kill_at_start(self, process: subprocess.Popen[bytes], summary: int) -> None:
        time.sleep(self.rng.random() * 2.0)
        process.kill()

    def _kill_running(self, process: subprocess.Popen[bytes], summary: int) -> None:
        self._wait_for_lines(process)
        process.kill()

    def _kill_at_end(self, process: subprocess.Popen[bytes], summary: int) -> None:
        while process.poll() is None and self._summary() == summary:
            time.sleep(0.002)
        time.sleep(self.rng.random() * 0.3)
        process.kill()

    def _terminate(self, process: subprocess.Popen[bytes], summary: int) -> None:
        self._wait_for_lines(process)
        process.terminate()

    def _interrupt(self, process: subprocess.Popen[bytes], summary: int) -> None:
        self._wait_for_lines(process)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)  # as a terminal does

    def _wait_for_lines(self, process: subprocess.Popen[bytes]) -> None:
        target = self._size() + self.rng.randrange(1, 30)
        while process.poll() is None and self._size() < target:
            time.sleep(0.002)
        time.sleep(self.rng.random() * 0.1)

    def _size(self) -> int:
        """How many lines the ledger has."""
        return len(read_ledger(self.folder))

    def _summary(self) -> int:
        file = self.out / "summary.json"
        return file.stat().st_mtime_ns if file.exists() else 0

    # --- what is left ---------------------------------------------------------------------------

    def _added(self, name: str) -> list[bytes]:
        """The whole lines that a journal has more; those that were there have not changed."""
        file, before = self.out / name, self._journals[name]
        after = file.read_bytes() if file.exists() else b""
        assert after.startswith(before), f"lines of {name} were lost or changed"
        whole = after[: after.rfind(b"\n") + 1]
        self._journals[name] = whole
        return whole[len(before) :].splitlines(keepends=True)

    def _check_left(self, session: Session) -> None:
        deadline = time.monotonic() + GRACE_S
        while left := self._processes():
            assert time.monotonic() < deadline, f"after {session.how}: {left}"
            time.sleep(0.01)
        assert not os.listdir(self.temporary), session
        boxes = os.listdir(self.boxes)
        if session.killed:  # no code of an environment runs then
            assert len(boxes) <= PARALLEL * 2, boxes
            assert all(box.startswith(f"{session.pid} ") for box in boxes), boxes
            for box in boxes:
                (self.boxes / box).unlink()
        else:
            assert not boxes, (session.how, self.said())
            assert not [said for said in _NOISE if said in self.said()], self.said()
        if (self.out / "lock").exists():
            with (self.out / "lock").open() as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if session.complete:
            assert set(os.listdir(self.out)) == FILES, os.listdir(self.out)

    def _processes(self) -> list[str]:
        """Processes of this run that live, by what they were started as."""
        token, found = f"{self._token}\0".encode(), []
        for process in Path("/proc").iterdir():
            if not process.name.isdigit():
                continue
            try:
                if token in (process / "environ").read_bytes():
                    state = (process / "stat").read_text().rpartition(")")[2].split()[0]
                    if state != "Z":
                        found.append((process / "cmdline").read_text().replace("\0", " "))
            except OSError:  # it has gone, or is another user's
                continue
        return found


_ENDS: dict[str, Callable[[Run, subprocess.Popen[bytes], int], None]] = {
    "kill at the start": Run._kill_at_start,
    "kill running": Run._kill_running,
    "kill at the end": Run._kill_at_end,
    "SIGTERM": Run._terminate,
    "SIGINT": Run._interrupt,
}
KILLS = {
    "kill at the start": 0.15, "kill running": 0.45, "kill in a write": 0.2, "kill before a replacement": 0.08,
    "kill at the end": 0.12,
}  # fmt: skip
