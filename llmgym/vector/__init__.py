"""Many environments in one process: Gymnasium's `reset` and `step`, and `send` and `recv` for partial batches.

`make_vec` gives a vector entry point neither an id nor a spec. Each registered id therefore names one of its own,
`llmgym.vector:ID`, which the module's `__getattr__` makes; it is text, so specs stay JSON.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import gymnasium

from llmgym.vector.env import TextVectorEnv

__all__ = ["TextVectorEnv"]


def __getattr__(env_id: str) -> Callable[..., TextVectorEnv]:
    """The vector entry point of a registered id."""
    if env_id in gymnasium.registry:
        return functools.partial(TextVectorEnv, env_id)
    raise AttributeError(f"module {__name__!r} has no attribute {env_id!r}, and no environment has that id")
