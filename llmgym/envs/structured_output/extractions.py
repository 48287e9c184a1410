"""Tasks: a text that tells of several records, and a schema for one of them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from llmgym.envs.kinds import Rng, Schema, pick, some
from llmgym.envs.structured_output.domains import CODE_FIELD, DOMAINS, Domain, Field
from llmgym.envs.vocabulary import listed
from llmgym.errors import ConfigError
from llmgym.tasks import Task

#: What a reply may be: a syntax, or a call of a tool.
FORMS = ("json", "yaml", "toml", "xml", "csv", "tool")

_HEADS = ("{Name} {code}.", "About {name} {code}:", "{Name} {code}, as we know it.")
_VERBS = ("record", "save", "store", "register")
_ASKS = (
    "Give the data of {which} as {syntax}, by this JSON schema:\n{schema}",
    "What the text says of {which} is needed as {syntax}. The JSON schema is:\n{schema}",
    "Turn what is known of {which} into {syntax} that fits this JSON schema:\n{schema}",
)
_TOOL_ASKS = (
    "Enter {which} with the tool that is meant for it. Call it once.",
    "Call the one tool that fits, once, so that {which} is kept.",
    "Use the right tool, a single time, to file {which}.",
)
_NAMES = {"json": "JSON", "yaml": "YAML", "toml": "TOML", "xml": "XML", "csv": "CSV"}
_HINTS = {
    "xml": "There is one root element of any name, an element for each property, and one for each item of a list, "
    "under the list's name.",
    "csv": "The first line holds the names of the properties, and each record is a line.",
}
_RULES = "Copy names and words as they are, and leave out properties that the text says nothing about."


@dataclass(frozen=True, slots=True)
class Extractions:
    """A generator of tasks.

    Attributes:
        fields: Fewest and most fields of a record, besides its code.
        depth: 1 for records of values, 2 with objects and lists of values, 3 with lists of objects.
        others: Most other records that the text tells of.
        optional: Most fields that may be absent.
        tools: Most tools that are for other records.
        forms: Of `FORMS`.
    """

    fields: tuple[int, int]
    depth: int
    others: int
    optional: int
    tools: int
    forms: tuple[str, ...]

    def __post_init__(self) -> None:
        """Check the fields."""
        if not 2 <= self.fields[0] <= self.fields[1] <= 10 or not 1 <= self.depth <= 3:
            raise ConfigError(f"fields is {list(self.fields)} and depth is {self.depth}; 2 to 10, and 1 to 3")
        if not (0 <= self.others <= 3 and 0 <= self.optional <= 4 and 0 <= self.tools <= len(DOMAINS) - 1):
            raise ConfigError(
                f"others is {self.others}, optional is {self.optional} and tools is {self.tools}; "
                f"0 to 3, 0 to 4, and 0 to {len(DOMAINS) - 1}"
            )
        if not self.forms or not set(self.forms).issubset(FORMS):
            raise ConfigError(f"forms is {list(self.forms)}; it has some of {', '.join(FORMS)}")

    def __call__(self, rng: Rng) -> Task:
        """Make a task."""
        domain, form = pick(rng, DOMAINS), pick(rng, self.forms)
        fields, spare = self._fields(rng, domain, 1 if form == "csv" else self.depth)
        optional = set[str]()
        if form != "csv":
            optional = {field.name for field in some(rng, fields[1:], int(rng.integers(0, self.optional + 1)))}
        schema = _schema(rng, [CODE_FIELD, *fields], optional)
        wanted = int(rng.integers(2, 4)) if form == "csv" else 1
        values = _draw(rng, fields, wanted + int(rng.integers(0, self.others + 1)))
        for value in values[:wanted]:
            for name in sorted(optional):
                if rng.random() < 0.6:
                    del value[name]
        texts = [_tell(rng, domain, value, fields, spare) for value in values]
        text = "\n\n".join(texts[int(at)] for at in rng.permutation(len(texts)))
        right = [{name: value[name] for name in schema["properties"] if name in value} for value in values[:wanted]]
        if form == "tool":
            return self._tool_task(rng, domain, text, schema, right[0])
        if form == "csv":
            schema = {"type": "array", "items": schema}
        syntax = _NAMES[form]
        ask = pick(rng, _ASKS).format(which=_which(domain, right), syntax=syntax, schema=json.dumps(schema))
        rules = [*([_HINTS[form]] if form in _HINTS else []), _RULES, f"Reply with the {syntax} and nothing else."]
        return Task(
            prompt="\n\n".join([text, ask, " ".join(rules)]),
            answer={"schema": schema, "value": right if form == "csv" else right[0]},
            metadata={"syntax": form},
        )

    def _fields(self, rng: Rng, domain: Domain, depth: int) -> tuple[list[Field], list[Field]]:
        """Fields that are asked for, of which one is as deep as it may be, and some that are told as well."""
        deepest = pick(rng, [field for field in domain.fields if field.kind.level == depth])
        others = some(rng, [f for f in domain.fields if f.kind.level <= depth and f is not deepest], len(domain.fields))
        count = int(rng.integers(self.fields[0], self.fields[1] + 1)) - 1
        spare = [field for field in others[count:] if field.kind.level == 1]
        return [others[0], deepest, *others[1:count]], spare[: min(self.others, 2)]

    def _tool_task(self, rng: Rng, domain: Domain, text: str, schema: Schema, right: dict[str, Any]) -> Task:
        verb, key = pick(rng, _VERBS), "data" if self.depth > 1 and rng.random() < 0.4 else None
        tools = [_tool(domain, verb, schema, key)]
        for other in some(rng, [one for one in DOMAINS if one is not domain], self.tools):
            fields, _ = self._fields(rng, other, self.depth)
            tools.append(_tool(other, verb, _schema(rng, [CODE_FIELD, *fields], set()), key))
        ask = pick(rng, _TOOL_ASKS).format(which=_which(domain, [right]))
        return Task(
            prompt=f"{text}\n\n{ask} {_RULES}",
            answer={"schema": schema, "value": right},
            metadata={
                "tool": f"{verb}_{domain.word}",
                "key": key,
                "tools": [tools[int(at)] for at in rng.permutation(len(tools))],
            },
        )


def _schema(rng: Rng, fields: list[Field], optional: set[str]) -> Schema:
    fields = some(rng, fields, len(fields))
    return {
        "type": "object",
        "properties": {field.name: field.kind.schema for field in fields},
        "required": [field.name for field in fields if field.name not in optional],
        "additionalProperties": False,
    }


def _draw(rng: Rng, fields: list[Field], count: int) -> list[dict[str, Any]]:
    """Values of so many records, whose codes differ."""
    values: dict[str, dict[str, Any]] = {}
    while len(values) < count:
        code = CODE_FIELD.kind.draw(rng)
        values[code] = {"code": code, **{field.name: field.kind.draw(rng) for field in fields}}
    return list(values.values())


def _tell(rng: Rng, domain: Domain, value: dict[str, Any], fields: list[Field], spare: list[Field]) -> str:
    """What a text says of a record: all that is known of it, and a little more."""
    sentences = [field.tell(rng, value[field.name]) for field in fields if field.name in value]
    sentences += [field.tell(rng, field.kind.draw(rng)) for field in spare]
    head = pick(rng, _HEADS).format(Name=domain.name.capitalize(), name=domain.name, code=value["code"])
    return " ".join([head, *some(rng, sentences, len(sentences))])


def _which(domain: Domain, right: list[dict[str, Any]]) -> str:
    codes = [value["code"] for value in right]
    if len(codes) == 1:
        return f"{domain.name} {codes[0]}"
    return f"the {domain.name}s {listed(codes)}"


def _tool(domain: Domain, verb: str, schema: Schema, key: str | None) -> dict[str, Any]:
    wrapped = {"type": "object", "properties": {key: schema}, "required": [key], "additionalProperties": False}
    return {
        "type": "function",
        "function": {
            "name": f"{verb}_{domain.word}",
            "description": domain.does.replace("Record", verb.capitalize()),
            "parameters": schema if key is None else wrapped,
        },
    }
