"""What a run shows while it goes on."""

from __future__ import annotations

import asyncio
import io

import pytest

from llmgym.rollout import Progress, progress
from llmgym.rollout.progress import describe, show_progress
from llmgym.trajectory import Trajectory, Turn


def test_a_line_says_how_far_a_run_is() -> None:
    run = Progress(planned=10, resumed=2, live=3)
    run.count_turn(Turn(None, "stop", 0.1, 0.1, start=5, end=1005))
    run.count_episode(Trajectory("e", "t", 0, 0, reward=1.0))
    run.count_episode(Trajectory("e", "t", 1, 0, reward=None))
    run.count_episode(Trajectory("e", "t", 2, 0, status="env_error", error="lost"))
    assert (run.finished, run.failed, run.scored, run.mean_reward, run.last_error) == (2, 1, 1, 1.0, "lost")
    run.started -= 10
    line = describe(run)
    for part in ("episodes 4/10", "live 3", "resumed 2", "failed 1", "turns 1", "tokens 1,000 (100/s)", "reward 1.000"):
        assert part in line
    assert "eta 0:16" in line  # five of ten left, three in ten seconds


def test_a_line_before_the_start() -> None:
    assert describe(Progress()) == "starting: loading the policy"
    assert "reward -" in describe(Progress(planned=1))
    assert Progress(planned=1).eta_s is None


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


class Full(io.StringIO):
    """A log on a full disk."""

    def write(self, text: str) -> int:
        raise OSError(28, "No space left on device")


async def test_a_log_file_gets_lines_without_escapes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_LOG_S", 0.001)
    log, run = io.StringIO(), Progress(planned=5)
    async with show_progress(lambda: run, log):
        await asyncio.sleep(0.01)
        run.finished = 5
    assert "\x1b" not in log.getvalue()
    assert "\r" not in log.getvalue()
    assert "episodes 5/5" in log.getvalue().splitlines()[-1]


async def test_a_terminal_gets_a_bar() -> None:
    terminal, run = Terminal(), Progress(planned=5)
    async with show_progress(lambda: run, terminal):
        await asyncio.sleep(0)
        run.finished = 5
        await asyncio.sleep(0)
    assert "episodes 5/5" in terminal.getvalue()


async def test_a_log_that_cannot_be_written_ends_no_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_LOG_S", 0.001)
    async with show_progress(lambda: Progress(planned=1), Full()):
        await asyncio.sleep(0.01)


async def test_an_error_in_the_block_passes_through() -> None:
    with pytest.raises(ValueError, match="mine"):
        async with show_progress(Progress, io.StringIO()):
            raise ValueError("mine")
