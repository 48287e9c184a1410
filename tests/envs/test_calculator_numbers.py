from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgym.envs.calculator.numbers import final_number, format_number, parse_number

_MINUS = ("-", "−", "–", "- ", "− ", "minus ", "Minus ", "negative ")
_SAID = (
    "{}", "The answer is {}.", "= {}", "x = {}", "**{}**", "\\boxed{{{}}}", "\\(x = {}\\)", "Answer: {}",
    "It equals {}",
    "So we get {}.",
    "({})", "{} apples", "{} km/h", "{} m^2", "{} cm^{{2}}", "{}\\text{{ cm}}", "{} (rounded)", "{}%",
    "7 - 12 is {}", "**Answer:** {}", "<think>It is 99.</think>{}", "Maybe 99.</think> {}", "{}\n<think>99", "\n{}\n",
    "The answer is {} (5 + 10).", "The answer is {} because 5 and 10 are.", "The answer is {}, since 5 and 10 are.",
    "- First this.\n- Then that.\n\nThe answer is {}.",
)  # fmt: skip


def notations(value: Fraction) -> list[str]:
    """Ways to write a number that is not negative."""
    forms = [format_number(value)]
    if value.denominator == 1:
        number = value.numerator
        forms += [
            f"{number:,}".replace(",", mark) for mark in (",", " ", "\u2009", "\u00a0", "\u202f", "'", "{,}", "\\,")
        ]
        forms += [f"${number:,}", f"€{number}", f"{number}.0", f"{number:_}", f"+{number}"]
        tens = len(str(number)) - len(str(number).rstrip("0")) if number else 0
        lead = number // 10**tens
        forms += [f"{lead}e{tens}", f"{lead}E{tens}", f"{lead} × 10^{tens}", f"{lead} \\times 10^{{{tens}}}"]
        if lead == 1 and tens:
            forms += [f"10^{tens}", f"10^{{{tens}}}", f"10**{tens}"]
    else:
        top, bottom = value.numerator, value.denominator
        forms += [
            f"{top}/{bottom}",
            f"{top} / {bottom}",
            f"\\frac{{{top}}}{{{bottom}}}",
            f"\\dfrac{{{top}}}{{{bottom}}}",
        ]
        forms += [f"\\frac{{-{top}}}{{-{bottom}}}", f"{top}⁄{bottom}"]
        if value > 1:
            whole, rest = divmod(top, bottom)
            forms += [f"{whole} {rest}/{bottom}", f"{whole}\\frac{{{rest}}}{{{bottom}}}"]
    return forms


_VALUES = st.one_of(
    st.integers(1, 10**12).map(Fraction),
    st.integers(0, 12).map(lambda power: Fraction(10) ** power),
    st.fractions(Fraction(1, 999), 999, max_denominator=999),
)


@given(_VALUES, st.sampled_from(_SAID), st.data())
def test_the_same_number_in_another_notation_reads_the_same(value: Fraction, form: str, data: st.DataObject) -> None:
    text = data.draw(st.sampled_from(notations(value)))
    assert final_number(form.format(text)) == value


@given(_VALUES, st.sampled_from(_SAID), st.sampled_from(_MINUS), st.data())
def test_a_minus_in_any_form_negates(value: Fraction, form: str, minus: str, data: st.DataObject) -> None:
    text = data.draw(st.sampled_from([form for form in notations(value) if form[0] != "+" and "{-" not in form]))
    assert final_number(form.format(minus + text)) == -value


@given(st.fractions(Fraction(1, 99), 99, max_denominator=99).filter(lambda value: value.denominator > 1))
def test_a_fraction_is_negative_wherever_its_sign_stands(value: Fraction) -> None:
    top, bottom = value.numerator, value.denominator
    for text in (
        f"\\frac{{-{top}}}{{{bottom}}}", f"\\frac{{{top}}}{{-{bottom}}}", f"-\\frac{{{top}}}{{{bottom}}}",
        f"-{top}/{bottom}", f"{top}/-{bottom}", f"\\frac{{−{top}}}{{{bottom}}}", f"$-\\tfrac{{{top}}}{{{bottom}}}$",
    ):  # fmt: skip
        assert final_number(text) == -value


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("7 minus 12", "12"),
        ("7 - 12", "12"),
        ("10 - 12 = - 2", "-2"),
        ("- 4\n- 5", "5"),
        ("Total apples - 5", "5"),
        ("1\\frac{1}{2}", "3/2"),
        ("-1 1/2", "-3/2"),
        ("-$5", "-5"),
        ("$-5", "-5"),
        ("minus $5", "-5"),
        ("1½", "3/2"),
        ("1.5 × 10³", "1500"),
        ("2^10", "1024"),
        ("15 (= 5 + 10)", "15"),
        ("2 (3 + 4) = 14", "14"),
        ("3 + 4 = 7 (not 8)", "7"),
        ("<think>5", None),
        ("<think>5</think>", None),
        ("[THINK]5[/THINK]6", "6"),
        ("10^99999", None),
        ("0^-1", None),
        ("9" * 900 + "^999", None),
    ],
)
def test_other_notations(text: str, number: str | None) -> None:
    assert final_number(text) == (None if number is None else Fraction(number))


def test_a_tool_takes_the_same_notations() -> None:
    assert parse_number("minus 5") == parse_number("− 5") == parse_number("-5") == -5
    assert parse_number("10^5") == parse_number("100 000") == parse_number("100,000") == 10**5
    assert parse_number("5 apples") is None


@pytest.mark.parametrize(
    "part",
    ["9", "1 ", "1 111 ", "1,111", "- ", "minus ", "1 (", "1 because ", "\\frac{1}{", "10^", "½", "²", "<think>", "{",
     "\\boxed{1}", "\n- ", " ", "\u00a0", "'", "1abc ("],
)  # fmt: skip
@pytest.mark.timeout(60)
def test_time_grows_with_the_length_of_hostile_text(part: str) -> None:
    final_number(part * (200_000 // len(part)))


@given(st.text(alphabet=st.sampled_from(list("0123456789.,-−/⁄$\\{}()boxedfrac ×^e²⁻½_%'\n")), max_size=60))
def test_any_text_is_read_without_an_error(text: str) -> None:
    assert final_number(text) is None or isinstance(final_number(text), Fraction)
