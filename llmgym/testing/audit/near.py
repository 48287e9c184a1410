"""Near misses: the oracle's solution with one thing wrong in it.

Nothing is reordered, since sets and plans rightly ignore order. Only what the reward depends on is changed: the final
text where an empty one earns less, a call where the solution without it does.
"""

from __future__ import annotations

import copy
import json
import random
import re
from collections.abc import Callable
from typing import Any

from llmgym.messages import Message
from llmgym.testing.audit import numbers
from llmgym.testing.audit.answers import Answer, data_of, joined, read_answers, refenced, split_items
from llmgym.testing.audit.policies import Policy
from llmgym.testing.audit.stage import Solution, Stage
from llmgym.testing.playing import Messages

Change = Callable[[Answer, random.Random], str | None]

_LISTED = 10
_SHORT = 60  # characters of an answer that is put into a list
_TRIED = 3  # calls of a solution that are left out to see which are needed
_WORDS = 6  # words of an argument that is no free text


class NearMisses:
    """Near misses of the solutions of a stage."""

    def __init__(self, stage: Stage) -> None:
        """Take the final texts apart."""
        self._stage = stage
        speaking = [solution for solution in stage.solved if solution.speaks]
        texts = [solution.text for solution in speaking]
        answers = read_answers(texts) if len(set(texts)) > 1 else []  # one text for all is no answer, but a last step
        speaking = speaking if answers else []
        self.answers = {solution.task.id: answer for solution, answer in zip(speaking, answers, strict=True)}
        self._cores = dict[str, list[str]]()  # by what stands before them
        for answer in answers:
            known = self._cores.setdefault(answer.before, [])
            if answer.core not in known:
                known.append(answer.core)
        self._needed = dict[str, list[tuple[int, int]]]()
        self._values = dict[tuple[str, str], list[Any]]()
        for solution in stage.solved:
            for at, place in solution.calls:
                name, arguments = _call(solution.said, at, place)
                for key, value in arguments.items():
                    self._values.setdefault((name, key), []).append(value)

    def policies(self) -> list[Policy]:
        """Them all."""
        text = self._text
        return [
            Policy("near/one", "a number off by one", "wrong", text(_one)),
            Policy("near/some", "a number off by 5 %, at least 1", "wrong", text(_some)),
            Policy("near/digit", "another last digit", "wrong", text(_digit)),
            Policy("near/number", "one of several numbers off by one", "doubtful", text(_number)),
            Policy("near/word", "one word replaced", "doubtful", text(self._word)),
            Policy("near/value", "one value in JSON changed", "doubtful", text(_value)),
            Policy("near/shorter", "one item, key, or half of it left out", "doubtful", text(_shorter)),
            Policy("near/list", "the right answer among ten", "wrong", text(self._list)),
            Policy("near/lines", "the right answer among ten, each in a line", "wrong", text(self._lines)),
            Policy("near/other", "what is right for another task", "doubtful", self._other),
            Policy("near/argument", "one argument of a call that is needed changed", "doubtful", self._argument),
            Policy("near/dropped", "one argument of such a call left out", "doubtful", self._dropped),
        ]

    def _rng(self, solution: Solution) -> random.Random:
        return random.Random(f"{self._stage.seed}/{solution.task.id}")

    def _text(self, change: Change) -> Callable[[Solution], Messages | None]:
        """What a change of the final text makes of a solution."""

        def script(solution: Solution) -> Messages | None:
            answer = self.answers.get(solution.task.id)
            changed = change(answer, self._rng(solution)) if answer and answer.core else None
            if answer is None or changed is None or changed.split() == answer.text.split():
                return None
            return _said(solution.saying(changed))

        return script

    # --- texts --------------------------------------------------------------------------------

    def _word(self, answer: Answer, rng: random.Random) -> str | None:
        """Another word in an answer of few words, or another item in a list."""
        others = [core for core in self._cores[answer.before] if core != answer.core]
        if not others:
            return None
        if answer.kind == "letter":
            letters = [core for core in others if len(core) == 1 and core.lower() != answer.core.lower()]
            return answer.saying(rng.choice(letters)) if letters else None
        if answer.kind == "list":
            items = split_items(answer.core)
            known = {item.casefold() for item in items}
            foreign = [item for core in others for item in split_items(core) if item.casefold() not in known]
            if not foreign:
                return None
            items[rng.randrange(len(items))] = rng.choice(foreign)
            return answer.saying(joined(answer.core, items))
        if answer.kind == "words":
            words = answer.core.split()
            place = max(range(len(words)), key=lambda at: len(words[at]))
            known = answer.core.casefold()
            pool = [word for core in others for word in core.split() if word.isalpha() and word.casefold() not in known]
            if words[place].isalpha() and pool:
                words[place] = rng.choice(pool)
                return answer.saying(" ".join(words))
        return None

    def _list(self, answer: Answer, rng: random.Random) -> str | None:
        """The answer among others, neither first nor last."""
        others = self._others(answer, rng)
        if not others:
            return None
        if answer.kind == "list":
            items = split_items(answer.core)
            foreign = [item for core in others[:5] for item in split_items(core) if item not in items]
            return answer.saying(joined(answer.core, [*items, *foreign])) if foreign else None
        middle = len(others) // 2
        return answer.saying(", ".join([*others[:middle], answer.core, *others[middle:]])) if middle else None

    def _lines(self, answer: Answer, rng: random.Random) -> str | None:
        """The same, each in a line of its own, in the form of an answer."""
        others = self._others(answer, rng)
        if answer.kind == "list" or len(others) < 2:
            return None
        middle = len(others) // 2
        return "\n".join(answer.saying(core) for core in [*others[:middle], answer.core, *others[middle:]])

    def _others(self, answer: Answer, rng: random.Random) -> list[str]:
        if answer.kind not in ("number", "letter", "words", "list") or len(answer.core) > _SHORT:
            return []
        own = answer.core.casefold()
        found = [core for core in self._cores[answer.before] if core.casefold() != own and len(core) <= _SHORT and core]
        return rng.sample(found, min(len(found), _LISTED - 1))

    def _other(self, solution: Solution) -> Messages | None:
        """The whole solution of another task, or its answer where only that matters."""
        rng, answer = self._rng(solution), self.answers.get(solution.task.id)
        for other in rng.sample(self._stage.solved, min(len(self._stage.solved), 8)):
            theirs = self.answers.get(other.task.id)
            if other.deed == solution.deed or (answer and theirs and answer.core.casefold() == theirs.core.casefold()):
                continue
            if solution.acts:
                return _said(other.said)
            if answer and theirs:
                return _said(solution.saying(other.text))
        return None

    # --- calls --------------------------------------------------------------------------------

    def _need(self, solution: Solution) -> list[tuple[int, int]]:
        """Calls without which a solution earns less; a few are tried."""
        if not solution.acts:
            return []
        if solution.task.id not in self._needed:
            calls = self._rng(solution).sample(solution.calls, min(len(solution.calls), _TRIED))
            self._needed[solution.task.id] = [
                call
                for call in calls
                if not self._stage.full(self._stage.replay(solution, without(solution.said, *call)))
            ]
        return self._needed[solution.task.id]

    def _argument(self, solution: Solution) -> Messages | None:
        """Another value of an argument: one from elsewhere, or one made of it."""
        rng = self._rng(solution)
        for at, place in self._need(solution):
            name, arguments = _call(solution.said, at, place)
            for key in rng.sample(sorted(arguments), len(arguments)):
                if (value := self._different(name, key, arguments[key], rng)) is not None:
                    return _said(_with(solution.said, at, place, {**arguments, key: value}))
        return None

    def _different(self, name: str, key: str, value: Any, rng: random.Random) -> Any:
        if isinstance(value, str) and len(value.split()) > _WORDS:
            return None  # free text, of which there is more than one
        known = _plain(value)
        pool = [other for other in self._values[name, key] if type(other) is type(value) and _plain(other) != known]
        return rng.choice(pool) if pool else _changed(value)

    def _dropped(self, solution: Solution) -> Messages | None:
        """One argument less, where that is not what holds without it."""
        rng = self._rng(solution)
        schemas = {tool["function"]["name"]: tool["function"]["parameters"] for tool in solution.tools}
        for at, place in self._need(solution):
            name, arguments = _call(solution.said, at, place)
            properties = schemas.get(name, {}).get("properties", {})
            keys = [
                key
                for key in sorted(arguments)
                if arguments[key] not in ("", None, [], {}) and properties.get(key, {}).get("default") != arguments[key]
            ]
            if keys:
                key = rng.choice(keys)
                rest = {name: value for name, value in arguments.items() if name != key}
                return _said(_with(solution.said, at, place, rest))
        return None


def _said(messages: list[Message]) -> Messages:
    return lambda core: copy.deepcopy(messages)


# --- changes of a text --------------------------------------------------------------------------


def _one(answer: Answer, rng: random.Random) -> str | None:
    return _saying(answer, numbers.off_by_one(answer.core, rng)) if answer.kind == "number" else None


def _some(answer: Answer, rng: random.Random) -> str | None:
    return _saying(answer, numbers.off_by_some(answer.core)) if answer.kind == "number" else None


def _digit(answer: Answer, rng: random.Random) -> str | None:
    return _saying(answer, numbers.other_digit(answer.core)) if answer.kind == "number" else None


def _saying(answer: Answer, core: str | None) -> str | None:
    return None if core is None else answer.saying(core)


def _number(answer: Answer, rng: random.Random) -> str | None:
    """The last number of an answer that is more than one; of prose, where it may be one by the way, none."""
    if answer.kind not in ("words", "list"):
        return None
    found = list(re.finditer(r"\d+", answer.core))
    if not found:
        return None
    last = found[-1]
    digits = str(int(last[0]) + 1).zfill(len(last[0]))
    return answer.saying(answer.core[: last.start()] + digits + answer.core[last.end() :])


def _value(answer: Answer, rng: random.Random) -> str | None:
    """Another value somewhere in JSON."""
    data = data_of(answer.text)
    leaves = [leaf for leaf in _leaves(data) if _changed(leaf[0][leaf[1]]) is not None] if data is not None else []
    if not leaves:
        return None
    holder, key = rng.choice(leaves)
    holder[key] = _changed(holder[key])
    return refenced(answer.text, json.dumps(data, ensure_ascii=False))


def _shorter(answer: Answer, rng: random.Random) -> str | None:
    """A list without one of its items, JSON without one of its keys, code without its second half."""
    if answer.kind == "list":
        items = split_items(answer.core)
        del items[rng.randrange(len(items))]
        return answer.saying(joined(answer.core, items))
    if answer.kind == "code":
        return answer.text[: len(answer.text) // 2]
    data = data_of(answer.text)
    leaves = [(holder, key) for holder, key in _leaves(data) if holder[key] not in ("", None)] if data else []
    if not leaves:
        return None
    holder, key = rng.choice(leaves)
    del holder[key]
    return refenced(answer.text, json.dumps(data, ensure_ascii=False))


def _leaves(data: Any) -> list[tuple[Any, Any]]:
    """Where the values in JSON that hold no others are: what holds them, and under which key."""
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    found = list[tuple[Any, Any]]()
    for key, value in items:
        found += _leaves(value) if isinstance(value, dict | list) else [(data, key)]
    return found


def _changed(value: Any) -> Any:
    """Another value of the same type; None where there is no saying what that would be."""
    match value:
        case bool():
            return not value
        case int():
            return value + max(1, abs(value) // 20)
        case float():
            return value + max(1.0, abs(value) / 20)
        case str() if value.isdigit():
            return str(int(value) + 1)
        case str() if value and len(value.split()) <= _WORDS:
            return f"{value}x" if value[-1].isalpha() else f"x{value}"
        case list() if value:
            return value[:-1]
        case _:
            return None


def _plain(value: Any) -> Any:
    return " ".join(value.split()).casefold() if isinstance(value, str) else value


# --- changes of calls ---------------------------------------------------------------------------


def _call(said: list[Message], at: int, place: int) -> tuple[str, dict[str, Any]]:
    """Name and arguments of a call; none where they are no JSON object."""
    function = said[at].get("tool_calls", [])[place]["function"]
    try:
        arguments = json.loads(function["arguments"])
    except ValueError:
        arguments = {}
    return function["name"], arguments if isinstance(arguments, dict) else {}


def _with(said: list[Message], at: int, place: int, arguments: dict[str, Any]) -> list[Message]:
    changed = copy.deepcopy(said)
    changed[at].get("tool_calls", [])[place]["function"]["arguments"] = json.dumps(arguments, ensure_ascii=False)
    return changed


def without(said: list[Message], at: int, place: int) -> list[Message]:
    """Messages without a call, or without the message that has no other."""
    changed = copy.deepcopy(said)
    calls = changed[at].get("tool_calls", [])
    del calls[place]
    if not calls:
        del changed[at]
    return changed
