from __future__ import annotations

import asyncio
import sys
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgym.concurrency import PastDeadline, WorkerError, drive_in_background, in_process
from llmgym.errors import EnvironmentFailure, MissingExtraError, TaskError
from llmgym.verifiers import math
from llmgym.verifiers.math import acheck, check, formulas, kind_of, prove
from tests.verifiers.hostile import FORMULAS, PARTS

PAIRS: list[tuple[str, str, bool]] = [
    # notations
    ("3/2", "1 1/2", True),
    ("1.5", "1 1/2", True),
    ("10^6", "1e6", True),
    ("10^6", "1 million", True),
    ("3", "three", False),
    ("1/3", r"0.\overline{3}", True),
    ("1/3", "0.(3)", True),
    ("1000", r"1\,000", True),
    ("1234", "1 234", True),
    ("1234", "1{,}234", True),
    ("12345678", r"12\,345\,678", True),
    ("235", r"1\,234", False),
    ("235", "1 234", False),
    ("-3", "−3", True),
    ("3/4", r"\frac{3}{4}", True),
    ("-1/2", r"\frac{-1}{2}", True),
    ("5", "x = 5", True),
    ("5", "5 = x", True),
    ("5", "2 + 3 = 5", True),
    ("5", "five", False),
    ("101", "101_2", False),
    ("5", "101_2", False),
    # units
    ("5 cm", "5 m", False),
    ("5 cm", "5 cm^2", False),
    ("5 cm", r"5\text{ cm}", True),
    ("3", "3 hours and 20 minutes", False),
    ("45", r"45^\circ", True),
    # percent signs
    ("50%", "50", True),
    ("50%", r"50\%", True),
    ("12.5%", "12.5", True),
    ("0.5", "50%", True),
    ("50%", "0.5", True),
    ("10", r"10\%", True),
    # how near: exactly, but 1e-6 of a reference with a decimal point
    ("1/3", "0.333333", False),
    ("1/3", "0.33", False),
    ("0.333333", "0.3333331", True),
    ("0.33", "1/3", False),
    ("1e-7", "2e-7", False),
    ("10^{-7}", r"2\cdot 10^{-7}", False),
    # words and letters
    ("12:00", "1:00", False),
    ("12:30", "12:30", True),
    ("1:30 PM", "01:30 p.m.", True),
    ("1:30 PM", "1:30 AM", False),
    (r"10:30 \text{ a.m.}", "10:30 AM", True),
    ("12:30", "0.4", False),
    (r"\text{Evelyn}", "Evelyn", True),
    (r"\text{Evelyn}", r"\text{evelyn}.", True),
    (r"\text{ab}", "ba", False),
    (r"\text{yes}", "Yes.", True),
    ("B", "(B)", True),
    ("B", r"\text{(B)}", True),
    ("B", r"\textbf{(B)}~5", True),
    ("B", "C", False),
    ("B", "Because", False),
    ("101_2", "101", True),
    ("101_2", "101_{2}", True),
    ("101_2", "5", False),
    ("101_2", "101_3", False),
    # tuples, sets and intervals are three things
    ("(1,2)", "(1, 2.0)", True),
    ("(1,2)", r"\left(1,2\right)", True),
    ("(1,2)", "(2,1)", False),
    ("(1,2)", r"\{1,2\}", False),
    ("(1,2)", "1,2", False),
    ("(1,2)", "(1,2,3)", False),
    (r"\{1,2\}", "2, 1", True),
    (r"\{1,2\}", "1 and 2", True),
    (r"\{1,2\}", r"x=1 \text{ or } x=2", True),
    (r"\{1,2\}", "1, 1, 2", True),
    (r"\{1,2\}", "(1,2)", False),
    (r"\{1,2\}", "1", False),
    (r"\{1,2\}", "1, 2, 3", False),
    (r"\{1,234\}", "1, 234", True),
    (r"\{2,-2\}", r"\pm 2", True),
    (r"\{(1,2),(3,4)\}", "(3,4), (1,2)", True),
    (r"\{(1,2),(3,4)\}", "(2,1), (3,4)", False),
    (r"\emptyset", r"\{\}", True),
    ("[0,1]", r"0 \le x \le 1", True),
    ("[0,1)", "0 ≤ x < 1", True),
    ("[0,1)", "[0,1]", False),
    ("x>2", r"(2,\infty)", True),
    (r"(2,\infty)", "x > 2", True),
    (r"(2,\infty)", "2 < x", True),
    (r"(2,\infty)", r"[2,\infty)", False),
    (r"(-\infty,1)\cup(2,\infty)", "x<1 or x>2", True),
    (r"(-\infty,1)\cup(2,\infty)", r"(2,\infty)\cup(-\infty,1)", True),
    (r"x \in [-2,7]", "[-2,7]", True),
    (r"\mathbb{R}", r"(-\infty,\infty)", True),
    ("-2,1", "1, -2", True),
    (r"10,\!080", "10080", True),
    (r"\$18.90", "18.9", True),
    (r"15\mbox{ cm}^2", r"15\text{ cm}^2", True),
    (r"70 \text{ square inches}", "70", True),
    (r"70 \text{ square inches}", r"70\text{ in}^2", True),
    (r"17\frac{1}{2}", "17.5", True),
    (".35625", "0.35625", True),
    # equations: what a name stands for
    ("x=5", "5", True),
    ("x=5", "5=x", True),
    ("x=5", "y=5", False),
    ("y=2x+1", "2x+1", True),
    # one answer, not several
    ("3", "3, 4", False),
    ("3", r"3 \text{ or } 4", False),
    ("3.4", "3,4", True),
    # other types of letters, and other ways to write blanks and units
    ("24", r"\mathbf{24}", True),
    ("24", r"\mathbf{25}", False),
    ("-95", r"a(7) = \mathbf{-95}", True),
    ("2/3", r"\boldsymbol{\dfrac{2}{3}}", True),
    ("119/12", r"9 \, \frac{11}{12}", True),
    ("24", r"\textbf{24 coins}", True),
    ("14", "14 years old", True),
    ("14", r"14\ \text{years old}", True),
    ("10%", r"10\text{\%}", True),
    ("90 m", "90~m", True),
    ("60 cm^3", r"60 \textrm{ cm}^3", True),
    ("60 cm^3", r"60 \text{ cm$^3$}", True),
    ("60 cm^3", r"60 \text{ cm$^2$}", False),
    ("3211_8", r"\texttt{3211}", True),
    ("10202_3", r"10202 \text{ (base 3)}", True),
    ("10202_3", r"10202 \text{ (base 4)}", False),
    # values of different names
    ("x=2, y=-1", r"y=-1,\ x=2", True),
    ("x=2, y=-1", "x=-1, y=2", False),
    ("x=2, y=-1", "(2,-1)", True),
    ("x=2, y=-1", "(-1,2)", False),
    ("x=2, y=-1", "(y,x)=(-1,2)", True),
    ("x=2, y=-1", "(y,x)=(2,-1)", False),
    ("x=2, y=-1", "2, -1", True),
    ("x=2, y=-1", "-1, 2", False),
    ("x=2, y=-1", "x=2", False),
    ("x=2, x=-1", "-1, 2", True),
    ("x=2, x=-1", "y=2, y=-1", False),
    ("x=2, x=-1", "X=2, X=-1", True),
    ("a=1, A=2", "a=2, A=1", False),
    ("x_1=2, x_2=-1", r"x=-1 \text{ or } x=2", True),
    (r"\{(1,2),(3,4)\}", "(x,y)=(1,2),(3,4)", True),
    # numbers that are about so
    ("3.14", r"\approx 3.14", True),
    ("3.14", r"x \approx 3.14", True),
    ("3", r"4 \approx 3", False),
    (r"\pi", r"\pi \approx 3.14", True),
    ("3.14", r"\pi \approx 3.14", True),
    # units and amounts in words
    ("150 minutes", "2.5 hours", True),
    ("150 minutes", "3 hours", False),
    ("5 m/s", r"5\,\mathrm{m\,s^{-1}}", True),
    ("5 m/s", r"5 \text{ m s}^{-2}", False),
    ("5 J", r"5\ \mathrm{kg\,m^2\,s^{-2}}", True),
    ("25 m^2", "25 meters squared", True),
    ("5 µm", r"5\,\mu\text{m}", True),
    ("5 mm", r"5\ \mu\mathrm{m}", False),
    ("50 kΩ", r"50\,\mathrm{k\Omega}", True),
    ("1500000", r"1.5 \text{ million}", True),
    ("1.5", r"1.5 \text{ million}", False),
    ("B", r"\text{Option B}", True),
]

BY_LIBRARY: list[tuple[str, str, bool]] = [
    (r"\frac{\sqrt3}{2}", "√3/2", True),
    ("x^2+2x+1", "(x+1)**2", True),
    ("x^2+2x+1", "(x+1)^3", False),
    (r"\frac{\pi}{4}", r"45^\circ", False),
    ("-1", r"e^{i\pi}", False),
    (r"\pi", "3.14159", False),
    (r"\sqrt{2}", "1.41421356", False),
    ("1.41421356", r"\sqrt{2}", True),
    (r"\sqrt{2}", "sqrt(2)", True),
    (r"\sqrt{2}", "2^{1/2}", True),
    ("1/2004!", "1/2006!", False),
    ("1/2^{99}", "1/2^{98}", False),
    (r"1-1/\mathrm{e}", r"1+1/\mathrm{e}", False),
    ("1-1/e", r"1-\frac{1}{\mathrm{e}}", True),
    ("6", r"6 \mod 7", True),
    ("2", "1+1", True),
    ("120", "5!", True),
    ("5", "5!", False),
    ("2", r"\pm 2", False),
    ("y=2x+1", "y=1+2x", True),
    ("x^2+y^2=1", "y^2+x^2=1", True),
    ("f(x)=x^2", r"x\cdot x", True),
    (r"2\sqrt{3}\text{ cm}", r"2\sqrt{3}", True),
    (r"2\sqrt{3}\text{ cm}", r"2\sqrt{3}\text{ m}", False),
    (r"2\sqrt{3}\text{ m}", r"200\sqrt{3}\text{ cm}", True),
    (r"\begin{pmatrix}1\\x\end{pmatrix}", r"\begin{bmatrix}1\\x\end{bmatrix}", True),
    (r"\begin{pmatrix}1\\x\end{pmatrix}", r"\begin{pmatrix}1\\y\end{pmatrix}", False),
    (r"\begin{pmatrix}1\\2\end{pmatrix}", "(1,2)", False),
    (r"\begin{pmatrix} -18 & 96 \\ 6 & 22 \end{pmatrix}", r"\begin{bmatrix}-18&96\\6&22\end{bmatrix}", True),
    ("3x - 4y + 7 = 0", "4y - 3x = 7", True),
    ("3x - 4y + 7 = 0", "4y - 3x = 8", False),
    (r"3 \pm 2\sqrt{2}", r"3-2\sqrt{2}, 3+\sqrt{8}", True),
    (r"e^{2x}+C", "C+e^{2x}", True),
    (r"10^{-7}x", r"2\cdot 10^{-7}x", False),
    (r"(1, \frac{\pi}{2})", r"(1, \pi/2)", True),
    (r"\{\sqrt{2}, 1\}", r"1, 2^{1/2}", True),
    (r"\sin^2 x", r"1-\cos^2 x", True),
    ("x", "x'", False),
    ("a", "b", False),
    # numbers that begin with the same forty digits
    ("2^{100}", "2^{100}-1", False),
    ("2^{100}", "4^{50}", True),
    ("100!", "100!+1", False),
    (r"10^{50}\pi", r"10^{50}\pi+1", False),
    ("(2^{100},1)", "(2^{100}-1,1)", False),
    # degrees of an angle, and letters in two forms
    ("1/2", r"\sin 30^\circ", True),
    ("3/4", r"\cos^2(30°)", True),
    ("1/2", r"\sin 30", False),
    ("2", r"\frac{1}{\sin{30^{\circ}}}", True),
    (r"\sin 75^\circ", r"\sin(30^\circ+45^\circ)", True),
    (r"\sin(x^\circ+30^\circ)", r"\sin(30^\circ+x^\circ)", True),
    (r"2\pi r", r"2\pi\,r", True),
    (r"\varepsilon_0", r"\epsilon_0", True),
    (r"\varphi", r"\phi", True),
]


def boxed(answer: str) -> str:
    return rf"So it is \boxed{{{answer}}}."


@pytest.mark.parametrize(("reference", "answer", "right"), PAIRS)
def test_without_the_library(reference: str, answer: str, right: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(math, "_compare_by_library")
    verdict = check(boxed(answer), reference)
    assert verdict.score == right, verdict


@pytest.mark.parametrize(("reference", "answer", "right"), BY_LIBRARY)
def test_with_the_library(reference: str, answer: str, right: bool) -> None:
    pytest.importorskip("math_verify")
    verdict = check(boxed(answer), reference)
    assert verdict.score == right, verdict


@pytest.mark.parametrize(
    ("reference", "answer", "options", "right"),
    [
        ("(1,2)", "(1,2)", {"kind": "interval"}, True),
        ("(1,2)", "1<x<2", {"kind": "interval"}, True),
        ("(1,2)", "[1,2]", {"kind": "interval"}, False),
        ("(1,2)", r"\{1,2\}", {"kind": "interval"}, False),
        ("1,2", "2,1", {"kind": "set"}, True),
        ("Evelyn", "evelyn", {"kind": "text"}, True),
        ("b", "(B)", {"kind": "choice"}, True),
        ("1/3", "0.333", {"relative": 0.01}, True),
        ("0.5", "0.5000001", {"relative": 0.0}, False),
        ("100", "101", {"absolute": 1.0}, True),
        ("50%", "50", {"percent": "exact"}, False),
        ("5 cm", "5 m", {"units": "ignored"}, True),
        ("5 cm", "5", {"units": "required"}, False),
        ("5 cm", "5 cm", {"units": "none"}, False),
    ],
)
def test_options(reference: str, answer: str, options: dict[str, Any], right: bool) -> None:
    assert bool(check(boxed(answer), reference, **options)) is right


@pytest.mark.parametrize(
    ("reply", "right"),
    [
        (r"\boxed{4}", True),
        ("4", True),
        ("$4$", True),
        (r"\(4\)", True),
        ("The answer is 4.", True),
        ("**Answer:** 4", True),
        ("**Answer: 4.**", True),
        ("The answer is 4!", True),
        ("Answer: 42", False),
        ("The answer is $4$, since $2+2=4$.", True),
        ("The answer is 4 because 5 is odd.", True),
        ("The answer is 4 apples left over for all of them.", True),
        ("The answer is 4 times the square root of 3.", False),
        (r"The answer is 4\sqrt{3}.", False),
        ("<answer>4</answer> in 3 steps", True),
        ("#### 4", True),
        (r"The answer is \boxed{3}. Wait, that is wrong. So \boxed{4}.", True),
        (r"The answer is $\boxed{3}$. Wait, that is wrong. So $\boxed{4}$.", True),
        (r"I got \boxed{3}. Wait. So \boxed{4}", True),
        (r"\boxed{3}. No, wait, it is 4.", True),
        (r"\boxed{4}. No, wait, it is 3.", False),
        (r"\boxed{3} or \boxed{4}", False),
        (r"\boxed{4} and \boxed{4}", False),
        (r"\boxed{3}. The final answer is $4$.", True),
        (r"\boxed{4", False),
        (r"<think>\boxed{4}</think>", False),
        (r"<think>\boxed{3}</think>\boxed{4}", True),
        (r"\boxed{\fbox{4}}", True),
        ("Final Answer: The final answer is $4$. I hope it is correct.", True),
        ("The answer is $4.", True),
        (r"\boxed{\text{Answer: }4}", False),
        ("First 2.\nThen 4.", False),
        ("I add them.\n\n## Final Answer\n\n4", True),
        ("## Answer\n\n2 and 2\nmake 4", False),
        ("The answer is $4$ or $5$.", False),
        (r"The answer is \(4\), \(5\).", False),
        ("The answer is $4$ or 5.", False),
        ("The answer is $4$, $x$ being positive.", True),
        ("#### Answer\n\n4", True),
        (r"The answer is $\frac{8}{2}$ or $4$.", True),
        (r"\boxed{4}. No other solution is there, since 7 > 6.", True),
        ("", False),
    ],
)
def test_where_the_answer_stands(reply: str, right: bool) -> None:
    assert bool(check(reply, "4")) is right


def test_the_last_number_counts_where_the_task_says_so() -> None:
    assert check("First 2.\nThen 4.", "4").reason == "no_answer"
    assert check("First 2.\nThen 4.", "4", last_number=True)
    assert check(r"First $x+1$." "\n\nThen more.", "x+1", last_number=True).reason == "no_answer"


def test_several_formulas_are_a_set() -> None:
    assert check("The answer is $1$ and $2$.", r"\{1,2\}")
    assert check(r"The answer is \(1\), \(2\), and \(3\).", r"\{1,2,3\}")


def test_several_boxes_are_a_set() -> None:
    assert check(r"$x = \boxed{2}$ or $x = \boxed{3}$", r"\{2,3\}")
    assert check(r"\boxed{2}, \boxed{3}", "2,3", kind="set")


@pytest.mark.parametrize(
    ("reference", "kind"),
    [
        ("42", "number"), ("1,234", "number"), (r"\frac{1}{2}", "number"), ("5 cm", "number"), ("50%", "number"),
        ("2x+1", "expression"), (r"\sqrt{2}", "expression"), (r"f'(x)", "expression"), ("5!", "expression"),
        ("y=2x", "equation"), ("x^2+y^2=1", "equation"),
        (r"\{1,2\}", "set"), ("1,2", "set"), ("1, 2, 3", "set"), (r"x=1 \text{ or } x=2", "set"), (r"\emptyset", "set"),
        ("(1,2)", "tuple"), ("(x, y, z)", "tuple"),
        ("[1,2]", "interval"), ("(1,2]", "interval"), (r"(-\infty, 3)", "interval"), ("x>3", "interval"),
        (r"(0,1)\cup(2,3)", "interval"), (r"1 \le x < 2", "interval"),
        (r"\text{Evelyn}", "text"), ("12:30", "text"), ("B", "choice"), (r"\text{(B)}", "choice"), ("101_2", "base"),
    ],
)  # fmt: skip
def test_kinds(reference: str, kind: str) -> None:
    assert kind_of(reference) == kind


def test_references_are_proven() -> None:
    pytest.importorskip("math_verify")
    for reference in ("5", "2x+1", r"\text{Evelyn}", "101_2", r"\{1,\sqrt{2}\}", "x^2=1", "[0,1)", 5, 0.5):
        prove(reference)
    prove("Evelyn", kind="text")
    prove("(1,2)", kind="interval")
    prove(Fraction(1, 3))
    for reference in (
        "]][[",
        "Evelyn",
        r"1,2,\ldots,n",
        "}{",
        "",
        "(" * 9 + "x" + ")" * 9,
        r"a \equiv 3 \pmod 5",
        "x" * 501,
    ):
        with pytest.raises(TaskError, match="does not match itself"):
            prove(reference)
    with pytest.raises(TaskError, match="name another kind"):
        prove("5", kind="interval")
    with pytest.raises(TaskError, match="does not match itself"):
        prove("5", units="required")


def test_a_reference_that_nobody_can_match_leaves_unscored() -> None:
    pytest.importorskip("math_verify")
    for reference in ("Evelyn is right", r"1,2,\ldots,n", "", r"\cup\cup", float("nan"), float("inf")):
        verdict = check(boxed("x"), reference)
        assert (verdict.score, verdict.reason) == (None, "invalid_reference"), reference
    for kind in ("interval", "tuple", "base", "choice", "equation"):
        assert check(boxed("x"), "17", kind=kind).reason == "invalid_reference", kind  # type: ignore[arg-type]


def test_mistakes_of_an_author_are_said() -> None:
    with pytest.raises(ValueError, match="unknown kind 'integer'; there is number, expression"):
        check("5", "5", kind="integer")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="unknown percent 'yes'"):
        check("5", "5", percent="yes")  # type: ignore[arg-type]


def test_code_in_an_event_loop_may_wait_for_the_library() -> None:
    async def verify() -> bool:
        return bool(check(r"\boxed{1+x}", "x+1"))

    assert drive_in_background(verify())
    assert asyncio.run(verify())


def test_a_missing_library_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(math, "_library_is_there", lambda: False)
    assert check(boxed("5"), "5")
    with pytest.raises(MissingExtraError, match=r"llmgym\[verifiers\]"):
        check(boxed("x+1"), "1+x")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (PastDeadline(), "timeout"),
        (EnvironmentFailure("the worker process died", kind="infrastructure"), "infrastructure"),
    ],
)
def test_what_befalls_a_worker(error: Exception, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def in_process(*args: Any, **options: Any) -> Any:
        raise error

    monkeypatch.setattr(math, "in_process", in_process)
    monkeypatch.setattr(math, "_library_is_there", lambda: True)
    verdict = asyncio.run(acheck(boxed("x+1"), "1+x"))
    assert verdict.reason == reason
    assert verdict.score == (None if reason == "infrastructure" else 0)


def take_memory() -> None:
    with formulas._bounded_memory():
        bytearray(4 * 1024**3)


@pytest.mark.skipif(sys.platform != "linux", reason="the system does not say what a process takes")
def test_memory_is_bounded() -> None:
    with pytest.raises(WorkerError, match="MemoryError"):
        asyncio.run(in_process(take_memory, seconds=60))


@pytest.mark.slow
@pytest.mark.parametrize("reference", ["424242", r"424242\pi"])
@pytest.mark.parametrize("name", FORMULAS)
@pytest.mark.timeout(60)
def test_hostile_answers(name: str, reference: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("math_verify")
    monkeypatch.setattr(math, "_SECONDS", 0.5)
    verdict = check(boxed(FORMULAS[name]), reference)
    assert verdict.score == 0, verdict
    assert verdict.reason in ("wrong", "unparsable", "too_long", "timeout", "no_answer")
    assert reference not in verdict.detail


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.timeout(30)
def test_hostile_replies(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(math, "_library_is_there", lambda: True)
    monkeypatch.setattr(math, "in_process", None)  # nothing of this comes so far
    for reference in ("424242", r"\{1,2\}", r"\text{no}"):
        assert check(part * (60_000 // len(part)), reference).score == 0
    assert check(part * (70_000 // len(part)), "5", last_number=True).score == 0


_NUMBERS = st.one_of(
    st.integers(-(10**6), 10**6).map(str),
    st.fractions(-99, 99, max_denominator=99).map(lambda value: rf"\frac{{{value.numerator}}}{{{value.denominator}}}"),
)


@given(_NUMBERS, _NUMBERS)
def test_two_exact_numbers_are_equal_either_way_round(one: str, other: str) -> None:
    assert check(boxed(one), other, kind="number").score == check(boxed(other), one, kind="number").score
    assert check(boxed(one), one, kind="number")


@given(st.lists(_NUMBERS, min_size=2, max_size=5, unique=True), st.randoms())
def test_a_set_has_no_order_and_a_tuple_has(elements: list[str], random: Any) -> None:
    shuffled = random.sample(elements, len(elements))
    one, other = (", ".join(order) for order in (elements, shuffled))
    assert check(boxed(rf"\{{{one}\}}"), other, kind="set")
    assert check(boxed(rf"\{{{other}\}}"), one, kind="set")
    same = check(boxed(f"({one})"), f"({one})", kind="tuple")
    assert same
    values = {element: check(boxed(element), elements[0], kind="number").score for element in elements}
    if values[shuffled[0]] == 0:
        assert not check(boxed(f"({one})"), f"({other})", kind="tuple")


@given(st.text(max_size=300), st.sampled_from(["5 cm", r"\{1,2\}", "(1,2)", "[0,1)", r"\text{a b}", "B", "101_2"]))
def test_any_text_has_a_verdict(text: str, reference: str) -> None:
    compared = math._compare(text, reference, None, math.Options(None, 0.0, "optional", "either"), last_number=True)
    assert isinstance(compared, tuple) or compared.score in (0, 1)


@pytest.mark.parametrize(
    ("reply", "reference", "right"),
    [
        ("0x2A5", "2A5_16", True),
        ("2a5 (base 16)", "2A5_16", True),
        ("\\boxed{(2A5)_{16}}", "2A5_16", True),
        ("\\boxed{2\\text{A}5_{16}}", "2A5_16", True),
        ("1101 0110", "11010110_2", True),
        ("2A5_8", "2A5_16", False),
        ("```\n12\n```", "12", True),
        ("\\boxed{\\text{12}}", "12", True),
        ("The area is 12 m^2.", "12 m^2", True),
        ("The area is 12 cm^2.", "12 m^2", False),
        ("The answer is 12, 5, 7.", "12", False),
        ("It is one of 5, 7, 12.", "12", False),
        ("The answer is 12, 5.", "12", False),
        ("5, 6 and 1 make 12.", "12", True),
    ],
)
def test_bases_fences_and_lists(reply: str, reference: str, right: bool) -> None:
    assert math.check(reply, reference).score == float(right)
