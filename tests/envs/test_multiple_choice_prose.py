from __future__ import annotations

import re
from pathlib import Path
from string import ascii_uppercase
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from llmgym import Task
from llmgym.envs.multiple_choice import MultipleChoice
from llmgym.envs.multiple_choice.rows import read_row
from llmgym.verifiers.choices import BOXED_OR_TEXT, GRADINGS, extract, extract_pattern
from tests.envs import phrasings
from tests.envs.checks import oracle_rewards
from tests.envs.more_phrasings import MORE_CHOOSING, MORE_CHOOSING_NOTHING, UNREAD

TEXTS = ("Rome", "Paris", "New York", "Madrid", "Oslo", "Vienna", "Athens", "Lisbon", "Prague", "Dublin")
CHOOSING = phrasings.CHOOSING + MORE_CHOOSING
CHOOSING_NOTHING = phrasings.CHOOSING_NOTHING + MORE_CHOOSING_NOTHING
LETTERS = ascii_uppercase[:10]
OPTIONS = dict(zip(LETTERS, TEXTS, strict=True))


def said(form: str, letters: str, options: dict[str, str]) -> str:
    x, y, z = letters
    return form.format(x=x, y=y, z=z, X=options[x], Y=options[y], Z=options[z], xl=x.lower())


def others(letter: str) -> tuple[str, str]:
    place = LETTERS.index(letter)
    return LETTERS[(place + 3) % 10], LETTERS[(place + 8) % 10]


@pytest.mark.parametrize("form", CHOOSING)
def test_a_choice_is_read_whatever_its_letter(form: str) -> None:
    for x in LETTERS:
        assert extract(said(form, x + "".join(others(x)), OPTIONS), OPTIONS, "lenient") == x


@pytest.mark.parametrize("form", CHOOSING_NOTHING)
@pytest.mark.parametrize("grading", GRADINGS)
def test_no_choice_is_guessed_whatever_the_letters(form: str, grading: str) -> None:
    for x in LETTERS:
        assert extract(said(form, x + "".join(others(x)), OPTIONS), OPTIONS, grading) is None


@pytest.mark.parametrize("form", UNREAD)
def test_what_is_not_read_is_no_choice(form: str) -> None:
    for x in LETTERS:
        assert extract(said(form, x + "".join(others(x)), OPTIONS), OPTIONS, "lenient") in (None, x)


@example("The option I choose is {x}.", "answer", list("AIBCDEFGHJ"), list("JBACDEFGHI"), 10)
@given(
    st.sampled_from(CHOOSING + CHOOSING_NOTHING),
    st.sampled_from(list(GRADINGS)),
    st.permutations(LETTERS),
    st.permutations(LETTERS),
    st.integers(2, 10),
)
def test_renaming_letters_and_permuting_options_changes_nothing(
    form: str, grading: str, old: list[str], new: list[str], count: int
) -> None:
    count = max(3, count)  # options that there are
    before = {letter: TEXTS[place] for place, letter in enumerate(sorted(old[:count]))}
    renamed = dict(zip(old[:count], new[:count], strict=True))
    after = {renamed[letter]: text for letter, text in before.items()}
    chosen = extract(said(form, "".join(old[:3]), before), before, grading)
    assert extract(said(form, "".join(new[:3]), after), after, grading) == (chosen and renamed[chosen])
    assert chosen in (None, old[0])


@pytest.mark.parametrize(
    ("text", "boxed", "answer", "lenient"),
    [
        ("\\boxed{B} or \\boxed{C}", None, None, None),
        ("\\boxed{C}\nNo, wait.\n\\boxed{B}", "B", "B", "B"),
        ("\\boxed{C}. No, wait, that is wrong.", None, None, None),
        ("\\boxed{C}\nNo, wait.\nAnswer: B", None, "B", "B"),
        ("\\boxed{C}\nActually, it is B.", None, None, "B"),
        ("Answer: C\nActually, it is B.", None, None, "B"),
        ("Answer: B\nWait, let me check. Yes.", None, "B", "B"),
        ("Answer: B\nAnswer:", None, "B", "B"),
        ("Answer: C\nNo wait, that's wrong.", None, None, None),
        ("Answer: B\n<think>or C", None, "B", "B"),
        ("<think>\\boxed{C}</think>\\boxed{B}", "B", "B", "B"),
        ("\\boxed{C}</think>", None, None, None),
        ("[THINK]Answer: C[/THINK]Answer: B", None, "B", "B"),
        ("Answer: Paris, not Rome", None, "B", "B"),
        ("Answer: B. Rome", None, None, None),
        ("\\boxed{B. Rome}", None, None, None),
        ("\\boxed{E. coli}", None, None, None),
        ("Answer: E. coli", None, None, None),
        ("A city like that is Paris.", None, None, "B"),
        ("I think that it is Paris, not Rome.", None, None, "B"),
        ("It is not Rome but Paris.", None, None, "B"),
        ("Vitamin C is not the answer", None, None, None),
        ("Vitamin A and C are good for you.", None, None, None),
        ("I would say so.", None, None, None),
        ("Ａｎｓｗｅｒ： Ｂ", None, "B", "B"),
        ("Answer: 𝐁", None, "B", "B"),
        ("Answer: <b>B</b><|im_end|>", None, "B", "B"),
        ("The answer is ~~C~~ B.", None, "B", "B"),
        ("C ✗\nB ✓", None, None, "B"),
        ("The answer is C. No.", None, None, None),
        ("C#", None, None, None),
        ("P(B) = 0.5", None, None, None),
    ],
)
def test_forms_and_what_takes_them_back(text: str, boxed: str | None, answer: str | None, lenient: str | None) -> None:
    found = {grading: extract(text, OPTIONS, grading) for grading in GRADINGS}
    assert found == {"boxed": boxed, "answer": answer, "lenient": lenient}


@pytest.mark.parametrize(
    ("text", "options", "letter"),
    [
        ("A. lion\nB. sweater\nC. knee", "lion sweater knee", None),  # the options again
        ("A. always\nB. closed", "always closed west", None),
        ("A. 2\nB. 5\nC. 0\n\nThe correct answer is C. 0.", "2 5 0", "C"),
        ("A. chair\n\nThe correct answer is A. chair.", "chair crow jacket", "A"),
        ("A. lead is a metal.", "lead axe brown", "A"),
        ('The opposite of "up" is "down."', "visible true down", "C"),
        ("17 + 3 = 20", "23 24 20", "C"),
        ("Yes, the largest number is 937.", "73 937 418", "B"),
        ("So, option B (copier) is the correct choice.", "chair crow jacket", "B"),
        ("c. tellurium", "titanium strontium tellurium", "C"),
        ("C. True", "visible true down", None),  # the letter of one, the text of another
        ("A. 147 is the largest.", "925 147 346", None),
        ("B. Nigeria (Benin)", "Slovakia Ghana Nigeria", None),
        ("E. Wednesday", "Thursday Sunday Wednesday", None),
        ("A. human\nRisque", "lion sweater knee", None),
        ("1. Answer: S.D.F.", "74 62 71 73", None),
        ("The answer is X.", "57 47 66 59", None),
        ("\\boxed{A'}", "57 47 66 59", None),
    ],
)
def test_replies_of_a_small_model_are_read_as_a_person_reads_them(text: str, options: str, letter: str | None) -> None:
    assert extract(text, dict(zip(LETTERS, options.split(), strict=False)), "lenient") == letter


PATTERNS = (
    r"Final Choice:\s*([A-Za-z])",
    r"<answer>(.*?)</answer>",
    r"\\boxed\{\s*(\w+)\s*\}",
    r"(?:Take|Pick) (\w)|Say (\w+)",
)
MATCHED = (
    "Final Choice: {x}",
    "Final Choice: {xl}",
    "<answer>{x}. {X}</answer>",
    "<answer>{X}</answer>",
    "\\boxed{{{x}}}",
    "Take {y}. No, Take {x}",
    "Say {x}",
    "Final Choice: {y}ork",
    "<answer>{x} or {y}</answer>",
    "nothing",
)


@given(st.sampled_from(PATTERNS), st.sampled_from(MATCHED), st.permutations(LETTERS), st.permutations(LETTERS))
def test_patterns_know_no_letter(pattern: str, form: str, old: list[str], new: list[str]) -> None:
    renamed = dict(zip(old, new, strict=True))
    after = {renamed[letter]: text for letter, text in OPTIONS.items()}
    chosen = extract_pattern(said(form, "".join(old[:3]), OPTIONS), OPTIONS, re.compile(pattern))
    assert chosen in (None, old[0])
    assert extract_pattern(said(form, "".join(new[:3]), after), after, re.compile(pattern)) == (
        chosen and renamed[chosen]
    )


@pytest.mark.timeout(30)
def test_patterns_of_square_time_are_tried_on_the_end_of_a_reply() -> None:
    pattern = re.compile("<answer>(.*?)</answer>")
    assert extract_pattern("<answer>" * 25_000, OPTIONS, pattern) is None
    assert extract_pattern("x" * 200_000 + "<answer>B</answer>", OPTIONS, pattern) == "B"


@pytest.mark.parametrize(
    "text", ["Answer:", "Answer: ", "**Answer:**", "Answer: **", "__Answer:__", "\\boxed{}", "", "*"]
)
@pytest.mark.parametrize("grading", GRADINGS)
def test_nothing_said_selects_no_option_made_of_punctuation(text: str, grading: str) -> None:
    assert extract(text, {"A": "*", "B": "()", "C": "**", "D": "_"}, grading) is None


def test_options_made_of_punctuation_can_be_chosen() -> None:
    options = {"A": "*", "B": "()", "C": "**", "D": "true", "E": "Both A and B", "F": "no"}
    assert extract("Answer: `*`", options, "answer") == "A"
    assert extract("Answer: ()", options, "answer") == "B"
    assert extract("Answer: true", options, "answer") == "D"
    assert extract("Answer: Both A and B", options, "answer") == "E"
    assert extract("No, wait. It is F.", options, "lenient") == "F"


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("The answer is True.", "A"),
        ("It is false.", "B"),
        ("The correct answer is B, False.", "B"),
        ("Answer: B. False", "B"),
        ("A is true.", "A"),
        ("A is false, so B.", "B"),
        ("It is true that I do not know.", None),
        ("The statement is true.", None),
    ],
)
def test_options_that_are_words_of_judgement(text: str, letter: str | None) -> None:
    assert extract(text, {"A": "True", "B": "False"}, "lenient") == letter


PARTS = (
    "A", "A ", "A, B, ", "A or ", "not A ", "If not A ", "A (", "Answer: ", "Answer:\n", "\\boxed{", "\\boxed{A}",
    "{", "\\text{", "*", " ", "<think>", "</think>", "<answer>", "No, wait. ", "that is wrong. ", "New ", "> ",
    "'", "9", "I ", "anything but ", "_", "because A, ", "A. ", "\n", "Answer: A\n",
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("part", PARTS)
@pytest.mark.timeout(60)
def test_time_grows_with_the_length_of_hostile_text(part: str) -> None:
    text = part * (50_000 // len(part))
    for grading in GRADINGS:
        assert extract(text, OPTIONS, grading) in (None, *OPTIONS)
    extract_pattern(text, OPTIONS, re.compile(r"Answer\s*:\s*(?!Answer)\s*([A-Za-z])\s*"))


@given(st.lists(st.sampled_from([*PARTS, *CHOOSING, *CHOOSING_NOTHING, "é", "\ud800", "\x00", "."]), max_size=8))
def test_any_mixture_is_read_without_an_error(parts: list[str]) -> None:
    for grading in (*GRADINGS, BOXED_OR_TEXT):
        assert extract(" ".join(parts), OPTIONS, grading) in (None, *OPTIONS)


ASKED = "Which city is it?\nA: Rome\nB: Paris\n\nConclude with: Final Choice: X"


def nemo_row(**fields: Any) -> dict[str, Any]:
    return {
        "responses_create_params": {"input": [{"role": "user", "content": ASKED}], "tools": None},
        "options": [{"A": "Rome", "B": None}, {"A": None, "B": "Paris"}],
        "expected_answer": "B",
        "uuid": "u-1",
        "metadata": None,
        **fields,
    }


@pytest.mark.parametrize(
    ("fields", "right", "wrong"),
    [
        ({}, "\\boxed{B}", "Answer: B"),
        ({"grading_mode": "lenient_boxed"}, "\\boxed{Paris}", "\\boxed{not Paris}"),
        ({"grading_mode": "lenient_answer_colon"}, "Answer: Paris", "Answer: Rome"),
        ({"template_metadata": {"output_regex": r"Final Choice:\s*([A-Za-z])\s*", "weight": None}},
         "Final Choice: b", "Answer: B"),
        ({"template_metadata": {"output_regex": r"Answer\s*:\s*(?!Answer)\s*([A-Za-z])\s*"}},
         "Answer: B", "Answer: Bonn"),
        ({"template_metadata": {"output_regex": r"ANSWER IS\s*([A-Za-z])"}}, "The answer is B", "The answer is A"),
        ({"template_metadata": {"output_regex": [r"Choice (\d)", r"(?:Take ([A-Z])|Leave (\w))"]}}, "Take B", "Take A"),
        ({"template_metadata": {"output_regex": r"Final Choice:\s*([A-Z])"}}, "\\boxed{B}", "\\boxed{A}"),
        ({"template_metadata": [("answer_prefix", "Antwort:")], "grading_mode": "lenient_answer_colon_md"},
         "Antwort: B", "Antwort: A"),
        ({"grading": "lenient"}, "It is B, not A.", "It is A, not B."),
        ({"template_metadata": {"output_regex": r"\\boxed\{\s*([A-Za-z])\s*\}"}}, "\\boxed{ B }", "B"),
        ({"template_metadata": {"output_regex": None}, "grading_mode": None, "id": None}, "\\boxed{B}", "B"),
    ],
)  # fmt: skip
def test_rows_of_nemo_gym_are_asked_and_read_their_own_way(
    tmp_path: Path, fields: dict[str, Any], right: str, wrong: str
) -> None:
    (tmp_path / "rows.jsonl").write_bytes(orjson.dumps(nemo_row(**fields)))
    task = read_row(nemo_row(**fields))
    assert task.id == "u-1"
    assert task.metadata["options"] == {"A": "Rome", "B": "Paris"}
    env = MultipleChoice(tasks=tmp_path / "rows.jsonl")
    observation, _ = env.reset(options={"task": task})
    assert [message["content"] for message in observation] == [ASKED]
    assert env.step(right)[1] == 1
    env.reset(options={"task": task})
    assert env.step(wrong)[1] == 0
    assert oracle_rewards(env, 1) == [1.0]


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"grading_mode": "kind"}, "unknown grading_mode"),
        ({"template_metadata": {"output_regex": "("}}, "no regular expression"),
        ({"template_metadata": {"output_regex": 5}}, "no regular expression"),
        ({"responses_create_params": {"input": "Q?", "tools": [{"name": "f"}]}}, "has tools"),
        ({"responses_create_params": {}}, "no input"),
        ({"options": [{"1": "Rome"}, {"2": "Paris"}], "expected_answer": "2"}, "capital letters"),
    ],
)
def test_malformed_rows_of_nemo_gym_are_refused(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        read_row(nemo_row(**fields))


def test_nulls_of_other_rows_change_nothing() -> None:
    plain: dict[str, Any] = {"question": "Q?", "options": {"A": "x", "B": "y"}, "answer": "B"}
    nulls = {"id": None, "metadata": None, "prompt": None, "answerKey": None, "subject": None}
    full = {**plain, "options": {"A": "x", "B": "y", "C": None}, **nulls}
    assert read_row(full) == read_row(plain) == Task(id="", prompt="Q?\n\nA. x\nB. y", answer="B",
                                                     metadata={"options": {"A": "x", "B": "y"}})  # fmt: skip
    assert read_row({**plain, "options": {"B": "y", "A": "x"}}) == read_row(plain)
