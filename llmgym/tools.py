"""Tools: methods that a model may call, described by their signature and docstring."""

from __future__ import annotations

import dataclasses
import inspect
import json
import math
import re
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar, overload

import msgspec
import orjson

from llmgym.arguments import ArgumentDecoder
from llmgym.concurrency import may_suspend
from llmgym.errors import AuthorError, ToolError
from llmgym.messages import ToolSchema, explain_json, scrub

F = TypeVar("F", bound=Callable[..., Any])
Errors = type[Exception] | tuple[type[Exception], ...]

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
        timeout: Seconds that one call may take; None takes the environment's `tool_timeout`. `math.inf` is for a tool
            that keeps deadlines of its own.
        fails_on: Exceptions that leave the episode unscored, since they say that something is broken.
        answers: Exceptions that are answered to the model, though they look as if something were broken.
    """

    blocking: bool = False
    serial: bool = False
    timeout: float | None = None
    fails_on: tuple[type[Exception], ...] = ()
    answers: tuple[type[Exception], ...] = ()


@overload
def tool(function: F, /) -> F: ...
@overload
def tool(
    *,
    blocking: bool = ...,
    serial: bool = ...,
    timeout: float | None = ...,
    fails_on: Errors = ...,
    answers: Errors = ...,
) -> Callable[[F], F]: ...
def tool(
    function: F | None = None,
    /,
    *,
    blocking: bool = False,
    serial: bool = False,
    timeout: float | None = None,
    fails_on: Errors = (),
    answers: Errors = (),
) -> F | Callable[[F], F]:
    """Offer a method of a `ToolEnv` to the model, as `@tool` or `@tool(blocking=True)`.

    The JSON schema comes from the annotations, the descriptions from the Google docstring. A plain tool holds the
    event loop, and with it all episodes, for as long as it runs, and nothing can stop it: one that waits is `async`, or
    declared `blocking`.

    What a tool raises is answered to the model, as its mistake or as a defect of the tool, and counted by type. Broken
    infrastructure (`OSError` and its kin, `MemoryError`, a thread that cannot be started) is not the model's fault: the
    episode fails and has no reward, as it does where a tool raises `EnvironmentFailure`.

    Args:
        function: The method, plain or `async`.
        blocking: Run it in a thread, off the event loop.
        serial: Never run it beside another call of the same message.
        timeout: Seconds for one call; counted from when it starts running.
        fails_on: Further exceptions that fail the episode, such as those of a database's client.
        answers: Exceptions that are answered although they are `OSError`s, such as `FileNotFoundError` where the model
            names files. Of two classes that fit an exception the nearer one counts.

    Raises:
        AuthorError: An option makes no sense.
    """
    if timeout is not None and not timeout > 0:
        raise AuthorError(f"@tool(timeout={timeout!r}): seconds above 0 are needed")
    options = ToolOptions(blocking, serial, timeout, _classes("fails_on", fails_on), _classes("answers", answers))
    if both := set(options.fails_on) & set(options.answers):
        raise AuthorError(f"@tool: {both.pop().__name__} is in fails_on and in answers")

    def mark(function: F) -> F:
        setattr(function, _OPTIONS, options)
        return function

    return mark if function is None else mark(function)


def _classes(name: str, given: Any) -> tuple[type[Exception], ...]:
    classes = given if isinstance(given, tuple) else (given,)
    for each in classes:
        if not (isinstance(each, type) and issubclass(each, Exception)):
            raise AuthorError(f"@tool({name}={given!r}): an exception class, or a tuple of them, is needed")
    return classes


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
    decoder: ArgumentDecoder | msgspec.json.Decoder[Any]
    options: ToolOptions = ToolOptions()

    @classmethod
    def of_schema(cls, schema: ToolSchema, function: Callable[..., Any], options: ToolOptions | None = None) -> Tool:
        """Make a tool from a JSON schema, such as one of another server, in place of a signature.

        Of the arguments only the names are checked, against `properties`, `required` and `additionalProperties`.

        Args:
            schema: OpenAI chat-format schema.
            function: Takes the environment, then the arguments by name; plain or `async`.
            options: How it runs.
        """
        return cls(schema, function, _ANY_OBJECT, options or ToolOptions())

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the function, by name, and build the rest again: decoders cannot be pickled."""
        if self.decoder is _ANY_OBJECT:
            return Tool.of_schema, (self.schema, self.function, self.options)
        return _build, (self.name, self.function)

    def __deepcopy__(self, memo: dict[int, Any]) -> Tool:
        """The same: nothing in a tool changes."""
        return self

    @property
    def name(self) -> str:
        """Name that the model calls it by."""
        return self.schema["function"]["name"]

    @property
    def suspends(self) -> bool:
        """Whether a call may need an event loop."""
        return self.options.blocking or may_suspend(self.function)

    def parse(self, arguments: str) -> dict[str, Any]:
        """Read the JSON text of the arguments.

        Raises:
            ToolError: It is not JSON or does not fit the schema; the text is meant for the model.
        """
        try:
            found = self.decoder.decode(arguments or "{}")
        except msgspec.ValidationError as error:
            raise ToolError(f"invalid arguments for {self.name}: {error}") from None
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            raise ToolError(f"arguments of {self.name} are not valid JSON: {explain_json(arguments)}") from None
        if self.decoder is _ANY_OBJECT:
            self._check_names(found)
        return found

    def _check_names(self, arguments: dict[str, Any]) -> None:
        parameters = self.schema["function"]["parameters"]
        known = parameters.get("properties", {})
        if missing := [name for name in parameters.get("required", ()) if name not in arguments]:
            raise ToolError(f"invalid arguments for {self.name}: {missing[0]!r} is missing")
        unknown = [name for name in arguments if name not in known]
        if unknown and parameters.get("additionalProperties") is False:
            raise ToolError(f"invalid arguments for {self.name}: there is no {unknown[0]!r}, but {', '.join(known)}")


_ANY_OBJECT = msgspec.json.Decoder(dict[str, Any])


def tools_of(cls: type) -> dict[str, Tool]:
    """Collect the methods of a class that `@tool` marks, base classes first.

    Raises:
        AuthorError: A tool is no method, or a parameter has no annotation, or one that has no JSON schema.
    """
    names = dict.fromkeys(name for base in reversed(cls.__mro__) for name in vars(base))
    found: dict[str, Tool] = {}
    for name in names:
        member = inspect.getattr_static(cls, name, None)
        inner = getattr(member, "__func__", None)  # of a staticmethod or classmethod
        if not (hasattr(member, _OPTIONS) or hasattr(inner, _OPTIONS)):
            continue
        if not inspect.isfunction(member):
            raise AuthorError(f"tool {name} of {cls.__name__} is a {type(member).__name__}; make it a plain method")
        found[name] = _build(name, member)
    return found


def _build(name: str, function: Callable[..., Any]) -> Tool:
    options: ToolOptions = getattr(function, _OPTIONS)
    if options.blocking and may_suspend(function):
        raise AuthorError(f"tool {name}: a blocking tool runs in a thread and cannot be `async`")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise AuthorError(f"tool {name}: a tool returns one result and cannot `yield`")
    summary, notes = parse_docstring(inspect.getdoc(function) or "")
    try:
        fields = _fields(name, function, notes)
        decoder = ArgumentDecoder(name, fields)
    except AuthorError:
        raise
    except Exception as error:  # whatever the annotations bring about
        raise AuthorError(f"tool {name}: its signature cannot be described in JSON: {error}") from error
    schema: ToolSchema = {
        "type": "function",
        "function": {"name": name, "description": summary, "parameters": decoder.schema},
    }
    return Tool(schema, function, decoder, options)


def _fields(name: str, function: Callable[..., Any], notes: dict[str, str]) -> list[Any]:
    """The parameters after `self`, as msgspec defines fields."""
    hints = typing.get_type_hints(function, include_extras=True)
    fields: list[Any] = []
    for parameter in list(inspect.signature(function).parameters.values())[1:]:
        if parameter.name not in hints or parameter.kind not in (
            parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY,
        ):  # fmt: skip
            raise AuthorError(
                f"tool {name}: parameter {parameter.name!r} needs a type annotation, and cannot be starred or "
                "positional only"
            )
        hint = hints[parameter.name]
        if parameter.default is None and hint is not Any:
            hint = hint | None  # `unit: str = None`, as it is often written
        if parameter.name in notes:
            hint = Annotated[hint, msgspec.Meta(description=notes[parameter.name])]
        if parameter.default is parameter.empty:
            fields.append((parameter.name, hint))
        elif isinstance(parameter.default, list | dict | set):
            kind = type(parameter.default).__name__
            raise AuthorError(f"tool {name}: {parameter.name!r} has a {kind} for its default: use None")
        else:
            fields.append((parameter.name, hint, parameter.default))
    return fields


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
    elif isinstance(result, float) and not math.isfinite(result):
        text = str(result)  # JSON has no such number
    else:
        text = _as_json(result)
    if len(text) > MAX_RESULT_CHARS:
        half = MAX_RESULT_CHARS // 2
        text = f"{text[:half]}\n[... {len(text) - 2 * half} characters left out ...]\n{text[-half:]}"
    return scrub(text)


_JSON = orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_PASSTHROUGH_DATACLASS


def _as_dict(value: Any) -> dict[str, Any]:
    """A dataclass with its defaults, which are attributes of the class alone where msgspec read it from arguments."""
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        raise TypeError
    names = (field.name for field in dataclasses.fields(value))
    return {name: getattr(value, name) for name in names if not name.startswith("_")}


def _as_json(result: Any) -> str:
    try:
        return orjson.dumps(result, _as_dict, _JSON).decode()
    except TypeError as problem:
        try:  # orjson refuses integers beyond 64 bits and lone surrogates
            return json.dumps(result, ensure_ascii=False)
        except (TypeError, ValueError, RecursionError):
            raise ToolError(f"the tool returned a {type(result).__name__} that is not JSON: {problem}") from None
