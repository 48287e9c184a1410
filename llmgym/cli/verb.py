"""What all verbs have in common: options that may stand behind any of them, one line for an error, and exit codes."""

from __future__ import annotations

import errno
import functools
import inspect
import os
import sys
import traceback as traceback_
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from llmgym.cli.ending import interrupted_by_sigterm
from llmgym.errors import (
    AuthorError,
    ConfigError,
    ConformanceError,
    EnvironmentFailure,
    LLMGymError,
    MissingExtraError,
    StoreError,
    TaskError,
)
from llmgym.loading import described, place_of
from llmgym.messages import visible
from llmgym.registry import register_envs

OK, SOME_FAILED, WRONG, NOTHING = 0, 1, 2, 3
_PIPE = 141  # as a shell says of a program that ended by SIGPIPE
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EIO)  # of standard output; the store says so of its own files

EXIT_CODES = """
\b
Exit codes:
  0    all is well, and everything has finished
  1    it ran, and some episodes or checks failed, or a time budget ended;
       the same command runs the episodes that are missing
  2    the command, a file, a task or your code is wrong
  3    nothing finished: a model, a server or a folder could not be used
  130  stopped by Ctrl-C; what had finished is kept
  143  stopped by SIGTERM; what had finished is kept
"""

Registry = Annotated[
    list[str] | None,
    typer.Option(
        "--registry", metavar="FILE", help="Also register the environments of this registry file; may be given again."
    ),
]
Traceback = Annotated[
    bool, typer.Option("--traceback", help="Show the whole traceback of an error, as LLMGYM_TRACEBACK=1 does.")
]


class Several(ConfigError):
    """Several things are wrong at once, each a line."""

    def __init__(self, problems: Sequence[str]) -> None:
        """Keep what is wrong."""
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


def verb(function: Callable[..., None], *, user_code: bool = False, writes: bool = False) -> Callable[..., None]:
    """Give a function the options of every verb, and make one line and an exit code of what it raises.

    Args:
        function: The verb, as typer takes it.
        user_code: Whether it may import modules of the user's, which are looked for in the working directory last: a
            file there must not take the place of a library that happens to have its name.
        writes: Whether it has files under way that no signal may leave behind; other verbs end at once, or in ways of
            their own.
    """
    signature = inspect.signature(function, eval_str=True)

    @functools.wraps(function)
    def run(*, registry: list[str] | None = None, traceback: bool = False, **arguments: Any) -> None:
        with interrupted_by_sigterm() if writes else nullcontext(), failing():
            begin(registry, traceback)
            if user_code:
                _find_user_code()
            function(**arguments)

    more = [
        inspect.Parameter("registry", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Registry),
        inspect.Parameter("traceback", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Traceback),
    ]
    parameters = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in signature.parameters.values()]
    run.__signature__ = signature.replace(parameters=[*parameters, *more])  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in (*parameters, *more)}
    return run


def begin(registry: Sequence[str] | None, traceback: bool) -> None:
    """Do what the options of every verb ask for."""
    if traceback:
        os.environ["LLMGYM_TRACEBACK"] = "1"
    for file in registry or ():
        register_envs(Path(file))


def _find_user_code() -> None:
    try:
        folder = os.getcwd()
    except OSError:  # removed under the process; what is named may be installed
        return
    if folder not in sys.path and "" not in sys.path:
        sys.path.append(folder)


# --- errors -------------------------------------------------------------------------------------


@contextmanager
def failing() -> Generator[None]:
    """End the process as the verb did; a defect of llmgym keeps its traceback."""
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except BrokenPipeError:  # `llmgym list | head`
        _abandon_output()
        sys.exit(_PIPE)
    except LLMGymError as error:
        fail(error)
    except (Exception, SystemExit) as error:
        if place_of(error) is not None:
            fail(error)
        if not isinstance(error, OSError) or error.errno not in _FULL:
            raise
        _abandon_output()
        print(f"error: cannot write the output: {error.strerror}", file=sys.stderr)
        sys.exit(NOTHING)


def _abandon_output() -> None:
    """Let what is still in the buffer go nowhere, without a word at the end of the process."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def fail(error: BaseException, code: int | None = None) -> NoReturn:
    """Say what went wrong in a line, and exit.

    Args:
        error: What was raised.
        code: Exit code; None takes the one of its kind.
    """
    complain(error)
    raise SystemExit(code_of(error) if code is None else code) from None


def complain(error: BaseException) -> None:
    """Say what went wrong in a line, on standard error; or show it whole, where that is asked for."""
    if os.environ.get("LLMGYM_TRACEBACK", "0") not in ("", "0"):
        traceback_.print_exception(error)
    if isinstance(error, LLMGymError):
        place = place_of(error) or ""
        lines = error.problems if isinstance(error, Several) else (str(error),)
        lines = [line if place in line else f"{line}, at {place}" for line in lines]
    else:
        lines = (f"{described(error)} (--traceback shows it whole)",)
    for line in lines:
        print(f"error: {visible(' '.join(line.split()))}", file=sys.stderr)


def code_of(error: BaseException) -> int:
    """The exit code of an error that ended a verb."""
    if isinstance(error, EnvironmentFailure):
        return NOTHING if error.kind != "environment" or place_of(error) is None else WRONG
    if isinstance(error, StoreError):  # the wrong folder, or one that cannot be used now
        from llmgym.rollout.journal import FolderInUseError

        return NOTHING if isinstance(error, FolderInUseError) or isinstance(error.__context__, OSError) else WRONG
    wrong = (ConfigError, TaskError, AuthorError, ConformanceError, MissingExtraError)
    return NOTHING if isinstance(error, LLMGymError) and not isinstance(error, wrong) else WRONG
