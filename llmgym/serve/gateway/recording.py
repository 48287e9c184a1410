"""What an agent program has a policy say in an episode: a tree of conversations, with exact tokens at its nodes.

A program sends the whole conversation each time. Where it goes on from what the policy said, the tokens go on too, as
the engine saw them; where it has changed what was there, or its tools, or the template rewrites history, a new context
begins. Conversations may branch (retries of an agent, several at once) and lie beside each other (sub-agents, titles).
Nodes never change, so nothing is locked while the engine works.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from llmgym.chat import Sampling, Usage
from llmgym.codec.base import ChatCodec
from llmgym.env.reading import name_calls
from llmgym.errors import PolicyError
from llmgym.messages import Message, ToolSchema
from llmgym.policies.base import Generation, TokenPolicy, room_for_reply, wrong_logprob
from llmgym.policies.stop_strings import before_stop
from llmgym.serve.gateway.conversation import Conversation
from llmgym.trajectory import Segment, Trajectory, Turn, segment_of

AGENT, AUXILIARY, ABANDONED = "agent", "auxiliary", "abandoned"


@dataclass(frozen=True, slots=True)
class Asked:
    """What a program asks for, whatever protocol it speaks.

    Attributes:
        conversation: The conversation.
        tools: Schemas of its tools.
        stop: Strings that end the reply.
        max_tokens: Most tokens that it wants; None for as many as the run gives.
    """

    conversation: Conversation
    tools: Sequence[ToolSchema] = ()
    stop: tuple[str, ...] = ()
    max_tokens: int | None = None

    @property
    def messages(self) -> list[Message]:
        """The conversation as a list."""
        return self.conversation.since(0)

    def after(self, reply: Node) -> list[Message]:
        """What follows a reply in it."""
        return self.conversation.since(reply.asked.conversation.length + 1)


@dataclass(slots=True, eq=False)
class Node:
    """A reply, and the context in which it was sampled.

    Attributes:
        number: Its place among the calls of the episode, the first 1.
        seen: How many replies were there when it was asked for.
        before: The reply that the conversation goes on from, whether or not its tokens do.
        parent: The same where they do; None where the context was begun afresh.
        context: Tokens between that reply and this one, or all before it.
        generation: What was sampled.
        message: The same as a message.
        asked: What it answers.
        question: The same for all that is asked in the same words, with tools or without.
        start: Tokens before the reply.
        turn: When and how it came about.
        delivered: Whether it reached the program.
    """

    number: int
    seen: int
    before: Node | None
    parent: Node | None
    context: Sequence[int]
    generation: Generation
    message: Message
    asked: Asked
    question: tuple[bytes, bool]
    start: int
    turn: Turn
    delivered: bool = True

    def path(self) -> list[Node]:
        """From the first reply of its context to this one."""
        found: list[Node] = [self]
        while (before := found[-1].parent) is not None:
            found.append(before)
        return found[::-1]

    def turns(self) -> list[Node]:
        """The replies of its conversation, up to this one; where a program wrote one itself, those after that."""
        found: list[Node] = [self]
        while (before := found[-1].before) is not None:
            fresh = found[-1].asked.after(before)
            if any(message["role"] == "assistant" for message in fresh):
                break
            found.append(before)
        return found[::-1]

    def prompt(self) -> list[int]:
        """All tokens before the reply."""
        ids: list[int] = []
        *before, last = self.path()
        for node in before:
            ids += node.context
            ids += node.generation.token_ids
        ids += last.context
        return ids

    def ids(self) -> list[int]:
        """All tokens up to the end of the reply."""
        ids = self.prompt()
        ids += self.generation.token_ids
        return ids


@dataclass(slots=True)
class Recording:
    """See the module.

    Attributes:
        policy: What answers.
        codec: Its codec.
        sampling: How replies are sampled; a program may end them sooner, and say nothing else of it.
        name: Name of the episode.
        nodes: All replies, in the order in which they were finished.
        usage: What the calls took.
    """

    policy: TokenPolicy
    codec: ChatCodec
    sampling: Sampling
    name: str
    nodes: list[Node] = field(default_factory=list)
    usage: Usage = field(default_factory=Usage)
    _known: dict[bytes, Node] = field(default_factory=dict)
    _last: tuple[Node, list[int]] | None = None  # and its prompt, which is seldom put together again then
    _calls: int = 0

    async def reply(self, asked: Asked) -> Node:
        """Have the policy answer.

        Raises:
            ContextLengthExceeded: The conversation leaves no room for a reply.
            PolicyError: The policy could not answer.
        """
        seen, before = len(self.nodes), self._before(asked)
        ids, parent = self._render(asked, before)
        number = self._calls = self._calls + 1
        request_id = f"{self.name}/{number}"
        sampling = self._sampling(asked, ids, request_id)
        start, began = len(ids), time.perf_counter()
        generation = await self.policy.generate(ids, sampling, request_id=request_id, session_id=self.name)
        if problem := wrong_logprob(generation.logprobs):
            raise PolicyError(problem)
        message = self.codec.parse(before_stop(self.policy.tokenizer, generation, sampling), ids, asked.tools)
        turn = Turn(
            None, generation.finish_reason, time.perf_counter() - began, 0.0, start=start,
            end=start + len(generation.token_ids), cached_tokens=generation.cached_tokens, versions=generation.versions,
        )  # fmt: skip
        name_calls(message, number)
        context = ids if parent is None else ids[parent.turn.end :]
        question = (asked.conversation.identity, bool(asked.tools))
        node = Node(number, seen, before, parent, context, generation, message, asked, question, start, turn)
        self.usage += Usage(start, len(generation.token_ids), calls=1)
        self.nodes.append(node)
        self._last = node, ids
        self._known[Conversation.after(asked.conversation, message).identity] = node
        return node

    def _before(self, asked: Asked) -> Node | None:
        """The last reply that a conversation goes on from."""
        replies = (at for at in asked.conversation if at.message["role"] == "assistant")
        return next((node for at in replies if (node := self._known.get(at.identity)) is not None), None)

    def _render(self, asked: Asked, before: Node | None) -> tuple[list[int], Node | None]:
        """The tokens of a conversation, and the reply whose tokens they go on from; None where they begin afresh.

        They do with other tools, which templates write at the beginning.
        """
        if before is not None and before.asked.tools == asked.tools and (fresh := asked.after(before)):
            last = self._last
            ids = last[1].copy() if last is not None and last[0] is before else before.prompt()
            reply = before.generation.token_ids
            more = self.codec.extend(ids, reply, fresh, asked.tools)
            if more is not None:
                ids += reply
                ids += more
                return ids, before
        return self.codec.open(asked.messages, asked.tools), None

    def _sampling(self, asked: Asked, ids: Sequence[int], request_id: str) -> Sampling:
        room = room_for_reply(self.policy, ids, request_id, "--max-model-len")
        most = min(self.sampling.max_tokens, room, asked.max_tokens or room)
        return replace(self.sampling, max_tokens=most, stop=tuple(dict.fromkeys((*self.sampling.stop, *asked.stop))))

    # --- the record -------------------------------------------------------------------------------

    def fill(self, trajectory: Trajectory) -> None:
        """Write what was said into a trajectory: the agent's last conversation as its messages, and all tokens.

        Each context that no other goes on from is a segment. A token is trained once: the first segment that has it as
        sampled, and in others that share it, it is context.
        """
        kept, roles = self._kept(), self._roles()
        main = next((node for node in reversed(self.nodes) if node in kept and roles[node] == AGENT), None)
        turns = main.turns() if main is not None else []
        gone_on = {node.parent for node in kept}
        ends = [node for node in self.nodes if node not in kept or node not in gone_on]
        # The conversation of the turns is first, and has what others share with it; what nobody took is last.
        ends.sort(key=lambda end: (end not in kept, end not in turns, roles[end] != AGENT))
        places: dict[Node, int] = {}
        for place, end in enumerate(ends):
            fresh = [node for node in end.path() if node not in places]
            places |= dict.fromkeys(fresh, place)
            role = ABANDONED if end not in kept and end.delivered and roles[end] == AGENT else roles[end]
            messages = None if end in turns else [*end.asked.messages, end.message]
            delivered = end in kept or end.delivered
            trajectory.segments.append(_segment(end, fresh, role, delivered=delivered, messages=messages))
        trajectory.turns = [replace(node.turn, segment=places[node]) for node in turns]
        trajectory.branches = [replace(node.turn, segment=place) for node, place in places.items() if node not in turns]
        if turns:
            trajectory.messages, trajectory.opening = _transcript(turns), turns[0].asked.conversation.length
            trajectory.tools = list(next((node.asked.tools for node in turns[::-1] if node.asked.tools), ()))
        trajectory.usage["agent"] = self.usage

    def _kept(self) -> set[Node]:
        """Replies that reached the program and that it did not drop for another one to the same question.

        It did that where it went on from the other, or asked again when it had this one. Several that it asked for at
        once, and none of which it went on from, are all kept: it may have compared them.
        """
        came: set[Node] = set()  # delivered, or gone on from
        gone_on: set[Node | None] = set()
        for node in reversed(self.nodes):  # children before their parents
            if node.delivered or node in gone_on:
                came.add(node)
                gone_on.add(node.before)
        asked: dict[tuple[bytes, bool], int] = {}  # when a question was asked last, in replies that were there
        passed: dict[tuple[bytes, bool], int] = {}  # the last reply that goes on from one to the question
        for at, node in enumerate(self.nodes):
            if node in came:
                asked[node.question] = max(node.seen, asked.get(node.question, 0))
                if node.before is not None:
                    passed[node.before.question] = at
        return {
            node
            for at, node in enumerate(self.nodes)
            if node in gone_on
            or (node in came and asked[node.question] <= at and passed.get(node.question, -1) < node.seen)
        }

    def _roles(self) -> dict[Node, str]:
        """Whose conversation each reply is in: the agent's has tools somewhere, where any has."""
        equipped: set[Node] = set()
        for node in reversed(self.nodes):
            if node.asked.tools or node in equipped:
                equipped |= {node} if node.before is None else {node, node.before}
        for node in self.nodes:
            if node.before in equipped:
                equipped.add(node)
        return {node: AGENT if node in equipped or not equipped else AUXILIARY for node in self.nodes}


def pay(turns: Sequence[Turn], reward: float | None) -> None:
    """Give all that was earned to the last turn: nobody knows which of a program's replies earned what."""
    for turn in turns:
        turn.reward = 0.0
    if turns:
        turns[-1].reward = reward


def _transcript(turns: Sequence[Node]) -> list[Message]:
    """A conversation as the program sent it last, with the replies as the policy said them: programs drop reasoning."""
    messages = [*turns[-1].asked.messages, turns[-1].message]
    for node in turns[:-1]:
        place = node.asked.conversation.length
        sent, messages[place] = messages[place], node.message
        if "tool_calls" in sent:  # the results name their calls as the program does
            messages[place] = {**node.message, "tool_calls": sent["tool_calls"]}
    return messages


def _segment(
    end: Node, fresh: Sequence[Node], role: str, *, delivered: bool, messages: list[Message] | None
) -> Segment:
    """The context of a reply, in which those that no other segment has are sampled."""
    spans = [(node.start, node.start + len(node.generation.token_ids)) for node in fresh]
    logprobs = [value for node in fresh for value in node.generation.logprobs]
    return segment_of(end.ids(), spans, logprobs, role=role, delivered=delivered, messages=messages)
