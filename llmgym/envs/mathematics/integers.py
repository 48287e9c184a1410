"""Number theory: divisors, remainders, primes."""

from __future__ import annotations

import math

from llmgym.envs.draws import Draws
from llmgym.envs.mathematics.problem import Problem
from llmgym.envs.vocabulary import listed

_PRIMES = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47)


def number_theory(d: Draws, level: int) -> Problem | None:
    """A problem of one of the sorts below."""
    sorts = (
        (_common, _remainder),
        (_common, _power, _divisors, _primes),
        (_power, _divisors, _primes, _congruences, _inverse, _zeros),
    )
    return d.pick(sorts[level])(d, level)


def _common(d: Draws, level: int) -> Problem:
    factor = d.whole(3, (12, 60)[level])
    one, other = (factor * k for k in d.wholes(2, (9, 30)[level], 2))
    text, answer = d.pick(
        (
            ("greatest common divisor", math.gcd(one, other)),
            ("least common multiple", math.lcm(one, other)),
        )
    )
    return Problem(
        d.pick(("What is the {0} of {1} and {2}?", "Find the {0} of {1} and {2}.")).format(text, one, other), answer
    )


def _remainder(d: Draws, level: int) -> Problem:
    m = d.whole(3, 30)
    n = d.whole(3 * m, 400)
    asked = ("What is the remainder when {} is divided by {}?", "What remains when {} is divided by {}?")
    return Problem(d.pick(asked).format(n, m), n % m)


def _power(d: Draws, level: int) -> Problem:
    a, n, m = d.whole(2, (9, 9, 60)[level]), d.whole(5, (9, 20, 500)[level]), d.whole(11, (30, 60, 400)[level])
    asked = ("What is the remainder when {}^{} is divided by {}?", "Find {}^{} mod {}.")
    return Problem(d.pick(asked).format(a, n, m), pow(a, n, m))


def _divisors(d: Draws, level: int) -> Problem:
    powers = [(p, d.whole(1, 2 + level)) for p in d.some(_PRIMES[: 3 + 2 * level], 2 + level // 2)]
    n = math.prod(p**k for p, k in powers)
    count, total = math.prod(k + 1 for _, k in powers), math.prod((p ** (k + 1) - 1) // (p - 1) for p, k in powers)
    odd = math.prod(k + 1 for p, k in powers if p != 2)
    text, answer = d.pick(
        (
            (f"How many positive divisors does {n} have?", count),
            (f"What is the sum of all positive divisors of {n}, 1 and {n} included?", total),
            (f"How many odd positive divisors does {n} have?", odd),
            (f"How many integers from 1 to {n} have no common divisor with {n} other than 1?",
             math.prod(p**k - p ** (k - 1) for p, k in powers)),
        )
    )  # fmt: skip
    return Problem(text, answer)


def _primes(d: Draws, level: int) -> Problem | None:
    powers = [(p, d.whole(1, 2)) for p in d.some(_PRIMES[: 6 + 4 * level], 3)]
    n = math.prod(p**k for p, k in powers)
    text, answer = d.pick(
        (
            (f"What is the largest prime divisor of {n}?", max(p for p, _ in powers)),
            (f"What is the sum of the different primes that divide {n}?", sum(p for p, _ in powers)),
            (f"By which least positive integer must {n} be multiplied to give a square?",
             math.prod(p for p, k in powers if k % 2)),
        )
    )  # fmt: skip
    return Problem(text, answer) if answer > 1 else None


def _congruences(d: Draws, level: int) -> Problem | None:
    moduli = d.some((4, 5, 7, 9, 11, 13, 17, 19), 3)
    n = d.whole(20, math.prod(moduli) - 1)
    parts = [f"{n % m} when divided by {m}" for m in moduli]
    return Problem(f"What is the least positive integer that leaves the remainder {listed(parts)}?", n)


def _inverse(d: Draws, level: int) -> Problem | None:
    m, a = d.whole(20, 300), d.whole(3, 200)
    if math.gcd(a, m) != 1:
        return None
    c = d.whole(2, m - 1)
    text = f"What is the least positive integer x for which {a}x leaves the remainder {c} when divided by {m}?"
    return Problem(text, pow(a, -1, m) * c % m or m)


def _zeros(d: Draws, level: int) -> Problem:
    n, base = d.whole(30, 900), d.pick((10, 6, 15, 21))
    prime, count, power = max(p for p in _PRIMES if base % p == 0), 0, 1
    while (power := power * prime) <= n:
        count += n // power
    text = f"With how many zeros does {n}! (the factorial) end when it is written in base {base}?"
    return Problem(text, count)
