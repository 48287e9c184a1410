"""Running untrusted code: programs, commands, sessions and shells, at the strongest level that the machine has."""

from __future__ import annotations

from llmgym.concurrency import drive_apart as run_sync
from llmgym.sandbox.box import Sandbox
from llmgym.sandbox.levels import Availability, SandboxUnavailable, control_groups, survey, taken
from llmgym.sandbox.results import Limits, Result, SandboxFailure, Status
from llmgym.sandbox.sessions import Session
from llmgym.sandbox.walls import LEVELS, Level

__all__ = [
    # running
    "Sandbox",
    "Session",
    "run_sync",
    # limits and results
    "Limits",
    "Result",
    "SandboxFailure",
    "Status",
    # levels
    "LEVELS",
    "Availability",
    "Level",
    "SandboxUnavailable",
    "control_groups",
    "survey",
    "taken",
]
