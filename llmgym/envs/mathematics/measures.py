"""Geometry with units, and proportions: percent, ratios, rates."""

from __future__ import annotations

import math
from fractions import Fraction

from llmgym.envs.draws import Draws
from llmgym.envs.mathematics.problem import Problem
from llmgym.envs.vocabulary import GIVEN_NAMES, PLACES, THINGS, listed, plural, with_article
from llmgym.verifiers.numbers import decimal_places, format_number

_TRIPLES = ((3, 4, 5), (5, 12, 13), (8, 15, 17), (7, 24, 25), (20, 21, 29), (9, 40, 41))
_TOP = (12, 40, 90)


def geometry(d: Draws, level: int) -> Problem | None:
    """A problem of one of the sorts below."""
    sorts = (
        (_rectangle, _box),
        (_rectangle, _box, _right_triangle, _path),
        (_box, _right_triangle, _polygon, _path, _similar),
    )
    return d.pick(sorts[level])(d, level)


def _rectangle(d: Draws, level: int) -> Problem | None:
    a, b = d.whole(3, _TOP[level]), d.whole(3, _TOP[level])
    unit, what = d.pick(("cm", "m")), d.pick(("rectangle", "rectangular field", "rectangular sheet"))
    if level == 1 and d.chance(0.5):
        text = f"A {what} has an area of {a * b} {unit}^2, and one side is {a} {unit} long. What is its perimeter?"
        return Problem(text, f"{2 * (a + b)} {unit}")
    asked, answer = d.pick((("area", f"{a * b} {unit}^2"), ("perimeter", f"{2 * (a + b)} {unit}")))
    return Problem(f"A {what} is {a} {unit} long and {b} {unit} wide. What is its {asked}?", answer)


def _box(d: Draws, level: int) -> Problem:
    a, b, c = (d.whole(2, _TOP[level] // (1 if level else 2)) for _ in range(3))
    text = f"A box is {a} cm long, {b} cm wide and {c} cm high."
    if not level:
        return Problem(f"{text} What is its volume?", f"{a * b * c} cm^3")
    if level == 2:
        d1 = d.whole(1, 9)
        text = (
            f"A closed box has walls {d1} cm thick on all six sides. Outside it is {a + 2 * d1} "
            f"cm long, {b + 2 * d1} cm wide and {c + 2 * d1} cm high."
        )
        return Problem(f"{text} What is the volume of its inside?", f"{a * b * c} cm^3")
    return Problem(
        f"{text} What is the area of its surface, all six sides together?", f"{2 * (a * b + b * c + a * c)} cm^2"
    )


def _right_triangle(d: Draws, level: int) -> Problem:
    scale = d.whole(2, 6 + 6 * level)
    a, b, c = (side * scale for side in d.pick(_TRIPLES[: 3 + level]))
    if d.chance(0.5):
        a, b = b, a
    text, answer = d.pick(
        (
            (
                f"The two short sides of a right triangle are {a} cm and {b} cm long. How long is the third side?",
                f"{c} cm",
            ),
            (
                f"The longest side of a right triangle is {c} cm long, and another one {a} cm. What is its area?",
                f"{a * b // 2} cm^2",
            ),
            (
                f"A ladder of {c} cm leans against a wall, its foot {a} cm from the wall. How high does it reach?",
                f"{b} cm",
            ),
            (f"A rhombus has diagonals of {2 * a} cm and {2 * b} cm. What is its perimeter?", f"{4 * c} cm"),
        )
    )
    return Problem(text, answer)


def _path(d: Draws, level: int) -> Problem:
    """Mixed units, and a path around a garden."""
    a, b, w = d.whole(4, _TOP[level]), d.whole(4, _TOP[level]), d.whole(1, 4)
    place = d.pick(PLACES)
    text = (
        f"A garden in {place} is {a} m long and {b} m wide. Around it, outside, "
        f"runs a path that is {w * 50} cm wide everywhere."
    )
    wide = Fraction(w, 2)
    area = (a + 2 * wide) * (b + 2 * wide) - a * b
    if d.chance(0.5):
        return Problem(f"{text} What is the area of the path, in square metres?", f"{format_number(area)} m^2")
    return Problem(
        f"{text} How long is the outer edge of the path, in metres?", f"{format_number(2 * (a + b + 4 * wide))} m"
    )


def _polygon(d: Draws, level: int) -> Problem | None:
    count = d.whole(4, 5)
    # By angle around the middle, so that no sides cross.
    points = sorted(
        {(d.whole(-12, 12), d.whole(-12, 12)) for _ in range(count)}, key=lambda p: (math.atan2(p[1], p[0]), p)
    )
    area = Fraction(sum(x * v - u * y for (x, y), (u, v) in zip(points, [*points[1:], points[0]], strict=True)), 2)
    turns = [
        (q[0] - p[0]) * (r[1] - q[1]) - (q[1] - p[1]) * (r[0] - q[0])
        for p, q, r in zip(points, [*points[1:], points[0]], [*points[2:], *points[:2]], strict=True)
    ]
    if len(points) < count or min(turns) <= 0 or area <= 0:
        return None
    corners = listed([f"({x}, {y})" for x, y in points])
    text = f"What is the area of the polygon with the corners {corners}, in this order?"
    return Problem(text, format_number(area))


def _similar(d: Draws, level: int) -> Problem:
    who, a = d.pick(GIVEN_NAMES), d.whole(3, 30)
    scale = d.whole(2, 12)
    area, volume = d.whole(5, 90), d.whole(5, 90)
    text, answer = d.pick(
        (
            (
                f"{who} builds a model at 1:{scale * 10}. A wall of the model has an area of {area} cm^2. What is the "
                "area of the real wall, in square metres?",
                f"{format_number(Fraction(area * (scale * 10) ** 2, 10_000))} m^2",
            ),
            (
                f"Two boxes have the same shape. The larger is {scale} times as high as the smaller, which holds "
                f"{volume} litres. How many litres does the larger one hold?",
                volume * scale**3,
            ),
            (
                f"A pole of {a} m throws a shadow of {a * scale} m. How high is a tower whose shadow is "
                f"{volume * scale} m long at the same time?",
                f"{volume} m",
            ),
        )
    )
    return Problem(text, answer)


def proportion(d: Draws, level: int) -> Problem | None:
    """A problem of one of the sorts below."""
    sorts = ((_percent_of,), (_percent_of, _change, _ratio, _rate), (_change, _ratio, _rate, _mixture))
    return d.pick(sorts[level])(d, level)


def _percent_of(d: Draws, level: int) -> Problem | None:
    share = d.whole(1, 19) * 5 if level else d.whole(1, 9) * 10
    whole = d.whole(2, 40) * (20 if level else 10)
    part, thing, who = Fraction(whole * share, 100), d.pick(THINGS), d.pick(GIVEN_NAMES)
    asked, answer = d.pick(
        (
            (f"What is {share}% of {whole}?", part),
            (
                f"{who} spends {share} percent of {whole} coins on {with_article(thing)}. How many coins does it cost?",
                part,
            ),
            (
                (
                    f"{with_article(thing).capitalize()} costs {whole} coins, and {who} has {format_number(part)} "
                    "coins. What percentage of the price is that?"
                ),
                f"{share}%",
            ),
            (f"{share}% of a number is {format_number(part)}. What is the number?", whole),
        )[: 3 + (level > 0)]
    )
    return Problem(asked, answer if isinstance(answer, str) else format_number(answer))


def _change(d: Draws, level: int) -> Problem | None:
    ups = [d.signed(1, 9) * 5 for _ in range(1 + level)]
    price = d.whole(2, 40) * 20
    after = Fraction(price)
    for up in ups:
        after = after * (100 + up) / 100
    if (places := decimal_places(after)) is None or places > 3 or after == price:
        return None
    steps = (
        listed([f"{'rises' if up > 0 else 'falls'} by {abs(up)}%" for up in ups])
        .replace(", ", ", then ")
        .replace(" and ", " and then ")
    )
    thing, place = d.pick(THINGS), d.pick(PLACES)
    if d.chance(0.5):
        text = (
            f"In {place}, {with_article(thing)} costs {price} coins. The price {steps}. What is the new price, exactly?"
        )
        return Problem(text, format_number(after))
    text = (
        f"In {place}, the price of {with_article(thing)} {steps}. It is {format_number(after)} "
        "coins now. What was the price before?"
    )
    return Problem(text, price)


def _ratio(d: Draws, level: int) -> Problem:
    people = d.some(GIVEN_NAMES, 2 + d.whole(0, level - 1))
    parts = [d.whole(1, 9) for _ in people]
    if parts[0] == parts[1]:
        parts[0] += 10
    each = d.whole(3, 40 * level)
    text = f"{listed(people)} share some coins in the ratio {':'.join(map(str, parts))}."
    if d.chance(0.5):
        return Problem(f"{text} There are {each * sum(parts)} coins. How many does {people[0]} get?", each * parts[0])
    more, less = (0, 1) if parts[0] > parts[1] else (1, 0)
    gap = each * (parts[more] - parts[less])
    return Problem(
        f"{text} {people[more]} gets {gap} coins more than {people[less]}. How many coins are there in all?",
        each * sum(parts),
    )


def _rate(d: Draws, level: int) -> Problem:
    a, b, c, workers, days = (d.whole(2, 12) for _ in range(5))
    thing = plural(d.pick(THINGS))
    if level == 2 and d.chance(0.6):
        one, other = d.wholes(2, 30, 2)
        text = (
            f"One pipe fills a tank in {one} hours, and another one in {other} hours. In how many "
            "hours do both fill it together? Give an exact number."
        )
        return Problem(text, Fraction(one * other, one + other))
    made = workers * days * a
    text = (
        f"In {days} days, {workers} workers make {made} {thing}. How many {thing} do "
        f"{b} workers make in {c} days, at the same rate?"
    )
    return Problem(text, a * b * c)


def _mixture(d: Draws, level: int) -> Problem | None:
    one, other = (5 * k for k in d.wholes(1, 19, 2))
    a, b = d.whole(1, 12), d.whole(1, 12)
    share = Fraction(a * one + b * other, a + b)
    text = f"{a} litres of a solution that is {one}% salt are mixed with {b} litres of one that is {other}% salt."
    if d.chance(0.5):
        if decimal_places(share) is None:
            return None
        return Problem(f"{text} What percentage of the mixture is salt?", f"{format_number(share)}%")
    text = (
        f"How many litres of a solution that is {other}% salt must be mixed with {a} litres of one "
        f"that is {one}% salt, so that the mixture is {format_number(share)}% salt?"
    )
    return Problem(text, b) if decimal_places(share) is not None else None
