"""Waits that are nobody's fault: deadlines of whoever waits stand still meanwhile.

A request that waits for its turn says nothing about how fast the one who will answer it is. Who has deadlines offers a
watch; who makes others wait holds the watches of the context.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol


class Watch(Protocol):
    """What measures a deadline."""

    def hold(self) -> None:
        """Stand still; several may ask for it at once."""
        ...

    def release(self) -> None:
        """One of them has waited long enough."""
        ...


_watch: ContextVar[Watch | None] = ContextVar("watch", default=None)


@contextmanager
def watched(watch: Watch) -> Generator[None]:
    """Let waits in this block hold a watch."""
    token = _watch.set(watch)
    try:
        yield
    finally:
        _watch.reset(token)


@contextmanager
def held() -> Generator[None]:
    """Wait in this block: it counts against no deadline that is watched."""
    watch = _watch.get()
    if watch is not None:
        watch.hold()
    try:
        yield
    finally:
        if watch is not None:
            watch.release()
