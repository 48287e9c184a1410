"""Asking what is far away: again where that may help, and in one line what went wrong where it does not."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from typing import Any, TypeVar

from llmgym.errors import LLMGymError
from llmgym.loading import described
from llmgym.redaction import redact_text

T = TypeVar("T")

#: Seconds before each further attempt.
WAITS_S = (1.0, 2.0, 5.0, 10.0, 20.0)

#: Told what the user should know meanwhile, such as that something failed and is tried again.
Say = Callable[[str], None]

FORBIDDEN = 403
_UNKNOWN, _CONFLICT = 401, 412
_BUSY = (408, 425, 429, 500, 502, 503, 504)
_NO_USE = (
    FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError, FileExistsError, NotImplementedError,
)  # fmt: skip
FULL = (errno.ENOSPC, errno.EDQUOT)
# What libraries call a connection that broke, by the names of the exceptions' bases, as none of them is always there.
_BROKEN = frozenset(
    {"ClientConnectionError", "ClientPayloadError", "ConnectionError", "HTTPClientError", "TimeoutError",
     "TransportError"}
)  # fmt: skip


class RemoteError(LLMGymError):
    """What is far away cannot be reached, does not allow something, or has something else than it says."""


def attempt(what: str, call: Callable[[], T], say: Say) -> T:
    """Do something that may fail for a moment.

    Args:
        what: What is done, for messages, such as "sending first/run.json to s3://mine/runs".
        call: Does it; it may be done twice.
        say: Told of each failure that is not the last.

    Raises:
        RemoteError: It failed for good, or as often as it was tried; FileNotFoundError and what is ours go through.
    """
    for wait in (*WAITS_S, None):
        try:
            return call()
        except (LLMGymError, FileNotFoundError):
            raise
        except Exception as error:  # a file system raises whatever its library does
            why = reason(error)
            if not _passing(error):
                raise RemoteError(f"{what}: {why}") from error
            if wait is None:
                raise RemoteError(
                    f"{what}: {why}, {len(WAITS_S) + 1} times; what has arrived is kept: repeat the command"
                ) from error
            say(f"{what}: {why}; again in {wait:g} s")
            time.sleep(wait)
    raise AssertionError


def reason(error: BaseException) -> str:
    """What an exception says, in a line and without secrets."""
    status = status_of(error)
    said: Any = getattr(error, "server_message", None)
    if status == _UNKNOWN:
        return "the token is not accepted (401)"
    if status == _CONFLICT:
        return "it was changed at the same time, or by an attempt whose answer was lost (412): repeat the command"
    if status is not None:
        return redact_text(" ".join(f"{said or _phrase(error)} ({status})".split()))
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return redact_text(" ".join(described(error).split()))


def status_of(error: BaseException) -> int | None:
    """The HTTP status of an answer that was an error."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    return status if isinstance(status, int) else None


def _phrase(error: BaseException) -> str:
    phrase = getattr(getattr(error, "response", None), "reason_phrase", "")
    return phrase or type(error).__name__


def _passing(error: Exception) -> bool:
    """Whether another attempt may go better."""
    status = status_of(error)
    if status is not None:
        return status in _BUSY
    if isinstance(error, _NO_USE) or (isinstance(error, OSError) and error.errno in FULL):
        return False
    if type(error).__name__ in ("OfflineModeIsEnabled", "LocalTokenNotFoundError"):
        return False
    return isinstance(error, OSError) or any(base.__name__ in _BROKEN for base in type(error).__mro__)
