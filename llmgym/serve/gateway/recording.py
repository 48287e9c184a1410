"""What an agent program has a policy say in an episode: a tree of conversations, with exact tokens at its nodes.

A program sends the whole conversation each time. Where it goes on from what the policy said, the tokens go on too, as
the engine saw them; where it has changed what was there, a new context begins. Conversations may branch (retries of an
agent, several at once) and lie beside each other (sub-agents, titles). Nodes never change, so nothing is locked while
the engine works.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import orjson

from llmgym.chat import Sampling, Usage
from llmgym.codec.base import ChatCodec
from llmgym.env.reading import name_calls
from llmgym.errors import PolicyError
from llmgym.messages import Message, ToolSchema
from llmgym.policies.base import Generation, TokenPolicy, room_for_reply, wrong_logprob
from llmgym.policies.stop_strings import before_stop
from llmgym.serve.gateway.identity import ROOT, chained, identity
from llmgym.trajectory import Segment, Trajectory, Turn, segment_of

AGENT, AUXILIARY = "agent", "auxiliary"


@dataclass(frozen=True, slots=True)
class Asked:
    """What a program asks for, whatever protocol it speaks.

    Attributes:
        messages: The conversation.
        tools: Schemas of its tools.
        stop: Strings that end the reply.
        max_tokens: Most tokens that it wants; None for as many as the run gives.
    """

    messages: Sequence[Message]
    tools: Sequence[ToolSchema] = ()
    stop: tuple[str, ...] = ()
    max_tokens: int | None = None


@dataclass(slots=True, eq=False)
class Node:
    """A reply, and the context in which it was sampled.

    Attributes:
        number: Its place among the calls of the episode, the first 1.
        parent: The reply that the context goes on from; None where it was begun afresh.
        context: Tokens between that reply and this one, or all before it.
        generation: What was sampled.
        message: The same as a message.
        asked: What it answers.
        start: Tokens before the reply.
        turn: When and how it came about.
        delivered: Whether it reached the program.
    """

    number: int
    parent: Node | None
    context: Sequence[int]
    generation: Generation
    message: Message
    asked: Asked
    start: int
    turn: Turn
    delivered: bool = True

    def path(self) -> list[Node]:
        """From the first reply of its context to this one."""
        found: list[Node] = [self]
        while (before := found[-1].parent) is not None:
            found.append(before)
        return found[::-1]

    def ids(self) -> list[int]:
        """All tokens up to the end of the reply."""
        ids: list[int] = []
        for node in self.path():
            ids += node.context
            ids += node.generation.token_ids
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
    _calls: int = 0

    async def reply(self, asked: Asked) -> Node:
        """Have the policy answer.

        Raises:
            ContextLengthExceeded: The conversation leaves no room for a reply.
            PolicyError: The policy could not answer.
        """
        conversation, parent, fresh = self._find(asked)
        ids, context = self._render(asked, parent, fresh)
        if context is None:
            parent, context = None, ids
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
        node = Node(number, parent, context, generation, message, asked, start, turn)
        self.usage += Usage(start, len(generation.token_ids), calls=1)
        self.nodes.append(node)
        self._known[chained(conversation, identity(message))] = node
        return node

    def _find(self, asked: Asked) -> tuple[bytes, Node | None, Sequence[Message]]:
        """The conversation's identity, the last reply that it goes on from, and the messages after that."""
        known, parent, rest = _tools_identity(asked.tools), None, 0
        for number, message in enumerate(asked.messages):
            known = chained(known, identity(message))
            if message["role"] == "assistant" and (node := self._known.get(known)) is not None:
                parent, rest = node, number + 1
        return known, parent, asked.messages[rest:]

    def _render(
        self, asked: Asked, parent: Node | None, fresh: Sequence[Message]
    ) -> tuple[list[int], Sequence[int] | None]:
        """The tokens of a conversation, and those of them that follow its parent; None for these where none can."""
        if parent is not None and fresh:
            before = parent.ids()
            more = self.codec.extend(before[: parent.start], before[parent.start :], fresh, asked.tools)
            if more is not None:
                return before + more, more
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
        ends, lost = self._ends()
        agents = [node for node in ends if self._role(node) == AGENT]
        main = agents[-1] if agents else None
        order = sorted(ends, key=lambda node: (node is not main, self._role(node) != AGENT))
        taken: set[Node] = set()
        for place, end in enumerate((*order, *lost)):
            fresh = [node for node in end.path() if node not in taken]
            taken.update(fresh)
            trajectory.segments.append(self._segment(end, fresh, is_main=end is main, delivered=end not in lost))
            said = trajectory.turns if end is main else trajectory.branches
            said += [replace(node.turn, segment=place) for node in fresh]
        if main is not None:
            trajectory.messages = [*main.asked.messages, main.message]
            trajectory.tools = list(main.asked.tools)
            replies = [at for at, message in enumerate(trajectory.messages) if message["role"] == "assistant"]
            trajectory.opening = replies[-len(trajectory.turns)]  # what the program wrote in its name is before
        trajectory.usage["agent"] = self.usage

    def _ends(self) -> tuple[list[Node], list[Node]]:
        """Replies that ended a conversation, and those that never reached the program and that nothing goes on from."""
        came: set[Node] = set()  # reached the program, or were gone on from
        went_on: set[Node] = set()
        for node in reversed(self.nodes):  # children before their parents
            if node.delivered or node in went_on:
                came.add(node)
                if node.parent is not None:
                    went_on.add(node.parent)
        ends = [node for node in self.nodes if node in came and node not in went_on]
        return ends, [node for node in self.nodes if node not in came]

    def _role(self, node: Node) -> str:
        """Whose context it is: the agent's has tools, where any has."""
        return AGENT if node.asked.tools or not any(each.asked.tools for each in self.nodes) else AUXILIARY

    def _segment(self, end: Node, fresh: Sequence[Node], *, is_main: bool, delivered: bool) -> Segment:
        """The context of a reply, in which those that no other segment has are sampled."""
        ids: list[int] = []
        for node in end.path():
            ids += node.context
            ids += node.generation.token_ids
        spans = [(node.start, node.start + len(node.generation.token_ids)) for node in fresh]
        logprobs = [value for node in fresh for value in node.generation.logprobs]
        messages = None if is_main else [*end.asked.messages, end.message]
        return segment_of(ids, spans, logprobs, role=self._role(end), delivered=delivered, messages=messages)


def _tools_identity(tools: Sequence[ToolSchema]) -> bytes:
    return chained(ROOT, orjson.dumps(tools, option=orjson.OPT_SORT_KEYS)) if tools else ROOT
