"""The 25 kinds of instructions: of each its arguments, and whether a text follows it.

Written from the public rules. Where `faithful`, a function decides as the original does, with its quirks; else it asks
for what the instruction says.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from llmgym.verifiers.instructions import arguments as read
from llmgym.verifiers.instructions.language import detect
from llmgym.verifiers.instructions.patterns import count_matches, count_word
from llmgym.verifiers.instructions.text import count_capital_words, count_sentences


@dataclass(frozen=True, slots=True)
class Family:
    """A kind of instruction.

    Attributes:
        follows: Whether a text follows it: `follows(text, faithful, **arguments)`.
        arguments: How to read each.
        patterns: Names of those that the original takes as regular expressions.
    """

    follows: Callable[..., bool]
    arguments: dict[str, read.Reader]
    patterns: tuple[str, ...] = ()


_TELLING = 20  # letters from which a language can be told

FAMILIES: dict[str, Family] = {}


def _family(
    name: str, *patterns: str, **arguments: read.Reader
) -> Callable[[Callable[..., bool]], Callable[..., bool]]:
    def register(follows: Callable[..., bool]) -> Callable[..., bool]:
        FAMILIES[name] = Family(follows, arguments, patterns)
        return follows

    return register


def _compares(number: int, relation: str, threshold: int) -> bool:
    return number < threshold if relation == "less than" else number >= threshold


# Words and letters


@_family("keywords:existence", "keywords", keywords=read.texts)
def _existence(text: str, faithful: bool, *, keywords: tuple[str, ...]) -> bool:
    count = count_matches if faithful else count_word
    return all(count(keyword, text) for keyword in keywords)


@_family("keywords:frequency", "keyword", keyword=read.text, frequency=read.count, relation=read.relation)
def _frequency(text: str, faithful: bool, *, keyword: str, frequency: int, relation: str) -> bool:
    count = count_matches if faithful else count_word
    return _compares(count(keyword, text), relation, frequency)


@_family("keywords:forbidden_words", "forbidden_words", forbidden_words=read.texts)
def _forbidden_words(text: str, faithful: bool, *, forbidden_words: tuple[str, ...]) -> bool:
    if faithful:
        return not any(count_matches(rf"\b{one}\b", text) for one in forbidden_words)
    return not any(count_word(one, text) for one in forbidden_words)


@_family("keywords:letter_frequency", letter=read.letter, let_frequency=read.count, let_relation=read.relation)
def _letter_frequency(text: str, faithful: bool, *, letter: str, let_frequency: int, let_relation: str) -> bool:
    return _compares(text.lower().count(letter), let_relation, let_frequency)


@_family("language:response_language", language=read.language)
def _response_language(text: str, faithful: bool, *, language: str) -> bool:
    found = detect(text)
    return faithful if found is None else found == language


# Lengths


@_family("length_constraints:number_sentences", num_sentences=read.count, relation=read.relation)
def _number_sentences(text: str, faithful: bool, *, num_sentences: int, relation: str) -> bool:
    return _compares(count_sentences(text, faithful=faithful), relation, num_sentences)


@_family("length_constraints:number_paragraphs", num_paragraphs=read.count)
def _number_paragraphs(text: str, faithful: bool, *, num_paragraphs: int) -> bool:
    parts = [part.strip() for part in text.split("***")]
    return all(parts[1:-1]) and sum(map(bool, parts)) == num_paragraphs


@_family("length_constraints:number_words", num_words=read.count, relation=read.relation)
def _number_words(text: str, faithful: bool, *, num_words: int, relation: str) -> bool:
    return _compares(sum(1 for _ in re.finditer(r"\w+", text)), relation, num_words)


@_family(
    "length_constraints:nth_paragraph_first_word",
    num_paragraphs=read.count,
    nth_paragraph=read.count,
    first_word=read.text,
)
def _nth_paragraph_first_word(
    text: str, faithful: bool, *, num_paragraphs: int, nth_paragraph: int, first_word: str
) -> bool:
    paragraphs = text.split("\n\n")
    written = [paragraph for paragraph in paragraphs if paragraph.strip()]
    if len(written) != num_paragraphs or not 0 < nth_paragraph <= num_paragraphs:
        return False
    words = (paragraphs if faithful else written)[nth_paragraph - 1].split()
    if not words:
        return False
    if faithful:
        first = re.split("[.,?!'\"]", words[0].lstrip("'").lstrip('"'), maxsplit=1)[0]
    else:
        first = words[0].strip("*_#>`.,:;?!\"'“”‘’()")
    return first.lower() == first_word.lower()


# Content and format


@_family("detectable_content:number_placeholders", num_placeholders=read.count)
def _number_placeholders(text: str, faithful: bool, *, num_placeholders: int) -> bool:
    if faithful:
        return sum(map(_bracketed, text.split("\n"))) >= num_placeholders
    return len(re.findall(r"\[(?=[^\[\]\n]*+\])[^\[\]\n]*[^\W_][^\[\]\n]+\](?!\()", text)) >= num_placeholders


def _bracketed(line: str) -> int:
    count = end = 0
    while (start := line.find("[", end)) >= 0 and (end := line.find("]", start) + 1):
        count += 1
    return count


@_family("detectable_content:postscript", "postscript_marker", postscript_marker=read.text)
def _postscript(text: str, faithful: bool, *, postscript_marker: str) -> bool:
    known = {"P.S.": r"p\.\s?s\.", "P.P.S": r"p\.\s?p\.\s?s"}.get(postscript_marker)
    if faithful:
        return count_matches(known or postscript_marker.lower(), text.lower(), case=True) > 0
    return re.search(rf"(?<!\w)(?:{known or re.escape(postscript_marker)})", text, re.IGNORECASE) is not None


@_family("detectable_format:number_bullet_lists", num_bullets=read.count)
def _number_bullet_lists(text: str, faithful: bool, *, num_bullets: int) -> bool:
    # Blank lines before a bullet, which the original's `\s*` takes in, change no count and cost quadratic time.
    bullet = r"^[^\S\n]*+(?:\*[^*].*|-.*)$" if faithful else r"^[^\S\n]*+[*-][^\S\n]++(?![*\- \t]*$)"
    return sum(1 for _ in re.finditer(bullet, text, re.MULTILINE)) == num_bullets


@_family("detectable_format:constrained_response")
def _constrained_response(text: str, faithful: bool) -> bool:
    found = sum(f"My answer is {answer}." in text for answer in ("yes", "no", "maybe"))
    return found > 0 if faithful else found == 1


@_family("detectable_format:number_highlighted_sections", num_highlights=read.count)
def _number_highlighted_sections(text: str, faithful: bool, *, num_highlights: int) -> bool:
    if faithful:
        once, twice = re.findall(r"\*([^\n*]*)\*", text), re.findall(r"\*\*([^\n*]*)\*\*", text)
        return sum(1 for part in (*once, *twice) if part.strip()) >= num_highlights
    return len(re.findall(r"\*{1,3}(?=[^\s*])[^\n*]*+(?<=\S)\*{1,3}", text)) >= num_highlights


@_family("detectable_format:multiple_sections", "section_spliter", section_spliter=read.text, num_sections=read.count)
def _multiple_sections(text: str, faithful: bool, *, section_spliter: str, num_sections: int) -> bool:
    if faithful:
        return count_matches(rf"\s?{section_spliter}\s?\d+\s?", text, case=True) >= num_sections
    heading = rf"^[^\w\n]*+{re.escape(section_spliter)}\s?\d"
    return len(re.findall(heading, text, re.MULTILINE)) >= num_sections


@_family("detectable_format:json_format")
def _json_format(text: str, faithful: bool) -> bool:
    text = text.strip()
    for fence in ("```json", "```Json", "```JSON", "```"):
        text = text.removeprefix(fence)
    try:
        found = json.loads(text.removesuffix("```").strip(), parse_constant=None if faithful else _no_constant)
    except (ValueError, RecursionError):
        return False
    return faithful or isinstance(found, dict | list)


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


@_family("detectable_format:title")
def _title(text: str, faithful: bool) -> bool:
    for line in text.split("\n"):
        start, end = line.find("<<"), line.rfind(">>")
        if 0 <= start < end - 2 and line[start : end + 2].lstrip("<").rstrip(">").strip():
            return True
    return False


# Combinations, starts and ends


@_family("combination:two_responses")
def _two_responses(text: str, faithful: bool) -> bool:
    parts = [part.strip() for part in text.split("******")]
    written = [part for part in parts if part]
    return all(parts[1:-1]) and len(written) == 2 and written[0] != written[1]


@_family("combination:repeat_prompt", prompt_to_repeat=read.text)
def _repeat_prompt(text: str, faithful: bool, *, prompt_to_repeat: str) -> bool:
    return text.strip().lower().startswith(prompt_to_repeat.lower())


@_family("startend:end_checker", end_phrase=read.text)
def _end_checker(text: str, faithful: bool, *, end_phrase: str) -> bool:
    return text.strip().strip('"').lower().endswith(end_phrase.lower())


@_family("startend:quotation")
def _quotation(text: str, faithful: bool) -> bool:
    text = text.strip()
    return len(text) > 1 and text[0] == text[-1] == '"'


# Case and punctuation


@_family("change_case:capital_word_frequency", capital_frequency=read.count, capital_relation=read.relation)
def _capital_word_frequency(text: str, faithful: bool, *, capital_frequency: int, capital_relation: str) -> bool:
    return _compares(count_capital_words(text), capital_relation, capital_frequency)


@_family("change_case:english_capital")
def _english_capital(text: str, faithful: bool) -> bool:
    return text.isupper() and _is_english(text, faithful)


@_family("change_case:english_lowercase")
def _english_lowercase(text: str, faithful: bool) -> bool:
    return text.islower() and _is_english(text, faithful)


def _is_english(text: str, faithful: bool) -> bool:
    if not faithful and text.isascii() and sum(map(str.isalpha, text)) < _TELLING:
        return True  # "THE CAT SAT" may be anything
    return detect(text) == "en"


@_family("punctuation:no_comma")
def _no_comma(text: str, faithful: bool) -> bool:
    return not any(comma in text for comma in ("," if faithful else ",，،、"))
