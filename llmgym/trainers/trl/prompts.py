"""A task in the only thing of a row that TRL hands to everyone: the prompt.

A key on its last message names the task. Chat templates ignore it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llmgym.codec.formats import template_call
from llmgym.errors import ConfigError
from llmgym.messages import Message
from llmgym.trainers.common import TaskRef

_KEY = "llmgym"

#: Messages as chat templates take them.
Prompt = list[dict[str, Any]]


def for_template(messages: Sequence[Message]) -> Prompt:
    """Messages with the arguments of their calls as objects, which chat templates want."""
    return [
        {**message, "tool_calls": [template_call(call) for call in message["tool_calls"]]}
        if "tool_calls" in message
        else {**message}
        for message in messages
    ]


def prompt_of(messages: Sequence[Message], ref: TaskRef) -> Prompt:
    """Make the prompt of a task from its opening messages."""
    prompt = for_template(messages)
    prompt[-1][_KEY] = ref.dumps()
    return prompt


def ref_of(prompt: Any) -> TaskRef:
    """Read the task of a prompt.

    Raises:
        ConfigError: It names none.
    """
    if not (isinstance(prompt, list) and prompt and isinstance(prompt[-1], dict) and _KEY in prompt[-1]):
        raise ConfigError(f"a prompt that names no task: {str(prompt)[:100]!r}; train on the spec's own datasets")
    return TaskRef.loads(prompt[-1][_KEY])
