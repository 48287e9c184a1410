"""A writer that follows instructions by construction: text of stock sentences, shaped in a fixed order."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from itertools import cycle, islice
from typing import Any

from llmgym.envs.instructions.sentences import ENGLISH, LANGUAGES

_MOST = 500  # sentences
_LONGEST = 15  # words of the longest one

_WITH_LETTER = {
    "j": "major joy", "q": "quick quiet", "x": "extra exact", "z": "lazy puzzle", "v": "very vivid", "k": "kind talk",
}  # fmt: skip


def write(wanted: Mapping[str, Any]) -> str:
    """Write a reply that follows instructions.

    Args:
        wanted: `instruction_id_list` and `kwargs`. Instructions that contradict one another cannot be followed.
    """
    given: dict[str, dict[str, Any]] = {}
    low = 1
    for name, arguments in zip(wanted["instruction_id_list"], wanted["kwargs"], strict=True):
        if name == "length_constraints:number_words" and arguments["relation"] == "at least":
            low = arguments["num_words"]
        given[name.partition(":")[2]] = arguments
    text, count = "", 1
    while count < _MOST:
        text = _Draft(given, count).text
        if (missing := low - count_words(text)) <= 0:
            break
        count += max(1, missing // _LONGEST)
    return text


def count_words(text: str) -> int:
    """Words as the family `number_words` counts them."""
    return sum(1 for _ in re.finditer(r"\w+", text))


class _Draft:
    """A text with so many stock sentences.

    Args:
        given: The arguments of each instruction, by the last part of its id.
        count: Stock sentences.
    """

    def __init__(self, given: dict[str, dict[str, Any]], count: int) -> None:
        self._given = given
        parts = self._parts(count)
        parts[-1] = self._with_ending(parts[-1])
        self.text = self._whole(parts)

    def _parts(self, count: int) -> list[str]:
        given = self._given
        divisions = max(
            given.get("number_paragraphs", given.get("nth_paragraph_first_word", {})).get("num_paragraphs", 1),
            given.get("multiple_sections", {}).get("num_sections", 1),
            2 if "two_responses" in given else 1,
        )
        sentences = given.get("number_sentences", {"relation": ""})
        least = sentences["num_sentences"] if sentences["relation"] == "at least" else 1
        clauses = [*self._owed(), *islice(cycle(self._stock()), max(count, least, divisions))]
        if sentences["relation"] == "less than":
            half = len(clauses) // 2
            clauses = [" and ".join(part) for part in (clauses[:half], clauses[half:]) if part]
        parts = [" ".join(map(_sentence, clauses[at::divisions])) for at in range(divisions)]
        if nth := given.get("nth_paragraph_first_word"):
            at = nth["nth_paragraph"] - 1
            parts[at] = f"{_sentence(nth['first_word'] + ' is where this part begins')} {parts[at]}"
        return parts

    def _stock(self) -> tuple[str, ...]:
        code = self._given.get("response_language", {}).get("language", "en")
        return LANGUAGES[code][1] if code in LANGUAGES else ENGLISH

    def _owed(self) -> list[str]:
        """Clauses for words and letters that must be there."""
        given, owed = self._given, list[str]()
        if words := given.get("existence"):
            owed.append(f"it brings to mind {' and '.join(words['keywords'])}")
        if word := given.get("frequency"):
            owed.append(" and ".join([f"some say {word['keyword']}"] * word["frequency"]))
        if letter := given.get("letter_frequency"):
            words = _WITH_LETTER.get(letter["letter"], letter["letter"])
            owed.append(f"it is a {' and '.join([words] * letter['let_frequency'])} thing")
        if capitals := given.get("capital_word_frequency"):
            owed.append("it is " + " ".join(["SO", "VERY"] * capitals["capital_frequency"]) + " good")
        if highlights := given.get("number_highlighted_sections"):
            owed.append(" ".join(f"*{n}*" for n in range(1, highlights["num_highlights"] + 1)))
        if placeholders := given.get("number_placeholders"):
            owed.append("you can ask " + " and ".join(["[name] or [address]"] * placeholders["num_placeholders"]))
        return owed

    def _with_ending(self, part: str) -> str:
        given = self._given
        if "constrained_response" in given:
            part += " My answer is yes."
        for number in range(given.get("number_bullet_lists", {}).get("num_bullets", 0)):
            part += f"\n- {number + 1}"
        if postscript := given.get("postscript"):
            part += f"\n{postscript['postscript_marker']} {_sentence(self._stock()[-1])}"
        if ending := given.get("end_checker"):
            part += f"\n{ending['end_phrase']}"
        return part

    def _whole(self, parts: list[str]) -> str:
        given = self._given
        divider = "\n***\n" if "number_paragraphs" in given else "\n******\n" if "two_responses" in given else "\n\n"
        if sections := given.get("multiple_sections"):
            parts = [f"{sections['section_spliter']} {at + 1}\n{part}" for at, part in enumerate(parts)]
        text = divider.join(parts)
        if "title" in given:
            text = f"<<About this>>\n{text}"
        if repeated := given.get("repeat_prompt"):
            text = f"{repeated['prompt_to_repeat']}\n{text}"
        if "json_format" in given:
            text = json.dumps({"text": text})
        if "quotation" in given:
            text = f'"{text}"'
        if "english_capital" in given:
            return text.upper()
        return text.lower() if "english_lowercase" in given else text


def _sentence(clause: str) -> str:
    return f"{clause[0].upper()}{clause[1:]}."
