from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmgym.errors import TaskError
from llmgym.verifiers import answers

RIGHT = {
    "name": (
        "Isker Falls",
        [
            "Isker Falls",
            "isker falls.",
            "**Isker Falls**",
            r"\boxed{Isker Falls}",
            r"$\boxed{\text{Isker Falls}}$",
            "Answer: Isker Falls",
            "I have found it.\n\nAnswer: **Isker Falls**.",
            "```\nIsker Falls\n```",
            "Answer:\n```\nIsker Falls\n```",
            "The answer is Isker Falls.",
            "<answer>Isker Falls</answer>",
            "<think>Whitby</think>Isker Falls",
            'Final answer: "Isker Falls"',
            "Answer: the Isker Falls",
            "The answer: is it? Answer: Isker Falls",
            "Answer: Isker Falls (see document d12)",
            "Answer: the `Isker` Falls.",
            "## Answer\n\nIsker Falls",
        ],
    ),
    "number": (
        "1987",
        [
            "1987",
            "1,987",
            "It was founded in 1987.",
            "Answer: **1987**",
            r"\boxed{1987}",
            "Answer: In 1987.",
            "$1987$",
            "Answer: 1 987 crowns",
            "1987.0",
            "```\n1987\n```",
            "Aurora Kettle 3 has been sold since 1987.",
        ],
    ),
    "version": (
        "3.10",
        ["3.10", "v3.10", "Python 3.10.", "It came in version 3.10.", "Answer: `3.10`", "in 3.10, as 3.10"],
    ),
    "date": (
        "1987-03-14",
        [
            "14 March 1987",
            "March 14, 1987",
            "1987-03-14",
            "Answer: 14th of March 1987",
            "1987/03/14",
            "She was born on 14 Mar 1987.",
            "**14 March, 1987**",
            "14-Mar-1987",
            "14. March 1987",
            "the 14th day of March 1987",
            "1987-03-14T00:00:00Z",
        ],
    ),
}
WRONG = {
    "name": [
        "Whitby",
        "Isker Falls, Whitby",
        "Isker Falls or Whitby",
        "Whitby\nIsker Falls",
        "Answer: Isker Fall",
        "Answer: Whitby (or Isker Falls)",
        "x" * 20_000,
        r"\boxed{Isker Falls} \boxed{Whitby}",
        "Answer: Isker Falls\nAnswer: Whitby",
        "Answer: Isker Falls. No, wait, it is Whitby",
    ],
    "number": [
        "1986",
        "1985, 1986, 1987",
        "1987 or 1988",
        "Answer: 1985, 1986, 1987",
        "1980\n1987",
        "1987.5",
        "2087",
        "Answer: a, b, 1987, c, d",
    ],
    "version": ["3.1", "3.100", "13.10", "3.9 or 3.10", "310", "3,10", "a, 3.10, b, 7, x"],
    "date": [
        "14 March 1988",
        "14 March 1987 or 15 March 1987",
        "March 1987",
        "1987",
        "41 March 1987",
        "13 or 14 March 1987",
        "13.-14. March 1987",
        "13th to 14th March 1987",
        "x, 14 March 1987, 7, y, z",
    ],
}


@pytest.mark.parametrize(
    ("kind", "reply"), [(kind, reply) for kind, (_, replies) in RIGHT.items() for reply in replies]
)
def test_what_states_the_right_answer_is_right(kind: answers.Kind, reply: str) -> None:
    assert answers.check(reply, RIGHT[kind][0], kind=kind)


@pytest.mark.parametrize(
    ("kind", "reply"), [(kind, reply) for kind, replies in WRONG.items() for reply in ["", *replies]]
)
def test_what_states_another_or_several_earns_nothing(kind: answers.Kind, reply: str) -> None:
    assert answers.check(reply, RIGHT[kind][0], kind=kind).score == 0


@pytest.mark.parametrize("name", ["Dr. Smith", "J. K. Rowling", "St. Louis", "Back so soon", "Gone since Friday"])
def test_names_with_full_stops_and_small_words(name: str) -> None:
    assert answers.check(f"I looked it up.\n\nAnswer: **{name}**\n\nIt is in two sources.", name)
    assert answers.check(f"<answer>{name}</answer>", name)
    assert not answers.check(f"Answer: {name} or Whitby", name)


def test_a_version_with_its_letter() -> None:
    assert answers.check("Python 3.10", "v3.10", kind="version")
    assert not answers.check("v3.1", "v3.10", kind="version")


def test_one_of_several_is_enough() -> None:
    assert answers.check("Answer: it is not stated", ["not stated", "it is not stated"])


@given(st.text(max_size=200), st.sampled_from(["name", "number", "date", "version"]))
def test_any_text_is_read(reply: str, kind: answers.Kind) -> None:
    assert answers.check(reply, RIGHT[kind][0], kind=kind).score in (0, 1)


@pytest.mark.parametrize(
    ("reference", "kind"),
    [("**", "name"), ("soon", "number"), ("1987-13-14", "date"), ("3", "version"), ("x" * 300, "name")],
)
def test_references_that_nothing_matches(reference: str, kind: answers.Kind) -> None:
    assert answers.check("x", reference, kind=kind).reason == "invalid_reference"
    with pytest.raises(TaskError):
        answers.prove(reference, kind=kind)
