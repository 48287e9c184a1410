"""The error hierarchy: every error llmgym raises on purpose derives from `LLMGymError`.

A message names the offending value and the next step. The CLI prints the message of an
`LLMGymError` without a traceback; anything else is a bug and keeps its traceback.
"""

from __future__ import annotations

from typing import Any

from llmgym.failures import Kind, Stage


class LLMGymError(Exception):
    """Base of all errors that llmgym raises on purpose; any can go to another process, whatever it is made of."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Take it for what it holds: its constructor may ask for other things."""
        return _restored, (type(self), self.args, self.__dict__)


def _restored(cls: type[LLMGymError], args: tuple[Any, ...], held: dict[str, Any]) -> LLMGymError:
    error = cls.__new__(cls, *args)
    error.__dict__.update(held)
    return error


class ConfigError(LLMGymError):
    """A configuration value, flag or file is wrong."""


class RegistryError(ConfigError):
    """A registry file is malformed, or an environment id is unknown."""


class TaskError(LLMGymError):
    """A task row is malformed, or a task id or split is unknown."""


class MessageError(LLMGymError, ValueError):
    """What should be chat messages, a call or a tool's schema is in no form that llmgym reads."""


class MissingExtraError(LLMGymError, ImportError):
    """An optional dependency is not installed."""

    def __init__(self, feature: str, extra: str) -> None:
        """Name the feature and the extra that provides it."""
        super().__init__(f"{feature} needs an optional dependency: pip install 'llmgym[{extra}]'")
        self.extra = extra


class ConformanceError(LLMGymError):
    """An environment fails checks of `llmgym.testing`; lists each with what to do."""


class AuthorError(LLMGymError, TypeError):
    """A mistake in an environment's class, such as a name that is ToolEnv's own."""


class VectorError(LLMGymError, ValueError):
    """A vector environment is asked for what makes no sense; nothing in it has changed."""


class EnvironmentFailure(LLMGymError):
    """What an environment runs failed; says nothing about the policy, so the episode is unscored.

    A tool, a hook or a wrapper raises it where something that it needs is not there.

    Attributes:
        kind: Of what sort the failure is.
        stage: Where it happened; None until the boundary knows.
    """

    def __init__(self, message: str, *, kind: Kind = "environment", stage: Stage | None = None) -> None:
        """Say what failed."""
        super().__init__(message)
        self.kind: Kind = kind
        self.stage: Stage | None = stage


class PolicyError(LLMGymError):
    """A policy could not produce a reply."""


class PolicyUnavailable(PolicyError):
    """A policy's engine or server cannot be reached; trying again later can help."""


class ContextLengthExceeded(PolicyError):
    """A prompt leaves no room for a reply in the model's context."""


class ModelCacheError(LLMGymError):
    """A cached model folder is incomplete, or differs from what was fetched."""


class CodecError(LLMGymError):
    """A chat template cannot be rendered or is not usable for rollouts."""


class StoreError(LLMGymError):
    """A run folder cannot be written, read or resumed."""


class ToolError(LLMGymError):
    """Raised by a tool to answer the model with an error text; the episode goes on."""
