"""For modules whose tests run code of a model: they are skipped where there is no wall to run it behind."""

from __future__ import annotations

import pytest

from llmgym.sandbox import Sandbox, SandboxUnavailable


def need_a_wall() -> None:
    """Skip the module where this machine has no level of the sandbox from "landlock" up."""
    try:
        Sandbox(least="landlock").check()
    except SandboxUnavailable as error:
        pytest.skip(str(error), allow_module_level=True)
