"""How many files and sockets this process may have open: shells give it some 1,024 of those that it may have."""

from __future__ import annotations

import contextlib

_MANY = 65_536


def allow_descriptors(count: int = _MANY) -> None:
    """Let this process have so many open files, or as many as it may.

    Args:
        count: How many.
    """
    with contextlib.suppress(ImportError, OSError, ValueError):  # not on Windows; not always allowed
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = count if hard == resource.RLIM_INFINITY else min(hard, count)
        if soft != resource.RLIM_INFINITY and soft < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
