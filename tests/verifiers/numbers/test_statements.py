from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgym.verifiers.numbers.statements import final_number, format_number, parse_number

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
        if number >= 10**6:
            forms.append(f"{number:,}".replace(",", "."))
        forms += [f"{number}e0", f"{number}.00", "".join(chr(ord(digit) + 0xFEE0) for digit in str(number))]
        forms += [f"{number // 10**power} {name}" for power, name in ((3, "thousand"), (6, "million"), (9, "billion"))
                  if number and number % 10**power == 0]  # fmt: skip
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
            forms += [f"{whole} and {rest}/{bottom}", f"{whole} \\frac{{{rest}}}{{{bottom}}}"]
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


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("The answer is 15. I used 2 tools.", "15"),
        ("The answer is 15 (5 + 10)", "15"),
        ("Answer: 15\n\nExplanation: 5 + 10 = 15, in 2 steps", "15"),
        ("Answer: 15\nI did this in 3 steps.", "15"),
        ("**Answer:** 15 after 3 steps", "15"),
        ("The final answer is 15, from 5 and 10.", "15"),
        ("15 (5 + 10)", "15"),
        ("= 15 (5 + 10)", "15"),
        ("The answer is 5 + 10 = 15.", "15"),
        ("The answer is 15 = 5 + 10", "15"),
        ("15 = 5 + 10", "15"),
        ("x = 5 + 10 = 15 apples", "15"),
        ("The answer is not 12 but 13", "13"),
        ("The answer is 13, not 12", "13"),
        ("The answer is 13 and not 12.", "13"),
        ("13, not 12", "13"),
        ("It's 13 rather than 12.", "13"),
        ("\\boxed{3}\nWait, that is wrong.\nAnswer: 4", "4"),
        ("\\boxed{3}\nWait, that is wrong.\nAnswer: \\boxed{4}", "4"),
        ("Answer: 3\nNo, wait.\nAnswer: 4", "4"),
        ("The answer is 3. No, wait, it is 4.", "4"),
        ("The answer is 3. No I was wrong, it is 4.", "4"),
        ("The answer is 3\n\nNo\n\nIt should be 4", "4"),
        ("\\boxed{3} or \\boxed{4}", None),
        ("The answer is 3 or 4.", None),
        ("Answer: 3 or 4", None),
        ("1.000.000", "1000000"),
        ("1.234.567,5", "1234567.5"),
        ("1.234,5", "1234.5"),
        ("1,234.5", "1234.5"),
        ("0,5", "1/2"),
        ("3,14", "3.14"),
        ("1 million", "1000000"),
        ("1.5 million", "1500000"),
        ("2 billion", "2000000000"),
        ("5 thousand", "5000"),
        ("3 hundred", "300"),
        ("0.\\overline{3}", "1/3"),
        ("0.1\\overline{6}", "1/6"),
        ("0.(3)", "1/3"),
        ("1,00,000", "100000"),
        ("1~234", "1234"),
        ("1\\ 234", "1234"),
        ("12\\text{ cm}", "12"),
        ("12\\text{ cm}^2", "12"),
        ("12 cm²", "12"),
        ("12 cm^2", "12"),
        ("12 m/s", "12"),
        ("50%", "50"),
        ("50 %", "50"),
        ("50\\%", "50"),
        ("50 percent", "50"),
        ("\\frac{3}{-4}", "-3/4"),
        ("-\\frac{3}{4}", "-3/4"),
        ("-\\frac{-3}{4}", "3/4"),
        ("\\left(-\\frac{3}{4}\\right)", "-3/4"),
        ("-2\\frac{1}{2}", "-5/2"),
        ("2 \\frac{1}{2}", "5/2"),
        ("\\frac 3 4", "3/4"),
        ("\\frac{3}4", "3/4"),
        ("\\frac{1{,}000}{3}", "1000/3"),
        ("\\frac{1,000}{3}", "1000/3"),
        ("{3 \\over 4}", "3/4"),
        ("3 / 4", "3/4"),
        ("¾", "3/4"),
        ("2¾", "11/4"),
        ("-2¾", "-11/4"),
        ("1 and 3/4", "7/4"),
        ("minus 5", "-5"),
        ("- 5", "-5"),
        ("The answer is - 5", "-5"),
        ("The answer is minus 5.", "-5"),
        ("the result is negative 5", "-5"),
        ("we obtain - 5", "-5"),
        ("we have − 5", "-5"),
        ("Answer: - 5", "-5"),
        ("Answer:\n- 5", "-5"),
        ("– 5", "-5"),
        ("−5", "-5"),
        ("‑5", "-5"),
        ("－5", "-5"),
        ("—5", "5"),
        ("-$5", "-5"),
        ("$-5", "-5"),
        ("−$5.50", "-5.5"),
        ("-€5", "-5"),
        ("- $5", "-5"),
        ("€ -5", "-5"),
        ("-5 €", "-5"),
        ("₩500", "500"),
        ("₿2", "2"),
        ("5€", "5"),
        ("5 EUR", "5"),
        ("USD 5", "5"),
        ("EUR -5", "-5"),
        ("10^5", "100000"),
        ("-10^5", "-100000"),
        ("10^{-3}", "1/1000"),
        ("10**5", "100000"),
        ("1e5", "100000"),
        ("1E5", "100000"),
        ("1e+5", "100000"),
        ("1.5e-3", "0.0015"),
        ("1e−3", "0.001"),
        ("1.5×10^3", "1500"),
        ("1.5x10^3", "1500"),
        ("1.5 * 10^{3}", "1500"),
        ("1.5 \\times 10^{-3}", "0.0015"),
        ("1.5·10³", "1500"),
        ("10⁵", "100000"),
        ("10⁻³", "1/1000"),
        ("-1.5 × 10^3", "-1500"),
        ("3.0 \\times 10^2", "300"),
        ("１２", "12"),
        ("12\u200b", "12"),
        ("1 000 000", "1000000"),
        ("1\u2009000\u2009000", "1000000"),
        ("1'000'000", "1000000"),
        ("1’000", "1000"),
        ("1 000 000.5", "1000000.5"),
        ("I have 3 bags, 12 in each: 36", "36"),
        ("1, 2, 3", "3"),
        ("1,2,3", "3"),
        ("(3, 4)", "4"),
        ("15 miles (about 24 km)", "15"),
        ("It is 15 (fifteen).", "15"),
        ("5 + 10 (= 15)", "15"),
        ("(15)", "15"),
        ("(-15)", "-15"),
        ("#### 72", "72"),
        ("#### 72\n(3 steps)", "72"),
        ("<answer>72</answer> in 3 steps", "72"),
        ('{"answer": 72, "steps": 3}', "72"),
        ("COVID-19: 5", "5"),
        ("5 apples on 3/4/2024", "5"),
        ("3/4/2024", None),
        ("x2 = 7", "7"),
        ("H2O: 18", "18"),
        ("12.", "12"),
        ("12.0.", "12"),
        ("12!", "12"),
        ("12;", "12"),
        ("**12**", "12"),
        ("*12*", "12"),
        ("`12`", "12"),
        ("_12_", "12"),
        ("__12__", "12"),
        ("$12$", "12"),
        ("\\(12\\)", "12"),
        ("\\[12\\]", "12"),
        ("$$12$$", "12"),
        ("\\boxed{12}", "12"),
        ("\\boxed{12 \\text{ apples}}", "12"),
        ("\\boxed{\\text{12 apples}}", "12"),
        ("\\boxed{x = 12}", "12"),
        ("\\boxed{\\$12}", "12"),
        ("\\boxed{12\\%}", "12"),
        ("\\boxed{-12}", "-12"),
        ("\\boxed{- 12}", "-12"),
        ("\\boxed{−12}", "-12"),
        ("\\boxed{12}\n\nThis took 3 steps.", "12"),
        ("\\boxed{5} so \\boxed{}", "5"),
        ("final answer is $7$. \\boxed{8}", "8"),
        ("\\boxed{8}. The final answer is $7$.", "7"),
        ("\\fbox{12}", "12"),
        ("<think>5</think>6", "6"),
        ("<think>5", None),
        ("5</think>6", "6"),
        ("[THINK]5[/THINK]6", "6"),
        ("twelve", None),
        ("", None),
        ("5/0", None),
        ("The answer is unknown.", None),
        ("7 - 12", "12"),
        ("7-12", "12"),
        ("7 minus 12", "12"),
        ("7 - 12 = −5", "-5"),
        ("x - 5 = 3, so x = 8", "8"),
        ("x-5", "5"),
        ("3-4-5", "5"),
        ("Result: -5.", "-5"),
        ("result=-5", "-5"),
        ("result = −5", "-5"),
        ("(-5)", "-5"),
        ("[-5]", "-5"),
        ("≈ -5", "-5"),
        ("about -5", "-5"),
        ("about minus 5", "-5"),
        ("exactly -5", "-5"),
        ("-5°C", "-5"),
        ("-5 degrees", "-5"),
        ("+5", "5"),
        ("1/2", "1/2"),
        ("-1/2", "-1/2"),
        ("1/-2", "-1/2"),
        ("-1 1/2", "-3/2"),
        ("1 1/2", "3/2"),
        ("1.", "1"),
        ("Answer 15", "15"),
        ("Answer - 15", "15"),
        ("ans: 15", "15"),
        ("So the answer: 15 apples and 3 pears were left over", "15"),
        ("15 out of 20", "20"),
        ("The answer is 15 out of 20.", "15"),
        ("The answer: $15$ (see step 2)", "15"),
        ("Thus, 5 + 10 = 15. (Step 2)", "15"),
        ("The answer is $\\frac{3}{4}$ of 8", "3/4"),
        ("The answer is therefore 15", "15"),
        ("The answer to the question 5+10 is 15", "15"),
        ("My answer is 15; check: 5+10.", "15"),
        ("The answer is 15, because 5 + 10 is it", "15"),
        ("The answer is 15 since 5 + 10 is it.", "15"),
        ("15 because 5 + 10", "15"),
        ("15, as 5 + 10", "15"),
    ],
)
def test_the_number_that_a_reply_states(text: str, number: str | None) -> None:
    assert final_number(text) == (None if number is None else Fraction(number))


_STATING = (  # with other numbers around it
    "The answer is {}. I used 2 tools.",
    "Answer: {}\n\nExplanation: 5 + 10, in 2 steps.",
    "**Answer:** {} after 3 steps",
    "5 + 10 = {}",
    "{} = 5 + 10",
    "\\boxed{{{}}}\n\nThis took 3 steps.",
    "First 7, then 8.\n\nAnswer: {}",
    "\\boxed{{3}}\nWait, that is wrong.\nAnswer: {}",
    "The answer is 3. No, wait, it is {}.",
    "The answer is {}, not 12.",
    "The answer is not 12 but {}.",
    "{}\n\nExplanation: I added 5 and 10.",
    "I added 5 and 10.\n{}",
    "#### {}\n(3 steps)",
    "<answer>{}</answer> in 3 steps",
    "The answer to the question of 5 and 10 is {}",
    "1. Add 5.\n2. Add 10.\n\nFinal answer: {}",
    "Final answer is ${}$. (See step 2.)",
    "Step 1: 5 + 10 = 15. Step 2: 15 + 1 = 16. The answer: {}",
    "Answer:\n{}",
    "The answer is {} (see steps 1 and 2)",
    "The answer is therefore {}, as 5 + 10 shows.",
    "x = 5 + 10 = {} apples",
)


@given(_VALUES, st.sampled_from(_STATING), st.booleans(), st.data())
def test_numbers_around_the_stated_one_change_nothing(
    value: Fraction, form: str, negative: bool, data: st.DataObject
) -> None:
    text = data.draw(st.sampled_from([form for form in notations(value) if form[0] != "+" and "{-" not in form]))
    stated = form.format(data.draw(st.sampled_from(("-", "−", "minus "))) + text if negative else text)
    assert final_number(stated) == (-value if negative else value)


def test_a_tool_takes_the_same_notations() -> None:
    assert parse_number("minus 5") == parse_number("− 5") == parse_number("-5") == -5
    assert parse_number("10^5") == parse_number("100 000") == parse_number("100,000") == 10**5
    assert parse_number("5 apples") is None


@pytest.mark.slow
@pytest.mark.parametrize(
    "part",
    ["9", "1 ", "1 111 ", "1,111", "- ", "minus ", "1 (", "1 because ", "\\frac{1}{", "10^", "½", "²", "<think>", "{",
     "\\boxed{1}", "\n- ", " ", "\u00a0", "'", "1abc (", "0,1", "1,1", "1.111", "1=", "answer is ", "Answer: ",
     "answer to ",
     "The answer is 1 or ", "not 1 ", "0.1\\overline{", "\\boxed{1} or ", "no, ", "1. ", "5\n"],
)  # fmt: skip
@pytest.mark.timeout(60)
def test_time_grows_with_the_length_of_hostile_text(part: str) -> None:
    final_number(part * (200_000 // len(part)))


@given(st.text(alphabet=st.sampled_from(list("0123456789.,-−/⁄$\\{}()boxedfrac ×^e²⁻½_%'\n")), max_size=60))
def test_any_text_is_read_without_an_error(text: str) -> None:
    assert final_number(text) is None or isinstance(final_number(text), Fraction)
