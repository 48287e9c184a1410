"""Environments in which everything goes wrong as a seed says, so that what comes of each start of a task is known.

The starts of a task are counted over all sessions of a run, in a ledger. From the mark of a start, such as "L0007#3",
`plan` says what goes wrong in it, and `outcome` what comes of that; neither knows anything of how llmgym works.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import random
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium

from llmgym.concurrency import in_process
from llmgym.env import Episode, ToolEnv
from llmgym.env.episode import CALL
from llmgym.errors import EnvironmentFailure, ToolError
from llmgym.messages import Message, ToolSchema, assistant, tool_call, user
from llmgym.rewards import Reward
from llmgym.tasks import RowTasks, Task
from llmgym.tools import tool
from tests.soak import jobs

IDS = {"L": "test/Chaos-v0", "P": "test/ChaosInProcess-v0"}
COIN = 1 / 64  # what a call earns that does its work; sums of it are exact
LOOT = 1000.0  # what work past its deadline tries to earn
LATE = "did not finish in time"

#: What a call is answered; "" for the mark of its start.
ANSWERED = {
    "quick": "",
    "block": "",
    "compute well": "",
    "hang sleep": LATE,
    "hang swallow": LATE,
    "hang stubborn": LATE,
    "hang immortal": LATE,
    "hang executor": LATE,
    "block_long wait": LATE,
    "block_long forever": LATE,
    "compute hang": LATE,
    "compute bug": "KeyError",
    "fail tool": "no luck",
    "fail bug": "KeyError",
    "fail exit": "SystemExit",
}
#: What fails its episode: the type of the error.
BREAKS = {
    "compute exit": "EnvironmentFailure",
    "compute kill": "EnvironmentFailure",
    "compute memory": "WorkerError",
    "fail os": "ConnectionResetError",
    "fail environment": "EnvironmentFailure",
    "fail group": "FileNotFoundError",
    "fail memory": "MemoryError",
    "outlast": "TimeoutError",
}


# --- what is to happen --------------------------------------------------------------------------


@dataclass(frozen=True)
class Plan:
    """What goes wrong in a start; "" where nothing does."""

    setup: str
    policy: str
    turns: tuple[tuple[str, ...], ...]
    verify: str
    teardown: str
    score: float


@dataclass(frozen=True)
class Outcome:
    """What comes of a start: a reward, None where it is unscored; or the stage at which it fails."""

    reward: float | None
    fails: str = ""


def plan(mark: str) -> Plan:
    """What is to happen in a start."""
    rng = random.Random(mark)
    slow = mark.startswith("P")  # its hooks have a long deadline, which must not be waited for often
    setup = _one(rng, 0.05, ["bug", "os"] if slow else ["bug", "os", "hang"])
    policy = _one(rng, 0.02, ["raise", "hang"])
    turns = tuple(tuple(_kind(rng) for _ in range(rng.choice((1, 1, 2)))) for _ in range(rng.randrange(4)))
    verify = _one(rng, 0.08, ["bug", "exit", "kill", "unscored"] if slow else ["bug", "hang", "os", "unscored"])
    if slow and rng.random() < 0.01:
        verify = "hang"
    return Plan(
        setup, policy, turns, verify, _one(rng, 0.04, ["bug"] if slow else ["bug", "hang"]), rng.randrange(65) / 64
    )


def _one(rng: random.Random, chance: float, faults: Sequence[str]) -> str:
    return rng.choice(faults) if rng.random() < chance else ""


def _kind(rng: random.Random) -> str:
    draw = rng.random()
    if draw < 0.005:
        return "outlast"
    if draw < 0.08:
        return rng.choice([kind for kind in BREAKS if kind != "outlast"])
    if draw < 0.25:
        return rng.choice([kind for kind, answer in ANSWERED.items() if answer])
    return rng.choice([kind for kind, answer in ANSWERED.items() if not answer])


def outcome(mark: str) -> Outcome:
    """What comes of a start."""
    p = plan(mark)
    if p.setup:
        return Outcome(None, "setup")
    if p.policy:
        return Outcome(None, "policy")
    kinds = [kind for turn in p.turns for kind in turn]
    if broken := [kind for kind in kinds if kind in BREAKS]:
        return Outcome(None, "episode" if broken == ["outlast"] else "tool")
    if p.verify:
        return Outcome(None, "" if p.verify == "unscored" else "verify")
    return Outcome(p.score + COIN * sum(not ANSWERED[kind] for kind in kinds))


# --- the ledger ---------------------------------------------------------------------------------


class Ledger:
    """Which starts there were, over all sessions: lines that one call writes."""

    def __init__(self, folder: Path) -> None:
        """Read what earlier sessions wrote."""
        self.folder = folder
        self._lock = threading.Lock()
        self._starts = Counter(entry[1].partition("#")[0] for entry in read_ledger(folder) if entry[0] == "start")
        self._file = os.open(folder / "ledger", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def begin(self, task: str) -> str:
        """Note a start; gives its mark."""
        with self._lock:
            self._starts[task] += 1
            mark = f"{task}#{self._starts[task]}"
        self.note("start", mark)
        return mark

    def note(self, what: str, *said: object) -> None:
        """Note something."""
        os.write(self._file, f"{' '.join(map(str, (what, *said, os.getpid())))}\n".encode())


def read_ledger(folder: Path) -> list[list[str]]:
    """The lines of a ledger, as words, of which the last is the process."""
    file = folder / "ledger"
    return [line.split() for line in file.read_text().splitlines()] if file.exists() else []


_ledger_of = functools.cache(Ledger)


def ledger() -> Ledger:
    """The ledger of the folder that the variable `SOAK` names."""
    return _ledger_of(Path(os.environ["SOAK"]))


# --- environments -------------------------------------------------------------------------------


class Numbers:
    """Numbered rows."""

    def rows(self) -> Iterable[tuple[str, dict[str, Any]]]:
        """Give them."""
        for number in range(5000):
            yield f"row {number}", {"id": f"{number:04}", "prompt": f"task {number:04}"}

    def __str__(self) -> str:
        return "numbers"


def open_cat() -> subprocess.Popen[bytes]:
    """A process that ends with this one."""
    return subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)


class Chaos(ToolEnv):
    """Opens a file, a thread and a process for each episode, and fails as planned."""

    tasks = RowTasks(Numbers())
    hook_timeout = 0.5
    letter = "L"
    hung_for_ever = 0
    mark = ""
    cat: subprocess.Popen[bytes] | None = None

    async def setup(self, task: Task) -> None:
        self.mark = ledger().begin(f"{self.letter}{task.id}")
        self.plan = plan(self.mark)
        self.path = ledger().folder / "boxes" / f"{os.getpid()} {self.mark}"
        self.box = self.path.open("w")
        self.over = threading.Event()
        self.waiter = threading.Thread(target=self.over.wait, name="box")
        self.waiter.start()
        self.cat = open_cat()
        match self.plan.setup:
            case "bug":
                raise KeyError(self.mark)
            case "os":
                raise OSError(28, "No space left on device", self.mark)
            case "hang":
                await asyncio.sleep(3600)

    def opening(self, task: Task) -> list[Message]:
        return [user(f"start {self.mark}")]

    @tool
    async def quick(self, mark: str) -> str:
        """Do a little."""
        await asyncio.sleep(0)
        self.reward(COIN)
        return f"{mark} {self.mark}"

    @tool(blocking=True)
    def block(self, mark: str) -> str:
        """Do a little in a thread."""
        time.sleep(0.005)
        self.reward(COIN)
        return f"{mark} {self.mark}"

    @tool(timeout=0.3)
    async def hang(self, how: str, mark: str) -> str:
        """Wait past the deadline."""
        if how == "executor":
            await asyncio.to_thread(time.sleep, 1.0)
        caught = {"stubborn": [asyncio.CancelledError], "immortal": [BaseException]}.get(how, [])
        if how == "swallow":
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(3600)
        while True:
            with contextlib.suppress(*caught):
                await asyncio.sleep(3600)

    @tool(blocking=True, timeout=0.3)
    def block_long(self, how: str, mark: str) -> str:
        """Block a thread past the deadline, some for as long as the process lives, and then take what is not due."""
        if how == "forever" and Chaos.hung_for_ever < 2:
            Chaos.hung_for_ever += 1
            threading.Event().wait()
        call, give_up = CALL.get(), time.monotonic() + 10
        while call and not call.expired and time.monotonic() < give_up:  # however late a busy machine is
            time.sleep(0.01)
        for _ in range(10):  # of which some fall into a later step
            time.sleep(0.05)
            with contextlib.suppress(EnvironmentFailure):
                self.reward(LOOT)
        return self.mark

    @tool(timeout=120)
    async def compute(self, how: str, mark: str) -> str:
        """Work in a worker process."""
        said = await in_process(jobs.work, how, mark, seconds=0.5 if how == "hang" else 60.0)
        self.reward(COIN)
        return f"{said} {self.mark}"

    @tool
    async def fail(self, how: str, mark: str) -> str:
        """Raise."""
        match how:
            case "tool":
                raise ToolError(f"no luck {mark}")
            case "bug":
                raise KeyError(mark)
            case "exit":
                raise SystemExit(mark)
            case "os":
                raise ConnectionResetError(mark)
            case "environment":
                raise EnvironmentFailure(mark)
            case "group":
                raise ExceptionGroup(mark, [ToolError(mark), FileNotFoundError(mark)])
            case "memory":
                raise MemoryError(mark)
        raise AssertionError(how)

    @tool(timeout=3600)
    async def outlast(self, mark: str) -> str:
        """Wait past the deadline of the episode."""
        await asyncio.sleep(3600)
        return mark

    async def verify(self, episode: Episode) -> Any:
        if self.plan.verify == "hang":
            await asyncio.sleep(3600)
        return self.score()

    def score(self) -> Any:
        """Score as planned."""
        match self.plan.verify:
            case "bug":
                raise KeyError(self.mark)
            case "os":
                raise ConnectionResetError(self.mark)
            case "unscored":
                return None
        return Reward(score=self.plan.score)

    async def teardown(self) -> None:
        if self.cat is None:
            return
        cat, self.cat = self.cat, None
        self.over.set()
        self.waiter.join()
        self.box.close()
        self.path.unlink()
        cat.communicate()
        ledger().note("end", self.mark)
        match self.plan.teardown:
            case "bug":
                raise KeyError(self.mark)
            case "hang":
                await asyncio.sleep(3600)


class ChaosInProcess(Chaos):
    """The same, verified in a worker process, which may die of it."""

    verify_in = "process"
    hook_timeout = 10.0
    letter = "P"

    def __getstate__(self) -> dict[str, Any]:
        handles = {"box", "over", "waiter", "cat"}
        return {name: value for name, value in vars(self).items() if name not in handles}

    def verify(self, episode: Episode) -> Any:  # type: ignore[override]
        match self.plan.verify:
            case "hang":
                time.sleep(3600)
            case "exit":
                os._exit(3)
            case "kill":
                os.kill(os.getpid(), signal.SIGKILL)
        return self.score()


for letter, name in IDS.items():
    gymnasium.register(name, entry_point=f"tests.soak.chaos:{'Chaos' if letter == 'L' else 'ChaosInProcess'}")


async def policy(messages: Sequence[Message], tools: Sequence[ToolSchema]) -> Message:
    """Call the tools that the plan has, then say so."""
    mark = messages[0]["content"].removeprefix("start ")
    p = plan(mark)
    match p.policy:
        case "raise":
            raise RuntimeError(mark)
        case "hang":
            await asyncio.sleep(3600)
    turn = sum(message["role"] == "assistant" for message in messages)
    if turn == len(p.turns):
        return assistant(f"done {mark}")
    return assistant("", *[_call(kind, mark) for kind in p.turns[turn]])


def _call(kind: str, mark: str) -> Any:
    name, _, how = kind.partition(" ")
    return tool_call(name, mark=mark, **({"how": how} if how else {}))
