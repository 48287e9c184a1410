"""Python's cycle collector while thousands of episodes live."""

from __future__ import annotations

import gc
from collections.abc import Generator
from contextlib import contextmanager

# With Python's defaults, thousands of live episodes spend a third of their time in the cycle collector, which goes
# through all of them again and again and finds next to nothing.
_GC_THRESHOLD = (50_000, 20, 20)
_calm: list[tuple[int, int, int]] = []


@contextmanager
def calm_collection() -> Generator[None]:
    """Collect cycles seldom while any run goes on; the last one that ends puts things back as they were."""
    _calm.append(gc.get_threshold())
    gc.set_threshold(*_GC_THRESHOLD)
    try:
        yield
    finally:
        before = _calm.pop()
        if not _calm:
            gc.set_threshold(*before)
