"""What goes wrong at a server, in the words of the protocol."""

from __future__ import annotations

import logging

from gymnasium.error import ResetNeeded

from llmgym.adapters.remote.protocol import Error, Wrong
from llmgym.env.episode import Report
from llmgym.errors import EnvironmentFailure, LLMGymError

_log = logging.getLogger("llmgym.serve")


class ServeError(LLMGymError):
    """A request cannot be done, for a reason that lies in it or in the server's state.

    Attributes:
        wrong: What, in the words of the protocol.
    """

    def __init__(self, wrong: Wrong, message: str) -> None:
        """Say what is wrong."""
        super().__init__(message)
        self.wrong: Wrong = wrong


def error_of(error: Exception, report: Report | None = None) -> Error:
    """What a client is told of an exception; a defect of llmgym is logged here, and told without its inside.

    Args:
        error: What was raised.
        report: What is known of the episode that it ended.
    """
    if isinstance(error, ServeError):
        return Error(wrong=error.wrong, message=str(error))
    if isinstance(error, EnvironmentFailure):
        return Error(
            wrong="environment", message=str(error), kind=error.kind, stage=error.stage or "episode", report=report
        )
    if isinstance(error, ResetNeeded):
        return Error(wrong="ended", message="the episode has ended or none was started: reset the session")
    if isinstance(error, LLMGymError | ValueError):
        return Error(wrong="bad_request", message=str(error))
    _log.exception("a request failed", exc_info=error)
    return Error(wrong="internal", message=f"the server failed: {type(error).__name__}; its log says more")
