"""Facts that the descriptions of Python's library state in set phrases, so that each has one exact answer."""

from __future__ import annotations

import ast
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from hashlib import sha256

from llmgym.envs.documentation_qa.reference import Entry, entries
from llmgym.errors import TaskError
from llmgym.verifiers import answers

_NEW_SOMEHOW = re.compile(r"^New in version (3\.\d+)(.*)", re.MULTILINE)
_CHANGED = re.compile(r"^(?:Changed in|Deprecated since) version (\d\.\d+)", re.MULTILINE)
_AFTERWARDS = re.compile(r"Changed in|Deprecated since|Availability|Raises an auditing|Note:|Warning:|CPython:|See")
_PARAMETER = re.compile(
    r"^(?:Changed|New) in version (3\.\d+)(?:\.\d+)?: (?:"
    r"Added (?:the |an? )?(?:new )?(?:optional |keyword-only )*"
    r"\*(\w+)\* (?:keyword-only |keyword )?(?:parameter|argument)"
    r"|"
    r"(?:The )?\*(\w+)\* (?:keyword-only |keyword )?(?:parameter|argument) was added)",
    re.MULTILINE,
)
_RAISES = re.compile(r"\brais(?:e|es|ed|ing)\b", re.IGNORECASE)
_SENTENCE = re.compile(r"(?<=[.;:]) (?=[A-Z`*])|\n")
_QUOTED = re.compile(r"`((?:\w+\.)*(\w+))`")
_HEDGED = re.compile(r"\b(?:never|not raise|no longer|instead|rather|previously|used to|subclass|New in|Changed in)\b")
_PLAIN_DEFAULTS = frozenset(["None", "True", "False"])  # of most parameters
_LONGEST = 60  # characters of a default


@dataclass(frozen=True, slots=True)
class Fact:
    """One fact.

    Attributes:
        sort: What sort of question asks for it.
        answer: What it is.
        subject: The name of what it is about.
        detail: What else the question names.
        documents: Names of the descriptions that state it.
    """

    sort: str
    answer: str
    subject: str
    detail: str
    documents: tuple[str, ...]

    @property
    def is_for_testing(self) -> bool:
        """Whether it is one of the eighth that only the split "test" asks for."""
        return sha256(f"{self.sort} {self.subject} {self.detail}".encode()).digest()[0] < 32


def stated(sort: str, entry: Entry, detail: str) -> str | None:
    """What a description says of a fact of a sort; None where it says nothing."""
    return next((answer for told, answer in _READERS[sort](entry) if told == detail), None)


def _added(entry: Entry) -> Iterator[tuple[str, str]]:
    """The version that an entry is new in: what is new in the midst of a description is a part of it."""
    found = _NEW_SOMEHOW.findall(entry.text)
    if len(found) != 1 or found[0][1] != ".":
        return
    ((version, _),) = found
    before, _, behind = entry.text.partition(f"New in version {version}.")
    changed = [_order(older) for older in _CHANGED.findall(before + behind)]
    if all(map(_AFTERWARDS.match, behind.split("\n")[1:])) and all(older >= _order(version) for older in changed):
        yield "", version


def _order(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def _parameters(entry: Entry) -> Iterator[tuple[str, str]]:
    """Parameters and the versions in which each came."""
    for version, one, other in _PARAMETER.findall(entry.text):
        yield one or other, version


def _which_parameter(entry: Entry) -> Iterator[tuple[str, str]]:
    """Versions and the parameter that came in each, where it is one."""
    came = defaultdict[str, list[str]](list)
    for parameter, version in _parameters(entry):
        came[version].append(parameter)
    for version, parameters in came.items():
        mentioned = [line for line in entry.text.splitlines() if f"in version {version}" in line]
        if len(parameters) == 1 and len(mentioned) == 1 and len(re.findall(r"\*\w+\*", mentioned[0])) == 1:
            yield version, parameters[0]


def _defaults(entry: Entry) -> Iterator[tuple[str, str]]:
    if "; " in entry.signature:  # several forms
        return
    _, _, inside = entry.signature.partition("(")
    try:
        arguments = ast.parse(f"def f({inside}: pass").body[0].args  # type: ignore[attr-defined]
    except SyntaxError:
        return
    positional = [*arguments.posonlyargs, *arguments.args]
    pairs = [
        *zip(positional[::-1], arguments.defaults[::-1], strict=False),
        *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True),
    ]
    for parameter, default in pairs:
        if default is not None:
            yield parameter.arg, ast.unparse(default)


def _raises(entry: Entry) -> Iterator[tuple[str, str]]:
    """Sentences with a gap, and the exception that fills it, where a description names no other."""
    known = _exceptions()
    named = {last for _, last in _QUOTED.findall(entry.text) if last in known}
    if entry.kind not in ("function", "method") or len(named) != 1:
        return
    (name,) = named
    for sentence in _SENTENCE.split(entry.text):
        if name in sentence and _RAISES.search(sentence) and not _HEDGED.search(sentence) and len(sentence) < 250:
            gap = _QUOTED.sub(lambda match: "____" if match[2] == name else match[0], sentence)
            if name.casefold() not in gap.casefold():
                yield re.sub(r"\b[Aa]n? ____", "a(n) ____", gap).strip(), name
                return


_READERS: dict[str, Callable[[Entry], Iterator[tuple[str, str]]]] = {
    "added": _added,
    "parameter_added": _parameters,
    "which_parameter": _which_parameter,
    "default": _defaults,
    "exception": _raises,
}


@cache
def _exceptions() -> frozenset[str]:
    return frozenset(entry.last for entry in entries() if entry.kind == "exception")


@cache
def by_name() -> dict[str, Entry]:
    """The descriptions by name."""
    return {entry.name: entry for entry in entries()}


@cache
def facts(sort: str, testing: bool) -> dict[str, list[Fact]]:
    """The facts of a sort that one split asks for, by answer."""
    found: dict[str, list[Fact]] = {}
    for fact in _MAKERS.get(sort, _stated_facts)(sort):
        if fact.is_for_testing == testing and _can_be_asked(fact):
            found.setdefault(fact.answer, []).append(fact)
    return found


def _can_be_asked(fact: Fact) -> bool:
    """Whether an answer can be told, and does not stand in the question."""
    told = re.split(r"[^\w]+", f"{fact.subject} {fact.detail}".casefold())
    if fact.answer.casefold() in told or len(fact.answer) > _LONGEST:
        return False
    if 2 * sum(map(str.isalnum, fact.answer)) < len(fact.answer.replace(" ", "")):
        return False  # mostly punctuation, which answers are compared without
    try:
        answers.prove(fact.answer)
    except TaskError:
        return False
    return True


def _stated_facts(sort: str) -> Iterator[Fact]:
    for entry in entries():
        for detail, answer in dict(_READERS[sort](entry)).items():
            if sort != "default" or answer not in _PLAIN_DEFAULTS:
                yield Fact(sort, answer, entry.name, detail, (entry.name,))


def _homes(sort: str) -> Iterator[Fact]:
    """The modules of functions and classes, and the classes of methods, whose last name nothing else has."""
    lasts = Counter(entry.last for entry in entries())
    for entry in entries():
        parts = entry.name.removeprefix(f"{entry.module}.").split(".")
        if not entry.module or lasts[entry.last] > 1 or entry.last.startswith("_"):
            continue
        if sort == "module" and len(parts) == 1 and entry.kind in ("function", "class", "exception"):
            yield Fact(sort, entry.module, entry.last, entry.kind, (entry.name,))
        if sort == "class" and len(parts) == 2 and entry.kind in ("method", "attribute"):
            yield Fact(sort, parts[0], entry.last, f"{entry.kind} {entry.module}", (entry.name,))


def _news(sort: str) -> Iterator[Fact]:
    """What a module has that is new in a version: the name where it is one thing, else how many there are."""
    came = defaultdict[tuple[str, str, str], list[Entry]](list)
    unclear = set[tuple[str, str, str]]()
    for entry in entries():
        added = {version for _, version in _added(entry)}
        for version in sorted({version for version, _ in _NEW_SOMEHOW.findall(entry.text)}):
            came[entry.module, entry.kind, version].append(entry)
            if version not in added:  # it may be a part of it that is new
                unclear.add((entry.module, entry.kind, version))
    for (module, kind, version), new in came.items():
        if not module or kind not in ("function", "class", "method") or (module, kind, version) in unclear:
            continue
        names = tuple(entry.name for entry in new)
        if sort == "only" and len(new) == 1 and kind != "method":
            yield Fact(sort, new[0].last, module, f"{kind} {version}", names)
        if sort == "count" and 2 <= len(new) <= 12:
            yield Fact(sort, str(len(new)), module, f"{kind} {version}", names)


_MAKERS: dict[str, Callable[[str], Iterator[Fact]]] = {"module": _homes, "class": _homes, "only": _news, "count": _news}
