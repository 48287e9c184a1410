"""Counting, and probabilities as exact fractions."""

from __future__ import annotations

import math
from fractions import Fraction

from llmgym.envs.draws import Draws
from llmgym.envs.mathematics.problem import Problem
from llmgym.envs.vocabulary import GIVEN_NAMES, PLACES, listed

_EXACT = " Give an exact fraction."
_COLOURS: tuple[str, ...] = ("red", "blue", "green", "white", "black", "yellow")


def counting(d: Draws, level: int) -> Problem | None:
    """A problem of one of the sorts below."""
    sorts = (
        (_outfits, _pairs),
        (_words, _committees, _paths, _multiples),
        (_words, _committees, _paths, _multiples, _sharing),
    )
    return d.pick(sorts[level])(d, level)


def _outfits(d: Draws, level: int) -> Problem:
    who, (a, b, c) = d.pick(GIVEN_NAMES), (d.whole(2, 9) for _ in range(3))
    if d.chance(0.5):
        text = f"{who} has {a} shirts and {b} hats. In how many ways can {who} choose one shirt and one hat?"
        return Problem(text, a * b)
    text = f"{who} has {a} shirts, {b} hats and {c} coats. In how many ways can {who} choose one of each?"
    return Problem(text, a * b * c)


def _pairs(d: Draws, level: int) -> Problem:
    n, place = d.whole(4, 30), d.pick(PLACES)
    asked = (
        (
            f"At a meeting in {place}, {n} people shake hands, each with each of "
            "the others once. How many handshakes is that?"
        ),
        f"In {place}, {n} teams play each other once. How many matches are there?",
    )
    return Problem(d.pick(asked), n * (n - 1) // 2)


def _words(d: Draws, level: int) -> Problem | None:
    name = d.pick(PLACES).upper()
    if len(name) > 6 + 4 * level - 1:
        return None
    count = math.factorial(len(name)) // math.prod(math.factorial(name.count(c)) for c in set(name))
    if level == 2 and (twice := [c for c in sorted(set(name)) if name.count(c) == 2]):
        letter = d.pick(twice)
        rest = name.replace(letter, "")
        together = math.factorial(len(rest) + 1) // math.prod(math.factorial(rest.count(c)) for c in set(rest))
        text = (
            f"In how many ways can the letters of {name} be arranged so that the "
            f"two letters {letter} are not side by side?"
        )
        return Problem(text, count - together)
    asked = (
        "In how many different ways can the letters of {} be arranged?",
        "How many different arrangements have the letters of {}?",
    )
    return Problem(d.pick(asked).format(name), count)


def _committees(d: Draws, level: int) -> Problem | None:
    a, b = d.wholes(4, 7 + 3 * level, 2)
    size = d.whole(3, 4 + level)
    least = d.whole(1, 2)
    place = d.pick(PLACES)
    if least > min(b, size) or size > a + b:
        return None
    ways = sum(math.comb(b, k) * math.comb(a, size - k) for k in range(least, size + 1))
    exactly = d.chance(0.5)
    if exactly:
        ways = math.comb(b, least) * math.comb(a, size - least)
    how = f"{'exactly' if exactly else 'at least'} {least} {'is' if least == 1 else 'are'} from the second"
    text = (
        f"The two schools of {place} send {a} and {b} pupils. In how many ways can a group of {size} of these pupils "
        f"be chosen of whom {how} school?"
    )
    return Problem(text, ways)


def _paths(d: Draws, level: int) -> Problem:
    right, up = d.whole(3, 5 + 2 * level), d.whole(3, 5 + 2 * level)
    text = f"On a grid, a path goes from (0, 0) to ({right}, {up}), in steps of one to the right or one up."
    if level == 2:
        x, y = d.whole(1, right - 1), d.whole(1, up - 1)
        through = math.comb(x + y, x) * math.comb(right - x + up - y, up - y)
        ways = math.comb(right + up, up) - through
        return Problem(f"{text} How many such paths do not pass through ({x}, {y})?", ways)
    return Problem(f"{text} How many such paths are there?", math.comb(right + up, up))


def _multiples(d: Draws, level: int) -> Problem:
    n, numbers = d.whole(60, 400 + 1600 * (level - 1)), d.some((4, 5, 6, 7, 9, 11, 15), 1 + level)
    hit = sum(any(k % m == 0 for m in numbers) for k in range(1, n + 1))
    kind = "a multiple of none of" if d.chance(0.5) else "a multiple of at least one of"
    text = f"How many integers from 1 to {n} are {kind} the numbers {listed([str(m) for m in numbers])}?"
    return Problem(text.replace("are a multiple", "are multiples"), n - hit if "none" in kind else hit)


def _sharing(d: Draws, level: int) -> Problem:
    n, people = d.whole(8, 25), d.some(GIVEN_NAMES, d.whole(3, 5))
    least = d.whole(0, 1)
    ways = math.comb(n - least * len(people) + len(people) - 1, len(people) - 1)
    rule = "so that each gets at least one" if least else "where some may get none"
    text = f"In how many ways can {n} equal coins be shared among {listed(people)}, {rule}?"
    return Problem(text, ways)


def probability(d: Draws, level: int) -> Problem | None:
    """A problem of one of the sorts below."""
    sorts = ((_one_ball,), (_one_ball, _balls, _dice, _coins), (_balls, _dice, _coins, _two_urns))
    return d.pick(sorts[level])(d, level)


def _urn(d: Draws, level: int) -> tuple[list[str], list[int], str]:
    colours = d.some(_COLOURS, 2 + d.whole(0, 1))
    counts = [d.whole(2, 7 + 3 * level) for _ in colours]
    return colours, counts, listed([f"{n} {colour}" for n, colour in zip(counts, colours, strict=True)])


def _one_ball(d: Draws, level: int) -> Problem:
    colours, counts, urn = _urn(d, level)
    negated = d.chance(0.5)
    share = Fraction(counts[0], sum(counts))
    who = d.pick(GIVEN_NAMES)
    text = (
        f"A bag holds {urn} balls. {who} takes one without looking. What is the probability that it is "
        f"{'not ' * negated}{colours[0]}?{_EXACT}"
    )
    return Problem(text, 1 - share if negated else share)


def _balls(d: Draws, level: int) -> Problem | None:
    colours, counts, urn = _urn(d, level)
    total, taken = sum(counts), d.whole(2, 2 + level)
    n = d.whole(1, taken)
    if taken > total - 1 or n > counts[0]:
        return None
    ways = math.comb(counts[0], n) * math.comb(total - counts[0], taken - n)
    share = Fraction(ways, math.comb(total, taken))
    question = f"that exactly {n} of them {'is' if n == 1 else 'are'} {colours[0]}"
    if d.chance(0.4):
        share = 1 - Fraction(math.comb(total - counts[0], taken), math.comb(total, taken))
        question = f"that at least one of them is {colours[0]}"
    text = (
        f"A bag holds {urn} balls. {taken} of them are taken at once, without "
        f"looking. What is the probability {question}?"
    )
    return Problem(text + _EXACT, share) if 0 < share < 1 else None


def _dice(d: Draws, level: int) -> Problem:
    dice = 2 if level < 2 else d.whole(2, 3)
    sides = d.pick((6, 6, 8, 10, 12)) if level else 6
    sums = {0: 1}
    for _ in range(dice):
        after = dict[int, int]()
        for total, ways in sums.items():
            for side in range(1, sides + 1):
                after[total + side] = after.get(total + side, 0) + ways
        sums = after
    n = d.whole(dice + 2, dice * sides - 2)
    kind, hit = d.pick(
        (
            (f"is exactly {n}", lambda s: s == n),
            (f"is greater than {n}", lambda s: s > n),
            (f"is less than {n}", lambda s: s < n),
            (f"is a multiple of {2 + n % 6}", lambda s: s % (2 + n % 6) == 0),
        )
    )
    share = Fraction(sum(ways for total, ways in sums.items() if hit(total)), sides**dice)
    fair = f"{'Two' if dice == 2 else 'Three'} fair dice, each with the numbers 1 to {sides}, are thrown."
    return Problem(f"{fair} What is the probability that the sum {kind}?{_EXACT}", share)


def _coins(d: Draws, level: int) -> Problem:
    n = d.whole(3, 5 + 3 * level)
    k = d.whole(1, n - 1)
    top, bottom = (1, 2) if level == 1 else d.pick(((1, 2), (1, 3), (2, 3), (1, 4), (2, 5)))
    kind, counts = d.pick(((f"exactly {k}", range(k, k + 1)), (f"at least {k}", range(k, n + 1))))
    share = sum(
        (Fraction(math.comb(n, j) * top**j * (bottom - top) ** (n - j), bottom**n) for j in counts), Fraction(0)
    )
    coin = "A fair coin" if bottom == 2 else f"A coin that shows heads with probability {top}/{bottom}"
    times = "heads" if k > 1 else "head"
    return Problem(f"{coin} is thrown {n} times. What is the probability of {kind} {times}?{_EXACT}", share)


def _two_urns(d: Draws, level: int) -> Problem:
    a, b, c, e = (d.whole(2, 9) for _ in range(4))
    one, other = Fraction(a, a + b), Fraction(c, c + e)
    text = (
        f"One bag holds {a} red and {b} blue balls, another {c} red and {e} blue ones. One of the bags is chosen by a "
        "fair coin, and a ball is taken from it without looking. "
    )
    if d.chance(0.5):
        return Problem(
            f"{text}It is red. What is the probability that it came from the first bag?{_EXACT}", one / (one + other)
        )
    return Problem(f"{text}What is the probability that it is red?{_EXACT}", (one + other) / 2)
