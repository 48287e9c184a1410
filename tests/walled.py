"""For tests that run code of a model: they are skipped where there is no wall to run it behind."""

from __future__ import annotations

import pytest

from llmgym.sandbox import Sandbox, SandboxUnavailable


def no_wall() -> str:
    """Why this machine has no level of the sandbox from "landlock" up; "" where it has one."""
    try:
        Sandbox(least="landlock").check()
    except SandboxUnavailable as error:
        return str(error)
    return ""


def need_a_wall() -> None:
    """Skip the module where there is no wall."""
    if why := no_wall():
        pytest.skip(why, allow_module_level=True)
