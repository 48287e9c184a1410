"""The pool of tools: what can be done to each kind of thing, its schema, and what it answers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

from llmgym.envs.function_calling.entities import ENTITIES, Attribute, Entity
from llmgym.envs.kinds import CODE
from llmgym.errors import ToolError
from llmgym.messages import ToolSchema

#: What a tool does.
Does = Literal["create", "get", "cancel", "find", "change"]

_VERBS: dict[Does, tuple[str, ...]] = {
    "create": ("create", "add", "register"),
    "get": ("get", "show", "fetch"),
    "cancel": ("cancel", "delete", "remove"),
    "find": ("find", "list", "search"),
    "change": ("change", "set", "update"),
}
_CODE = Attribute("code", CODE, "{}")


@dataclass(frozen=True)
class Operation:
    """A tool.

    Attributes:
        name: Its name.
        does: What it does.
        entity: To which kind of thing.
        parameters: What it takes.
    """

    name: str
    does: Does
    entity: Entity
    parameters: tuple[Attribute, ...]

    @property
    def schema(self) -> ToolSchema:
        """Its schema."""
        return {
            "type": "function",
            "function": {
                "name": self.name,
                "description": self._description,
                "parameters": {
                    "type": "object",
                    "properties": {one.name: _parameter(one) for one in self.parameters},
                    "required": [one.name for one in self.parameters if one.default is None],
                    "additionalProperties": False,
                },
            },
        }

    @property
    def _description(self) -> str:
        thing = self.entity.article
        match self.does:
            case "create":
                return f"Make {thing}."
            case "get":
                return f"All that is known of {thing}, by its code."
            case "cancel":
                return f"Remove {thing}, by its code."
            case "find":
                return f"All {self.entity.many} of one {self.parameters[0].label}, each with all that is known of it."
            case "change":
                return f"Give {thing} another {self.parameters[1].label}."

    def run(
        self, things: Mapping[str, Mapping[str, Mapping[str, Any]]], arguments: Mapping[str, Any]
    ) -> dict[str, Any]:
        """What it answers.

        Args:
            things: What there is of each kind of thing, by code.
            arguments: Of the call.

        Raises:
            ToolError: An argument is of another type, or there is nothing of this code.
        """
        for one in self.parameters:
            if one.name in arguments and (fault := _fault(arguments[one.name], one.kind.schema)):
                raise ToolError(f"invalid arguments for {self.name}: {one.name} {fault}")
        there = things.get(self.entity.word, {})
        if self.does == "create":
            return {"made": self.entity.name}
        if self.does == "find":
            by = self.parameters[0].name
            wanted = str(arguments[by]).casefold().strip()
            return {"found": [{"code": code, **one} for code, one in there.items() if one[by].casefold() == wanted]}
        code = arguments["code"]
        if code not in there:
            raise ToolError(f"there is no {self.entity.name} {code[:20]!r}; check the code")
        return {"code": code, **(there[code] if self.does == "get" else {"done": self.does})}


def _parameter(attribute: Attribute) -> dict[str, Any]:
    schema = attribute.kind.schema
    if attribute is _CODE:
        return {**schema, "description": "Two letters, a hyphen and four digits."}
    if attribute.default is None:
        return schema
    return {**schema, "default": attribute.default}


_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,), "integer": (int,), "number": (int, float), "boolean": (bool,), "array": (list,),
}  # fmt: skip


def _fault(value: Any, schema: Mapping[str, Any]) -> str:
    """What is wrong with an argument; "" where nothing is."""
    kind = schema["type"]
    whole = kind == "integer" and isinstance(value, float) and value.is_integer()
    if not whole and (not isinstance(value, _TYPES[kind]) or (isinstance(value, bool) and kind != "boolean")):
        return f"must be of type {kind}; it is {value!r:.60}"
    if isinstance(value, str):
        return _fault_of_text(value, schema)
    if isinstance(value, list):
        faults = (_fault(one, schema["items"]) for one in cast("list[Any]", value))
        return next((f"[{at}] {fault}" for at, fault in enumerate(faults) if fault), "")
    return ""


def _fault_of_text(value: str, schema: Mapping[str, Any]) -> str:
    if "enum" in schema and value not in schema["enum"]:
        return f"must be one of {', '.join(schema['enum'])}; it is {value!r:.60}"
    if "pattern" in schema and not re.search(schema["pattern"], value):
        return f"must have the form {schema['pattern']}; it is {value!r:.60}"
    if schema.get("format") == "date" and not re.fullmatch(r"\d{4}-\d\d-\d\d", value):
        return f"must be a date as YYYY-MM-DD; it is {value!r:.60}"
    return ""


def _operations(at: int, entity: Entity) -> list[Operation]:
    first, second, third, *_ = entity.attributes

    def operation(does: Does, *parameters: Attribute, of: str = "") -> Operation:
        verbs = _VERBS[does]
        word = entity.many.replace(" ", "_") if does == "find" else entity.word
        return Operation(f"{verbs[at % len(verbs)]}_{word}{of and '_' + of}", does, entity, parameters)

    return [
        operation("create", *entity.attributes),
        operation("get", _CODE),
        operation("cancel", _CODE),
        operation("find", first),
        operation("change", _CODE, second, of=second.name),
        operation("change", _CODE, third, of=third.name),
    ]


OPERATIONS: dict[str, Operation] = {
    operation.name: operation for at, entity in enumerate(ENTITIES) for operation in _operations(at, entity)
}
"""The pool, by name: six for each kind of thing."""
