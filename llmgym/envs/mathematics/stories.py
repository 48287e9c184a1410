"""Arithmetic told of people and things, with facts that do not matter."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

from llmgym.envs.draws import Draws
from llmgym.envs.mathematics.problem import Problem
from llmgym.envs.vocabulary import FIRM_KINDS, FIRM_NAMES, GIVEN_NAMES, PLACES, THINGS, listed, plural

_LARGEST = (12, 40, 250)  # numbers told, by level


def story(d: Draws, level: int) -> Problem | None:
    """A problem of one of the sorts below."""
    return d.pick((_shopping, _handing_on, _making, _travelling, _comparing, _ageing))(d, level)


def _with_distractors(d: Draws, level: int, sentences: list[str], question: str) -> str:
    """The story, with facts of other people or places between its sentences."""
    told = list(sentences)
    for _ in range((0, d.whole(0, 1), d.whole(1, 2))[level]):
        told.insert(d.whole(1, len(told)), _distractor(d))
    return " ".join([*told, question])


def _distractor(d: Draws) -> str:
    """A fact of what no story is about."""
    place, n = d.pick(PLACES), d.whole(2, 90)
    return d.pick(
        (
            f"A neighbour keeps {n} old postcards at home.",
            f"The tower of {place} is {n} m high.",
            f"A school in {place} has been open for {n} years.",
            f"The bus to {place} has {n} seats.",
            f"A house in {place} once had {n} rooms.",
        )
    )


def _number(d: Draws, level: int, least: int = 2) -> int:
    return d.whole(least, _LARGEST[level])


def _shopping(d: Draws, level: int) -> Problem:
    who = d.pick(GIVEN_NAMES)
    kinds = [plural(thing) for thing in d.some(THINGS, level + 2)]
    counts, prices = [d.whole(2, 4 + 6 * level) for _ in kinds], [_number(d, level) for _ in kinds]
    bought = kinds[: level + 1]
    total = sum(count * price for count, price, _ in zip(counts, prices, bought, strict=False))
    lists = [f"{thing} cost {price} coins each" for thing, price in zip(kinds, prices, strict=True)]
    place, firm = d.pick(PLACES), f"{d.pick(FIRM_NAMES)} {d.pick(FIRM_KINDS)}"
    sentences = [
        d.pick(
            (
                f"At the market in {place}, {listed(d.shuffled(lists))}.",
                f"At {firm} in {place}, {listed(d.shuffled(lists))}.",
            )
        ),
        f"{who} buys {listed([f'{count} {thing}' for count, thing in zip(counts, bought, strict=False)])}.",
    ]
    if level and d.chance(0.5):
        paid = -(-total // 50) * 50 + 50 * d.whole(0, 3)
        sentences.append(f"{who} pays with {paid} coins.")
        return Problem(
            _with_distractors(d, level, sentences, d.pick(("How many coins are given back?", "What is the change?"))),
            paid - total,
        )
    if level == 2:
        every, off = d.whole(3, 6), d.whole(2, 9)
        total -= sum(counts[: level + 1]) // every * off
        sentences.append(f"For every {every} things bought, {off} coins are taken off the total.")
    asked = ("How many coins does {} pay in all?", "What does {} pay altogether, in coins?")
    return Problem(_with_distractors(d, level, sentences, d.pick(asked).format(who)), total)


def _handing_on(d: Draws, level: int) -> Problem | None:
    """Things change hands between people."""
    people = d.some(GIVEN_NAMES, level + 2)
    thing = plural(d.pick(THINGS))
    has = {who: _number(d, level, 4) for who in people}
    sentences = [f"{listed([f'{who} has {has[who]}' for who in people])} {thing}."]
    for _ in range(1 + 2 * level):
        giver, taker = d.some(people, 2)
        way = d.whole(0, 3 if level else 1)
        if way == 2 and has[giver] % 2 == 0 and has[giver]:
            n, text = has[giver] // 2, f"{giver} gives {taker} half of the {thing} that {giver} has."
        elif way == 3:
            n, text = 0, f"{taker} finds as many {thing} as {taker} has already."
            has[taker] *= 2
        elif has[giver] > 2:
            n = d.whole(2, has[giver] - 1)
            text = d.pick((f"{giver} gives {n} of them to {taker}.", f"{taker} gets {n} {thing} from {giver}."))
        else:
            return None
        has[giver] -= n
        has[taker] += n
        sentences.append(d.pick(("", "", "Then ", "Later ")) + text)
    who = d.pick(people)
    question = d.pick((f"How many {thing} does {who} have in the end?", f"How many {thing} has {who} now?"))
    return Problem(_with_distractors(d, level, sentences, question), has[who])


def _making(d: Draws, level: int) -> Problem | None:
    """Machines make things, some of which are bad, and the others are packed."""
    thing, firm = plural(d.pick(THINGS)), f"{d.pick(FIRM_NAMES)} {d.pick(FIRM_KINDS)}"
    rate, hours = _number(d, level), d.whole(2, 6 + 2 * level)
    made = rate * hours
    if not level:
        text = f"A machine of {firm} makes {rate} {thing} an hour. How many {thing} does it make in {hours} hours?"
        return Problem(text, made)
    machines = d.whole(2, 5 * level)
    made *= machines
    bad, size = d.whole(2, rate), d.whole(4, 30)
    if bad >= made or (made - bad) // size < 2:
        return None
    sentences = [
        f"{firm} has {machines} machines, each of which makes {rate} {thing} an hour.",
        f"On one day they all run for {hours} hours.",
        (
            f"Of the {thing} made on that day, {bad} are broken and thrown away; "
            f"the others are packed into boxes of {size}."
        ),
    ]
    question, answer = d.pick(
        (
            ("How many full boxes are there?", (made - bad) // size),
            (f"How many {thing} are left over once as many boxes as possible are full?", (made - bad) % size),
            (f"How many {thing} are not thrown away?", made - bad),
        )
    )
    return Problem(_with_distractors(d, level, sentences, question), answer)


def _travelling(d: Draws, level: int) -> Problem:
    who, places = d.pick(GIVEN_NAMES), d.some(PLACES, level + 2)
    speeds = [d.whole(2, 12) * (5 if level else 1) for _ in places[1:]]
    hours = [d.whole(2, 5 + level) for _ in speeds]
    means = d.pick(("walks", "rides", "drives")) if level else "walks"
    legs = [
        f"{'First ' if not at and level else 'Then ' if at else ''}{who} {means} from {places[at]} to {places[at + 1]} "
        f"in {hours[at]} hours, at {speeds[at]} km an hour."
        for at in range(len(speeds))
    ]
    far = sum(speed * time for speed, time in zip(speeds, hours, strict=True))
    if level == 2 and d.chance(0.6):
        question = "What is the average speed over all of the way, in km an hour? Give an exact fraction or number."
        return Problem(_with_distractors(d, level, legs, question), Fraction(far, sum(hours)))
    return Problem(_with_distractors(d, level, legs, "How many kilometres is that in all?"), far)


def _comparing(d: Draws, level: int) -> Problem:
    """A chain of comparisons, with the total or the first known."""
    people = d.some(GIVEN_NAMES, level + 2)
    thing, base = plural(d.pick(THINGS)), _number(d, level, 3)
    has, facts = [base], list[str]()
    for before, who in pairwise(people):
        n = d.whole(2, 5)
        if level and d.chance(0.5):
            has.append(has[-1] * n)
            facts.append(f"{who} has {n} times as many {thing} as {before}.")
        else:
            n = _number(d, level)
            has.append(has[-1] + n)
            facts.append(f"{who} has {n} more {thing} than {before}.")
    if level and d.chance(0.5):
        sentences = [*facts, f"Together they have {sum(has)} {thing}."]
        at = d.whole(0, len(people) - 1)
        return Problem(_with_distractors(d, level, sentences, f"How many {thing} does {people[at]} have?"), has[at])
    sentences = d.shuffled([f"{people[0]} has {base} {thing}.", *facts])
    asked = ("How many {0} do they have altogether?", "How many {0} is that for all of them together?")
    return Problem(_with_distractors(d, level, sentences, d.pick(asked).format(thing)), sum(has))


def _ageing(d: Draws, level: int) -> Problem:
    older, younger = d.some(GIVEN_NAMES, 2)
    age, gap, later = d.whole(3, 15 + 15 * level), d.whole(2, 30), d.whole(2, 12)
    if not level:
        text = f"{younger} is {age} years old. {older} is {gap} years older."
        return Problem(f"{text} How old is {older}?", age + gap)
    times = d.whole(2, 4)
    then = f"In {later} years, {older} will be {times} times as old as {younger} will be then."
    if level == 1:
        first, question, answer = f"{younger} is {age} years old.", older, times * (age + later) - later
    else:
        together = (times + 1) * (age + later) - 2 * later
        first, question, answer = f"{older} and {younger} are {together} years old together.", younger, age
    return Problem(_with_distractors(d, level, [first, then], f"How old is {question} now?"), answer)
