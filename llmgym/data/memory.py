"""How memory is used by work on very many rows."""

from __future__ import annotations

import gc
from collections.abc import Generator
from contextlib import contextmanager

_MOST = 31 << 20  # bytes: from 32 MiB on glibc does not go by it


@contextmanager
def steady() -> Generator[None]:
    """Let work that makes no cycles go on without a search for them, and with the memory that it has had once.

    The collector takes a tenth of the time in which rows are decoded. glibc hands back what a block was read into, to
    get it anew from the kernel, zeroed, for the next one, until something of that size was freed once.
    """
    bytes(_MOST)
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


@contextmanager
def steady_columns() -> Generator[None]:
    """The same for work that makes columns: Arrow's own allocator hands memory back after a moment.

    That takes a tenth of the time in which rows become Parquet.
    """
    import pyarrow as pa

    pool = pa.default_memory_pool()
    pa.set_memory_pool(pa.system_memory_pool())
    try:
        with steady():
            yield
    finally:
        pa.set_memory_pool(pool)
