"""Questions about Python's library reference, each about one fact."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from llmgym.envs.documentation_qa.facts import Fact, facts
from llmgym.tasks import Task
from llmgym.verifiers.answers import Kind

_T = TypeVar("_T")

#: Sorts of questions, and how often each comes beside the others.
SORTS = {
    "added": 20,
    "parameter_added": 10,
    "which_parameter": 10,
    "default": 20,
    "exception": 15,
    "module": 15,
    "class": 10,
    "only": 20,
    "count": 5,
}
KINDS: dict[str, Kind] = {"added": "version", "parameter_added": "version", "count": "number"}

_OPENINGS = (
    "",
    "",
    "By the documentation: ",
    "Please look it up: ",
    "A question about Python's library. ",
    "Quick check: ",
)
_ASKED = {
    "added": (
        "In which version of Python was `{subject}` added?",
        "Since which version of Python has there been `{subject}`?",
        "`{subject}` is new in which version of Python?",
    ),
    "parameter_added": (
        "In which version of Python did `{subject}` get the parameter `{detail}`?",
        "Since which version of Python does `{subject}` take the parameter `{detail}`?",
        "In which version of Python was the parameter `{detail}` added to `{subject}`?",
    ),
    "which_parameter": (
        "Which parameter was added to `{subject}` in version {detail} of Python?",
        "Version {detail} of Python added a parameter to `{subject}`. What is it called?",
    ),
    "default": (
        "What is the default value of the parameter `{detail}` of `{subject}`?",
        "Which value does the parameter `{detail}` of `{subject}` have where none is given?",
        "`{subject}` has a parameter `{detail}`. What is its default?",
    ),
    "exception": (
        'The description of `{subject}` has this sentence: "{detail}" Which exception stands in the gap?',
        'Which exception is left out here? It is from what is said of `{subject}`: "{detail}"',
    ),
    "module": (
        "Which module of the standard library has the {detail} `{subject}`?",
        "In which module of Python's library is the {detail} `{subject}`?",
        "Where is the {detail} `{subject}` imported from? Name the module.",
    ),
    "class": (
        "Which class of the module `{more}` has the {detail} `{subject}`?",
        "In the module `{more}`, which class has the {detail} `{subject}`?",
    ),
    "only": (
        "One {detail} of the module `{subject}` is new in version {more} of Python. Which one?",
        "What is the name of the one {detail} that version {more} of Python added to the module `{subject}`?",
    ),
    "count": (
        "How many descriptions of a {detail} in the module `{subject}` say that it is new in version {more} of Python?",
        "How many times is a {detail} in the module `{subject}` said to be new in version {more}?",
    ),
}


@dataclass(frozen=True)
class Questions:
    """Makes tasks.

    Attributes:
        sorts: Sorts of questions.
        testing: Whether they ask for the facts of the split "test", which no other does.
    """

    sorts: tuple[str, ...]
    testing: bool

    def __call__(self, rng: np.random.Generator) -> Task:
        """Make one task; all answers to a sort of question are as likely, so that the common ones do not pay."""
        at = int(rng.integers(sum(SORTS[sort] for sort in self.sorts)))
        chosen = next(sort for sort in self.sorts if (at := at - SORTS[sort]) < 0)
        known = facts(chosen, self.testing)
        fact = _pick(rng, known[_pick(rng, list(known))])
        return Task(
            prompt=_pick(rng, _OPENINGS) + _pick(rng, _ASKED[chosen]).format(**_words(fact)),
            answer=fact.answer,
            metadata={
                "sort": fact.sort,
                "kind": KINDS.get(fact.sort, "name"),
                "subject": fact.subject,
                "detail": fact.detail,
                "support": list(fact.documents),
            },
        )


def _words(fact: Fact) -> dict[str, str]:
    detail, _, more = fact.detail.partition(" ") if fact.sort in ("class", "only", "count") else (fact.detail, "", "")
    return {"subject": fact.subject, "detail": detail, "more": more}


def _pick(rng: np.random.Generator, choices: Sequence[_T]) -> _T:
    return choices[int(rng.integers(len(choices)))]
