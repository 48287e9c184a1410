"""Context management: what a policy is still shown of an episode that outgrows its context.

The transcript stays whole. What the policy is shown of it is the opening with a note, and what came after a message
that moves on; older results of tools may be cleared from it. All that is decided here is the same for tokens and chats.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from llmgym.messages import Message, user
from llmgym.rollout.config import ContextManagement
from llmgym.trajectory import Compaction, Turn

_WITHHELD = "[You will see this result once you have written the summary.]"


class Context:
    """What one episode's policy is shown of the transcript: all, until it is compacted.

    Attributes:
        settings: How it is managed; None for not at all.
        compactions: What was done so far; one at most for each turn.
    """

    def __init__(self, settings: ContextManagement | None) -> None:
        """Say how it is managed."""
        self.settings = settings
        self.compactions: list[Compaction] = []
        self._opening = 0
        self._summary = ""

    def open(self, messages: Sequence[Message]) -> None:
        """Start with the opening messages, which always stay."""
        self._opening = len(messages)

    @property
    def _last(self) -> Compaction:
        return self.compactions[-1] if self.compactions else Compaction(0, self._opening, self._opening)

    def shown(self, messages: list[Message]) -> list[Message]:
        """What the policy is shown of a transcript."""
        return self._last.shown(messages, self._opening) if self.compactions else messages

    def can_shrink(self, messages: Sequence[Message]) -> bool:
        """Whether there is more than the newest turn, which always stays."""
        return self.settings is not None and self._old(messages)[1] > 0

    def wants_summary(self, messages: Sequence[Message]) -> bool:
        """Whether the policy is to be asked for a summary, which it is once a turn at most."""
        if self.settings is None or self.settings.strategy != "summarize":
            return False
        return not self.compactions or self.compactions[-1].turn != self._turns(messages)

    def shrink(self, messages: Sequence[Message]) -> bool:
        """Clear the results of old turns, and leave out the older half of these turns where that saves less than half.

        Returns:
            False where only the newest turn is left; nothing is done then.
        """
        turns, old = self._old(messages)
        if not old:
            return False
        last, first = self._last, turns[old]
        before = last.shown(messages[:first], self._opening)
        after = replace(last, cleared=first).shown(messages[:first], self._opening)
        saved = _size(before[self._opening :]) - _size(after[self._opening :])
        enough = saved > 0 and saved >= _size(after[self._opening :])
        self._compact(messages, last.start if enough else turns[(old + 1) // 2], first)
        return True

    def question(self, messages: list[Message], *, as_user: bool) -> tuple[list[Message], list[Message]]:
        """How to ask for a summary: in place of the newest answer.

        That may be as long as it likes; to ask without it leaves as much room as there was for the last reply.

        Args:
            messages: The transcript.
            as_user: Whether the user asks, behind the results of tools; else the last of these does.

        Returns:
            What the policy is shown up to its last reply, and what follows that.
        """
        end = max(at for at, message in enumerate(messages) if message["role"] == "assistant") + 1
        asked: list[Message] = [
            {**result, "content": _WITHHELD} for result in messages[end:] if result["role"] == "tool"
        ]
        assert self.settings is not None
        instructions = self.settings.instructions
        if as_user or not asked:
            asked.append(user(instructions))
        else:
            asked[-1] = {**asked[-1], "content": instructions}
        return self.shown(messages[:end]), asked

    def summarize(self, messages: Sequence[Message], text: str, reply: Turn | None = None) -> None:
        """Leave out all but the newest turns.

        Args:
            messages: The transcript.
            text: The policy's summary; where it is empty, the one before stays.
            reply: The tokens of the summary, if there are any.
        """
        turns, old = self._old(messages)
        self._summary = text.strip() or self._summary
        self._compact(messages, turns[old], self._last.cleared, reply)

    def _turns(self, messages: Sequence[Message], end: int | None = None) -> int:
        """How many turns there are before a message, or in all."""
        return sum(message["role"] == "assistant" for message in messages[self._opening : end])

    def _old(self, messages: Sequence[Message]) -> tuple[list[int], int]:
        """Where the turns that are shown start, and how many of them are old: all but the newest `keep`, or but one."""
        assert self.settings is not None
        shown, keep = range(self._last.start, len(messages)), self.settings.keep
        turns = [at for at in shown if messages[at]["role"] == "assistant"]
        return turns, max(0, len(turns) - (keep if len(turns) > keep else 1))

    def _compact(self, messages: Sequence[Message], start: int, cleared: int, summary: Turn | None = None) -> None:
        """Note what is shown from now on."""
        out, turn = self._turns(messages, start), self._turns(messages)
        note = f"[{out} earlier turns of this conversation were left out to save context.]" if out else ""
        if self._summary:
            note += f"\n\nYour summary of the conversation so far:\n{self._summary}"
        if self.compactions and self.compactions[-1].turn == turn:
            before = self.compactions.pop()
            summary = summary or before.summary
        self.compactions.append(Compaction(turn, start, cleared, note, summary))


def _size(messages: Sequence[Message]) -> int:
    """Letters, which are in proportion to the tokens."""
    calls = (call["function"] for message in messages for call in message.get("tool_calls", ()))
    return sum(len(message["content"]) for message in messages) + sum(len(call["arguments"]) for call in calls)
