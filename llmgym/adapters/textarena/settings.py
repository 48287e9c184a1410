"""Settings for families that are one game each in TextArena, drawn within what their constructors take."""

from __future__ import annotations

import operator
from collections.abc import Callable
from random import Random
from typing import Any

#: Sums of words, and the digits of their letters in alphabetical order.
EQUATIONS: dict[str, str] = {
    "SEND + MORE = MONEY": "75160892",
    "EAT + THAT = APPLE": "182309",
    "BASE + BALL = GAMES": "4731598",
    "CROSS + ROADS = DANGER": "591478263",
    "NUMBER + NUMBER = PUZZLE": "687124903",
    "COCA + COLA = OASIS": "689012",
    "DOUBLE + DOUBLE + TOIL = TROUBLE": "074369518",
    "SATURN + URANUS = PLANETS": "483019567",
    "FORTY + TEN + TEN = SIXTY": "5210973846",
    "HERE + SHE = COMES": "1493058",
    "BLACK + GREEN = ORANGE": "2704589613",
    "DAYS + TOO = SHORT": "89052167",
    "LETS + WAVE = LATER": "05127689",
    "MEMO + FROM = HOMER": "471853",
    "USA + USSR = PEACE": "2701839",
    "TO + GO = OUT": "8120",
    "I + BB = ILL": "910",
    "NO + GUN + NO = HUNT": "918720",
    "SEVEN + SEVEN + SIX = TWENTY": "852617304",
    "EARTH + AIR + FIRE + WATER = NATURE": "7682014359",
    "GREEN + ORANGE = COLORS": "524896130",
    "HAWAII + IDAHO + IOWA + OHIO = STATES": "184593620",
    "FIFTY + STATES = AMERICA": "1346507982",
    "THREE + THREE + TWO + TWO + ONE = ELEVEN": "147936820",
    "APPLE + LEMON = BANANA": "61498237",
    "KANSAS + OHIO = OREGON": "9318647502",
    "POTATO + TOMATO = PUMPKIN": "479326180",
    "ONE + NINE + TWENTY + FIFTY = EIGHTY": "4701589362",
}

_OPERATIONS = {"+": operator.add, "-": operator.sub, "*": operator.mul}
_LOWEST, _HIGHEST = 100, 999  # targets of Countdown


def countdown(dice: Random) -> tuple[dict[str, Any], list[str]]:
    """Six numbers as TextArena draws them, a target that can be reached, and moves that do."""
    while True:
        numbers = dice.sample([25, 50, 75, 100], 2) + dice.sample([*range(1, 11), *range(1, 11)], 4)
        left, moves = list(numbers), list[str]()
        while len(left) > 1:
            first, second = dice.sample(range(len(left)), 2)
            sign = dice.choice(list(_OPERATIONS))
            value = _OPERATIONS[sign](left[first], left[second])
            if not 0 < value <= 5000:
                break
            moves.append(f"[{first} {second} {sign}]")
            left = [number for place, number in enumerate(left) if place not in (first, second)] + [value]
            if len(moves) >= 3 and _LOWEST <= value <= _HIGHEST and value not in numbers:
                return {"numbers": numbers, "target": value}, moves


def cryptarithm(dice: Random) -> tuple[dict[str, Any], list[str]]:
    """One of some sums of words."""
    equation = dice.choice(sorted(EQUATIONS))
    letters = sorted(set(equation) - set(" +="))
    return {"equation": equation}, [
        f"[{letter} {digit}]" for letter, digit in zip(letters, EQUATIONS[equation], strict=True)
    ]


def peg_jump(dice: Random) -> tuple[dict[str, Any], None]:
    """Any hole empty."""
    return {"initial_empty": dice.randint(1, 15)}, None


SETTINGS: dict[str, Callable[[Random], tuple[dict[str, Any], list[str] | None]]] = {
    "Countdown": countdown,
    "Cryptarithm": cryptarithm,
    "PegJump": peg_jump,
}
