"""The instructions that tasks give: how the arguments of each are drawn, how it is told, and which go together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from llmgym.envs.instructions.sentences import LANGUAGES
from llmgym.envs.vocabulary import GIVEN_NAMES, PLACES

Arguments = dict[str, Any]


@dataclass
class Scene:
    """What the instructions of one task are drawn from.

    Attributes:
        rng: Picks.
        ask: The sentence that says what to write.
        low: Fewest words of the reply.
        words: Words of the topic that no instruction has yet.
    """

    rng: np.random.Generator
    ask: str
    low: int
    words: list[str] = field(default_factory=list[str])

    def pick(self, choices: Sequence[Any]) -> Any:
        """One of some things."""
        return choices[int(self.rng.integers(len(choices)))]

    def number(self, low: int, high: int) -> int:
        """A whole number, both ends included."""
        return int(self.rng.integers(low, max(low, high) + 1))

    def take(self, count: int) -> list[str]:
        """Words of the topic, for one instruction alone."""
        taken, self.words = self.words[:count], self.words[count:]
        return taken


@dataclass(frozen=True)
class Constraint:
    """A kind of instruction.

    Attributes:
        draw: Makes its arguments.
        told: Ways to say it, with its arguments as fields; lists are in quotes.
    """

    draw: Callable[[Scene], Arguments]
    told: tuple[str, ...]

    def tell(self, scene: Scene, arguments: Arguments) -> str:
        """Say it."""
        return scene.pick(self.told).format(**{name: _shown(name, value) for name, value in arguments.items()})


def _shown(name: str, value: Any) -> Any:
    if name == "language":
        return LANGUAGES[value][0]
    return ", ".join(f'"{one}"' for one in value) if isinstance(value, list) else value


_ENDINGS = (
    "Yours from {place} is {name}", "Written by {name} of {place}", "{name} in {place} wishes you well",
    "Ask {name} in {place} for more", "With thanks to {name} from {place}",
)  # fmt: skip


def _ending(scene: Scene) -> Arguments:
    name, place = scene.pick(GIVEN_NAMES), scene.pick(PLACES)
    return {"end_phrase": scene.pick(_ENDINGS).format(name=name, place=place)}


def _nth_paragraph(scene: Scene) -> Arguments:
    count = scene.number(2, min(5, 1 + scene.low // 15))
    return {"num_paragraphs": count, "nth_paragraph": scene.number(1, count), "first_word": scene.take(1)[0]}


def _sentences(scene: Scene) -> Arguments:
    if scene.rng.random() < 0.5:
        return {"num_sentences": scene.number(3, scene.low // 10), "relation": "at least"}
    return {"num_sentences": scene.number(5 + scene.low // 20, 6 + scene.low // 15), "relation": "less than"}


CONSTRAINTS: dict[str, Constraint] = {
    "keywords:existence": Constraint(
        lambda scene: {"keywords": scene.take(scene.number(2, 3))},
        (
            "Use each of these words: {keywords}.",
            "The words {keywords} must all occur.",
            "Work in all of the following words: {keywords}.",
        ),
    ),
    "keywords:frequency": Constraint(
        lambda scene: {"keyword": scene.take(1)[0], "frequency": scene.number(3, 5), "relation": "at least"},
        (
            'Use the word "{keyword}" {relation} {frequency} times.',
            'The word "{keyword}" must occur {frequency} times or more.',
            'Repeat the word "{keyword}", so that it is there {relation} {frequency} times.',
        ),
    ),
    "keywords:forbidden_words": Constraint(
        lambda scene: {"forbidden_words": scene.take(scene.number(2, 3))},
        (
            "Use none of these words: {forbidden_words}.",
            "The words {forbidden_words} must not occur anywhere.",
            "Do without the following words: {forbidden_words}.",
        ),
    ),
    "keywords:letter_frequency": Constraint(
        lambda scene: {"letter": scene.pick("jqxzvk"), "let_frequency": scene.number(4, 9), "let_relation": "at least"},
        (
            'The letter "{letter}" must occur {let_relation} {let_frequency} times.',
            'Choose your words so that they have the letter "{letter}" {let_frequency} times or more.',
        ),
    ),
    "language:response_language": Constraint(
        lambda scene: {"language": scene.pick(tuple(LANGUAGES))},
        (
            "The whole reply must be in {language}; do not use English or any other language.",
            "Answer in {language}, and in no other language.",
        ),
    ),
    "length_constraints:number_sentences": Constraint(
        _sentences,
        (
            "The number of sentences must be {relation} {num_sentences}.",
            "Count your sentences: there must be {relation} {num_sentences} of them.",
        ),
    ),
    "length_constraints:number_paragraphs": Constraint(
        lambda scene: {"num_paragraphs": scene.number(2, min(6, 1 + scene.low // 15))},
        (
            "Write exactly {num_paragraphs} paragraphs, with a line of three asterisks and nothing else between one "
            "and the next.",
            "There must be {num_paragraphs} paragraphs, no more and no fewer, separated by Markdown's divider of three "
            "asterisks on a line of their own.",
        ),
    ),
    "length_constraints:nth_paragraph_first_word": Constraint(
        _nth_paragraph,
        (
            "Write exactly {num_paragraphs} paragraphs with one blank line between them; paragraph {nth_paragraph} "
            'must start with the word "{first_word}".',
            "There must be {num_paragraphs} paragraphs, separated by blank lines and by nothing else, and the first "
            'word of paragraph {nth_paragraph} is to be "{first_word}".',
        ),
    ),
    "detectable_content:number_placeholders": Constraint(
        lambda scene: {"num_placeholders": scene.number(2, 5)},
        (
            "Have at least {num_placeholders} placeholders in square brackets, such as [address].",
            "Leave {num_placeholders} or more placeholders for me to fill in, each a word in square brackets, as in "
            "[date].",
        ),
    ),
    "detectable_content:postscript": Constraint(
        lambda scene: {"postscript_marker": scene.pick(("P.S.", "P.P.S"))},
        (
            'Add a postscript at the end that begins with "{postscript_marker}".',
            'After the text comes a postscript, which starts with "{postscript_marker}".',
        ),
    ),
    "detectable_format:number_bullet_lists": Constraint(
        lambda scene: {"num_bullets": scene.number(2, 8)},
        (
            "Include exactly {num_bullets} bullet points in Markdown, each on a line of its own that starts with an "
            "asterisk or a hyphen and a space.",
            "There must be {num_bullets} Markdown bullet points, no more and no fewer, one a line (such as: * This is"
            " a point).",
        ),
    ),
    "detectable_format:constrained_response": Constraint(
        lambda scene: {},
        (
            'Include exactly one of these three sentences, letter for letter: "My answer is yes.", "My answer is no.", '
            '"My answer is maybe."',
            'State your answer once, in one of these forms and no other: "My answer is yes.", "My answer is no.", or '
            '"My answer is maybe."',
        ),
    ),
    "detectable_format:number_highlighted_sections": Constraint(
        lambda scene: {"num_highlights": scene.number(2, 4)},
        (
            "Highlight at least {num_highlights} parts of the text with asterisks, like *this part*.",
            "Put {num_highlights} or more phrases in Markdown italics, as in *a phrase*.",
        ),
    ),
    "detectable_format:multiple_sections": Constraint(
        lambda scene: {
            "section_spliter": scene.pick(("Section", "SECTION", "Part", "PART", "Chapter")),
            "num_sections": scene.number(2, min(5, 1 + scene.low // 15)),
        },
        (
            "Divide the text into {num_sections} sections. Each begins with a line that has the word {section_spliter} "
            "and its number, such as {section_spliter} 1.",
            "It must have {num_sections} sections, each under a heading on its own line: {section_spliter} 1, then "
            "{section_spliter} 2, and so on.",
        ),
    ),
    "detectable_format:json_format": Constraint(
        lambda scene: {},
        (
            "The whole reply must be one JSON object, which holds the text; nothing may stand outside of it.",
            "Wrap everything in a single JSON object. A Markdown fence around it is allowed.",
        ),
    ),
    "detectable_format:title": Constraint(
        lambda scene: {},
        (
            "Give it a title in double angle brackets, such as <<a title>>.",
            "Begin with a title, which stands between << and >> on one line.",
        ),
    ),
    "combination:two_responses": Constraint(
        lambda scene: {},
        (
            "Give two different versions, one after the other, with a line of six asterisks between them and nothing "
            "else. The number of words is that of both together.",
            "I want two versions to choose from, not the same, separated by a line of six asterisks; both together "
            "have the number of words that I asked for.",
        ),
    ),
    "combination:repeat_prompt": Constraint(
        lambda scene: {"prompt_to_repeat": scene.ask},
        (
            'Begin by repeating my request word for word, with nothing before it: "{prompt_to_repeat}" The text comes '
            "after it, and the repeated words count as well.",
            "Before the text, and before anything else, copy out the request exactly, without quotation marks, so that "
            'your reply starts with: "{prompt_to_repeat}" These words count too.',
        ),
    ),
    "startend:end_checker": Constraint(
        _ending,
        (
            'The very last words must be "{end_phrase}", with nothing after them.',
            'Your last words are to be exactly "{end_phrase}" (without the quotation marks, and not even a full stop '
            "may follow).",
        ),
    ),
    "startend:quotation": Constraint(
        lambda scene: {},
        (
            'Wrap the whole reply in double quotation marks: the first and the last character must be ".',
            'Put all that you write between two straight double quotation marks ("), one at the very start and one at '
            "the very end.",
        ),
    ),
    "change_case:capital_word_frequency": Constraint(
        lambda scene: {"capital_frequency": scene.number(3, 8), "capital_relation": "at least"},
        (
            "Write {capital_relation} {capital_frequency} words in capital letters only.",
            "Stress words by writing them in capital letters throughout, {capital_frequency} words or more.",
        ),
    ),
    "change_case:english_capital": Constraint(
        lambda scene: {},
        ("Write in English, and in capital letters only.", "Use capital letters alone, and the English language."),
    ),
    "change_case:english_lowercase": Constraint(
        lambda scene: {},
        (
            "Write in English and in lower-case letters only; no capital letter is allowed.",
            "Use no capital letters at all, and the English language.",
        ),
    ),
    "punctuation:no_comma": Constraint(
        lambda scene: {},
        ("Use no commas at all.", "Do without commas: there must be none in the whole reply."),
    ),
}
"""Each by its id in IFEval; the 25th family, the number of words, is part of every task."""

ANCHORS = (
    "keywords:existence", "keywords:frequency", "language:response_language",
    "length_constraints:nth_paragraph_first_word", "combination:repeat_prompt", "startend:end_checker",
)  # fmt: skip
"""Of which each task has one: a reply to another task does not follow it."""

CLOSED = frozenset({
    "keywords:forbidden_words", "language:response_language", "length_constraints:number_paragraphs",
    "length_constraints:nth_paragraph_first_word", "detectable_format:number_bullet_lists",
    "detectable_format:constrained_response", "detectable_format:json_format", "combination:two_responses",
    "startend:end_checker", "startend:quotation", "change_case:english_capital", "change_case:english_lowercase",
    "punctuation:no_comma",
})  # fmt: skip
"""Of which each task has one: the prompt itself, however often it is repeated, does not follow it."""

_SHORT = {name.partition(":")[2]: name for name in CONSTRAINTS}


def _one_of(*lines: str) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(_SHORT[name] for name in line.split()) for line in lines)


_ONE_OF = _one_of(
    # how the text is divided
    "number_paragraphs nth_paragraph_first_word multiple_sections two_responses json_format number_sentences",
    # how it is written
    "capital_word_frequency english_capital english_lowercase response_language",
    # what comes first, and last
    "repeat_prompt title json_format two_responses nth_paragraph_first_word",
    "repeat_prompt quotation json_format two_responses",
    "end_checker postscript json_format two_responses",
)
_APART = _one_of(
    # first what must be as it stands, and then what changes it
    "constrained_response english_capital english_lowercase response_language json_format two_responses",
    "multiple_sections english_capital english_lowercase response_language",
    "repeat_prompt english_capital english_lowercase response_language no_comma number_sentences",
    "postscript english_capital english_lowercase number_sentences",
    # words that would be English ones
    "response_language existence frequency letter_frequency nth_paragraph_first_word end_checker forbidden_words title "
    "number_placeholders json_format",
    # what has no place in it
    "json_format no_comma number_bullet_lists number_placeholders number_highlighted_sections",
    "two_responses title number_bullet_lists",
    "number_sentences number_bullet_lists",
    # what some would set apart as one more paragraph
    "nth_paragraph_first_word postscript number_bullet_lists",
)


def compatible(name: str, others: Sequence[str]) -> bool:
    """Whether an instruction can be given beside others."""
    together = {name, *others}
    return (
        name not in others
        and all(len(together.intersection(group)) < 2 for group in _ONE_OF)
        and not any(group[0] in together and not together.isdisjoint(group[1:]) for group in _APART)
    )
