"""Equations, systems, quadratics, polynomials and their derivatives."""

from __future__ import annotations

from fractions import Fraction

from llmgym.envs.draws import Draws
from llmgym.envs.mathematics.problem import Problem, polynomial, sum_of, value_at

_LARGEST = (9, 20, 60)  # coefficients, by level


def equation(d: Draws, level: int) -> Problem | None:
    """A linear equation in one unknown."""
    top, name = _LARGEST[level], d.pick("xyzntk")
    a, b, c, e = d.whole(2, top), d.signed(1, top), d.signed(1, top), d.signed(1, top)
    asked = d.pick(("Solve for {0}: {1}.", "What is {0}, if {1}?", "Find the number {0} for which {1}."))
    if not level:
        x = d.whole(1, 20)
        return Problem(asked.format(name, f"{sum_of([(a, name), (b, '')])} = {a * x + b}"), x)
    if a == c:
        return None
    if level == 1:
        x = d.signed(2, 40)
        left, right = sum_of([(a, name), (b, "")]), sum_of([(c, name), ((a - c) * x + b, "")])
        return Problem(asked.format(name, f"{left} = {right}"), x)
    # a(x + b) - e = c x + f, and fractions are allowed
    f, outer = d.signed(1, top), d.whole(2, 9)
    left = f"{outer}({sum_of([(a, name), (b, '')])}){_signed(e)}"
    if outer * a == c:
        return None
    return Problem(
        asked.format(name, f"{left} = {sum_of([(c, name), (f, '')])}") + " Give an exact number.",
        Fraction(f - e - outer * b, outer * a - c),
    )


def _signed(number: int) -> str:
    return f" {'-' if number < 0 else '+'} {abs(number)}"


def system(d: Draws, level: int) -> Problem | None:
    """Linear equations in two or three unknowns, of which a sum of multiples is asked."""
    names = d.pick((("x", "y", "z"), ("a", "b", "c"), ("p", "q", "r")))[: 3 if level == 2 else 2]
    size, top = (9, 15, 20)[level], (3, 8, 9)[level]
    values = [d.signed(1, size) if level else d.whole(1, size) for _ in names]
    rows = [[d.signed(1, top) for _ in names] for _ in names]
    if not level:
        rows = [[1, 1], [d.whole(1, 3), -1]]
    if not _determinant(rows):
        return None
    lines = [
        f"{sum_of(list(zip(row, names, strict=True)))} = {sum(k * v for k, v in zip(row, values, strict=True))}"
        for row in rows
    ]
    wanted = [1, 0] if not level else [d.whole(1, 3) for _ in names]
    asked = sum_of(list(zip(wanted, names, strict=True)))
    text = d.pick(("The numbers {0} fulfil\n{1}\nWhat is {2}?", "Solve the equations for {0}:\n{1}\nThen give {2}."))
    listed = " and ".join([", ".join(names[:-1]), names[-1]])
    answer = sum(k * v for k, v in zip(wanted, values, strict=True))
    return Problem(text.format(listed, "\n".join(lines), asked), answer)


def _determinant(rows: list[list[int]]) -> int:
    if len(rows) == 1:
        return rows[0][0]
    return sum(
        (-1) ** at * factor * _determinant([row[:at] + row[at + 1 :] for row in rows[1:]])
        for at, factor in enumerate(rows[0])
    )


def quadratic(d: Draws, level: int) -> Problem | None:
    """A quadratic equation, asked for its roots or for what they give together."""
    top = (9, 15, 30)[level]
    one, other = d.signed(1, top), d.signed(1, top)
    if one == other:
        return None
    lead = d.whole(2, 6) if level else 1
    under = d.whole(2, 7) if level == 2 else 1
    # lead (under x - one)(x - other)
    coefficients = [lead * under, -lead * (under * other + one), lead * one * other]
    roots = sorted((Fraction(one, under), Fraction(other)))
    if roots[0] == roots[1]:
        return None
    text = f"{polynomial(coefficients)} = 0"
    both = "{" + f"{roots[0]}, {roots[1]}" + "}"
    forms = (
        (f"Find all solutions of {text}.", both),
        (f"Which numbers x solve {text}? Give all of them.", both),
        (f"What is the greater solution of {text}?", roots[1]),
        (f"What is the smaller of the two solutions of {text}?", roots[0]),
        (f"What is the sum of the squares of the two solutions of {text}?", roots[0] ** 2 + roots[1] ** 2),
        (f"By how much do the two solutions of {text} differ?", roots[1] - roots[0]),
    )
    asked, answer = d.pick(forms[: 4 + level])
    return Problem(asked, answer, "set" if answer == both else "number")


def polynomials(d: Draws, level: int) -> Problem:
    """Values, products, remainders, derivatives and integrals of polynomials."""
    top, degree = (6, 9, 15)[level], 2 + level
    p = [d.whole(2, top), *(d.signed(0, top) for _ in range(degree - 1)), d.signed(1, top)]
    at = d.whole(2, 5) if not level else d.signed(2, 4 + level)
    name, text = d.pick("fgp"), polynomial(p)
    given = f"Let {name}(x) = {text}."
    first = derivative(p)
    if not level:
        return d.pick(
            (
                Problem(f"{given} What is {name}({at})?", value_at(p, at)),
                Problem(f"{given} What is the value of the derivative {name}'({at})?", value_at(first, at)),
            )
        )
    q = [d.whole(1, top), d.signed(1, top), d.signed(1, top)]
    power, product = d.whole(1, degree), times(p, q)
    low = d.whole(-3, 1)
    high = low + d.whole(1, 4)
    return d.pick(
        (
            lambda: Problem(f"{given} What is {name}'({at}), the derivative of {name} at {at}?", value_at(first, at)),
            lambda: Problem(f"{given} What is {name}''({at})?", value_at(derivative(first), at)),
            lambda: Problem(
                (
                    f"What is the coefficient of {polynomial([1] + [0] * power)} in "
                    f"the expansion of ({text})({polynomial(q)})?"
                ),
                product[-1 - power],
            ),
            lambda: Problem(
                f"What is the remainder when {text} is divided by {polynomial([1, -at])}?", value_at(p, at)
            ),
            lambda: Problem(
                f"What is the integral of {text} from x = {low} to x = {high}? Give an exact number.",
                integral(p, high) - integral(p, low),
            ),
        )[: 3 + level]
    )()


def derivative(p: list[int]) -> list[int]:
    """The derivative of a polynomial, highest power first."""
    top = len(p) - 1
    return [factor * (top - at) for at, factor in enumerate(p[:-1])]


def integral(p: list[int], to: int) -> Fraction:
    """The integral of a polynomial from 0."""
    top = len(p)
    return sum((Fraction(factor * to ** (top - at), top - at) for at, factor in enumerate(p)), Fraction(0))


def times(p: list[int], q: list[int]) -> list[int]:
    """The product of two polynomials."""
    product = [0] * (len(p) + len(q) - 1)
    for i, a in enumerate(p):
        for j, b in enumerate(q):
            product[i + j] += a * b
    return product


def sequence(d: Draws, level: int) -> Problem:
    """A term, or a sum of terms, of a sequence whose rule is told."""
    kind = d.whole(0, (1, 4, 5)[level])
    first, step = d.whole(2, (12, 40, 90)[level]), d.whole(2, (9, 15, 30)[level])
    n = d.whole(5, (12, 40, 200)[level])
    shown = ", ".join(str(first + step * at) for at in range(4))
    if kind == 0:
        text = f"An arithmetic sequence begins {shown}. What is its {ordinal(n)} term?"
        return Problem(text, first + step * (n - 1))
    if kind == 1:
        ratio, n = d.whole(2, 3 + level), d.whole(5, 7 + level)
        first = d.whole(2, 9 + 3 * level)
        shown = ", ".join(str(first * ratio**at) for at in range(3))
        return Problem(f"A geometric sequence begins {shown}. What is its {ordinal(n)} term?", first * ratio ** (n - 1))
    if kind == 2:
        text = f"What is the sum of the first {n} terms of the arithmetic sequence {shown}, ...?"
        return Problem(text, n * first + step * n * (n - 1) // 2)
    if kind == 3:
        a, b, c = d.whole(1, 3 + level), d.whole(1, 3), d.signed(1, 9)
        terms = [d.whole(1, 6), d.whole(1, 9)]
        n = d.whole(6, 7 + 2 * level)
        while len(terms) < n:
            terms.append(a * terms[-1] + b * terms[-2] + c)
        rule = sum_of([(a, "a(n-1)"), (b, "a(n-2)"), (c, "")])
        text = f"A sequence has a(1) = {terms[0]}, a(2) = {terms[1]} and a(n) = {rule} for n > 2. What is a({n})?"
        return Problem(text, terms[-1])
    if kind == 4:
        p = [d.whole(1, 3 + level), d.signed(1, 9), d.signed(0, 20)]
        low = d.whole(3, 10)
        terms = [value_at(p, at) for at in range(1, low + 1)]
        rule = polynomial(p, "n")
        return d.pick(
            (
                Problem(
                    f"The n-th term of a sequence is {rule}. What is the sum of its first {low} terms?", sum(terms)
                ),
                Problem(
                    f"The n-th term of a sequence is {rule}. How much greater is the sum of its terms {low + 1} to "
                    f"{2 * low} than that of its first {low} terms?",
                    sum(value_at(p, at + low) - value_at(p, at) for at in range(1, low + 1)),
                ),
            )
        )
    start, a, c, m = d.whole(2, 40), d.whole(2, 20), d.whole(1, 40), d.whole(41, 120)
    x, n = start, d.whole(5, 12)
    for _ in range(n):
        x = (a * x + c) % m
    text = f"Let x(0) = {start}, and let x(n+1) be the remainder of {a} x(n) + {c} when divided by {m}. What is x({n})?"
    return Problem(text, x)


def ordinal(n: int) -> str:
    """A place in a row: 21st of 21."""
    ending = "th" if 10 < n % 100 < 14 else {1: "st", 2: "nd", 3: "rd"}.get(n % 10, "th")
    return f"{n}{ending}"


def base(d: Draws, level: int) -> Problem:
    """Numbers in other bases."""
    radix = d.pick(((2, 8), (2, 3, 5, 8, 16), (3, 5, 6, 7, 9, 11, 12, 13, 16))[level])
    top = (120, 3000, 200_000)[level]
    n, m = d.whole(9, top), d.whole(9, top)
    kind, more = d.whole(0, 1 if level < 2 else 3), ""
    if radix > 10:
        more = f" (Digits above 9 are letters, from A for 10 to {digits(radix - 1, radix)} for {radix - 1}.)"
    if kind == 0:
        return Problem(
            d.pick(("Write {} in base {}.{}", "What is the decimal number {} in base {}?{}")).format(n, radix, more),
            f"{digits(n, radix)}_{radix}",
            "base",
        )
    if kind == 1:
        text = d.pick(
            (
                "What decimal number is {0} in base {1}?{2}",
                "Convert {0} from base {1} to base 10, the decimal system.{2}",
            )
        )
        return Problem(text.format(digits(n, radix), radix, more), n)
    high, low = max(n, m), min(n, m)
    sign, result = d.pick((("+", high + low), ("-", high - low + 1)))
    if sign == "-":
        high += 1
    text = (
        f"In base {radix}, what is {digits(high, radix)} {sign} {digits(low, radix)}? Give the result in base {radix}."
    )
    if kind == 3:
        text = f"What is {digits(high, radix)} {sign} {digits(low, radix)}, both in base {radix}, as a decimal number?"
        return Problem(text + more, result)
    return Problem(text + more, f"{digits(result, radix)}_{radix}", "base")


def digits(number: int, radix: int) -> str:
    """A number from 0 in a base."""
    text = ""
    while True:
        number, digit = divmod(number, radix)
        text = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"[digit] + text
        if not number:
            return text
