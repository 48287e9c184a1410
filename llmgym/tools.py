"""Tools: methods that a model may call, described by their signature and docstring."""

from __future__ import annotations

import inspect
import json
import re
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar, overload

import msgspec
import orjson

from llmgym.errors import ToolError
from llmgym.messages import ToolSchema, scrub

F = TypeVar("F", bound=Callable[..., Any])

MAX_RESULT_CHARS = 20_000
_SECTION = re.compile(r"^(Args|Arguments|Returns|Raises|Yields|Example|Examples|Note|Notes):\s*$", re.MULTILINE)
_ARGUMENT = re.compile(r"^(\w+)(?:\s*\([^)]*\))?:\s*(.*)$")
_OPTIONS = "__llmgym_tool__"


@dataclass(frozen=True, slots=True)
class ToolOptions:
    """How a tool runs.

    Attributes:
        blocking: Runs in the bounded thread pool, since it waits or computes for long.
        serial: Calls of one message that hold this tool run one after another, in order.
        timeout: Seconds that one call may take; None takes the environment's `tool_timeout`.
    """

    blocking: bool = False
    serial: bool = False
    timeout: float | None = None


@overload
def tool(function: F, /) -> F: ...
@overload
def tool(*, blocking: bool = ..., serial: bool = ..., timeout: float | None = ...) -> Callable[[F], F]: ...
def tool(
    function: F | None = None, /, *, blocking: bool = False, serial: bool = False, timeout: float | None = None
) -> F | Callable[[F], F]:
    """Offer a method of a `ToolEnv` to the model, as `@tool` or `@tool(blocking=True)`.

    The JSON schema comes from the annotations, the descriptions from the Google docstring. A tool
    that hangs can only be stopped where it awaits or is declared `blocking`.

    Args:
        function: The method, plain or `async`.
        blocking: Run it in a thread, off the event loop.
        serial: Never run it beside another call of the same message.
        timeout: Seconds for one call; counted from when it starts running.
    """

    def mark(function: F) -> F:
        setattr(function, _OPTIONS, ToolOptions(blocking, serial, timeout))
        return function

    return mark if function is None else mark(function)


@dataclass(frozen=True, slots=True)
class Tool:
    """A callable offered to the model.

    Attributes:
        schema: OpenAI chat-format schema.
        function: Takes the environment, then the arguments by name.
        decoder: Reads and checks the arguments.
        options: How it runs.
    """

    schema: ToolSchema
    function: Callable[..., Any]
    decoder: msgspec.json.Decoder[Any]
    options: ToolOptions

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the function, by name, and build the rest again: decoders cannot be pickled."""
        return _build, (self.name, self.function)

    def __deepcopy__(self, memo: dict[int, Any]) -> Tool:
        """The same: nothing in a tool changes."""
        return self

    @property
    def name(self) -> str:
        """Name that the model calls it by."""
        return self.schema["function"]["name"]

    def parse(self, arguments: str) -> dict[str, Any]:
        """Read the JSON text of the arguments.

        Raises:
            ToolError: It is not JSON or does not fit the schema; the text is meant for the model.
        """
        try:
            return msgspec.structs.asdict(self.decoder.decode(arguments or "{}"))
        except msgspec.ValidationError as error:
            raise ToolError(f"invalid arguments for {self.name}: {error}") from None
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise ToolError(f"arguments of {self.name} are not valid JSON: {error}") from None


def tools_of(cls: type) -> dict[str, Tool]:
    """Collect the methods of a class that `@tool` marks, base classes first.

    Raises:
        TypeError: A parameter has no annotation, or one that has no JSON schema.
    """
    names = dict.fromkeys(name for base in reversed(cls.__mro__) for name in vars(base))
    functions: list[tuple[str, Any]] = [(name, getattr(cls, name, None)) for name in names]
    return {name: _build(name, function) for name, function in functions if hasattr(function, _OPTIONS)}


def _build(name: str, function: Callable[..., Any]) -> Tool:
    options: ToolOptions = getattr(function, _OPTIONS)
    if options.blocking and inspect.iscoroutinefunction(function):
        raise TypeError(f"tool {name}: a blocking tool runs in a thread and cannot be `async`")
    hints = typing.get_type_hints(function, include_extras=True)
    summary, notes = parse_docstring(inspect.getdoc(function) or "")
    fields: list[tuple[str, Any] | tuple[str, Any, Any]] = []
    for parameter in list(inspect.signature(function).parameters.values())[1:]:
        if parameter.name not in hints or parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise TypeError(f"tool {name}: parameter {parameter.name!r} needs a type annotation, and cannot be starred")
        hint = hints[parameter.name]
        if parameter.name in notes:
            hint = Annotated[hint, msgspec.Meta(description=notes[parameter.name])]
        required = parameter.default is parameter.empty
        fields.append((parameter.name, hint) if required else (parameter.name, hint, parameter.default))
    arguments = msgspec.defstruct(name, fields, kw_only=True, forbid_unknown_fields=True)
    schema: ToolSchema = {
        "type": "function",
        "function": {"name": name, "description": summary, "parameters": _parameters(arguments)},
    }
    return Tool(schema, function, msgspec.json.Decoder(arguments), options)


def _parameters(arguments: type[msgspec.Struct]) -> dict[str, Any]:
    """JSON schema of the arguments; the outermost object inline, types that it refers to in `$defs`."""
    (reference,), components = msgspec.json.schema_components([arguments], ref_template="#/$defs/{name}")
    outer = components.pop(reference["$ref"].rpartition("/")[2])
    schema = {"type": "object", "properties": outer["properties"], "required": outer["required"]}
    return schema | {"additionalProperties": False} | ({"$defs": components} if components else {})


def parse_docstring(text: str) -> tuple[str, dict[str, str]]:
    """Split a Google docstring into its description and what it says of each argument."""
    sections = _SECTION.split(text)
    notes: dict[str, str] = {}
    for title, body in zip(sections[1::2], sections[2::2], strict=True):
        if title not in ("Args", "Arguments"):
            continue
        lines = inspect.cleandoc("\n" + body).splitlines()
        current = ""
        for line in lines:
            if not line.startswith(" ") and (match := _ARGUMENT.match(line)):
                current, notes[match[1]] = match[1], match[2]
            elif current and line.strip():
                notes[current] = f"{notes[current]} {line.strip()}".strip()
    return " ".join(sections[0].split()), notes


def render_result(result: Any) -> str:
    """Render what a tool returned as text for the model: text as it is, anything else as JSON.

    Text longer than `MAX_RESULT_CHARS` keeps its head and tail and says how much is left out.

    Raises:
        ToolError: The result is not JSON.
    """
    if isinstance(result, str):
        text = result
    else:
        text = _as_json(result)
    if len(text) > MAX_RESULT_CHARS:
        half = MAX_RESULT_CHARS // 2
        text = f"{text[:half]}\n[... {len(text) - 2 * half} characters left out ...]\n{text[-half:]}"
    return scrub(text)


def _as_json(result: Any) -> str:
    try:
        return orjson.dumps(result, option=orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY).decode()
    except TypeError as problem:
        try:  # orjson refuses integers beyond 64 bits and lone surrogates
            return json.dumps(result, ensure_ascii=False)
        except (TypeError, ValueError, RecursionError):
            raise ToolError(f"the tool returned a {type(result).__name__} that is not JSON: {problem}") from None
