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
        keeps_content: Whether text beside calls stays where it was sampled.
        keeps_calls: Whether it writes all calls of a turn; that of gpt-oss leaves out all but the first.
        named: Whether what follows calls holds what only they say, such as the name of the tool: then the conversation
            is made anew for each sequence of names and ids.
    """

    head: Chat
    prefix: str
    close: str
    terminator: str
    terminator_id: int
    keeps_reasoning: bool = True
    keeps_content: bool = True
    keeps_calls: bool = True
    named: bool = False

    def delta(self, template: ChatTemplate, new_messages: Sequence[Message]) -> str | None:
        """Render what follows the end of the turn; None where the template refuses it, or rewrites the turn."""
        if self.named:
            turn = _learn(template, probes.asked([m for m in new_messages if m["role"] == "tool"]), new_messages)
            return None if turn is None else turn.delta(template, new_messages)
        text = template.render_prepared([*self.head, *template.prepare(new_messages, ())])
        return text[len(self.prefix) :] if text is not None and text.startswith(self.prefix) else None


def learn(template: ChatTemplate, roles: Sequence[str]) -> Turn | None:
    """Learn from the smallest conversation how new messages of these roles follow; None if they cannot."""
    return _learn(template, _turn_before(roles[0] == "tool"), probes.news(roles, "call_2"))


def _learn(template: ChatTemplate, said: Message, new: Sequence[Message]) -> Turn | None:
    """Learn how new messages, whatever they say, follow a turn that says `SAID`, in its last call if there are any."""
    answers = "tool_calls" in said
    head = template.prepare([*probes.history("none"), said], ())
    shown: list[Message] = [{**message, "content": probes.RESULT} for message in new]
    text = template.render_prepared([*head, *template.prepare(shown, ())])
    if text is None or probes.SAID not in text or probes.RESULT not in text:
        return None
    start = text.rindex(probes.SAID) + len(probes.SAID)
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
    found = _proven(template, turn, roles, tools)
    if found is None and roles[0] == "tool":
        return _proven(template, replace(turn, named=True), roles, tools)
    return found


def _proven(template: ChatTemplate, turn: Turn, roles: Sequence[str], tools: bool) -> Turn | None:
    schemas = probes.TOOLS if tools else ()
    shown: set[str] = set()
    keeps_content = True
    for style in probes.STYLES:
        found = (_holds(template, turn, trial, schemas) for trial in probes.trials(roles, style))
        kept = {each for each in found if each is not None}
        if style == "text" and roles[0] == "tool":
            # What is forgotten of content is no reasoning where a field has that.
            lost = {"moved", "forgets"} if "shows" in shown else {"moved"}
            keeps_content = kept.isdisjoint(lost)
            kept -= lost
        shown |= kept
    keeps_calls = "drops" not in shown
    shown.discard("drops")
    if not shown or not shown.isdisjoint({"unstable", "moved"}):
        return None
    return replace(turn, keeps_reasoning="forgets" not in shown, keeps_content=keeps_content, keeps_calls=keeps_calls)


def _holds(
    template: ChatTemplate,
    turn: Turn,
    trial: tuple[list[Message], Message, list[Message]],
    schemas: Sequence[ToolSchema],
) -> str | None:
    """Try one conversation.

    Returns:
        "shows" or "forgets", of its reasoning, and "keeps" where it has none; "drops" where calls are left out; "moved"
        where the turn stands elsewhere, or otherwise, than it would be sampled; "unstable" where what is before it is
        rewritten; None where the template refuses the conversation.
    """
    history, said, new = trial
    before = template.attempt(history, schemas)
    text = template.attempt([*history, said, *new], schemas)
    delta = turn.delta(template, new)
    if before is None or text is None:
        return None
    if len(said.get("tool_calls", ())) > 1 and probes.SAID not in text:
        return "drops"
    if delta is None or not text.startswith(before):
        return "unstable"
    turn_text, ending, rest = text[len(before) :].partition(turn.terminator)
    if probes.SAID not in turn_text or ending + rest != turn.terminator + delta:
        return "moved"
    if turn_text.startswith(template.header):  # which the prompt should have had
        return "unstable"
    if probes.THOUGHT in turn_text:
        return "shows"
    return "forgets" if _reasons(template, history, said, schemas) else "keeps"


def _reasons(template: ChatTemplate, history: Sequence[Message], said: Message, schemas: Sequence[ToolSchema]) -> bool:
    """Whether a turn has reasoning that the template ought to know: any in its content, or a field that it shows."""
    if "reasoning_content" in said:
        return probes.THOUGHT in (template.attempt([*history, said], schemas, ask=False) or "")
    return probes.THOUGHT in said["content"]


def _turn_before(answers: bool) -> Message:
    return probes.asks("none", "call_1") if answers else probes.says("none")
