"""Models of an environment's roles that say again what they said when an episode ran."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

from llmgym.chat import ChatGeneration, ModelCall, Sampling
from llmgym.errors import PolicyError
from llmgym.messages import Message, ToolSchema

# Instances share the models in their roles, so that the episode says what was recorded, and not the model.
_calls: ContextVar[list[ModelCall]] = ContextVar("llmgym_recorded_calls")


@contextmanager
def recorded_calls(calls: Iterable[ModelCall]) -> Generator[None]:
    """Let recorded models answer with these calls, each of them once."""
    token = _calls.set(list(calls))
    try:
        yield
    finally:
        _calls.reset(token)


class RecordedModel:
    """A model that answers what it was asked when the episode ran.

    Attributes:
        name: The role.
        model: The same.
    """

    def __init__(self, role: str) -> None:
        """Play a role."""
        self.name = self.model = role

    async def start(self) -> None:
        """Nothing to load."""

    async def close(self) -> None:
        """Nothing to free."""

    async def chat(
        self,
        messages: Sequence[Message],
        tools: Sequence[ToolSchema],
        sampling: Sampling,
        *,
        request_id: str,
        session_id: str,
    ) -> ChatGeneration:
        """See `ChatPolicy.chat`.

        Raises:
            PolicyError: It was never asked this.
        """
        calls = _calls.get()
        for call in calls:
            if call.role == self.name and call.messages == messages:
                calls.remove(call)
                return ChatGeneration(call.reply, "stop", call.usage)
        raise PolicyError(f"there is no recorded reply of the {self.name} to what it is asked now")
