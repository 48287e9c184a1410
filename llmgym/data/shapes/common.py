"""What rows of others have in common: numbers that are metrics, tokens of calls, and how they become episodes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np

from llmgym.chat import Usage
from llmgym.data.scalars import Number, Scalars
from llmgym.messages import Message, ToolSchema, read_messages
from llmgym.trajectory import Segment, Status, Trajectory, Turn, segment_of

Row = dict[str, Any]

_IDS = ("id", "episode_id", "env_id", "task_id", "group_id")

_decoder = msgspec.json.Decoder(dict[str, Any])


def read_row(data: bytes | bytearray) -> Row:
    """A row as a dict.

    Raises:
        ValueError: It is no JSON object.
    """
    return _decoder.decode(data)


def hash_of(value: Any) -> str:
    """A name for what a task is, where it has none."""
    return hashlib.blake2b(msgspec.json.encode(value, order="sorted"), digest_size=8).hexdigest()


def reward_of(value: Any, name: str = "reward") -> float | None:
    """A reward.

    Raises:
        ValueError: It is no number.
    """
    if value is None or isinstance(value, int | float):
        return None if value is None else float(value)
    raise ValueError(f"`{name}` is {value!r:.60}, which is no number")


def name_of(*given: Any) -> str:
    """The first name of some that there is, as text: 0 is one. "" where there is none."""
    return next((str(name) for name in given if name is not None and name != ""), "")


def task_of(row: Scalars) -> str:
    """The task of an episode: what its group is called in the environment, as rows of ours have no other group."""
    return row.group_id.removeprefix(f"{row.env_id}/")


def numbers(row: Mapping[str, Any], but: Iterable[str] = ()) -> dict[str, Number]:
    """The fields that are numbers, or true or false; an id that is a number measures nothing."""
    left_out = {*_IDS, *but}
    return {
        name: float(value)
        for name, value in row.items()
        if isinstance(value, int | float) and name not in left_out and abs(value) < 1e300
    }


def conversation(given: Any) -> list[Message]:
    """Messages: a text is one of the user.

    Raises:
        MessageError: They are none.
    """
    return [{"role": "user", "content": given}] if isinstance(given, str) else read_messages(given)


def opening_of(messages: Sequence[Message]) -> int:
    """How many messages there are before the first of the model."""
    return next((at for at, message in enumerate(messages) if message["role"] == "assistant"), len(messages))


class Call(NamedTuple):
    """Tokens of a call of the model; a prompt of None is what the call before saw and said, and nothing else."""

    prompt: Sequence[int] | None
    completion: Sequence[int]
    logprobs: Sequence[float]


def segments_of(calls: Sequence[Call | None]) -> tuple[list[Segment], list[tuple[int, int, int]]]:
    """The segments of calls, and of each call the segment, start and end; none where a call has no tokens.

    A call whose prompt begins with all that was there goes on with its segment; any other starts one.
    """
    if not calls or any(call is None or len(call.completion) != len(call.logprobs) for call in calls):
        return [], [(0, 0, 0)] * len(calls)
    made: list[tuple[list[int], list[tuple[int, int]], list[float]]] = []
    places: list[tuple[int, int, int]] = []
    for call in calls:
        assert call is not None
        prompt = list(call.prompt) if call.prompt is not None else list(made[-1][0]) if made else []
        if not made or prompt[: len(made[-1][0])] != made[-1][0]:
            made.append(([], [], []))
        ids, spans, logprobs = made[-1]
        ids += prompt[len(ids) :]
        span = len(ids), len(ids) + len(call.completion)
        ids += call.completion
        spans.append(span)
        logprobs += call.logprobs
        places.append((len(made) - 1, *span))
    segments = [segment_of(ids, spans, np.array(logprobs, np.float32)) for ids, spans, logprobs in made]
    return segments, places


def usage_of(value: Any) -> dict[str, Usage]:
    """What calls of the policy took, where a row says it."""
    if not isinstance(value, Mapping):
        return {}
    tokens = [value.get(name) for name in ("input_tokens", "output_tokens")]
    return {"agent": Usage(*(one if isinstance(one, int) else 0 for one in tokens))} if any(tokens) else {}


def episode(
    messages: list[Message],
    opening: int,
    *,
    env_id: str,
    task_id: str,
    repeat: int = 0,
    status: Status = "completed",
    reward: float | None = None,
    tools: list[ToolSchema] | None = None,
    metrics: Mapping[str, Number] | None = None,
    calls: Sequence[Call | None] = (),
    **more: Any,
) -> Trajectory:
    """An episode of somebody else's; the reward is on its last turn."""
    count = sum(message["role"] == "assistant" for message in messages[opening:])
    segments, places = segments_of(calls) if len(calls) == count else ([], [(0, 0, 0)] * count)
    turns = [Turn(0.0, "stop", 0.0, 0.0, *place) for place in places]
    if turns:
        turns[-1].reward = reward
    found = {name: float(value) for name, value in (metrics or {}).items() if value is not None}
    return Trajectory(
        env_id, task_id, repeat, 0, status, messages, opening, tools or [], turns=turns, segments=segments,
        reward=reward, metrics=found, **more,
    )  # fmt: skip
