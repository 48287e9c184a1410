"""Problems beyond mental reach, by topic: in words, as Python that works them out plainly, and their answer.

The answer is found here by another and quicker way than the Python's, where there is one.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from functools import cache
from itertools import repeat
from typing import Any, NamedTuple

import numpy as np


class Problem(NamedTuple):
    """A number in words, a program whose last line is an expression of it, and the number."""

    said: str
    code: str
    answer: int


_Rng = np.random.Generator


def _int(rng: _Rng, low: int, high: int) -> int:
    return int(rng.integers(low, high, endpoint=True))


def _pick(rng: _Rng, choices: Sequence[Any]) -> Any:
    return choices[int(rng.integers(len(choices)))]


@cache
def _primes() -> list[int]:
    sieve = bytearray([1]) * 40_001
    sieve[:2] = b"\0\0"
    for n in range(2, 201):
        if sieve[n]:
            sieve[n * n :: n] = bytes(len(range(n * n, 40_001, n)))
    return [n for n, flag in enumerate(sieve) if flag]


def _sum_of_powers(rng: _Rng) -> Problem:
    limit, step, power = _int(rng, 400, 5000), _int(rng, 3, 17), _int(rng, 2, 3)
    rest = _int(rng, 1, step - 1)
    name = "squares" if power == 2 else "cubes"
    said = _pick(
        rng,
        (
            f"the sum of the {name} of all positive integers up to {limit} that leave the remainder {rest} when "
            f"divided by {step}",
            f"the sum of n^{power} over all integers n with 1 <= n <= {limit} and n mod {step} = {rest}",
        ),
    )
    answer = sum(n**power for n in range(rest, limit + 1, step))
    return Problem(said, f"sum(n**{power} for n in range(1, {limit + 1}) if n % {step} == {rest})", answer)


def _primes_by_remainder(rng: _Rng) -> Problem:
    limit, modulus = _int(rng, 3000, 39_000), _int(rng, 4, 12)
    rest = _pick(rng, [r for r in range(1, modulus) if math.gcd(r, modulus) == 1])
    primes = _primes()
    answer = sum(map(rest.__eq__, [p % modulus for p in primes[: bisect_right(primes, limit)]]))
    said = f"the number of primes up to {limit} that leave the remainder {rest} when divided by {modulus}"
    code = (
        "def is_prime(n):\n    return n > 1 and all(n % d for d in range(2, int(n**0.5) + 1))\n"
        f"sum(is_prime(n) for n in range({rest}, {limit + 1}, {modulus}))"
    )
    return Problem(said, code, answer)


def _digits_of_a_power(rng: _Rng) -> Problem:
    base, exponent = _int(rng, 3, 99), _int(rng, 60, 400)
    said = _pick(
        rng,
        (
            f"the sum of the decimal digits of {base}^{exponent}",
            f"what you get by adding up all decimal digits of {base} to the power {exponent}",
        ),
    )
    return Problem(said, f"sum(map(int, str({base}**{exponent})))", sum(map(int, str(base**exponent))))


def _power_modulo(rng: _Rng) -> Problem:
    base, exponent, modulus = _int(rng, 3, 999), _int(rng, 10**5, 10**8), _int(rng, 10**5, 10**7)
    said = f"the remainder when {base}^{exponent} is divided by {modulus}"
    return Problem(said, f"pow({base}, {exponent}, {modulus})", pow(base, exponent, modulus))


def _pairs(rng: _Rng) -> Problem:
    limit, modulus, factor = _int(rng, 80, 250), _int(rng, 5, 29), _int(rng, 1, 6)
    rest = _int(rng, 0, modulus - 1)
    shape, term = _pick(rng, (("x^2 + {}y^2", "x * x + {} * y * y"), ("x^2 + {}xy", "x * x + {} * x * y")))
    formula = term.format(factor)
    said = (
        f"the number of ordered pairs of integers (x, y) with 1 <= x <= {limit} and 1 <= y <= {limit} for which "
        f"{shape.format('' if factor == 1 else factor)} leaves the remainder {rest} when divided by {modulus}"
    )
    value = _PAIRS[term]
    classes = [limit // modulus + (0 < r <= limit % modulus) for r in range(modulus)]
    answer = sum(
        classes[x] * classes[y] for x in range(modulus) for y in range(modulus) if value(x, y, factor) % modulus == rest
    )
    span = f"range(1, {limit + 1})"
    return Problem(said, f"sum(({formula}) % {modulus} == {rest} for x in {span} for y in {span})", answer)


_PAIRS: dict[str, Callable[[int, int, int], int]] = {
    "x * x + {} * y * y": lambda x, y, k: x * x + k * y * y,
    "x * x + {} * x * y": lambda x, y, k: x * x + k * x * y,
}


def _recurrence(rng: _Rng) -> Problem:
    first, second, p, q, r = (_int(rng, 1, 9) for _ in range(5))
    modulus, index = _int(rng, 1000, 99_999), _int(rng, 200, 1500)
    said = (
        f"the term a({index}) of the sequence with a(0) = {first}, a(1) = {second} and a(n) = ({p} a(n-1) + {q} a(n-2) "
        f"+ {r}) mod {modulus} for n >= 2"
    )
    a, b = first, second
    for _ in range(index - 1):
        a, b = b, (p * b + q * a + r) % modulus
    code = (
        f"a = [{first}, {second}]\nwhile len(a) <= {index}:\n"
        f"    a.append(({p} * a[-1] + {q} * a[-2] + {r}) % {modulus})\na[{index}]"
    )
    return Problem(said, code, b)


def _determinant(rng: _Rng) -> Problem:
    size = _int(rng, 4, 5)
    rows = rng.integers(-9, 10, (size, size)).tolist()
    matrix, sign, before = [list(row) for row in rows], 1, 1
    for k in range(size - 1):  # Bareiss: all divisions are exact
        pivot = next((i for i in range(k, size) if matrix[i][k]), None)
        if pivot is None:
            return Problem("", "", 0)
        if pivot != k:
            matrix[k], matrix[pivot], sign = matrix[pivot], matrix[k], -sign
        for i in range(k + 1, size):
            for j in range(k + 1, size):
                matrix[i][j] = (matrix[i][j] * matrix[k][k] - matrix[i][k] * matrix[k][j]) // before
        before = matrix[k][k]
    code = (
        "def det(m):\n    if not m:\n        return 1\n"
        "    return sum((-1)**j * m[0][j] * det([row[:j] + row[j + 1:] for row in m[1:]]) for j in range(len(m)))\n"
        f"det({rows})"
    )
    return Problem(f"the determinant of the matrix with the rows {rows}", code, sign * matrix[-1][-1])


def _matrix_power(rng: _Rng) -> Problem:
    a, b, c, d = (_int(rng, 1, 9) for _ in range(4))
    exponent, modulus = _int(rng, 50, 3000), _int(rng, 1000, 99_999)
    said = f"the trace of the {exponent}-th power of the matrix [[{a}, {b}], [{c}, {d}]], modulo {modulus}"
    # The trace of a power follows the recurrence of the characteristic polynomial.
    before, trace = 2, a + d
    for _ in range(exponent - 1):
        before, trace = trace, ((a + d) * trace - (a * d - b * c) * before) % modulus
    code = (
        f"m, p = (({a}, {b}), ({c}, {d})), ((1, 0), (0, 1))\nfor _ in range({exponent}):\n"
        f"    p = tuple(tuple(sum(p[i][k] * m[k][j] for k in (0, 1)) % {modulus} for j in (0, 1)) for i in (0, 1))\n"
        f"(p[0][0] + p[1][1]) % {modulus}"
    )
    return Problem(said, code, trace % modulus)


_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def _weekdays(rng: _Rng) -> Problem:
    first, span, day, weekday = _int(rng, 1600, 2200), _int(rng, 20, 60), _int(rng, 1, 28), _int(rng, 0, 6)
    last = first + span
    said = (
        f"the number of months in the years from {first} to {last}, both included, whose day {day} is a "
        f"{_DAYS[weekday]} by the Gregorian calendar"
    )
    answer = sum(
        date(year, month, day).weekday() == weekday for year in range(first, last + 1) for month in range(1, 13)
    )
    code = (
        f"from datetime import date\nsum(date(y, m, {day}).weekday() == {weekday} for y in range({first}, {last + 1}) "
        "for m in range(1, 13))"
    )
    return Problem(said, code, answer)


def _days_between(rng: _Rng) -> Problem:
    start = date(1900, 1, 1) + timedelta(_int(rng, 0, 30_000))
    end = start + timedelta(_int(rng, 2000, 40_000))
    weekday = _int(rng, 0, 6)
    said = f"the number of {_DAYS[weekday]}s among the days from {start} to {end}, both included"
    days = (end - start).days
    answer = (days - (weekday - start.weekday()) % 7) // 7 + 1
    code = (
        f"from datetime import date, timedelta\nstart, end = date({start.year}, {start.month}, {start.day}), "
        f"date({end.year}, {end.month}, {end.day})\n"
        f"sum((start + timedelta(n)).weekday() == {weekday} for n in range((end - start).days + 1))"
    )
    return Problem(said, code, answer)


def _simulation(rng: _Rng) -> Problem:
    start, factor, shift = _int(rng, 1, 999), _int(rng, 11, 999), _int(rng, 1, 999)
    modulus, steps = _int(rng, 2000, 99_999), _int(rng, 300, 1200)
    bound = modulus // _int(rng, 2, 5)
    said = (
        f"the number of values below {bound} among the first {steps} values that follow x = {start} when x is replaced "
        f"again and again by ({factor} x + {shift}) mod {modulus}"
    )
    x, answer = start, 0
    for _ in range(steps):
        x = (factor * x + shift) % modulus
        answer += x < bound
    code = (
        f"x, count = {start}, 0\nfor _ in range({steps}):\n    x = ({factor} * x + {shift}) % {modulus}\n"
        f"    count += x < {bound}\ncount"
    )
    return Problem(said, code, answer)


def _coins(rng: _Rng) -> Problem:
    coins = sorted(int(coin) for coin in rng.choice(np.arange(2, 26), 4, replace=False))
    total = _int(rng, 120, 300)
    said = (
        f"the number of ways to pay {total} with coins of {', '.join(map(str, coins[:-1]))} and {coins[-1]}, of which "
        "there are as many as you like, and where the order of coins does not matter"
    )
    ways = [1] + [0] * total
    for coin in coins:
        for value in range(coin, total + 1):
            ways[value] += ways[value - coin]
    code = (
        "from functools import cache\n@cache\ndef ways(total, coins):\n    if total < 0 or not coins:\n"
        "        return int(total == 0)\n    return ways(total - coins[0], coins) + ways(total, coins[1:])\n"
        f"ways({total}, {tuple(coins)})"
    )
    return Problem(said, code, ways[total])


def _digit_sums(rng: _Rng) -> Problem:
    limit, wanted = _int(rng, 5000, 99_999), _int(rng, 8, 30)
    said = f"the number of integers from 1 to {limit} whose decimal digits add up to {wanted}"
    answer = _sums_of_digits().count(wanted, 1, limit + 1)
    return Problem(said, f"sum(sum(map(int, str(n))) == {wanted} for n in range(1, {limit + 1}))", answer)


@cache
def _sums_of_digits() -> bytes:
    """Of the numbers below 100,000, one a byte."""
    sums = bytes(range(10))
    for _ in range(4):
        sums = b"".join(bytes(first + rest for rest in sums) for first in range(10))
    return sums


def _common_divisors(rng: _Rng) -> Problem:
    limit, number = _int(rng, 300, 2000), _int(rng, 60, 5040)
    said = _pick(
        rng,
        (
            f"the sum of gcd(n, {number}) over all integers n from 1 to {limit}",
            f"the sum of the greatest common divisors of n and {number}, for n = 1, 2, ..., {limit}",
        ),
    )
    answer = sum(map(math.gcd, range(1, limit + 1), repeat(number)))
    return Problem(said, f"from math import gcd\nsum(gcd(n, {number}) for n in range(1, {limit + 1}))", answer)


def _divisor_sums(rng: _Rng) -> Problem:
    limit = _int(rng, 300, 2000)
    said = f"the sum of all positive divisors of all integers from 1 to {limit}"
    answer = sum(d * (limit // d) for d in range(1, limit + 1))
    return Problem(said, f"sum(d for n in range(1, {limit + 1}) for d in range(1, n + 1) if n % d == 0)", answer)


def _collatz(rng: _Rng) -> Problem:
    start, factor = _int(rng, 10**5, 10**8), 3
    said = (
        f"the largest number that comes up when you start with {start} and halve it where it is even, and else "
        "multiply it by 3 and add 1, again and again until it is 1"
    )
    n = most = start
    while n != 1:
        n = n // 2 if n % 2 == 0 else factor * n + 1
        most = max(most, n)
    code = (
        f"n = most = {start}\nwhile n != 1:\n    n = n // 2 if n % 2 == 0 else 3 * n + 1\n    most = max(most, n)\nmost"
    )
    return Problem(said, code, most)


def _circle(rng: _Rng) -> Problem:
    count, step = _int(rng, 100, 1500), _int(rng, 3, 19)
    said = (
        f"the number of the last person who is left when {count} people stand in a circle, numbered from 1 in their "
        f"order, and, counting from person 1, every {step}{_ending(step)} of those who still stand leaves"
    )
    last = 0
    for size in range(2, count + 1):
        last = (last + step) % size
    code = (
        f"people, at = list(range(1, {count + 1})), 0\nwhile len(people) > 1:\n"
        f"    at = (at + {step - 1}) % len(people)\n    people.pop(at)\npeople[0]"
    )
    return Problem(said, code, last + 1)


def _ending(number: int) -> str:
    return {1: "st", 2: "nd", 3: "rd"}.get(number, "th")


def _grid(rng: _Rng) -> Problem:
    width, height = _int(rng, 7, 11), _int(rng, 7, 11)
    blocked = sorted({(_int(rng, 1, width - 2), _int(rng, 0, height - 1)) for _ in range(_int(rng, 4, 7))})
    listed = ", ".join(map(str, blocked))
    said = (
        f"the number of ways from (0, 0) to ({width - 1}, {height - 1}) in steps that add 1 to x or add 1 to y, "
        f"without entering any of the points {listed}"
    )
    ways = [0] * height
    for x in range(width):
        for y in range(height):
            came = (1 if (x, y) == (0, 0) else 0) + ways[y] + (ways[y - 1] if y else 0)
            ways[y] = 0 if (x, y) in blocked else came
    code = (
        f"from functools import cache\nblocked = {{{listed}}}\n@cache\ndef ways(x, y):\n"
        "    if x < 0 or y < 0 or (x, y) in blocked:\n        return 0\n"
        f"    return 1 if x == y == 0 else ways(x - 1, y) + ways(x, y - 1)\nways({width - 1}, {height - 1})"
    )
    return Problem(said, code, ways[-1])


TOPICS: dict[str, Callable[[_Rng], Problem]] = {
    "powers": _sum_of_powers,
    "primes": _primes_by_remainder,
    "digits": _digits_of_a_power,
    "modulo": _power_modulo,
    "pairs": _pairs,
    "recurrence": _recurrence,
    "determinant": _determinant,
    "matrix": _matrix_power,
    "weekdays": _weekdays,
    "days": _days_between,
    "simulation": _simulation,
    "coins": _coins,
    "digit_sums": _digit_sums,
    "gcd": _common_divisors,
    "divisors": _divisor_sums,
    "collatz": _collatz,
    "circle": _circle,
    "grid": _grid,
}
"""Makers of problems by topic. Their order and number are part of what a seed picks."""
