"""Functions of authors: what they give as tasks, or what is wrong, in a line with the place in the author's file."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from llmgym.errors import EnvironmentFailure, LLMGymError, MissingExtraError, TaskError
from llmgym.loading import described, place_of
from llmgym.tasks.task import Task, settled

#: What says something else than that the function is wrong.
PASSED = (EnvironmentFailure, MissingExtraError)


def made_by(function: Callable[..., Any], *args: Any) -> Task:
    """The task that a function makes, settled.

    Raises:
        TaskError: It raised, or gave something else; names it, and the file and line of its code.
    """
    try:
        given = function(*args)
    except PASSED:
        raise
    except (Exception, SystemExit) as error:  # the author's code
        raise TaskError(blame(function, error)) from error
    return checked(function, given)


def checked(function: Callable[..., Any], given: Any) -> Task:
    """What a function gave, if it is a task, settled.

    Raises:
        TaskError: It is not, or has what JSON cannot hold.
    """
    if isinstance(given, Task):
        try:
            return settled(given)
        except TaskError as error:
            said = str(error)
    else:
        said = f"it gave {given!r:.100}, which is not a Task"
    raise TaskError(said if _is_ours(function) else f"{named(function)}: {said}{_defined(function)}")


def blame(function: Callable[..., Any], error: BaseException) -> str:
    """Say what a function raised."""
    if place_of(error) is None and _is_ours(function):
        own = isinstance(error, ValueError | TypeError | LLMGymError)
        return str(error) if own else described(error)
    return f"{named(function)} failed: {described(error)}{'' if place_of(error) else _defined(function)}"


def named(function: Callable[..., Any]) -> str:
    """The name of a function, or of the class of an object that is called."""
    inner = _inner(function)
    return getattr(inner, "__qualname__", type(inner).__qualname__)


def _inner(function: Callable[..., Any]) -> Any:
    while isinstance(function, functools.partial):
        function = function.func
    return inspect.unwrap(function)


def _is_ours(function: Callable[..., Any]) -> bool:
    inner = _inner(function)
    module = getattr(inner, "__module__", None) or type(inner).__module__
    return module.partition(".")[0] == "llmgym"


def _defined(function: Callable[..., Any]) -> str:
    """Where a function is defined."""
    inner = _inner(function)
    code = getattr(inner, "__code__", None) or getattr(getattr(type(inner), "__call__"), "__code__", None)  # noqa: B004, B009
    return f", at {code.co_filename}:{code.co_firstlineno}" if code else ""
