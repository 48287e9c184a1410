"""Deadlines that hold, blocking work that is bounded, and the bridge from synchronous callers to the async core."""

from __future__ import annotations

from llmgym.concurrency.bridge import drive, drive_apart, drive_in_background, may_suspend, start_in_background
from llmgym.concurrency.cycles import calm_collection
from llmgym.concurrency.deadlines import Leftover, PastDeadline, bounded, ended, is_cancellation, is_outside, shielded
from llmgym.concurrency.holds import Watch, held, watched
from llmgym.concurrency.lifelines import Lifeline
from llmgym.concurrency.processes import WorkerError, in_process
from llmgym.concurrency.threads import in_thread

__all__ = [
    # synchronous callers
    "drive",
    "drive_apart",
    "drive_in_background",
    "may_suspend",
    "start_in_background",
    # deadlines
    "Leftover",
    "PastDeadline",
    "bounded",
    "ended",
    "is_cancellation",
    "is_outside",
    "shielded",
    # what does not count against them
    "Watch",
    "held",
    "watched",
    # many episodes
    "calm_collection",
    # programs
    "Lifeline",
    # blocking work
    "WorkerError",
    "in_process",
    "in_thread",
]
