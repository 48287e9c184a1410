"""Commands that are told to end while they write."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("duckdb")

from llmgym.cli.ending import interrupted_by_sigterm, run_to_end
from tests.command import environ, llmgym
from tests.data.rows import line

STANDSTILL = '''
import asyncio
import os
import gymnasium
from llmgym import Task, TaskSet, ToolEnv

class Standstill(ToolEnv):
    """Is never scored where it is not to be."""
    tasks = TaskSet.generated(lambda rng: Task(prompt="go", answer=str(rng.integers(10**6))))
    hook_timeout = 3600
    async def verify(self, episode):
        if "STANDSTILL" in os.environ:
            await asyncio.sleep(3600)
        return 1.0
    def oracle(self, task):
        return [task.answer]

gymnasium.register("own/Standstill-v0", entry_point="standstill:Standstill")
'''


@pytest.fixture(name="folder", scope="module")
def made_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows that take a second to write, and a run that is scored again without end."""
    folder = tmp_path_factory.mktemp("ending")
    (folder / "rows.jsonl").write_bytes(b"".join(line(f"t{number}") for number in range(10_000)))
    assert llmgym("data", "columns", "rows.jsonl", cwd=folder).returncode == 0
    (folder / "standstill.py").write_text(STANDSTILL)
    args = ("--env", "standstill:own/Standstill-v0", "--policy", "oracle", "--num-tasks", 1, "--output", "run")
    done = llmgym("rollout", *args, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize(
    "arguments",
    [["data", "convert", "rows.jsonl", "-o", "out.parquet"], ["verify", "run", "--write", "out"]],
)
def test_what_is_stopped_leaves_nothing(folder: Path, arguments: list[str], number: signal.Signals) -> None:
    before = sorted(folder.iterdir())
    command = [sys.executable, "-m", "llmgym", *arguments]
    with subprocess.Popen(
        command, cwd=folder, env=environ(STANDSTILL="1"), stderr=subprocess.PIPE, text=True
    ) as process:
        while not list(folder.glob(".out*")) and process.poll() is None:
            time.sleep(0.005)
        process.send_signal(number)
        _, said = process.communicate(timeout=30)
    assert (process.returncode, "Traceback" in said) == (128 + number, False), said
    assert sorted(folder.iterdir()) == before


def test_sigterm_ends_also_what_ctrl_c_does_not() -> None:
    async def wait() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.sleep(3600)

    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # as in what a script starts in the background
    try:
        with pytest.raises(SystemExit) as end, interrupted_by_sigterm():
            run_to_end(wait())
    finally:
        signal.signal(signal.SIGINT, handlers[signal.SIGINT])
    assert end.value.code == 143
    assert signal.getsignal(signal.SIGTERM) is handlers[signal.SIGTERM]
