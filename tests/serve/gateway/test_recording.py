"""What is recorded of programs that go on, branch, rewrite, ask beside each other and leave."""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from llmgym.batch import TokenBatch
from llmgym.chat import Sampling
from llmgym.messages import Message, assistant, system, tool_call, user
from llmgym.policies.base import Generation
from llmgym.serve.gateway.conversation import Conversation, identity
from llmgym.serve.gateway.recording import Asked, Node, Recording
from llmgym.trajectory import Trajectory
from tests.rollouts import WordPolicy, Words

TOOLS: Any = [
    {
        "type": "function",
        "function": {"name": "look", "description": "", "parameters": {"type": "object", "properties": {}}},
    }
]


def recorded(*replies: str | Generation, rewrites: bool = False) -> tuple[Recording, WordPolicy]:
    """A recording whose policy says these in turn, then counts."""
    codec: Any = Words()
    codec.rewrites = rewrites
    said = iter(replies)
    policy: Any = WordPolicy(codec, lambda prompt: next(said, f"reply {len(prompt)}"))
    return Recording(policy, codec, Sampling(max_tokens=64, stop_token_ids=(0,)), "e"), policy


def say(recording: Recording, *messages: Message, tools: Any = TOOLS, **asked: Any) -> Node:
    return asyncio.run(recording.reply(asking(messages, tools, **asked)))


def asking(messages: Sequence[Message], tools: Any = TOOLS, **asked: Any) -> Asked:
    conversation = functools.reduce(Conversation.after, messages, None)
    assert conversation is not None
    return Asked(conversation, tools, **asked)


def filled(recording: Recording) -> Trajectory:
    trajectory = Trajectory("env", "task", 0, 0)
    recording.fill(trajectory)
    return trajectory


def expect_exact(recording: Recording, policy: WordPolicy) -> None:
    """Each token is in one segment as sampled, behind exactly what the engine was given for it."""
    given = {request[2]: request[0] for request in policy.requests}
    trajectory = filled(recording)
    sampled = 0
    for segment in trajectory.segments:
        for start, end in segment.spans:
            prompt, reply = segment.ids[:start].tolist(), segment.ids[start:end].tolist()
            node = next(
                n for n in recording.nodes if given[f"e/{n.number}"] == prompt and list(n.generation.token_ids) == reply
            )
            assert np.allclose(segment.logprobs[start:end], node.generation.logprobs)
            sampled += end - start
    assert sampled == sum(len(node.generation.token_ids) for node in recording.nodes) == trajectory.sampled_tokens
    assert len(trajectory.turns) + len(trajectory.branches) == len(recording.nodes)
    said = [m for m in trajectory.messages[trajectory.opening :] if m["role"] == "assistant"]
    assert len(trajectory.turns) == len(said)
    told = {(turn.segment, turn.start): message for turn, message in zip(trajectory.turns, said, strict=True)}
    for (number, start), message in told.items():
        ids = trajectory.segments[number].ids[:start].tolist()
        assert any(given[f"e/{node.number}"] == ids and node.message == message for node in recording.nodes)


def test_a_program_that_goes_on_has_one_segment() -> None:
    recording, policy = recorded("one", "two", "three")
    history: list[Message] = [system("be brief"), user("count")]
    for word in ("one", "two", "three"):
        node = say(recording, *history)
        assert node.message["content"] == word
        history += [node.message, user("next")]
    trajectory = filled(recording)
    assert len(trajectory.segments) == 1
    assert [turn.start for turn in trajectory.turns] == [span[0] for span in trajectory.segments[0].spans]
    assert trajectory.messages == history[:-1]
    assert (trajectory.opening, trajectory.tools) == (2, TOOLS)
    expect_exact(recording, policy)


def test_other_forms_of_a_message_are_the_message() -> None:
    call = tool_call("look", '{"b": 1, "a": [1, 2]}', "x")
    one = {**assistant(" text ", call), "reasoning_content": "hm"}
    other = assistant("text", tool_call("look", '{"a":[1,2],"b":1}', "y"))
    assert identity(one) == identity(other)  # type: ignore[arg-type]
    assert identity(other) != identity(assistant("text", tool_call("look", '{"a":[2,1],"b":1}')))
    assert identity(user("text")) != identity(assistant("text"))
    assert identity(assistant("", tool_call("look", "{not json"))) != identity(assistant("", tool_call("look", "{}")))


def test_a_program_that_rewrites_what_was_said_has_a_new_segment() -> None:
    recording, policy = recorded("one", "two")
    say(recording, user("count"))
    say(recording, user("count"), assistant("uno"), user("next"))
    trajectory = filled(recording)
    assert [len(segment.spans) for segment in trajectory.segments] == [1, 1]
    assert trajectory.messages[1]["content"] == "uno"
    assert trajectory.segments[1].messages == [user("count"), assistant("one")]
    expect_exact(recording, policy)


def test_a_template_that_rewrites_history_has_a_segment_each_turn() -> None:
    recording, policy = recorded("one", "two", rewrites=True)
    first = say(recording, user("count"))
    say(recording, user("count"), first.message, user("next"))
    trajectory = filled(recording)
    assert [segment.messages for segment in trajectory.segments] == [None, None]
    assert ([turn.segment for turn in trajectory.turns], trajectory.opening) == ([0, 1], 1)
    expect_exact(recording, policy)


def test_turns_begin_behind_what_a_program_says_in_the_policys_name() -> None:
    recording, policy = recorded("one", "two")
    first = say(recording, user("count"))
    say(recording, user("count"), first.message, user("next"), assistant("let me see"), user("well?"))
    trajectory = filled(recording)
    assert (trajectory.opening, len(trajectory.turns), len(trajectory.branches)) == (5, 1, 1)
    assert [len(segment.spans) for segment in trajectory.segments] == [2]
    expect_exact(recording, policy)


def test_the_transcript_has_what_the_policy_said_and_not_what_became_of_it() -> None:
    recording, _ = recorded('hm <tool_call>{"name": "look", "arguments": {}}</tool_call>', "two")
    first = say(recording, user("count"))
    first.message["reasoning_content"] = "well"
    echoed = assistant(" hm ", tool_call("look", "{ }", "x"))
    result: Message = {"role": "tool", "tool_call_id": "x", "content": "3"}
    say(recording, user("count"), echoed, result)
    trajectory = filled(recording)
    said = trajectory.messages[1]
    assert (said["content"], said.get("reasoning_content")) == ("hm", "well")
    assert [call.get("id") for call in said.get("tool_calls", [])] == ["x"]  # as the result names it


def test_branches_share_what_was_before_and_train_it_once() -> None:
    recording, policy = recorded("one", "two", "deux")
    first = say(recording, user("count"))
    say(recording, user("count"), first.message, user("next"))
    say(recording, user("count"), first.message, user("suivant"))
    trajectory = filled(recording)
    assert [len(segment.spans) for segment in trajectory.segments] == [2, 1]
    assert trajectory.messages[-1]["content"] == "deux"  # what was said last
    expect_exact(recording, policy)


def test_calls_without_tools_are_beside_the_agents() -> None:
    recording, policy = recorded("one", "a title", "two")
    first = say(recording, user("count"))
    say(recording, user("a title for: count"), tools=())
    say(recording, user("count"), first.message, user("next"))
    trajectory = filled(recording)
    assert [segment.role for segment in trajectory.segments] == ["agent", "auxiliary"]
    assert trajectory.messages[-1]["content"] == "two"
    expect_exact(recording, policy)


def test_an_agent_may_answer_without_its_tools() -> None:
    recording, policy = recorded("one", "a title", "the answer")
    first = say(recording, user("count"))
    say(recording, user("a title for: count"), tools=())
    say(recording, user("count"), first.message, user("now answer"), tools=())
    trajectory = filled(recording)
    assert [(segment.role, segment.messages is None) for segment in trajectory.segments] == [
        ("agent", True), ("agent", True), ("auxiliary", False),
    ]  # fmt: skip
    assert (trajectory.messages[-1]["content"], trajectory.tools) == ("the answer", TOOLS)
    expect_exact(recording, policy)


def test_a_reply_that_was_dropped_for_another_is_abandoned() -> None:
    recording, policy = recorded("bad", "good", "other", "more", "end")
    for _ in range(2):  # asked again when the first was there
        say(recording, user("count"))
    assert [(s.role, s.trained) for s in filled(recording).segments] == [("agent", True), ("abandoned", False)]

    async def slowly(prompt: str, said: Any = policy.reply) -> str:
        await asyncio.sleep(0)
        return said(prompt)

    policy.reply = slowly

    async def at_once() -> list[Node]:
        again = [asking([user("count"), assistant("good"), user("next")]) for _ in range(2)]
        return list(await asyncio.gather(*map(recording.reply, again)))

    first, _ = asyncio.run(at_once())
    assert [segment.trained for segment in filled(recording).segments] == [True, True, False]  # compared, it may be
    say(recording, *first.asked.messages, first.message, user("next"))
    trajectory = filled(recording)
    assert [(s.role, len(s.spans)) for s in trajectory.segments] == [("agent", 3), ("abandoned", 1), ("abandoned", 1)]
    assert [m["content"] for m in trajectory.messages if m["role"] == "assistant"] == ["good", "other", "end"]
    expect_exact(recording, policy)


def test_an_agent_that_goes_back_to_a_question_keeps_what_it_tried() -> None:
    recording, policy = recorded("one", "dead end", "two")
    first = say(recording, user("count"))
    say(recording, user("count"), first.message, user("next"))
    say(recording, user("count"))
    trajectory = filled(recording)
    assert [segment.trained for segment in trajectory.segments] == [True, True]
    assert [len(segment.spans) for segment in trajectory.segments] == [1, 2]
    assert trajectory.messages[-1]["content"] == "two"
    expect_exact(recording, policy)


def test_a_program_without_tools_is_the_agent() -> None:
    recording, _ = recorded("one")
    say(recording, user("count"), tools=())
    assert [segment.role for segment in filled(recording).segments] == ["agent"]


def test_other_tools_are_another_context() -> None:
    recording, policy = recorded("one", "two")
    first = say(recording, user("count"))
    more = json.loads(json.dumps(TOOLS).replace("look", "see"))
    say(recording, user("count"), first.message, user("next"), tools=more)
    assert len(filled(recording).segments) == 2
    expect_exact(recording, policy)


def test_a_reply_that_reached_nobody_is_marked_unless_it_was_gone_on_from() -> None:
    recording, policy = recorded("one", "two", "three")
    first = say(recording, user("count"))
    lost = say(recording, user("count"), first.message, user("next"))
    lost.delivered = False
    trajectory = filled(recording)
    assert [(segment.delivered, len(segment.spans)) for segment in trajectory.segments] == [(True, 1), (False, 1)]
    assert trajectory.messages[-1]["content"] == "one"
    say(recording, user("count"), first.message, user("next"), lost.message, user("next"))
    trajectory = filled(recording)
    assert [(segment.delivered, len(segment.spans)) for segment in trajectory.segments] == [(True, 3)]
    expect_exact(recording, policy)


def test_a_program_may_end_replies_sooner_and_no_later() -> None:
    recording, policy = recorded()
    say(recording, user("count"), max_tokens=1)
    say(recording, user("count"), max_tokens=10_000)
    assert [asked.max_tokens for _, asked, _, _ in policy.requests] == [1, 64]


_steps = st.tuples(st.integers(0, 6), *[st.booleans()] * 3, st.sampled_from(["", "", "mine"]))


@given(st.lists(_steps, min_size=1, max_size=12), st.booleans(), st.sampled_from([3, 12]))
def test_whatever_a_program_does_each_token_is_sampled_once_and_exact(
    steps: Sequence[tuple[int, bool, bool, bool, str]], rewrites_history: bool, different: int
) -> None:
    """A program goes on from any earlier conversation, with or without its tools, and loses replies."""
    recording, policy = recorded(*(f"reply {number % different}" for number in range(12)), rewrites=rewrites_history)
    histories: list[list[Message]] = [[user("begin")]]
    for at, tools, rewrites, lost, own in steps:
        history = histories[at % len(histories)]
        if rewrites:
            history = [cast("Message", {**message, "content": message["content"] + "x"}) for message in history]
        node = say(recording, *history, tools=TOOLS if tools else ())
        node.delivered = not lost
        between = [user("so"), assistant(own)] if own else []
        histories.append([*history, node.message, *between, user("next")])
    expect_exact(recording, policy)
    if different == 12:  # else equal replies cannot be told apart
        expect_taken(recording)


def expect_taken(recording: Recording) -> None:
    """What is trained is the agent's: not lost, and not dropped for another reply."""
    trajectory = filled(recording)
    trained = [at for at, segment in enumerate(trajectory.segments) if segment.trained]
    came = {node for node in recording.nodes if node.delivered}
    for node in reversed(recording.nodes):
        if node in came and node.before is not None:
            came.add(node.before)
    for node in recording.nodes:
        end = node.start + len(node.generation.token_ids)
        (place,) = [
            number
            for number, segment in enumerate(trajectory.segments)
            if [node.start, end] in _replies(trajectory, number) and segment.ids[:end].tolist() == node.ids()
        ]
        rivals = [other for other in came if other.question == node.question and other is not node]
        has_next = any(other.before is node for other in came)
        if place in trained:
            assert node in came
        elif node in came and (has_next or not rivals):
            assert trajectory.segments[place].role == "auxiliary"
    if any(segment.role == "agent" and segment.delivered for segment in trajectory.segments):
        assert all(trajectory.segments[turn.segment].trained for turn in trajectory.turns)
        assert trajectory.turns


def _replies(trajectory: Trajectory, number: int) -> list[list[int]]:
    return [[reply.start, reply.end] for reply in trajectory.replies if reply.segment == number]


def test_batches_train_what_the_agent_said_and_nothing_beside_it() -> None:
    recording, _ = recorded("one", "a title", "two", "lost")
    first = say(recording, user("count"))
    say(recording, user("a title for: count"), tools=())
    second = say(recording, user("count"), first.message, user("next"))
    say(recording, user("count"), first.message, user("next"), second.message, user("more")).delivered = False
    trajectory = filled(recording)
    trajectory.reward = 1.0
    batch = TokenBatch.of([trajectory])
    assert len(batch) == 1
    assert int(batch.loss_mask.sum()) == sum(len(node.generation.token_ids) for node in (first, second))
    assert (batch.policy_versions[batch.loss_mask] == 7).all()
