"""Wishes of a user, with the calls that grant them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from llmgym.envs.function_calling.entities import ENTITIES, Attribute, Entity
from llmgym.envs.function_calling.operations import OPERATIONS, Does, Operation
from llmgym.envs.kinds import CODE, DATE, EMAIL, MONEY, PERSON, TIME, Rng, pick, some

#: Of what kinds wishes are.
KINDS = ("single", "chain", "missing", "impossible")

_SAID: dict[Does, tuple[str, ...]] = {
    "create": ("I need a new {name} {clauses}.", "Please enter {article} {clauses}.", "Make {article} {clauses}."),
    "get": ("What do we know about {name} {code}?", "Show me all that is known of {name} {code}."),
    "cancel": ("Remove {name} {code}.", "We no longer need {name} {code}, so take it out."),
    "find": ("Which {many} are there {clauses}?", "List all {many} {clauses}."),
    "change": (
        "Change the {label} of {name} {code} to {value}.",
        "For {name} {code}, the {label} must now be {value}.",
    ),
}
_ACTS = {
    "cancel": "Find the only {name} {clauses} and remove it.",
    "change": "There is one {name} {clauses}. Change its {label} to {value}.",
}
_COPIES = (
    "Give {name} {code} the same {label} as {name} {other}.",
    "The {label} of {name} {code} should become that of {name} {other}.",
)
_UNKNOWN = (PERSON, DATE, TIME, MONEY, EMAIL)  # kinds whose values nobody guesses

Arguments = dict[str, Any]


@dataclass
class Wish:
    """What a user wants.

    Attributes:
        kind: Of `KINDS`.
        text: How the user says it.
        steps: Names and arguments of the calls, of which later ones may take `{"$result": name}` of the one before.
        calls: The same calls as the verifier wants them.
        uses: Names of tools that it is about; not offered where it is impossible.
        reply: What the user says when asked for what is missing.
        missing: What that is.
    """

    kind: str
    text: str
    uses: list[str]
    steps: list[tuple[str, Arguments]] = field(default_factory=list[tuple[str, Arguments]])
    calls: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    reply: str = ""
    missing: str = ""


class Wishes:
    """Makes wishes, each about another kind of thing, and the things that they are about.

    Args:
        rng: Picks.
    """

    def __init__(self, rng: Rng) -> None:
        self._rng = rng
        self._entities = iter(some(rng, ENTITIES, len(ENTITIES)))
        self._codes = set[str]()
        self.things: dict[str, dict[str, dict[str, Any]]] = {}

    def make(self, kind: str) -> Wish:
        """Make a wish of a kind."""
        entity = next(self._entities)
        if kind == "chain":
            return pick(self._rng, (self._found, self._copied))(entity)
        if kind == "missing":
            while not any(one.kind in _UNKNOWN for one in entity.attributes):
                entity = next(self._entities)
            return self._created(entity, missing=True)
        wish = self._single(entity, pick(self._rng, ("create", "get", "cancel", "find", "change")))
        return wish if kind == "single" else Wish("impossible", wish.text, wish.uses)

    def _single(self, entity: Entity, does: Does) -> Wish:
        if does == "create":
            return self._created(entity)
        operation = pick(self._rng, [one for one in OPERATIONS.values() if one.entity is entity and one.does == does])
        arguments: Arguments = {}
        words = {"name": entity.name, "many": entity.many}
        if does == "find":
            by = entity.attributes[0]
            value = self._thing(entity)[1][by.name]
            self._thing(entity, unlike=value)
            arguments[by.name] = value
            words["clauses"] = by.clause.format(by.kind.show(self._rng, value))
        else:
            arguments["code"] = words["code"] = self._thing(entity)[0]
        if does == "change":
            arguments |= self._changed(operation, words)
        return self._wish("single", pick(self._rng, _SAID[does]).format(**words), (operation, arguments, arguments))

    def _created(self, entity: Entity, *, missing: bool = False) -> Wish:
        rng = self._rng
        (operation,) = _operations_of(entity, "create")
        told = [one for one in entity.attributes if one.default is None or rng.random() < 0.5]
        arguments = {one.name: _other(rng, one, one.default) for one in told}
        left_out = pick(rng, [one for one in told if one.kind in _UNKNOWN and one.default is None]) if missing else None
        clauses = [
            one.clause.format(one.kind.show(rng, arguments[one.name]))
            for one in some(rng, told, len(told))
            if one is not left_out
        ]
        text = pick(rng, _SAID["create"]).format(name=entity.name, article=entity.article, clauses=", ".join(clauses))
        wish = self._wish("missing" if missing else "single", text, (operation, arguments, arguments))
        if left_out is not None:
            wish.missing = left_out.label
            wish.reply = f"The {left_out.label} is {left_out.kind.show(rng, arguments[left_out.name])}."
        return wish

    def _found(self, entity: Entity) -> Wish:
        """Something to be found before anything can be done to it."""
        rng, by = self._rng, entity.attributes[0]
        code, thing = self._thing(entity)
        for _ in range(int(rng.integers(1, 3))):
            self._thing(entity, unlike=thing[by.name])
        (find,) = _operations_of(entity, "find")
        does: Does = pick(rng, ("cancel", "change"))
        operation = pick(rng, _operations_of(entity, does))
        words = {"name": entity.name, "clauses": by.clause.format(by.kind.show(rng, thing[by.name]))}
        more = self._changed(operation, words) if does == "change" else {}
        said = {by.name: thing[by.name]}
        return self._wish(
            "chain",
            _ACTS[does].format(**words),
            (find, said, said),
            (operation, {"code": {"$result": "code"}, **more}, {"code": code, **more}),
        )

    def _copied(self, entity: Entity) -> Wish:
        """Something to be made like something else."""
        (code, _), (other, source) = self._thing(entity), self._thing(entity)
        (get,) = _operations_of(entity, "get")
        operation = pick(self._rng, _operations_of(entity, "change"))
        what = operation.parameters[1]
        words = {"name": entity.name, "code": code, "other": other, "label": what.label}
        return self._wish(
            "chain",
            pick(self._rng, _COPIES).format(**words),
            (get, {"code": other}, {"code": other}),
            (
                operation,
                {"code": code, what.name: {"$result": what.name}},
                {"code": code, what.name: source[what.name]},
            ),
        )

    def _changed(self, operation: Operation, words: dict[str, str]) -> Arguments:
        what = operation.parameters[1]
        value = what.kind.draw(self._rng)
        words |= {"label": what.label, "value": what.kind.show(self._rng, value)}
        return {what.name: value}

    def code(self) -> str:
        """A code that nothing else has."""
        while (code := CODE.draw(self._rng)) in self._codes:
            pass
        self._codes.add(code)
        return code

    def _thing(self, entity: Entity, *, unlike: Any = None) -> tuple[str, dict[str, Any]]:
        """One more thing of a kind, with its code."""
        rng, code = self._rng, self.code()
        thing = {one.name: one.kind.draw(rng) for one in entity.attributes}
        first = entity.attributes[0]
        thing[first.name] = _other(rng, first, unlike)
        self.things.setdefault(entity.word, {})[code] = thing
        return code, thing

    def _wish(self, kind: str, text: str, *steps: tuple[Operation, Arguments, Arguments]) -> Wish:
        """A wish, of the steps of which the second arguments are the right values."""
        return Wish(
            kind,
            text,
            [operation.name for operation, _, _ in steps],
            [(operation.name, arguments) for operation, arguments, _ in steps],
            [{"name": operation.name, "arguments": _wanted(operation, right)} for operation, _, right in steps],
        )


def _other(rng: Rng, attribute: Attribute, unlike: Any) -> Any:
    while (value := attribute.kind.draw(rng)) == unlike:
        pass
    return value


def _operations_of(entity: Entity, does: Does) -> list[Operation]:
    return [one for one in OPERATIONS.values() if one.entity is entity and one.does == does]


def _wanted(operation: Operation, right: Arguments) -> dict[str, Any]:
    """Arguments as the verifier wants them: names in any case, lists in any order, defaults perhaps left out."""
    return {
        one.name: _form(one, right[one.name]) if one.name in right else {"$optional": one.default}
        for one in operation.parameters
    }


def _form(attribute: Attribute, value: Any) -> Any:
    schema = attribute.kind.schema
    if schema["type"] == "array":
        return {"$unordered": [{"$text": one} for one in value]}
    free = schema["type"] == "string" and not {"enum", "pattern"} & set(schema) and schema.get("format") != "date"
    return {"$text": value} if free else value
