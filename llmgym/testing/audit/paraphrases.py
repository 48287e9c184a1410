"""Right answers in other words, which must earn as much as those of the oracle.

Only what leaves the meaning as it is, whatever the environment, and is not asked to be otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from llmgym.testing.audit import numbers
from llmgym.testing.audit.answers import Answer
from llmgym.testing.audit.policies import Policy
from llmgym.testing.audit.stage import Solution
from llmgym.testing.playing import Messages

_STRICT = re.compile(
    r"\b(only|nothing else|exactly|single line|no other|nothing but|fences?|backticks?|Markdown)\b", re.I
)
_SHORT = ("number", "letter", "words")


def paraphrases(answers: Mapping[str, Answer]) -> list[Policy]:
    """Policies that say what the oracle does in other words.

    Args:
        answers: Its final texts by task.
    """

    def policy(name: str, label: str, change: Callable[[Answer, Solution], str | None]) -> Policy:
        def script(solution: Solution) -> Messages | None:
            answer = answers.get(solution.task.id)
            changed = change(answer, solution) if answer and answer.core else None
            if answer is None or changed is None or changed == answer.text:
                return None
            messages = solution.saying(changed)
            return lambda core: messages

        return Policy(f"ceiling/{name}", label, "full", script)

    return [
        policy("space", "blank lines around the answer", _space),
        policy("period", "a period behind the answer", _period),
        policy("bold", "the answer in bold", _bold),
        policy("thousands", "separators of thousands", _thousands),
        policy("case", "another case of letters", _case),
        policy("fence", "JSON or code in a fence", _fence),
        policy("preface", "a sentence before the answer", _preface),
    ]


def _space(answer: Answer, solution: Solution) -> str | None:
    return None if answer.kind == "code" else f"\n{answer.text}\n\n"


def _period(answer: Answer, solution: Solution) -> str | None:
    plain = answer.kind in _SHORT and answer.bare and not answer.after
    return f"{answer.text}." if plain and answer.core[-1].isalnum() else None


def _bold(answer: Answer, solution: Solution) -> str | None:
    strict = _STRICT.search(solution.prompt)
    return answer.saying(f"**{answer.core}**") if answer.kind in _SHORT and answer.bare and not strict else None


def _thousands(answer: Answer, solution: Solution) -> str | None:
    number = isinstance(solution.task.answer, int | float) and answer.kind == "number"
    core = numbers.with_commas(answer.core) if number else None
    return None if core is None else answer.saying(core)


def _case(answer: Answer, solution: Solution) -> str | None:
    core = answer.core
    if answer.kind != "words" or len(core) < 3 or not re.fullmatch(r"[A-Za-z]+( [A-Za-z]+)*", core):
        return None
    if core.islower():
        return answer.saying(core.capitalize())
    return answer.saying(core.lower()) if core in (core.title(), core.capitalize()) else None


def _fence(answer: Answer, solution: Solution) -> str | None:
    loose = answer.kind in ("json", "code") and "```" not in answer.text and not _STRICT.search(solution.prompt)
    return f"```{'json' if answer.kind == 'json' else ''}\n{answer.text}\n```" if loose else None


def _preface(answer: Answer, solution: Solution) -> str | None:
    marked = (answer.marked and answer.kind in _SHORT) or answer.text.startswith("```")
    return f"Let me think about it.\n\n{answer.text}" if marked and not _STRICT.search(solution.prompt) else None
