"""Episodes of agent programs that branch, made by the recorder itself; each token that is sampled is another one."""

from __future__ import annotations

import asyncio
import functools
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, cast

from hypothesis import strategies as st

from llmgym.chat import Sampling
from llmgym.messages import Message, assistant, system, user
from llmgym.policies.base import Generation, VersionSpan
from llmgym.serve.gateway.conversation import Conversation
from llmgym.serve.gateway.recording import Asked, Recording
from llmgym.trajectory import Played, Trajectory
from tests.rollouts import WordPolicy, Words

TOOLS: Any = [
    {
        "type": "function",
        "function": {"name": "look", "description": "", "parameters": {"type": "object", "properties": {}}},
    }
]

#: One request: which of the conversations so far it goes on from; whether it has tools, whether the program has changed
#: what was said, whether the reply is lost on its way; what the program says itself; how many tokens the reply has.
_steps = st.tuples(
    st.integers(0, 6), st.booleans(), st.booleans(), st.booleans(), st.sampled_from(["", "", "mine"]), st.integers(0, 3)
)


def _new_words() -> Iterator[str]:
    return map("w{}".format, itertools.count())


@st.composite
def episodes(
    draw: st.DrawFn, codec: Any = None, words: Iterator[str] | None = None, task: str = "t", repeat: int = 0
) -> Trajectory:
    """An episode that a program played; those with one codec and its words have no sampled token in common."""
    codec, words = codec or Words(), words or _new_words()
    codec.rewrites = draw(st.booleans())
    steps = draw(st.lists(_steps, min_size=1, max_size=8))
    sizes = iter([size for *_, size in steps])

    def reply(prompt: str) -> Generation:
        ids = codec.ids(" ".join(itertools.islice(words, size))) if (size := next(sizes)) else []
        return Generation(ids, [-1.0 - i for i in range(size)], "stop", (VersionSpan(3, 0, size),) if size else ())

    policy: Any = WordPolicy(codec, reply)
    recording = Recording(policy, codec, Sampling(max_tokens=64, stop_token_ids=(0,)), "e")
    begin = user(f"spell {task}")
    histories: list[list[Message]] = [[begin]]
    for at, tools, changes, lost, own, _ in steps:
        history = histories[at % len(histories)]
        if changes:
            history = [cast("Message", {**message, "content": message["content"] + " x"}) for message in history]
        asked: Any = functools.reduce(Conversation.after, history, None)
        node = asyncio.run(recording.reply(Asked(asked, TOOLS if tools else ())))
        node.delivered = not lost
        between = [user("so"), assistant(own)] if own else []
        histories.append([*history, node.message, *between, user("next")])
    made = Trajectory("env", task, repeat, 7, played=Played([system("Be brief."), begin], 2, []))
    recording.fill(made)
    made.timings = {"engine_s": 1.0, "env_s": 1.0, "wall_s": 2.0}
    made.reward = draw(st.sampled_from([None, 0.0, 0.5, 1.0])) if made.turns else None
    made.status = "completed" if made.turns else "policy_error"
    for turn in made.turns:
        turn.reward = 0.0 if made.reward is not None else None
    if made.turns:
        made.turns[-1].reward = made.reward
    return made


@st.composite
def groups(draw: st.DrawFn) -> list[Trajectory]:
    """Two tasks with a few repeats each."""
    codec, words = Words(), _new_words()
    names = [(task, repeat) for task in "ab" for repeat in range(draw(st.integers(1, 3)))]
    return [draw(episodes(codec, words, task, repeat)) for task, repeat in names]


def sampled_in(trajectory: Trajectory, segments: Iterable[int]) -> list[int]:
    """The ids that were sampled in segments."""
    return [int(i) for number in segments for i in trajectory.segments[number].ids[trajectory.segments[number].sampled]]


def due(trajectory: Trajectory) -> Counter[int]:
    """The ids that are to be trained."""
    if not trajectory.trained:
        return Counter()
    return Counter(sampled_in(trajectory, (at for at, one in enumerate(trajectory.segments) if one.trained)))


def total(counters: Iterable[Counter[int]]) -> Counter[int]:
    """All together."""
    return sum(counters, Counter())


def masked(ids: Sequence[int], mask: Sequence[Any]) -> list[int]:
    """The ids where the mask is not 0."""
    return [int(i) for i, on in zip(ids, mask, strict=True) if on]
