"""What is measured of a row: its transcript, its turns, and the log-probabilities of what was sampled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from llmgym.chat import Usage
from llmgym.data.shapes import Shape, rollouts
from llmgym.errors import LLMGymError, StoreError
from llmgym.messages import Message
from llmgym.records.row import TurnRow
from llmgym.responses import from_items
from llmgym.trajectory import Trajectory, Turn


class Tokens(NamedTuple):
    """The tokens of a segment that were sampled.

    Attributes:
        spans: Where they stand, as [start, end).
        logprobs: float32[n]; their log-probabilities, in order.
        trained: Whether they are trained; what an agent program had said beside its work is not.
    """

    spans: Sequence[Sequence[int]]
    logprobs: NDArray[np.float32]
    trained: bool = True


class Excerpt(NamedTuple):
    """What is measured of a row.

    Attributes:
        opening: Messages before the first turn.
        rest: All others.
        turns: One for each assistant message, where that is known.
        segments: What was sampled.
        sampling: How, and what the log-probabilities are of.
        usage: What calls of models took, by role.
        tool_errors: Errors that were answered, by kind.
    """

    opening: Sequence[Message]
    rest: Sequence[Message]
    turns: Sequence[Turn | TurnRow]
    segments: Sequence[Tokens]
    sampling: Mapping[str, Any]
    usage: Mapping[str, Usage]
    tool_errors: Mapping[str, int]

    @property
    def replies(self) -> list[Message]:
        """The assistant messages."""
        return [message for message in self.rest if message["role"] == "assistant"]

    @property
    def prompt(self) -> str:
        """What the opening asks: the texts of its messages, those of the system only where there are no others."""
        asked = [message["content"] for message in self.opening if message["role"] != "system"]
        return "\n".join(asked or [message["content"] for message in self.opening])


class _Segment(msgspec.Struct, gc=False):
    sampled: list[tuple[int, int]]
    logprobs: bytes
    role: str = "agent"
    delivered: bool = True

    @property
    def tokens(self) -> Tokens:
        """The same, with its numbers."""
        trained = self.role == "agent" and self.delivered
        return Tokens(self.sampled, np.frombuffer(self.logprobs, "<f4"), trained)


class _Row(msgspec.Struct):
    """What is taken of a row of ours; token ids are the larger part of the rest."""

    responses_create_params: dict[str, Any]
    output: list[dict[str, Any]]
    turns: list[TurnRow]
    segments: list[_Segment]
    usage: dict[str, Usage]
    tool_errors: dict[str, int]


_decoder = msgspec.json.Decoder(_Row)


def excerpt(shape: Shape, data: bytes, place: str) -> Excerpt:
    """Read what is measured of a row.

    Args:
        shape: Of the row.
        data: Its line.
        place: Names it in errors.

    Raises:
        LLMGymError: It is no row of its shape.
    """
    if shape is not rollouts:
        return _of_trajectory(shape.trajectory(data, place))
    try:
        row = _decoder.decode(data)
        params = row.responses_create_params
        return Excerpt(
            from_items(params["input"]), from_items(row.output), row.turns,
            [one.tokens for one in row.segments],
            params, row.usage, row.tool_errors,
        )  # fmt: skip
    except LLMGymError as error:
        raise StoreError(f"{place}: not a rollout: {error}") from None
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        missing = f"missing field {error}" if isinstance(error, KeyError) else str(error)
        raise StoreError(f"{place}: not a rollout: {missing}") from None


def _of_trajectory(found: Trajectory) -> Excerpt:
    segments = [Tokens(one.spans, one.logprobs[one.sampled], one.trained) for one in found.segments]
    opening, rest = found.messages[: found.opening], found.messages[found.opening :]
    return Excerpt(opening, rest, found.turns, segments, found.sampling, found.usage, found.tool_errors)
