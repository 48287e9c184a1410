from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgym.verifiers.instructions.text import count_capital_words, count_sentences


@pytest.mark.parametrize(
    ("text", "faithful", "own"),
    [
        ("", 0, 0),
        ("One", 1, 1),
        ("One. Two! Three?", 3, 3),
        ("one. two", 2, 2),
        ("Dr. Smith met Mr. Jones at 5 p.m. on Jan. 5.", 1, 1),
        ("He lives in the U.S. He likes it.", 2, 2),
        ("The U.S. economy grew 3.5% in Q4.", 1, 1),
        ("Visit example.com. It is free.", 2, 2),
        ("Wait... what happened?", 1, 1),
        ("I waited... The door opened.", 2, 2),
        ("What?! Really.", 2, 2),
        ('"Go away!" she said.', 2, 2),
        ('He said "No." Then he left.', 2, 2),
        ("(It works.) Good.", 2, 2),
        ("J. R. R. Tolkien wrote it.", 1, 1),
        ("Vitamin C. The end.", 1, 1),
        ("Use tools, e.g. a hammer.", 2, 1),
        ("Apples, pears etc. The rest is gone.", 2, 2),
        ("1. Write. 2. Read.", 4, 2),
        ("**Done.**", 2, 1),
        ("End.\n\n***", 2, 1),
        ("It is 5.", 1, 1),
    ],
)
def test_sentences(text: str, faithful: int, own: int) -> None:
    assert count_sentences(text) == faithful
    assert count_sentences(text, faithful=False) == own


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("NASA and the FBI", 2),
        ("I am A", 2),
        ("COVID-19 AND/OR U.S.", 3),
        ("DON'T I'M IT'S", 6),
        ("CANNOT", 2),
        ("(WOW)! *BIG* [NOTE]: A,B", 5),
        ("Q4 3D 42 -- !", 2),
        ("ÉCOLE ß", 1),
    ],
)
def test_words_in_capitals(text: str, count: int) -> None:
    assert count_capital_words(text) == count


@given(st.text())
def test_counts_of_any_text(text: str) -> None:
    assert count_sentences(text, faithful=False) <= count_sentences(text) <= len(text)
    assert 0 <= count_capital_words(text) <= 2 * len(text)
