"""Gymnasium spaces of chat messages.

Direct subclasses of `Space`: `gymnasium.spaces.Text` checks every character, samples noise that is
never a valid action, and returns garbage through `AsyncVectorEnv`'s shared memory.
"""

from __future__ import annotations

import ctypes
import multiprocessing as mp
from collections.abc import Callable, Sequence
from multiprocessing.context import BaseContext
from typing import Any

import orjson
from gymnasium import Space
from gymnasium.vector.utils import create_shared_memory, read_from_shared_memory, write_to_shared_memory

from llmgym.messages import Message, ToolSchema, as_assistant, assistant, tool_call

_ROLES = ("system", "user", "assistant", "tool")
_WORDS = ("I", "think", "the", "answer", "is", "A", "42", "maybe", "yes", "no", "é", "数", "\n")
_DEPTH = 4  # below it, sampled arguments are as small as their schema allows
_BUFFER_BYTES = 1 << 18


class MessagesSpace(Space[tuple[Message, ...]]):
    """A tuple of chat messages: what is new since the last action."""

    def __init__(self, seed: int | None = None) -> None:
        """Make the space."""
        super().__init__(seed=seed)

    @property
    def is_np_flattenable(self) -> bool:
        """False: messages are not numbers."""
        return False

    def sample(self, mask: Any = None, probability: Any = None) -> tuple[Message, ...]:
        """A user message of a few words."""
        return ({"role": "user", "content": _words(self)},)

    def contains(self, x: Any) -> bool:
        """Whether `x` is a tuple of messages with a role and text."""
        return isinstance(x, tuple) and all(
            isinstance(m, dict) and m.get("role") in _ROLES and isinstance(m.get("content"), str) for m in x
        )

    def __eq__(self, other: object) -> bool:
        """All spaces of messages are alike."""
        return isinstance(other, MessagesSpace)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        """Name the space."""
        return "MessagesSpace()"


class AssistantSpace(Space[Any]):
    """Assistant messages, or plain text, that may call some tools.

    Attributes:
        tools: Schemas of the tools.
    """

    def __init__(self, tools: Sequence[ToolSchema] = (), seed: int | None = None) -> None:
        """Keep the schemas that `sample` makes calls for."""
        self.tools = list(tools)
        super().__init__(seed=seed)

    @property
    def is_np_flattenable(self) -> bool:
        """False: messages are not numbers."""
        return False

    def sample(self, mask: Any = None, probability: Any = None) -> Message:
        """A message with one or two calls that fit their schemas, or sometimes (and without tools, always) text."""
        if not self.tools or self.np_random.random() < 0.2:
            return assistant(_words(self))
        chosen = self.np_random.integers(len(self.tools), size=self.np_random.integers(1, 3))
        functions = [self.tools[i]["function"] for i in chosen]
        calls = [tool_call(f["name"], **_value(self, f["parameters"], f["parameters"])) for f in functions]
        return assistant("", *calls)

    def contains(self, x: Any) -> bool:
        """Whether `x` is text or an assistant message."""
        try:
            as_assistant(x)
        except ValueError:
            return False
        return True

    def __eq__(self, other: object) -> bool:
        """Spaces with the same tools are alike."""
        return isinstance(other, AssistantSpace) and self.tools == other.tools

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        """Name the tools."""
        return f"AssistantSpace({[tool['function']['name'] for tool in self.tools]})"


def _words(space: Space[Any]) -> str:
    return " ".join(_WORDS[i] for i in space.np_random.integers(len(_WORDS), size=space.np_random.integers(1, 9)))


def _value(space: Space[Any], schema: dict[str, Any], root: dict[str, Any], depth: int = 0) -> Any:
    """A random value that fits a JSON schema of the kinds that tool signatures give."""
    rng = space.np_random

    def inner(schema: dict[str, Any]) -> Any:
        return _value(space, schema, root, depth + 1)

    if reference := schema.get("$ref"):
        return inner(root["$defs"][reference.rpartition("/")[2]])
    if choices := schema.get("enum"):
        return choices[rng.integers(len(choices))]
    if variants := schema.get("anyOf"):
        plain = [variant for variant in variants if "$ref" not in variant] if depth > _DEPTH else []
        return inner((plain or variants)[rng.integers(len(plain or variants))])
    match schema.get("type"):
        case "object":
            return _object(space, schema, inner, deep=depth > _DEPTH)
        case "array":
            leading = [inner(item) for item in schema.get("prefixItems", ())]
            least = schema.get("minItems", 0) - len(leading)
            most = least if depth > _DEPTH else min(schema.get("maxItems", 4) - len(leading), least + 4)
            return leading + [inner(schema.get("items") or {}) for _ in range(rng.integers(least, most + 1))]
        case "integer":
            low, high = _bounds(schema, 1)
            return int(rng.integers(low, high, endpoint=True))
        case "number":
            low, high = _bounds(schema, 1e-3)
            return min(max(round(float(rng.uniform(low, high)), 3), low), high)
        case "boolean":
            return bool(rng.random() < 0.5)
        case "null":
            return None
        case _:
            return _words(space).ljust(schema.get("minLength", 0), "x")[: schema.get("maxLength")]


def _object(space: Space[Any], schema: dict[str, Any], inner: Callable[[Any], Any], deep: bool) -> dict[str, Any]:
    required, properties = schema.get("required", ()), schema.get("properties", {})
    chance = 0.0 if deep else 0.5
    value = {n: inner(s) for n, s in properties.items() if n in required or space.np_random.random() < chance}
    if not properties and not deep and isinstance(schema.get("additionalProperties"), dict):
        value[_words(space)] = inner(schema["additionalProperties"])
    return value


def _bounds(schema: dict[str, Any], margin: float) -> tuple[Any, Any]:
    """Least and greatest value: 200 apart, around zero or beside the one bound given, where the schema is open."""
    low = schema["exclusiveMinimum"] + margin if "exclusiveMinimum" in schema else schema.get("minimum")
    high = schema["exclusiveMaximum"] - margin if "exclusiveMaximum" in schema else schema.get("maximum")
    if low is None:
        low = -100 if high is None else high - 200
    return low, low + 200 if high is None else high


# --- shared memory ------------------------------------------------------------------------------
# AsyncVectorEnv shares observations through memory by default and knows no custom spaces. Each
# environment gets a buffer of length-prefixed JSON.


class _SharedMessages(tuple):  # type: ignore[type-arg]
    """A live view of the buffers: it reads as the batch of observations that they hold now."""

    buffers: list[Any]

    def __new__(cls, buffers: list[Any]) -> _SharedMessages:
        view = super().__new__(cls)
        view.buffers = buffers
        return view

    def __len__(self) -> int:
        return len(self.buffers)

    def __getitem__(self, index: Any) -> Any:
        return tuple(self)[index]

    def __iter__(self) -> Any:
        for buffer in self.buffers:
            size = ctypes.c_uint32.from_buffer(buffer).value
            yield tuple(orjson.loads(bytes(buffer[4 : 4 + size])) if size else ())

    def __deepcopy__(self, memo: dict[int, Any]) -> tuple[Any, ...]:
        return tuple(iter(self))

    def __eq__(self, other: object) -> bool:
        return tuple(iter(self)) == other

    __hash__ = None  # type: ignore[assignment]


@create_shared_memory.register(MessagesSpace)
def _create(space: MessagesSpace, n: int = 1, ctx: BaseContext | Any = mp) -> Any:
    return [ctx.RawArray(ctypes.c_char, 4 + _BUFFER_BYTES) for _ in range(n)]


@write_to_shared_memory.register(MessagesSpace)
def _write(space: MessagesSpace, index: int, value: tuple[Message, ...], shared_memory: list[Any]) -> None:
    data = orjson.dumps(value)
    if len(data) > _BUFFER_BYTES:
        raise ValueError(
            f"an observation of {len(data)} bytes does not fit the {_BUFFER_BYTES} bytes that AsyncVectorEnv shares; "
            "pass vector_kwargs={'shared_memory': False}"
        )
    shared_memory[index][4 : 4 + len(data)] = data
    ctypes.c_uint32.from_buffer(shared_memory[index]).value = len(data)


@read_from_shared_memory.register(MessagesSpace)
def _read(space: MessagesSpace, shared_memory: list[Any], n: int = 1) -> _SharedMessages:
    return _SharedMessages(shared_memory)
