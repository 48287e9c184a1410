from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgym.errors import TaskError
from llmgym.verifiers.numbers import check, parse_quantity, prove
from tests.verifiers.hostile import FORMULAS, PARTS


@pytest.mark.parametrize(
    ("reference", "answer", "right"),
    [
        (12, "The answer is 12.", True),
        (12, r"\boxed{12.0}", True),
        ("3/4", r"So \boxed{\frac{3}{4}}.", True),
        (0.1, "0.1", True),
        (Fraction(1, 3), "1/3", True),
        (Fraction(1, 3), "0.3333333", False),
        # units: of both quantities, where both are named
        ("5 cm", "5 m", False),
        ("5 cm", "5 cm^2", False),
        ("5 cm", "5 cm", True),
        ("5 cm", "5", True),
        ("5 cm", "0.05 m", True),
        ("5 m", "500 cm", True),
        ("5", "5 apples", True),
        ("5 apples", "5 m", False),
        ("5 apples", "5 oranges", True),  # a word that is no unit need not be one
        ("60 km/h", "1 km/min", True),
        ("5 m/s", "18 km/h", True),
        ("5 m/s", "5 m/s^2", False),
        ("1 N", "1 kg·m/s^2", True),
        ("5 m/s", "5 m s^-1", True),
        ("5 m/s", "5 m·s⁻¹", True),
        ("5 m/s", "5 m s^-2", False),
        ("5 J", "5 kg m² s⁻²", True),
        ("5 m^2", "5 meters squared", True),
        ("5 N·m", r"\boxed{5\,\mathrm{N\,m}}", True),
        ("18 MJ", "5 kW h", True),
        ("5 N·m", "5 N", False),
        ("5 µm", r"\boxed{5\,\mu\text{m}}", True),
        ("5 mm", r"\boxed{5\ \mu m}", False),
        ("5 kΩ", r"\boxed{5000\ \Omega}", True),
        ("5 m^2", "5 meters", False),
        ("1500000", r"\boxed{1.5\text{ million}}", True),
        ("1500000", r"\boxed{1.5\,\text{Million}}", True),
        # a box with a formula of which the number is a part
        (5, r"\boxed{5\pi}", False),
        (5, r"\boxed{\sqrt{5}}", False),
        (5, r"\boxed{5!}", False),
        (5, r"\boxed{A = 5\pi}", False),
        (5, r"\boxed{\sqrt{25} = 5}", True),
        (5, "It is 5. No others are there, since 7 > 6.\n\nAnswer: 5. No 7 is.", True),
        ("2 square meters", r"2 \text{ m}^2", True),
        ("$5", "€5", False),
        ("$5", "The answer is $5$.", True),
        ("€5", "The answer is $5$.", True),
        ("€5", "The answer is $$5$$.", True),
        ("€5", r"The answer is $\$5$.", False),
        ("€5", "The answer is $5 and $6 would do, too.", False),
        ("5 apples", r"The answer is $5 \text{ apples}$.", True),
        ("5 m", r"The answer is $5 \text{ m}$.", True),
        ("$0.50", "50 cents", True),
        ("20 °C", "20 degrees Celsius", True),
        ("20 °C", "20 °F", False),
        ("20 °C", "20 K", False),
        ("2 years", "24 months", True),
        ("12", "12 in total", True),
        ("5 m", "5 in total", True),
        ("5 m", "5 in", False),
        # several numbers of one quantity
        ("3", "3 hours and 20 minutes", False),
        ("20", r"\boxed{3\text{ hours and }20\text{ minutes}}", False),
        ("3 hours and 20 minutes", "200 minutes", True),
        ("3 hours 20 minutes", "3 hours and 20 minutes", True),
        ("3 hours and 20 minutes", "3", False),
        ("5 feet 11 inches", "71 inches", True),
        # percent signs
        ("50%", "50", True),
        ("50%", "50%", True),
        ("50%", "0.5", True),
        ("50%", "5", False),
        ("12.5%", "12.5", True),
        ("12.5%", "0.125", True),
        ("0.5", "50%", True),
        ("50", "50%", True),
        ("50", "0.5", False),
        ("0.5", "0.5%", False),
        # numbers that are near, or look so (Inspect's numeric match takes these for equal)
        (123456, "123459", False),
        (1234569, "The answer is 1234567", False),
        (5, "answer: 5 (see page 7)", True),
        (0.5, "1/2", True),
        # GSM8K's form, in which verl and SkyRL differ
        (43, "#### 42\n#### 43", True),
        (42, "so #### 43, no wait, #### 42", True),
        (42, "#### 42.", True),
        (42, "#### $42", True),
        (42, "#### 42.0", True),
        (42, "#### 42" + " thanks" * 52, True),
        (42, "**Answer:** 42", True),
        (42, "**Answer: 42.**", True),
        (3, "٣", False),
    ],
)
def test_pairs(reference: Any, answer: str, right: bool) -> None:
    assert bool(check(answer, reference)) is right


@pytest.mark.parametrize(
    ("reference", "answer", "options", "right"),
    [
        (3.14, "3.1416", {"absolute": 0.01}, True),
        (3.14, "3.2", {"absolute": 0.01}, False),
        (1000, "1001", {"relative": 1e-3}, True),
        (1000, "1002", {"relative": 1e-3}, False),
        (-1000, "-1001", {"relative": 1e-3}, True),
        (0, "0.0001", {"relative": 0.1}, False),
        ("5 m", "501 cm", {"absolute": 0.02}, True),
        ("5 m", "5.01 m", {"absolute": 0.005}, False),
        ("5 cm", "5 m", {"units": "ignored"}, True),
        ("5 cm", "5", {"units": "required"}, False),
        ("5 cm", "5 cm", {"units": "required"}, True),
        ("5 cm", "0.05 m", {"units": "required"}, True),
        ("5 apples", "5 apples", {"units": "required"}, True),
        ("5 apples", "5", {"units": "required"}, False),
        ("5 apples", "5 pears", {"units": "required"}, False),
        ("5", "5 cm", {"units": "none"}, False),
        ("5", "5", {"units": "none"}, True),
        ("50%", "0.5", {"percent": "exact"}, True),
        ("50%", "50", {"percent": "exact"}, False),
        ("50%", "50%", {"percent": "exact"}, True),
        ("0.5", "50%", {"percent": "exact"}, True),
        ("50", "50%", {"percent": "exact"}, False),
    ],
)
def test_options(reference: Any, answer: str, options: dict[str, Any], right: bool) -> None:
    assert bool(check(answer, reference, **options)) is right


def test_reasons() -> None:
    assert check("5", 5).reason == "correct"
    assert check("6", 5).reason == "wrong"
    assert check("unknown", 5).reason == "no_answer"
    assert check("<think>5</think>", 5).reason == "no_answer"
    assert check("The answer is 5 or 6.", 5).reason == "unparsable"
    assert check("5/0", 5).reason == "unparsable"
    assert check("5 " * 50_000, 5).reason == "too_long"
    assert check("<think>" + "5 " * 50_000 + "</think>5", 5).reason == "correct"
    for reference in ("five", "", "5 or 6", float("nan"), float("inf"), True):
        verdict = check("5", reference)
        assert (verdict.score, verdict.reason) == (None, "invalid_reference"), reference


def test_mistakes_of_an_author_are_said() -> None:
    with pytest.raises(ValueError, match="unknown units 'metric'; there is optional, required, none, ignored"):
        check("5", 5, units="metric")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="relative is 0 or more, not -1"):
        check("5", 5, relative=-1)
    with pytest.raises(TaskError, match=r"'five' is not one number; write one such as"):
        prove("five")
    with pytest.raises(TaskError, match="'5' has no unit, and units='required'"):
        prove("5", units="required")
    with pytest.raises(TaskError, match="'5 cm' has a unit, and units='none'"):
        prove("5 cm", units="none")
    for reference in (5, "5 cm", "$5", "50%", "3 hours and 20 minutes", 0.1):
        prove(reference)


@pytest.mark.parametrize(
    "text", ["2x", "2 x", r"2\pi", "5m", r"2\sqrt{3}", "5!", "2 times 3", "5 or 6", "x", "", "5 in total of 7"]
)
def test_what_is_more_than_a_quantity(text: str) -> None:
    assert parse_quantity(text) is None


_UNITS = st.sampled_from(["", " cm", " m", " km/h", " m^2", "%", " apples", " hours", " °C", " kg"])
_NUMBERS = st.one_of(st.integers(-(10**9), 10**9).map(str), st.decimals(-999, 999, places=3).map(str))


@given(_NUMBERS, _UNITS, _NUMBERS, _UNITS, st.sampled_from(["optional", "required", "none", "ignored"]))
def test_two_quantities_agree_either_way_round(one: str, unit: str, other: str, second: str, units: Any) -> None:
    first, last = one + unit, other + second
    if unit == second or (units == "ignored" and "%" not in unit + second):
        assert check(first, last, units=units).score == check(last, first, units=units).score
    if units != "none" and (units != "required" or unit not in ("", "%")):
        assert check(first, first, units=units)


@given(st.text(max_size=200))
def test_any_text_has_a_verdict(text: str) -> None:
    assert check(text, "5 cm", units="required").score in (0, 1)


@pytest.mark.parametrize("name", FORMULAS)
def test_hostile_answers(name: str) -> None:
    assert check(rf"\boxed{{{FORMULAS[name]}}}", 424242).score == 0


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.timeout(30)
def test_hostile_replies(part: str) -> None:
    assert check(part * (60_000 // len(part)), "424242 km").score == 0
