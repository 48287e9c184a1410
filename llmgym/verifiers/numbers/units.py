"""Units behind numbers: SI, and those of everyday life, with what they measure and how much of it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

_PREFIXES = {"": 0, "n": -9, "µ": -6, "u": -6, "m": -3, "c": -2, "d": -1, "h": 2, "k": 3, "M": 6, "G": 9, "T": 12}
_PREFIX_NAMES = {
    "nano": "n", "micro": "µ", "milli": "m", "centi": "c", "deci": "d", "hecto": "h", "kilo": "k", "mega": "M",
    "giga": "G", "tera": "T",
}  # fmt: skip
# Symbol, names, what it measures, and how much of it: with the prefixes of SI.
_METRIC = (
    ("m", "meter metre", "m", 1),
    ("g", "gram gramme", "kg", Fraction(1, 1000)),
    ("s", "second", "s", 1),
    ("A", "ampere amp", "A", 1),
    ("mol", "mole", "mol", 1),
    ("L", "liter litre", "m^3", Fraction(1, 1000)),
    ("l", "", "m^3", Fraction(1, 1000)),
    ("Hz", "hertz", "s^-1", 1),
    ("N", "newton", "kg m s^-2", 1),
    ("J", "joule", "kg m^2 s^-2", 1),
    ("W", "watt", "kg m^2 s^-3", 1),
    ("Pa", "pascal", "kg m^-1 s^-2", 1),
    ("V", "volt", "kg m^2 s^-3 A^-1", 1),
    ("Ω", "ohm", "kg m^2 s^-3 A^-2", 1),
    ("C", "coulomb", "A s", 1),
    ("Wh", "", "kg m^2 s^-2", 3600),
    ("eV", "electronvolt", "eV", 1),
    ("cal", "calorie", "kg m^2 s^-2", Fraction("4.184")),
    ("bit", "bit", "bit", 1),
    ("B", "byte", "bit", 8),
)
_INCH, _POUND = Fraction("0.0254"), Fraction("0.45359237")
# Names of others; a temperature, an angle and a month have no fixed ratio to another unit of their kind.
_OTHERS: tuple[tuple[str, str, Fraction | int], ...] = (
    ("sec secs", "s", 1),
    ("min mins minute minutes", "s", 60),
    ("h hr hrs hour hours", "s", 3600),
    ("day days", "s", 86_400),
    ("week weeks", "s", 604_800),
    ("month months", "month", 1),
    ("year years yr yrs", "month", 12),
    ("inch inches", "m", _INCH),
    ("foot feet ft", "m", 12 * _INCH),
    ("yard yards yd yds", "m", 36 * _INCH),
    ("mile miles mi", "m", 63_360 * _INCH),
    ("acre acres", "m^2", 43_560 * 144 * _INCH**2),
    ("hectare hectares ha", "m^2", 10_000),
    ("pound pounds lb lbs", "kg", _POUND),
    ("ounce ounces oz", "kg", _POUND / 16),
    ("tonne tonnes", "kg", 1000),
    ("ton tons", "ton", 1),
    ("gallon gallons gal", "gallon", 1),
    ("quart quarts qt", "gallon", Fraction(1, 4)),
    ("pint pints pt", "gallon", Fraction(1, 8)),
    ("cup cups", "gallon", Fraction(1, 16)),
    ("mph", "m s^-1", Fraction(63_360 * _INCH, 3600)),
    ("kph kmh", "m s^-1", Fraction(1000, 3600)),
    ("degree degrees deg °", "degree", 1),
    ("radian radians rad", "radian", 1),
    ("°C celsius", "°C", 1),
    ("°F fahrenheit", "°F", 1),
    ("K kelvin kelvins", "K", 1),
    ("$ USD dollar dollars", "$", 1),
    ("¢ cent cents", "$", Fraction(1, 100)),
    ("€ EUR euro euros", "€", 1),
    ("£ GBP", "£", 1),
    ("¥ JPY yen", "¥", 1),
    ("₹ INR rupee rupees", "₹", 1),
)
_NAME = r"°[CF]?|[$¢€£¥₹]|[A-Za-zµΩ]+"
_TERM = re.compile(
    rf"(?P<power>square |sq\.? |cubic |cu\.? )?(?P<name>{_NAME})"
    r"(?:\^?(?P<exponent>-?[1-9])|(?P<raised>⁻?[¹²³])|[ ](?P<named>squared|cubed)\b)?(?![\w^])"
)
_OVER = re.compile(  # "m/s", "m·s", "m s^-1", "N m"
    r"(?P<over> ?/ ?| per )|[ ]?[·*][ ]?|[ ](?=[A-Za-zµΩ]+(?:\^|[⁻²³]))|(?<=[NWA])[ ](?=[mhs](?![A-Za-z]))"
)
_POWERS = {"sq": 2, "cu": 3, "¹": 1, "²": 2, "³": 3}
_AMONG = re.compile(r"\\(?:cdot|times)(?![a-z])")
_HOT = re.compile(r"(?:degrees?|°)[ ]?([CF])(?:elsius|ahrenheit)?\b", re.IGNORECASE)
_MICRO, _OHM = re.compile(r"\\mu(?![a-z])\s*"), re.compile(r"\\Omega(?![a-z])")
_LOOSE = re.compile(r"\\(?:text|mathrm|rm|mbox)(?![a-z])|[{}~]|\\[,;:! ]")


class Unit(NamedTuple):
    """What a unit measures, as exponents of base units, and how much of it.

    Attributes:
        dimension: The base units that it consists of, in order, each with its exponent.
        factor: How many of these it is.
    """

    dimension: tuple[tuple[str, int], ...]
    factor: Fraction


def leading_unit(text: str) -> tuple[Unit | None, str]:
    """The known unit with which a text begins, such as "cm^2" or "km/h", and what stands behind it."""
    text = spelt(text).lstrip()
    dimension, factor, at, sign = Counter[str](), Fraction(1), 0, 1
    while (match := _TERM.match(text, at)) and (unit := _named(match["name"])):
        if match["name"] == "in" and text[match.end() :].strip(" .,;"):
            break  # "5 in total"
        power = _POWERS.get((match["power"] or "")[:2], 1)
        if match["exponent"]:
            power = int(match["exponent"])
        elif raised := match["raised"]:
            power = _POWERS[raised[-1]] * (-1 if raised[0] == "⁻" else 1)
        elif match["named"]:
            power = _POWERS[match["named"][:2]]
        for base, exponent in unit.dimension:
            dimension[base] += sign * power * exponent
        factor *= unit.factor ** (sign * power)
        at = match.end()
        joint = _OVER.match(text, at)
        if joint is None or not ((after := _TERM.match(text, joint.end())) and _named(after["name"])):
            break
        sign = -1 if joint["over"] else sign
        at = joint.end()
    if not at:
        return None, text
    return Unit(tuple(sorted((base, count) for base, count in dimension.items() if count)), factor), text[at:]


def spelt(text: str) -> str:
    r"""Text behind a number without LaTeX: "\text{ cm}^{2}" as " cm^2", "^\circ" as "°"."""
    text = text.replace("^\\circ", "°").replace("^{\\circ}", "°").replace("\\degree", "°").replace("μ", "µ")
    text = _OHM.sub("Ω", _MICRO.sub("µ", text.replace("years old", "years")))
    text = _LOOSE.sub(lambda match: " " if match[0][0] in "\\~" and len(match[0]) < 3 else "", _AMONG.sub("·", text))
    return _HOT.sub(lambda match: "°" + match[1].upper(), text)


@lru_cache(maxsize=1)
def _units() -> Mapping[str, Unit]:
    units: dict[str, Unit] = {}
    for symbol, names, measures, much in _METRIC:
        for prefix, power in _PREFIXES.items():
            units.setdefault(prefix + symbol, Unit(_dimension(measures), much * Fraction(10) ** power))
        for name in names.split():
            for long, prefix in {"": "", **_PREFIX_NAMES}.items():
                units[long + name] = units[f"{long}{name}s"] = units[prefix + symbol]
    for names, measures, much in _OTHERS:
        units |= dict.fromkeys(names.split(), Unit(_dimension(measures), Fraction(much)))
    units["in"] = units["inch"]
    return units


def _dimension(text: str) -> tuple[tuple[str, int], ...]:
    parts = (part.partition("^") for part in text.split())
    return tuple(sorted((base, int(exponent or 1)) for base, _, exponent in parts))


def _named(name: str) -> Unit | None:
    units = _units()
    return units.get(name) or (units.get(name.lower()) if len(name) > 3 else None)
