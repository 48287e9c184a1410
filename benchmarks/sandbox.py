"""The sandbox: what a run costs beside a bare Python and beside a forked process. The last line is one JSON object.

`cpu_ratio` is the CPU of a contained run over that of a bare `python -I -S -c`, which contains nothing: of both in all,
this process's and the zygote's share included; `cpu_ratio_alone` leaves out what `subprocess.run` itself takes.

`runs_per_s` is with four runs at once: of the sandbox; of `subprocess.run` in threads; of a forked process with a
Manager for its result, as verl's `prime_code` and NeMo Gym's `code_gen` have it; and of a forked process with a pipe,
the least that such a way can cost. All run the same program, which reads and prints, and check its answer. Measurements
alternate, and medians are given.

    python benchmarks/sandbox.py [--level LEVEL] [--runs N]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import io
import json
import multiprocessing
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from llmgym.sandbox import Sandbox

PROGRAM = "n = int(input())\nprint(sum(i * i for i in range(n)))\n"
STDIN, ANSWER = "100\n", "328350\n"
AT_ONCE, ROUNDS, RUNS = 4, 5, 60


# --- other ways ---------------------------------------------------------------------------------


def bare(_: int = 0) -> None:
    command = [sys.executable, "-I", "-S", "-c", PROGRAM]
    done = subprocess.run(command, input=STDIN, capture_output=True, text=True, check=True)
    assert done.stdout == ANSWER


def execute() -> str:
    with contextlib.redirect_stdout(io.StringIO()) as out:
        sys.stdin = io.StringIO(STDIN)
        exec(compile(PROGRAM, "program", "exec"), {"__name__": "__main__"})
    return out.getvalue()


def append_to(results: Any) -> None:
    results.append(execute())


def manager(_: int = 0) -> None:
    with FORK.Manager() as shared:
        results = shared.list()
        process = FORK.Process(target=append_to, args=(results,))
        process.start()
        process.join(10)
        assert list(results) == [ANSWER]


def send_to(pipe: Connection) -> None:
    pipe.send(execute())


def pipe(_: int = 0) -> None:
    ours, theirs = FORK.Pipe(duplex=False)
    process = FORK.Process(target=send_to, args=(theirs,))
    process.start()
    theirs.close()
    assert ours.poll(10)
    assert ours.recv() == ANSWER
    process.join()


FORK = multiprocessing.get_context("fork")


# --- measuring ----------------------------------------------------------------------------------


def family() -> dict[int, list[str]]:
    """The fields of /proc/PID/stat of all descendants."""
    stats: dict[int, list[str]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            stats[int(folder.name)] = (folder / "stat").read_text().rpartition(")")[2].split()
    mine = {os.getpid()}
    while more := {pid for pid, stat in stats.items() if int(stat[1]) in mine} - mine:
        mine |= more
    return {pid: stats[pid] for pid in mine - {os.getpid()}}


def used() -> float:
    """CPU seconds of this process and its live descendants, with those whose end they have seen."""
    ticks = sum(int(number) for stat in family().values() for number in stat[11:15])
    return ticks / os.sysconf("SC_CLK_TCK") + time.process_time()


def footprint() -> dict[str, int]:
    """What a leak would show in: memory of this process and of its descendants, open files, mounts, processes."""
    pids = [os.getpid(), *family()]
    memory = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            memory += int(line.split()[1]) if line.startswith("Pss:") else 0
    return {
        "memory_kb": memory,
        "descriptors": sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in pids),
        "mounts": len(Path("/proc/self/mountinfo").read_text().splitlines()),
        "processes": len(pids),
    }


async def contained(box: Sandbox, count: int) -> None:
    for _ in range(count):
        result = await box.run(PROGRAM, stdin=STDIN)
        assert result.stdout == ANSWER, result


def bare_cpu() -> tuple[float, float]:
    """Milliseconds of CPU of a bare Python, alone and with what starting it costs here."""
    before, own = resource.getrusage(resource.RUSAGE_CHILDREN), time.process_time()
    for _ in range(RUNS):
        bare()
    after, own = resource.getrusage(resource.RUSAGE_CHILDREN), time.process_time() - own
    alone = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return alone / RUNS * 1000, (alone + own) / RUNS * 1000


async def contained_cpu(box: Sandbox) -> float:
    """Milliseconds of CPU of a contained run, in all."""
    before = used()
    await contained(box, RUNS * 4)  # the kernel's clock of processes is coarse
    return (used() - before) / RUNS / 4 * 1000


async def cell_ms(box: Sandbox, count: int = 300) -> float:
    async with box.session() as session:
        await session.run("x = 0")
        started = time.perf_counter()
        for _ in range(count):
            await session.run("x += 1")
        seconds = time.perf_counter() - started
        assert (await session.run("x")).stdout == f"{count}\n"
    return seconds / count * 1000


def threads_rate(way: Callable[[int], None], count: int) -> float:
    started = time.perf_counter()
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(way, range(count)))
    return count / (time.perf_counter() - started)


async def contained_rate(box: Sandbox, count: int) -> float:
    started = time.perf_counter()
    await asyncio.gather(*(contained(box, count // AT_ONCE) for _ in range(AT_ONCE)))
    return count / (time.perf_counter() - started)


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--level", default=None)
    parser.add_argument("--runs", type=int, default=2000, help="runs after which nothing may have grown")
    options = parser.parse_args()
    box = Sandbox(level=options.level)
    await contained_rate(box, 200)
    figures: dict[str, list[float]] = {}

    def note(name: str, value: float) -> None:
        figures.setdefault(name, []).append(value)

    for _ in range(ROUNDS):
        alone, whole = bare_cpu()
        note("bare_alone_cpu_ms", alone)
        note("bare_cpu_ms", whole)
        note("cpu_ms", await contained_cpu(box))
        note("session_cell_ms", await cell_ms(box))
        note("runs_per_s", await contained_rate(box, RUNS * 4))
        note("bare_runs_per_s", threads_rate(bare, RUNS))
        note("manager_runs_per_s", threads_rate(manager, RUNS // 3))
        note("pipe_runs_per_s", threads_rate(pipe, RUNS * 2))
    medians = {name: statistics.median(values) for name, values in figures.items()}
    before = footprint()
    await contained_rate(box, options.runs)
    after = footprint()
    rounded = {name: round(value, 3) for name, value in medians.items()}
    print(
        json.dumps(
            {
                "benchmark": "sandbox",
                "python": sys.version.split()[0],
                "level": box.level,
                "cores": len(os.sched_getaffinity(0)),
                **rounded,
                "cpu_ratio": round(medians["cpu_ms"] / medians["bare_cpu_ms"], 3),
                "cpu_ratio_alone": round(medians["cpu_ms"] / medians["bare_alone_cpu_ms"], 3),
                "ratio_bare": round(medians["runs_per_s"] / medians["bare_runs_per_s"], 1),
                "ratio_manager": round(medians["runs_per_s"] / medians["manager_runs_per_s"], 1),
                "ratio_pipe": round(medians["runs_per_s"] / medians["pipe_runs_per_s"], 1),
                "runs": options.runs,
                "before": before,
                "after": after,
            }
        )
    )


if __name__ == "__main__":
    asyncio.run(main())
