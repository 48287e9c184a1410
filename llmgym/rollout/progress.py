"""How far a run is, and how that is shown: a bar at a terminal, a line every few seconds in a log file."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TextIO

from llmgym.trajectory import FINISHED, Status, Turn

_TERMINAL_S = 0.2
_LOG_S = 10.0


@dataclass(slots=True)
class Progress:
    """How far a run is; read it at any time.

    Attributes:
        planned: Episodes that the run is to hold; None where there is no end.
        resumed: Episodes that were there already.
        finished: Episodes that ended in this session.
        failures: Episodes without a result, by status.
        last_error: What went wrong with the last of them.
        stragglers: Episodes that were ended since their group was whole without them.
        live: Episodes that are running.
        limit: Episodes that may run at once.
        turns: Turns taken in this session.
        tokens: Tokens sampled in this session.
        scored: Scored episodes of this session.
        reward_sum: Sum of their rewards.
        started: `time.monotonic()` at the start.
    """

    planned: int | None = 0
    resumed: int = 0
    finished: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    last_error: str | None = None
    stragglers: int = 0
    live: int = 0
    limit: int = 0
    turns: int = 0
    tokens: int = 0
    scored: int = 0
    reward_sum: float = 0.0
    started: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.started

    @property
    def failed(self) -> int:
        """Episodes without a result."""
        return self.failures.total()

    @property
    def mean_reward(self) -> float | None:
        """Mean reward of this session's scored episodes."""
        return self.reward_sum / self.scored if self.scored else None

    @property
    def owed(self) -> int:
        """Planned episodes that have not finished, ended as failures or not; 0 without an end."""
        return max(0, (self.planned or 0) - self.resumed - self.finished)

    @property
    def left(self) -> int:
        """Planned episodes that have not ended; 0 without an end."""
        return max(0, self.owed - self.failed)

    @property
    def eta_s(self) -> float | None:
        """Seconds that the rest will take at the present rate; None before the first episode, or without an end."""
        ended = self.finished + self.failed
        return self.seconds / ended * self.left if ended and self.planned else None

    def count_turn(self, turn: Turn) -> None:
        """Count a turn."""
        self.turns += 1
        self.tokens += turn.end - turn.start

    def count_episode(self, status: Status, reward: float | None, error: str | None) -> None:
        """Count an episode that ended for good."""
        if status not in FINISHED:
            self.failures[status] += 1
            self.last_error = error
            return
        if status == "straggler":  # kept, and none of those that were planned
            self.stragglers += 1
            return
        self.finished += 1
        if reward is not None:
            self.scored += 1
            self.reward_sum += reward


@asynccontextmanager
async def show_progress(read: Callable[[], Progress], stream: TextIO) -> AsyncGenerator[None]:
    """Show a run's progress on a stream while the block runs.

    Args:
        read: Gives the progress; called again and again, since a run makes its own when it starts.
        stream: Terminal or file.
    """
    show = _at_terminal(read, stream) if stream.isatty() else _in_log(read, stream)
    task = asyncio.create_task(show)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError, OSError):  # a log that cannot be written must not end a run
            await task


async def _in_log(read: Callable[[], Progress], stream: TextIO) -> None:
    last = ""
    try:
        while True:
            await asyncio.sleep(_LOG_S)
            last = describe(read())
            print(time.strftime("%H:%M:%S"), last, file=stream, flush=True)
    finally:
        if (now := describe(read())) != last:
            print(time.strftime("%H:%M:%S"), now, file=stream, flush=True)


async def _at_terminal(read: Callable[[], Progress], stream: TextIO) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bar

    console = Console(file=stream)
    column = BarColumn()
    with Bar(column, TextColumn("{task.description}"), console=console) as bar:
        task = bar.add_task("starting")

        def update() -> None:
            run = read()
            column.bar_width = console.width // 4  # again and again, since a window may be made larger or smaller
            line = describe(run, console.width - column.bar_width - 1)
            ended = run.resumed + run.finished + run.failed
            bar.update(task, total=run.planned or None, completed=ended, description=line)

        try:
            while True:
                update()
                await asyncio.sleep(_TERMINAL_S)
        finally:
            update()


def describe(progress: Progress, width: int | None = None) -> str:
    """One line: episodes, live ones, failures, turns, tokens and their rate, mean reward, time left.

    Args:
        progress: How far a run is.
        width: Characters that there are; what matters least is left out until the rest fits. None for no end.
    """
    if progress.planned == 0:
        return "starting: loading the policy"
    parts = _parts(progress)
    least = sorted(parts, key=_RANK.index, reverse=True)
    while width is not None and len("  ".join(parts.values())) > width and len(parts) > 1:
        del parts[least.pop(0)]
    return "  ".join(parts.values())


# What a line says, by how much it matters.
_RANK = ("episodes", "left", "failed", "reward", "live", "tokens", "turns", "resumed", "stragglers")


def _parts(progress: Progress) -> dict[str, str]:
    """What a line says, in its order."""
    of = "" if progress.planned is None else f"/{progress.planned}"
    rate = progress.tokens / progress.seconds if progress.seconds else 0.0
    parts = {
        "episodes": f"episodes {progress.resumed + progress.finished}{of}",
        "live": f"live {progress.live}",
        "resumed": f"resumed {progress.resumed}" if progress.resumed else "",
        "stragglers": f"stragglers {progress.stragglers}" if progress.stragglers else "",
        "failed": f"failed {progress.failed}",
        "turns": f"turns {progress.turns:,}",
        "tokens": f"tokens {progress.tokens:,} ({rate:,.0f}/s)",
        "reward": f"reward {'-' if progress.mean_reward is None else f'{progress.mean_reward:.3f}'}",
        "left": f"eta {_clock(progress.eta_s)}" if progress.eta_s else "",
    }
    return {name: text for name, text in parts.items() if text}


def _clock(seconds: float) -> str:
    """Hours, where there are some, minutes and seconds."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}" if minutes >= 60 else f"{minutes}:{rest:02d}"
