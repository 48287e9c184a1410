"""What a run shows while it goes on."""

from __future__ import annotations

import asyncio
import io
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgym.rollout import Progress, progress
from llmgym.rollout.progress import describe, show_progress
from llmgym.trajectory import Turn


def test_a_line_says_how_far_a_run_is() -> None:
    run = Progress(planned=10, resumed=2, live=3)
    run.count_turn(Turn(None, "stop", 0.1, 0.1, start=5, end=1005))
    run.count_episode("completed", 1.0, None)
    run.count_episode("completed", None, None)
    run.count_episode("env_error", None, "lost")
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


def test_a_folder_that_holds_more_than_is_planned_has_nothing_left() -> None:
    run = Progress(planned=5, resumed=20)
    run.count_episode("completed", 1.0, None)
    assert (run.left, run.eta_s) == (0, 0.0)
    assert "eta" not in describe(run)


COUNTS = st.integers(0, 10**7)


@given(COUNTS, COUNTS, COUNTS, COUNTS, COUNTS, st.floats(0, 1e6), st.integers(1, 150))
def test_a_line_fits_whatever_there_is_to_say(
    planned: int, finished: int, failed: int, tokens: int, live: int, seconds: float, width: int
) -> None:
    run = Progress(
        planned + 1, finished, finished, Counter(env_error=failed), live=live, tokens=tokens, scored=finished
    )
    run.started -= seconds
    parts, line = describe(run).split("  "), describe(run, width).split("  ")
    assert len("  ".join(line)) <= width or line == parts[:1]
    said = [part.split()[0] for part in line]
    assert [part.split()[0] for part in parts if part.split()[0] in said] == said  # in their order


@pytest.mark.parametrize(
    ("width", "line"),
    [
        (99, "episodes 5/20  live 3  failed 2  turns 40  tokens 9,000 (900/s)  reward 1.000  eta 0:18"),
        (80, "episodes 5/20  live 3  failed 2  tokens 9,000 (900/s)  reward 1.000  eta 0:18"),
        (60, "episodes 5/20  live 3  failed 2  reward 1.000  eta 0:18"),
        (40, "episodes 5/20  failed 2  eta 0:18"),
        (29, "episodes 5/20  eta 0:18"),
        (1, "episodes 5/20"),
    ],
)
def test_what_matters_least_is_left_out(width: int, line: str) -> None:
    run = Progress(20, 0, 5, Counter(timeout=2), live=3, turns=40, tokens=9000, scored=1, reward_sum=1.0)
    run.started -= 10
    assert describe(run, width) == line


def test_long_times_have_hours() -> None:
    run = Progress(planned=3, finished=1)
    run.started -= 2000
    assert "eta 1:06:4" in describe(run)


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
