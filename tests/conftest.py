"""Lets test functions be `async`, each in an event loop of its own, and has what several modules use."""

from __future__ import annotations

import asyncio
import gc
import inspect
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Each run draws other examples, but for those with CI=true, as `.ci/run` has: what it shows is seen again. So a few are
# enough. No deadlines: a busy machine is no defect.
QUICK = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("quick", QUICK)
settings.register_profile("thorough", QUICK, max_examples=500)
settings.load_profile("quick")


def pytest_collection_finish() -> None:
    """The search for cycles need not look through fifteen thousand tests each time."""
    gc.freeze()


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = inspect.signature(pyfuncitem.obj).parameters
    asyncio.run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names}))
    return True


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Several threads of torch only get in each other's way with models as small as those of tests."""
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def programs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Agent programs of npm's are found by their names."""
    folder = Path(__file__).parents[1] / ".venv-agents-npm" / "node_modules" / ".bin"
    if not folder.exists():
        pytest.skip("needs the programs: make test-agents")
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
