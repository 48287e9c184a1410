"""Protocols of others that a server speaks beside its own, so that their stock clients play its environments.

Each is a thin module over `llmgym.serve.sessions`. Their paths clash, and most clients know no prefix, so a server has
one of them, at its root, beside /v1.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

from llmgym.errors import ConfigError

if TYPE_CHECKING:
    from llmgym.serve.server import EnvServer

Front = Literal["nemo_gym", "nemo_gym_0_5", "openenv", "ors"]
FRONTS: Final[tuple[Front, ...]] = get_args(Front)


def check(front: Front | None, names: Sequence[str], workers: int) -> None:
    """Find out whether a front can serve what a server has.

    Raises:
        ConfigError: There are several environments, and its requests name none; or several processes, whose addresses
            its clients do not know.
    """
    if front is not None and workers > 1:
        raise ConfigError(f"front {front!r} is served by one process: its clients know one address; leave out workers")
    if front not in (None, "ors") and len(names) > 1:
        raise ConfigError(
            f"front {front!r} serves one environment, since its requests name none; not {', '.join(names)}"
        )


def routes(server: EnvServer, front: Front | None) -> Sequence[Any]:
    """The routes of a front of a server; none without one."""
    if front is None:
        return []
    module = importlib.import_module(f"{__name__}.{front.removesuffix('_0_5')}")
    return module.routes(server)
