"""What driver and workers tell each other: small structs as MessagePack, and lines of the run folder as they are."""

from __future__ import annotations

from typing import Any, Literal, TypeVar

import msgspec

from llmgym.records import EpisodeRecord

T = TypeVar("T")


class Grant(msgspec.Struct, array_like=True, frozen=True):
    """A task that a worker is to run all repeats of.

    Attributes:
        number: Names it; the same task has another number when it is granted again.
        env: Which environment of the run.
        index: The task's place in the plan of the environment.
        before: How often the task has come before.
        lines: Rows of its episodes that are there already.
        waiting: Rows of its episodes that wait for the others to be scored.
    """

    number: int
    env: int
    index: int
    before: int
    lines: list[bytes] = []
    waiting: list[bytes] = []


class Ended(msgspec.Struct, array_like=True, frozen=True):
    """An episode that a worker gives back.

    Attributes:
        grant: Which task it is of.
        how: "finished", "failed", or "waiting" for the others of its group to be scored.
        records: What each agent's line begins with.
        sizes: Bytes of each line.
        counted: Which of the agents it counts as.
    """

    grant: int
    how: Literal["finished", "failed", "waiting"]
    records: list[EpisodeRecord]
    sizes: list[int]
    counted: int = 0


class Delivery(msgspec.Struct, array_like=True, frozen=True):
    """What a worker has to give; the lines of the episodes come beside it, in their order.

    Attributes:
        episodes: Episodes that ended.
        whole: Grants of which nothing more will come.
        scored: Grants whose episodes wait no more.
        live: Episodes that are running.
        refusal: Why the worker cannot go on; None where it can.
    """

    episodes: list[Ended]
    whole: list[int]
    scored: list[int] = []
    live: int = 0
    refusal: Refusal | None = None


class Hello(msgspec.Struct, array_like=True, frozen=True):
    """What a worker says once it can take tasks.

    Attributes:
        version: Of llmgym.
        node: Where it runs.
        pid: Its process.
        identity: What makes two runs the same, as known once the policy runs.
        refusal: Why it cannot take any; None where it can.
    """

    version: str
    node: str
    pid: int
    identity: dict[str, Any] = {}
    refusal: Refusal | None = None


class Refusal(msgspec.Struct, array_like=True, frozen=True):
    """An error of a worker: the name of its class in `llmgym.errors`, and what it says.

    As data, since errors whose constructors take more than a text do not survive being pickled.
    """

    kind: str
    text: str


encode = msgspec.msgpack.Encoder().encode


def decode(data: bytes, kind: type[T]) -> T:
    """Read what `encode` wrote."""
    return _DECODERS[kind].decode(data)


_DECODERS: dict[type, msgspec.msgpack.Decoder[Any]] = {
    kind: msgspec.msgpack.Decoder(kind) for kind in (list[Grant], Delivery, Hello)
}
