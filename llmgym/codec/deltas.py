"""What follows a turn, from pieces: a template that writes the text of a message as it is need not be run each time.

For one message, what a template writes is a text before the content and one after it, which depend on the role, the
name and the call's id alone. That is tried on contents of many sorts for each of these, and where one of them comes out
otherwise, or a content has what templates look for, the template is run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from llmgym.messages import Message

# Neither empty, nor with white space around, nor with markup: such contents always go to the template.
_TRIALS = (
    "qzresultqz",
    "7",
    "Error: there is no tool 'x'; there is y",
    '{"a": [1, 2.5, "x"], "b": null, "c": {"d": true}}',
    '[{"a": "b"}]',
    "two\n\nparagraphs, \"quotes\" and 'more' \\ \\n %s $x &amp; {{ x }} {% x %} {x} # - * `y`",
    "é 数 \U0001f600 \u00a0 \u200b",
    "x" * 3000,
)
_MOST = 4096  # kept shapes
_KEYS = frozenset({"role", "content", "name", "tool_call_id"})


class Deltas:
    """Texts that follow a turn.

    Args:
        render: Runs the template; None where it refuses.
    """

    def __init__(self, render: Callable[[Sequence[Message]], str | None]) -> None:
        self._render = render
        self._shapes: dict[tuple[str, ...], tuple[str, str] | None] = {}

    def of(self, messages: Sequence[Message]) -> str | None:
        """What the template writes for messages after the turn; None where it refuses them."""
        if len(messages) != 1:
            return self._render(messages)
        message = messages[0]
        content = message["content"]
        if (
            not content
            or "<" in content
            or content[0].isspace()
            or content[-1].isspace()
            or not message.keys() <= _KEYS
        ):
            return self._render(messages)
        key = (message["role"], message.get("name", ""), message.get("tool_call_id", ""))
        if key not in self._shapes:
            if len(self._shapes) >= _MOST:
                self._shapes.clear()
            self._shapes[key] = self._learn(message)
        shape = self._shapes[key]
        return self._render(messages) if shape is None else f"{shape[0]}{content}{shape[1]}"

    def _learn(self, message: Message) -> tuple[str, str] | None:
        text = self._render([{**message, "content": _TRIALS[0]}])
        if text is None or text.count(_TRIALS[0]) != 1:
            return None
        before, _, after = text.partition(_TRIALS[0])
        for trial in _TRIALS[1:]:
            if self._render([{**message, "content": trial}]) != f"{before}{trial}{after}":
                return None
        return before, after
