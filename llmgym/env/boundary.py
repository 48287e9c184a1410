"""The one place that decides whose fault an error is, for all that an environment runs.

What a tool raises is answered to the model and counted by type, so that an author sees his bugs: `ToolError`, arguments
that do not fit, deadlines, and the ordinary exceptions of its logic. Broken infrastructure is nobody's answer: the
episode fails and is left unscored. In hooks, openings, constructors and wrappers everything that is raised is a
failure, since no policy could have helped it.
"""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor
from typing import Final

from llmgym.concurrency import PastDeadline, WorkerError
from llmgym.errors import AuthorError, EnvironmentFailure, ToolError
from llmgym.failures import Kind, Stage
from llmgym.loading import described
from llmgym.tools import ToolOptions

#: Exceptions that say that something is broken, and not that somebody asked for the wrong thing. `OSError` has files,
#: sockets, `requests` and `urllib` under it.
INFRASTRUCTURE: Final = (OSError, MemoryError, BrokenExecutor, http.client.HTTPException)

# Classes of clients that are common in tools and derive from none of these, by package and name.
_CLIENTS = frozenset({("aiohttp", "ClientError"), ("httpx", "TransportError"), ("httpcore", "NetworkError")})
_NO_START = ("can't start new thread", "can't fork", "Cannot allocate memory")


def is_infrastructure(error: BaseException) -> bool:
    """Whether an exception says that something is broken."""
    if isinstance(error, INFRASTRUCTURE):
        return not isinstance(error, PastDeadline)
    if isinstance(error, WorkerError):
        return any(kind in error.types for kind in ("OSError", "MemoryError"))
    if isinstance(error, RuntimeError) and str(error).startswith(_NO_START):
        return True
    return any((cls.__module__.partition(".")[0], cls.__name__) in _CLIENTS for cls in type(error).__mro__)


def leaves(error: BaseException) -> Iterator[BaseException]:
    """The exceptions in a group, such as one of a `TaskGroup`; an exception by itself."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from leaves(inner)
    else:
        yield error


def breaks(error: BaseException, options: ToolOptions) -> BaseException | None:
    """What fails the episode in what a tool raised; None where it is an answer to the model."""
    for leaf in leaves(error):
        if isinstance(leaf, EnvironmentFailure | AuthorError):
            return leaf
        if isinstance(leaf, ToolError | PastDeadline):
            continue
        declared = _declared(leaf, options)
        if declared or (declared is None and (is_infrastructure(leaf) or _is_stray_cancellation(leaf))):
            return leaf
    return None


def _declared(error: BaseException, options: ToolOptions) -> bool | None:
    """What the tool's author says of an exception: the nearest of its classes that he names decides."""
    for cls in type(error).__mro__:
        if cls in options.fails_on:
            return True
        if cls in options.answers:
            return False
    return None


def _is_stray_cancellation(error: BaseException) -> bool:
    """Whether something that the tool waited for was cancelled; the caller's own cancellation never comes here."""
    return type(error).__name__ == "CancelledError"


def kind_of(error: BaseException) -> Kind:
    """Of what sort a failure is that environment code raised."""
    if isinstance(error, EnvironmentFailure):
        return error.kind
    if isinstance(error, PastDeadline):
        return "timeout"
    if any(is_infrastructure(leaf) for leaf in leaves(error)):
        return "infrastructure"
    return "environment"


def failure(error: BaseException, where: str, stage: Stage, kind: Kind | None = None) -> EnvironmentFailure:
    """The failure that an exception is, with where it happened.

    Args:
        error: What was raised.
        where: What was running, such as "Shop.verify".
        stage: Where in the episode.
        kind: Of what sort, where that is known; else the exception says.
    """
    if isinstance(error, EnvironmentFailure):
        if error.stage is None:
            error.stage = stage
        return error
    leaf = next((leaf for leaf in leaves(error) if is_infrastructure(leaf)), error)
    named = isinstance(leaf, AuthorError | WorkerError)
    return EnvironmentFailure(
        f"{where}: {leaf if named else described(leaf)}", kind=kind or kind_of(error), stage=stage
    )
