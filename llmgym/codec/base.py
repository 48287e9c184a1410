"""What a codec is: the exact map between chat messages and the token ids of one model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol, runtime_checkable

from llmgym.messages import Message, ToolSchema


@runtime_checkable
class ChatCodec(Protocol):
    """Messages to tokens and back, for one tokenizer; stateless and safe to share.

    Attributes:
        stop_token_ids: Tokens that end an assistant turn.
        fingerprint: Hash of tokenizer, template and codec settings; stored in each run.
        call_form: Name of the form in which calls are read.
        native_tools: Whether the model is shown tools in its own way, and not in ours.
    """

    stop_token_ids: tuple[int, ...]
    fingerprint: str
    call_form: str
    native_tools: bool

    def can_extend(self, roles: Iterable[str], *, tools: bool) -> bool:
        """Whether new messages of these roles can follow a sampled turn, in a run with or without tools."""
        ...

    def open(self, messages: Sequence[Message], tools: Sequence[ToolSchema]) -> list[int]:
        """Render a whole conversation, ending with the generation prompt."""
        ...

    def extend(
        self,
        prompt_ids: Sequence[int],
        completion_ids: Sequence[int],
        new_messages: Sequence[Message],
        tools: Sequence[ToolSchema],
    ) -> list[int] | None:
        """Ids to append after `prompt_ids + completion_ids`, ending with the generation prompt.

        The work is proportional to the completion and the new messages, not to the prompt.

        Args:
            prompt_ids: What the engine was given.
            completion_ids: What it sampled, a stop token included if one was sampled.
            new_messages: Tool, user or system messages that follow.
            tools: The same tools that `open` was given.

        Returns:
            The ids, or None where an exact continuation cannot be proven (the caller then renders
            the conversation afresh and starts a new segment).
        """
        ...

    def parse(
        self, completion_ids: Sequence[int], prompt_ids: Sequence[int] = (), tools: Sequence[ToolSchema] = ()
    ) -> Message:
        """Read sampled ids as an assistant message.

        Never raises on what a model may sample. A tool call that is not valid keeps its text in
        `arguments`, with an empty name where none can be read.

        Args:
            completion_ids: Sampled ids.
            prompt_ids: Prompt they continue; templates that open a reasoning block in the
                generation prompt need its end.
            tools: What the model was offered; families that write arguments without JSON need the
                types.
        """
        ...
