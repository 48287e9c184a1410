"""Generated questions: each subject gives a question, its answer, and more wrong answers than are needed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from string import ascii_uppercase

import numpy as np

from llmgym.envs.multiple_choice import facts
from llmgym.envs.multiple_choice.rows import question_text
from llmgym.errors import ConfigError
from llmgym.tasks import Task

MAX_OPTIONS = 10
_WRONG = MAX_OPTIONS - 1
_TRIES = 100

Rng = np.random.Generator
Question = tuple[str, str, Sequence[str]]  # question, answer, wrong answers


def _pick(rng: Rng, choices: Sequence[str]) -> str:
    return choices[int(rng.integers(len(choices)))]


def _some(rng: Rng, choices: Sequence[str], count: int = _WRONG) -> list[str]:
    """Different ones of some choices."""
    return [choices[int(i)] for i in rng.choice(len(choices), min(count, len(choices)), replace=False)]


def _number(rng: Rng, low: int, high: int) -> int:
    return int(rng.integers(low, high, endpoint=True))


def _near(rng: Rng, value: int, steps: Iterable[int] = ()) -> list[str]:
    """Numbers that a slip would give: those some steps off, then close ones; none negative unless the value is."""
    close = [value + int(d) for d in rng.permutation([*range(-10, 0), *range(1, 11)])]
    numbers = dict.fromkeys([*(value + step for step in steps), *close])
    return [str(n) for n in numbers if n != value and (n >= 0 or value < 0)][:_WRONG]


def _arithmetic(rng: Rng) -> Question:
    symbol = _pick(rng, "+-*")
    a, b = (_number(rng, 2, 12), _number(rng, 2, 12)) if symbol == "*" else (_number(rng, 2, 60), _number(rng, 2, 60))
    if symbol == "-":
        a, b = max(a, b) + 1, min(a, b)
    value = {"+": a + b, "-": a - b, "*": a * b}[symbol]
    return _pick(rng, (f"What is {a} {symbol} {b}?", f"{a} {symbol} {b} = ?")), str(value), _near(rng, value, (10, -10))


def _comparison(rng: Rng) -> Question:
    word, best = (("largest", max), ("smallest", min))[_number(rng, 0, 1)]
    numbers = [int(n) for n in rng.choice(np.arange(1, 1000), MAX_OPTIONS, replace=False)]
    answer = best(numbers)
    return f"Which of these numbers is the {word}?", str(answer), [str(n) for n in numbers if n != answer]


def _sequence(rng: Rng) -> Question:
    start, step = _number(rng, 1, 40), _number(rng, 2, 15)
    kind = _number(rng, 0, 2)
    if kind == 0:
        terms = [start + i * step for i in range(6)]
    elif kind == 1:
        terms = [start * (step % 3 + 2) ** i for i in range(6)]
    else:  # differences that grow by the step
        terms = [start + i + step * i * (i - 1) // 2 for i in range(6)]
    last = terms[5] - terms[4]
    shown = ", ".join(map(str, terms[:5]))
    return f"Which number comes next? {shown}, ...", str(terms[5]), _near(rng, terms[5], (step, -step, last, -last))


def _spelling(rng: Rng) -> Question:
    place, test = (("starts", str.startswith), ("ends", str.endswith))[_number(rng, 0, 1)]
    answer = _pick(rng, facts.WORDS)
    letter = answer[0] if place == "starts" else answer[-1]
    wrong = [word for word in facts.WORDS if not test(word, letter)]
    return f'Which of these words {place} with the letter "{letter}"?', answer, _some(rng, wrong)


def _length(rng: Rng) -> Question:
    answer = _pick(rng, facts.WORDS)
    wrong = [word for word in facts.WORDS if len(word) != len(answer)]
    return f"Which of these words has exactly {len(answer)} letters?", answer, _some(rng, wrong)


def _letter_count(rng: Rng) -> Question:
    words = _some(rng, facts.WORDS, _number(rng, 2, 4))
    letter = _pick(rng, "".join(words))
    value = "".join(words).count(letter)
    return f'How often does the letter "{letter}" occur in "{" ".join(words)}"?', str(value), _near(rng, value)


def _alphabet(rng: Rng) -> Question:
    end, best = (("first", min), ("last", max))[_number(rng, 0, 1)]
    words = _some(rng, facts.WORDS, MAX_OPTIONS)
    answer = best(words)
    return f"Which of these words comes {end} in a dictionary?", answer, [word for word in words if word != answer]


def _calendar(rng: Rng) -> Question:
    names, unit, far = ((facts.DAYS, "days", 30), (facts.MONTHS, "months", 40))[_number(rng, 0, 1)]
    start, count = _number(rng, 0, len(names) - 1), _number(rng, 2, far)
    sign, word = ((1, "after"), (-1, "before"))[_number(rng, 0, 1)]
    answer = names[(start + sign * count) % len(names)]
    question = f"Which {unit[:-1]} comes {count} {unit} {word} {'a ' if unit == 'days' else ''}{names[start]}?"
    return question, answer, _some(rng, [name for name in names if name != answer])


def _clock(rng: Rng) -> Question:
    start, minutes = _number(rng, 0, 1439), _number(rng, 15, 600)
    end = start + minutes
    thing = _pick(rng, ("train", "bus", "ferry", "film", "concert", "meeting", "lesson", "flight"))
    slips = dict.fromkeys(
        [*(end + d for d in (60, -60, 10, -10, 40, -40, 20, -20, 30, -30, 100, -100)), start - minutes]
    )
    wrong = [_time(slip) for slip in slips if _time(slip) != _time(end)]
    question = f"A {thing} starts at {_time(start)} and takes {minutes} minutes. When does it end?"
    return question, _time(end), _some(rng, wrong)


def _time(minutes: int) -> str:
    hours, rest = divmod(minutes % 1440, 60)
    return f"{hours:02d}:{rest:02d}"


def _units(rng: Rng) -> Question:
    large, small, factor = facts.UNITS[_number(rng, 0, len(facts.UNITS) - 1)]
    count = _number(rng, 2, 400)
    value = count * factor
    slips = [
        value * 10,
        value * 100,
        value // 10,
        count * (factor + 10),
        count + factor,
        value + factor,
        value - factor,
    ]
    return f"How many {small} are {count} {large}?", str(value), _near(rng, value, (slip - value for slip in slips))


def _percent(rng: Rng) -> Question:
    percent, whole = 5 * _number(rng, 1, 19), 20 * _number(rng, 2, 100)
    value = percent * whole // 100
    slips = (whole - 2 * value, whole // 10, -whole // 10, whole // 20, -whole // 20, 10, -10)
    return f"What is {percent}% of {whole}?", str(value), _near(rng, value, slips)


def _capital(rng: Rng) -> Question:
    country = _pick(rng, list(facts.CAPITALS))
    if rng.random() < 0.5:
        others = [city for city in facts.CAPITALS.values() if city != facts.CAPITALS[country]]
        return f"What is the capital of {country}?", facts.CAPITALS[country], _some(rng, others)
    others = [name for name in facts.CAPITALS if name != country]
    return f"Of which country is {facts.CAPITALS[country]} the capital?", country, _some(rng, others)


def _element(rng: Rng) -> Question:
    names = list(facts.ELEMENTS)
    place = _number(rng, 0, len(names) - 1)
    name, symbol = names[place], facts.ELEMENTS[names[place]]
    others = [other for other in names if other != name]
    match _number(rng, 0, 2):
        case 0:
            return f"Which chemical element has the symbol {symbol}?", name, _some(rng, others)
        case 1:
            return f"Which chemical element has the atomic number {place + 1}?", name, _some(rng, others)
        case _:
            one, two = _some(rng, names, 2)
            value = names.index(one) + names.index(two) + 2
            return f"What is the sum of the atomic numbers of {one} and {two}?", str(value), _near(rng, value)


def _opposite(rng: Rng) -> Question:
    pair = _pick(rng, list(facts.OPPOSITES))
    word, answer = (pair, facts.OPPOSITES[pair]) if rng.random() < 0.5 else (facts.OPPOSITES[pair], pair)
    others = [w for both in facts.OPPOSITES.items() for w in both if w not in (word, answer)]
    return f'What is the opposite of "{word}"?', answer, _some(rng, others)


def _kind(rng: Rng) -> Question:
    kind = _pick(rng, list(facts.KINDS))
    answer = _pick(rng, facts.KINDS[kind])
    others = sorted({w for words in facts.KINDS.values() for w in words} - set(facts.KINDS[kind]))
    return f"Which of these is {kind}?", answer, _some(rng, others)


SUBJECTS: dict[str, Callable[[Rng], Question]] = {
    "arithmetic": _arithmetic,
    "comparison": _comparison,
    "sequence": _sequence,
    "spelling": _spelling,
    "length": _length,
    "letter_count": _letter_count,
    "alphabet": _alphabet,
    "calendar": _calendar,
    "clock": _clock,
    "units": _units,
    "percent": _percent,
    "capital": _capital,
    "element": _element,
    "opposite": _opposite,
    "kind": _kind,
}


@dataclass(frozen=True)
class Questions:
    """Makes tasks.

    Attributes:
        num_options: Options of a question.
        subjects: Names in `SUBJECTS`; None for all.
    """

    num_options: int
    subjects: tuple[str, ...] | None

    def __post_init__(self) -> None:
        """Check the fields."""
        if not 2 <= self.num_options <= MAX_OPTIONS:
            raise ConfigError(f"num_options is {self.num_options}; 2 to {MAX_OPTIONS} are supported")
        if unknown := [name for name in self.subjects or () if name not in SUBJECTS]:
            raise ConfigError(f"unknown subject {unknown[0]!r}; there is {', '.join(SUBJECTS)}")
        if self.subjects == ():
            raise ConfigError("subjects is empty; name some, or leave it out for all")

    def __call__(self, rng: Rng) -> Task:
        """Make a task."""
        names = self.subjects or tuple(SUBJECTS)
        for _ in range(_TRIES):
            subject = _pick(rng, names)
            question, answer, wrong = SUBJECTS[subject](rng)
            if len(wrong) >= self.num_options - 1:
                return self._task(rng, subject, question, answer, wrong)
        raise ConfigError(f"{', '.join(names)} gave no question with {self.num_options} options in {_TRIES} tries")

    def _task(self, rng: Rng, subject: str, question: str, answer: str, wrong: Sequence[str]) -> Task:
        texts = _some(rng, wrong, self.num_options - 1)
        place = int(rng.integers(self.num_options))
        texts.insert(place, answer)
        options = dict(zip(ascii_uppercase, texts, strict=False))
        return Task(
            prompt=question_text(question, options),
            answer=ascii_uppercase[place],
            metadata={"options": options, "subject": subject},
        )
