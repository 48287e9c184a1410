"""What follows each kind of instruction and what does not, by the original and by llmgym's own rules."""

from __future__ import annotations

from typing import Any

ENGLISH = "the train leaves early in the morning and we bought some bread"
#: Of each family its arguments, and texts with what the original and llmgym's own rules find.
CASES: dict[str, list[tuple[dict[str, Any], list[tuple[str, bool, bool]]]]] = {
    "keywords:existence": [
        (
            {"keywords": ["cat", "dog"]},
            [("A CAT and a dog.", True, True), ("categorical dogma", True, False), ("a cat", False, False)],
        ),
        ({"keywords": ["U.S."]}, [("the U.S. army", True, True), ("uxsx", True, False)]),
        ({"keywords": ["$5"]}, [("It costs $5 now", False, True)]),
    ],
    "keywords:frequency": [
        (
            {"keyword": "cat", "frequency": 2, "relation": "at least"},
            [("cat Cat", True, True), ("cats, cat", True, False), ("cat", False, False)],
        ),
        (
            {"keyword": "cat", "frequency": 2, "relation": "less than"},
            [("cat", True, True), ("concatenate cat", False, True), ("dog", True, True)],
        ),
    ],
    "keywords:forbidden_words": [
        ({"forbidden_words": ["cat"]}, [("categories", True, True), ("a CAT!", False, False)]),
        ({"forbidden_words": ["C#"]}, [("I like C# a lot", True, False), ("I like C", True, True)]),
    ],
    "keywords:letter_frequency": [
        (
            {"letter": "A", "let_frequency": 3, "let_relation": "at least"},
            [("banana", True, True), ("Aa", False, False)],
        ),
        (
            {"letter": "z", "let_frequency": 1, "let_relation": "less than"},
            [("banana", True, True), ("Zoo", False, False)],
        ),
    ],
    "language:response_language": [
        (
            {"language": "fr"},
            [
                ("Le train part tôt le matin et nous avons acheté du pain.", True, True),
                (ENGLISH, False, False),
                ("42", True, False),
            ],
        ),
        ({"language": "en"}, [(ENGLISH, True, True), (ENGLISH.upper(), True, True)]),
    ],
    "length_constraints:number_sentences": [
        (
            {"num_sentences": 2, "relation": "at least"},
            [("One. Two.", True, True), ("One", False, False), ("1. Write", True, False)],
        ),
        ({"num_sentences": 2, "relation": "less than"}, [("One.", True, True), ("One. Two.", False, False)]),
    ],
    "length_constraints:number_paragraphs": [
        (
            {"num_paragraphs": 2},
            [
                ("a\n***\nb", True, True),
                ("***a***b***", True, True),
                ("a\n\nb", False, False),
                ("a*****b", True, True),
                ("a******b", False, False),
            ],
        ),
    ],
    "length_constraints:number_words": [
        (
            {"num_words": 3, "relation": "at least"},
            [("one two three", True, True), ("don't stop", True, True), ("two words", False, False)],
        ),
        ({"num_words": 3, "relation": "less than"}, [("two words", True, True), ("3.5 x", False, False)]),
    ],
    "length_constraints:nth_paragraph_first_word": [
        (
            {"num_paragraphs": 2, "nth_paragraph": 2, "first_word": "Hello"},
            [
                ("a\n\nhello, b", True, True),
                ('a\n\n"Hello" b', True, True),
                ("a\n\n**Hello** b", False, True),
                ("a\n\n\n\nhello b", False, True),
                ("hello\n\na", False, False),
                ("a\n\nb\n\nhello", False, False),
            ],
        ),
    ],
    "detectable_content:number_placeholders": [
        (
            {"num_placeholders": 2},
            [
                ("[name] and [address]", True, True),
                ("[] [a](b)", True, False),
                ("[name]", False, False),
                ("[a\nb] [c]", False, False),
            ],
        ),
    ],
    "detectable_content:postscript": [
        (
            {"postscript_marker": "P.S."},
            [
                ("Bye.\nP.S. More", True, True),
                ("p. s. more", True, True),
                ("see app.s.", True, False),
                ("PS", False, False),
            ],
        ),
        ({"postscript_marker": "P.P.S"}, [("P.P.S. more", True, True), ("P.S. more", False, False)]),
    ],
    "detectable_format:number_bullet_lists": [
        (
            {"num_bullets": 2},
            [
                ("* a\n* b", True, True),
                ("- a\n  - b", True, True),
                ("* a\n---", True, False),
                ("-5 degrees\n* a", True, False),
                ("* a\n+ b", False, False),
                ("1. a\n2. b", False, False),
            ],
        ),
    ],
    "detectable_format:constrained_response": [
        (
            {},
            [
                ("My answer is yes.", True, True),
                ("Well. My answer is no. Bye", True, True),
                ("My answer is yes", False, False),
                ("My answer is yes. My answer is no.", True, False),
            ],
        ),
    ],
    "detectable_format:number_highlighted_sections": [
        (
            {"num_highlights": 2},
            [
                ("*a* and **b**", True, True),
                ("2 * 3 * 4 * 5 * 6", True, False),
                ("*a*", False, False),
                ("** ** *a*", False, False),
            ],
        ),
    ],
    "detectable_format:multiple_sections": [
        (
            {"section_spliter": "Section", "num_sections": 2},
            [
                ("Section 1\na\nSection 2\nb", True, True),
                ("in Section 1 and Section 2", True, False),
                ("## Section 1\n**Section 2**", True, True),
                ("section 1\nsection 2", False, False),
            ],
        ),
    ],
    "detectable_format:json_format": [
        (
            {},
            [
                ('{"a": 1}', True, True),
                ("```json\n[1]\n```", True, True),
                ("3", True, False),
                ("NaN", True, False),
                ("[NaN]", True, False),
                ("Here: {}", False, False),
                ("[" * 60_000, False, False),
            ],
        ),
    ],
    "detectable_format:title": [
        (
            {},
            [
                ("<<A poem>>\ntext", True, True),
                ("<< >>", False, False),
                ("<<a\nb>>", False, False),
                ("a<b", False, False),
            ],
        )
    ],
    "combination:two_responses": [
        (
            {},
            [
                ("a\n******\nb", True, True),
                ("a******a", False, False),
                ("a", False, False),
                ("a******b******c", False, False),
            ],
        )
    ],
    "combination:repeat_prompt": [
        ({"prompt_to_repeat": "Say hi"}, [(" SAY HI\nHi.", True, True), ("Hi. Say hi", False, False)])
    ],
    "startend:end_checker": [
        (
            {"end_phrase": "Any other questions?"},
            [('Yes. "ANY other questions?"', True, True), ("Any other questions? No", False, False)],
        )
    ],
    "startend:quotation": [
        ({}, [('"a"', True, True), (' "a" ', True, True), ("“a”", False, False), ('"', False, False)])
    ],
    "change_case:capital_word_frequency": [
        (
            {"capital_frequency": 2, "capital_relation": "at least"},
            [("NASA and FBI", True, True), ("NASA", False, False)],
        ),
        ({"capital_frequency": 2, "capital_relation": "less than"}, [("NASA", True, True), ("DON'T", False, False)]),
    ],
    "change_case:english_capital": [
        (
            {},
            [
                (ENGLISH.upper(), True, True),
                (ENGLISH, False, False),
                ("DER ZUG FÄHRT FRÜH AM MORGEN AB", False, False),
                ("42", False, False),
                ("THE CAT SAT", False, True),
            ],
        )
    ],
    "change_case:english_lowercase": [
        (
            {},
            [(ENGLISH, True, True), (ENGLISH.upper(), False, False), ("der zug fährt früh am morgen ab", False, False)],
        )
    ],
    "punctuation:no_comma": [({}, [("a; b", True, True), ("a, b", False, False), ("a，b", True, False)])],
}
