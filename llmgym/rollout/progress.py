"""Live progress of a run: a bar at a terminal, a line every few seconds in a log file."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from typing import TextIO

from llmgym.rollout.collector import Progress

_TERMINAL_S = 0.2
_LOG_S = 10.0


@asynccontextmanager
async def show_progress(read: Callable[[], Progress], stream: TextIO = sys.stderr) -> AsyncGenerator[None]:
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

    with Bar(BarColumn(), TextColumn("{task.description}"), console=Console(file=stream)) as bar:
        task = bar.add_task("starting")
        try:
            while True:
                _update(bar, task, read())
                await asyncio.sleep(_TERMINAL_S)
        finally:
            _update(bar, task, read())


def _update(bar: object, task: object, progress: Progress) -> None:
    done = progress.resumed + progress.finished + progress.failed
    bar.update(task, total=progress.planned or None, completed=done, description=describe(progress))  # type: ignore[attr-defined]


def describe(progress: Progress) -> str:
    """One line: episodes, live ones, failures, turns, tokens and their rate, mean reward, time left."""
    if not progress.planned:
        return "starting: loading the policy"
    parts = [f"episodes {progress.resumed + progress.finished}/{progress.planned}", f"live {progress.live}"]
    if progress.resumed:
        parts.append(f"resumed {progress.resumed}")
    parts.append(f"failed {progress.failed}")
    rate = progress.tokens / progress.seconds if progress.seconds else 0.0
    parts += [f"turns {progress.turns:,}", f"tokens {progress.tokens:,} ({rate:,.0f}/s)"]
    reward = progress.mean_reward
    parts.append(f"reward {'-' if reward is None else f'{reward:.3f}'}")
    if progress.eta_s:
        parts.append(f"eta {int(progress.eta_s) // 60}:{int(progress.eta_s) % 60:02d}")
    return "  ".join(parts)
