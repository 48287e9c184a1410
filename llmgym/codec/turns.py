"""How a chat template goes on after an assistant turn, learned from one probe and proven on many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from llmgym.codec import probes
from llmgym.codec.chat_template import Chat, ChatTemplate
from llmgym.messages import Message, ToolSchema


@dataclass(frozen=True, slots=True)
class Turn:
    """A probe conversation that new messages of certain roles can follow.

    Attributes:
        head: The conversation, prepared, up to and including an assistant turn.
        prefix: What it renders to, up to and including the token that ends the turn.
        close: What the template writes to end a turn that was cut short; the end of `prefix`.
        terminator: The token that ends the turn; the end of `close`.
        terminator_id: Its id.
        keeps_reasoning: Whether the history keeps what the turn itself reasoned.
    """

    head: Chat
    prefix: str
    close: str
    terminator: str
    terminator_id: int
    keeps_reasoning: bool = True

    def delta(self, template: ChatTemplate, new_messages: Sequence[Message]) -> str | None:
        """Render what follows the end of the turn; None where the template refuses it, or rewrites the turn."""
        text = template.render_prepared([*self.head, *template.prepare(new_messages, ())])
        return text[len(self.prefix) :] if text is not None and text.startswith(self.prefix) else None


def learn(template: ChatTemplate, roles: Sequence[str]) -> Turn | None:
    """Learn from the smallest conversation how new messages of these roles follow; None if they cannot."""
    answers = roles[0] == "tool"
    head = template.prepare([*probes.history("none"), _turn_before(answers)], ())
    text = template.render_prepared([*head, *template.prepare(probes.news(roles, "call_2"), ())])
    if text is None or probes.SAID not in text or probes.RESULT not in text:
        return None
    start = text.index(probes.SAID) + len(probes.SAID)
    usual = learn(template, ("user",)) if answers else None
    end = template.find_end(text, start, text.index(probes.RESULT), usual and usual.terminator, answers)
    if end is None:
        return None
    index, terminator = end
    stop = index + len(terminator)
    # What precedes the token after a call is the end of the probe's own call.
    close = terminator if answers else text[start:stop]
    ids = template.tokenizer.encode(terminator, add_special_tokens=False)
    return Turn(head, text[:stop], close, terminator, ids[0]) if len(ids) == 1 else None


def prove(template: ChatTemplate, turn: Turn, roles: Sequence[str], tools: bool) -> Turn | None:
    """Prove that the template is prefix-stable where new messages of these roles follow a turn.

    The whole conversation has to begin with the prompt that led to the turn, and to end with the
    delta that the small conversation has. Reasoning that the template shows in one rendering has to
    stay in later ones; if only that of the turn itself goes, `keeps_reasoning` says so.

    Returns:
        The proven turn, or None.
    """
    schemas = probes.TOOLS if tools else ()
    keeps = [_holds(template, turn, trial, schemas) for style in probes.STYLES for trial in probes.trials(roles, style)]
    shown = [kept for kept in keeps if kept is not None]
    if not shown or "unstable" in shown:
        return None
    return replace(turn, keeps_reasoning="forgets" not in shown)


def _holds(
    template: ChatTemplate,
    turn: Turn,
    trial: tuple[list[Message], Message, list[Message]],
    schemas: Sequence[ToolSchema],
) -> str | None:
    """Try one conversation: "keeps", "forgets", "unstable", or None where the template refuses it."""
    history, said, new = trial
    before = template.attempt(history, schemas)
    text = template.attempt([*history, said, *new], schemas)
    delta = turn.delta(template, new)
    if before is None or text is None:
        return None
    if delta is None or not text.startswith(before):
        return "unstable"
    turn_text, ending, rest = text[len(before) :].partition(turn.terminator)
    if probes.SAID not in turn_text or ending + rest != turn.terminator + delta:
        return "unstable"
    if probes.THOUGHT in turn_text or not _reasons(template, history, said, schemas):
        return "keeps"
    return "forgets"


def _reasons(template: ChatTemplate, history: Sequence[Message], said: Message, schemas: Sequence[ToolSchema]) -> bool:
    """Whether a turn has reasoning that the template ought to know: any in its content, or a field that it shows."""
    if "reasoning_content" in said:
        return probes.THOUGHT in (template.attempt([*history, said], schemas, ask=False) or "")
    return probes.THOUGHT in said["content"]


def _turn_before(answers: bool) -> Message:
    return probes.asks("none", "call_1") if answers else probes.says("none")
