"""What an answer to an entry of reasoning-gym earns, and what is mended of it.

A scorer of the package is taken as it is, unless `OVERRIDES` says why not. Those that are left take time that is linear
in the answer, and pay no wrong answer in full.
"""

from __future__ import annotations

import json
import math
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from llmgym.adapters.reasoning_gym.expressions import Polynomial, arithmetic, evaluate, is_antiderivative

Entry = dict[str, Any]
_LONGEST = 20_000  # characters of an answer that is looked at
_MOVES = 500  # of an answer that is moves: among more, made by chance, is the way out of a tenth of all puzzles
#: What the package's scorers raise on answers that are none of the form that they expect.
_UNREADABLE = (
    ValueError, TypeError, KeyError, IndexError, AttributeError, ArithmeticError, SyntaxError, RecursionError,
    AssertionError,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Override:
    """A scorer in place of the package's.

    Attributes:
        why: What is wrong with that one.
        score: Scores an answer to an entry; what it raises on an answer is worth nothing.
        first: Whether the package's scorer goes on where this one says 1.
    """

    why: str
    score: Callable[[str, Entry], float]
    first: bool = False


def score(dataset: Any, name: str, answer: str, entry: Entry) -> float:
    """What an answer earns, from 0 to 1.

    Args:
        dataset: The dataset of the entry.
        name: Its name.
        answer: The answer.
        entry: What was asked.
    """
    if len(answer) > _LONGEST:
        return 0.0
    override = OVERRIDES.get(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            earned = 1.0 if override is None else float(override.score(answer, entry))
            if override is None or (override.first and earned == 1.0):
                earned = float(dataset.score_answer(answer, entry))
        except _UNREADABLE:
            return 0.0
    return min(earned, 1.0) if earned >= 0 else 0.0  # NaN is worth nothing


# --- in place of scorers that pay wrong answers ---------------------------------------------------


def _same_word(answer: str, entry: Entry) -> bool:
    return answer.strip().lower() == str(entry["answer"]).strip().lower()


def _coin_flip(answer: str, entry: Entry) -> bool:
    match = re.fullmatch(
        r"(\d{1,20}(?:\.\d{0,40})?(?:e-\d\d?)?|\.\d{1,40}) ?(?:/ ?([1-9]\d{0,20})|(%))?", answer.strip()
    )
    if not match:
        return False
    given = float(match[1]) / float(match[2] or 1) / (100 if match[3] else 1)
    return math.isclose(given, float(entry["answer"]), rel_tol=1e-3)


def _one_place(answer: str, entry: Entry) -> bool:
    return bool(re.fullmatch(r"\(?[^,()]*(,[^,()]*)?\)?", answer))


def _finite_complex(answer: str, entry: Entry) -> bool:
    return not re.search("nan|inf", answer, re.IGNORECASE)


def _number_sorting(answer: str, entry: Entry) -> bool:
    given, wanted = (json.loads(text.replace("'", '"')) for text in (answer, entry["answer"]))
    return len(given) == len(wanted) and all(
        math.isclose(float(a), float(b), abs_tol=1e-9) for a, b in zip(given, wanted, strict=True)
    )


def _polynomial_equations(answer: str, entry: Entry) -> bool:
    given, wanted = (
        sorted(float(part) for part in text.strip().strip("\"'").split(",") if text.strip().strip("\"'"))
        for text in (answer, entry["answer"])
    )
    return len(given) == len(wanted) and all(abs(a - b) <= 1.001e-4 for a, b in zip(given, wanted, strict=True))


def _one_interval(answer: str, entry: Entry) -> bool:
    clock = r"\d{1,3}:\d\d(?::\d\d(?:\.\d+)?)?"
    return bool(re.fullmatch(rf"\d+(?: days?(?:, {clock})?)?|{clock}", answer))


def _one_number(answer: str, entry: Entry) -> bool:
    (number,) = re.findall(r"-?\d+(?:,\d{3})*(?:\.\d+)?", answer)
    return float(number.replace(",", "")) == float(entry["answer"])


def _one_fraction(answer: str, entry: Entry) -> bool:
    latex = r"\\d?frac\s*{\s*\d+\s*}\s*{\s*\d+\s*}"
    return bool(re.fullmatch(rf"[\s$]*(?:{latex}|\d+\s*/\s*\d+)\.?[\s$]*", answer, re.IGNORECASE))


def _no_more_words(answer: str, entry: Entry) -> bool:
    return len(answer.split()) <= len(entry["answer"].split())


def _pushes(answer: str, entry: Entry) -> bool:
    return bool(re.fullmatch(f"[UDLR]{{1,{_MOVES}}}", answer))


def _word_sorting(answer: str, entry: Entry) -> bool:
    return re.split(r",\s*", answer.strip()) == entry["metadata"]["sorted_words"]


# --- in place of those that run the answer as code ------------------------------------------------


def _same(answer: str, entry: Entry) -> bool:
    return answer.strip() == entry["answer"].strip()


def _one_of_the_boards(answer: str, entry: Entry) -> bool:
    return answer.strip() in entry["metadata"]["valid_answers"]


def _makes_24(answer: str, entry: Entry) -> bool:
    value, used = arithmetic(answer)
    return value == 24 and sorted(used) == sorted(entry["metadata"]["numbers"])


def _makes_target(answer: str, entry: Entry) -> bool:
    value, used = arithmetic(answer)
    return value == entry["metadata"]["target"] and sorted(used) == sorted(entry["metadata"]["numbers"])


def _antiderivative(answer: str, entry: Entry) -> bool:
    metadata = entry["metadata"]
    return is_antiderivative(answer, metadata["integrand"], metadata["variable"])


def _multiplied_out(answer: str, entry: Entry) -> bool:
    letters = {name: Polynomial.of(name) for name in set(re.findall("[a-zA-Z]", entry["answer"]))}
    return evaluate(answer, letters, Polynomial.of) == evaluate(entry["answer"], letters, Polynomial.of)


# --- in front of those that take as long as the answer says ----------------------------------------


def _prime_factors(answer: str, entry: Entry) -> bool:
    if not re.fullmatch(r"\d{1,12}(?:\s*[×x*]\s*\d{1,12})*", answer.strip()):
        return False
    return sorted(map(int, re.findall(r"\d+", answer))) == sorted(entry["metadata"]["factors"])


def _plain_turns(answer: str, entry: Entry) -> bool:
    turns = answer.split()
    return len(turns) <= _MOVES and all(re.fullmatch(r"[A-Za-z]{1,2}'?[1-3]?'?", turn) for turn in turns)


def _drives(answer: str, entry: Entry) -> bool:
    moves = re.split(r"[\s,]+", answer)
    return len(moves) <= _MOVES and all(re.fullmatch(r"[A-Z][+-]\d", move) for move in moves)


_UNBOUNDED = "its time has no bound"
OVERRIDES: dict[str, Override] = {
    "advanced_geometry": Override("takes a list of points for its first one", _one_place, first=True),
    "binary_matrix": Override(f"{_UNBOUNDED}, to pay 0.1 for a list of lists", _same),
    "coin_flip": Override(
        "pays for the digits that two decimals begin with: 0.98 for 0; and 1 for 0 below 0.0001", _coin_flip
    ),
    "complex_arithmetic": Override("pays nan in full: min(1, nan) is 1", _finite_complex, first=True),
    "countdown": Override(_UNBOUNDED, _makes_target),
    "fraction_simplification": Override("takes several fractions for the first one", _one_fraction, first=True),
    "game_of_life_halting": Override("pays any text in full: bool of a text that is not empty is true", _same_word),
    "gsm_symbolic": Override(
        "takes the first digits for the number, whatever sign or comma is around them", _one_number
    ),
    "intermediate_integration": Override(
        f"{_UNBOUNDED}, and Integral(...) of the question is paid in full", _antiderivative
    ),
    "letter_jumble": Override("pays what follows the right words, too", _no_more_words, first=True),
    "n_queens": Override(f"{_UNBOUNDED}, to pay 0.5 for a list of lists", _one_of_the_boards),
    "number_sorting": Override("takes each number for right that is within 1 of it", _number_sorting),
    "polynomial_equations": Override(
        "pays 0.999 for a last digit that is rounded the other way, and any text in full where there is no solution",
        _polynomial_equations,
    ),
    "polynomial_multiplication": Override(_UNBOUNDED, _multiplied_out),
    "prime_factorization": Override("raises on text, and pays 0.5 for the number itself", _prime_factors),
    "puzzle24": Override(f"{_UNBOUNDED}, and it never looks whether the four numbers are those given", _makes_24),
    "rubiks_cube": Override(_UNBOUNDED, _plain_turns, first=True),
    "rush_hour": Override(f"{_UNBOUNDED}, and it passes over what is no move", _drives, first=True),
    "simple_integration": Override(_UNBOUNDED, _antiderivative),
    "sokoban": Override("passes over what is no move, so that a list of answers is one", _pushes, first=True),
    "spell_backward": Override("pays what follows the right word, too, where n times 1/n is not 1", _same_word),
    "spiral_matrix": Override(f"{_UNBOUNDED}, to pay 0.1 for a list", _same),
    "string_insertion": Override(f"{_UNBOUNDED}, to pay 0.1 for a list", _same),
    "string_manipulation": Override("pays nothing where the right answer is empty", _same),
    "time_intervals": Override("takes a list of times for its first one", _one_interval, first=True),
    "word_sorting": Override("pays in full what begins with the right words, whatever follows", _word_sorting),
}
