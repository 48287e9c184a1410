"""Instruction following: the 25 families of IFEval, each a function of the reply and of nothing else.

The rules are those of the public benchmark, whose own code draws arguments that are missing at random, and needs
models and data from the network. What it gets wrong is mended by default.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, get_args

from llmgym.errors import TaskError
from llmgym.verifiers.base import MAX_ANSWER, Verdict, graded, too_long, unscored, wrong
from llmgym.verifiers.instructions.arguments import Rules, read
from llmgym.verifiers.instructions.families import FAMILIES
from llmgym.verifiers.instructions.patterns import compile_pattern
from llmgym.verifiers.text import without_thoughts

__all__ = ["FAMILIES", "Mode", "Rules", "Score", "check", "prove"]

#: "loose" also takes a reply without its first line, last line or both, and each without its stars.
Mode = Literal["strict", "loose"]
#: What partly followed instructions earn: nothing, or the share that is followed.
Score = Literal["all", "share"]


def check(
    answer: str,
    reference: Mapping[str, Any],
    *,
    rules: Rules = "llmgym",
    mode: Mode = "strict",
    score: Score = "all",
) -> Verdict:
    """Whether a reply follows instructions. Each is a metric under its id, 1 or 0.

    Args:
        answer: The reply.
        reference: `instruction_id_list` and `kwargs`, as rows of IFEval have them; other columns are left alone.
        rules: "llmgym" asks for what instructions say; "google" decides as the benchmark's own code does.
        mode: "strict" takes the reply as it is; "loose" allows for an introduction, a last line and Markdown.
        score: "all" wants every instruction followed; "share" pays for some of them.

    Raises:
        ValueError: An option is none that there is.
        MissingExtraError: An instruction needs a package of the extra `verifiers`.
    """
    for option, known in ((rules, Rules), (mode, Mode), (score, Score)):
        if option not in get_args(known):
            raise ValueError(f"{option!r} is none of {', '.join(get_args(known))}")
    try:
        wanted = _read(reference, rules)
    except ValueError as error:
        return unscored("invalid_reference", str(error))
    if len(answer) > MAX_ANSWER:
        return too_long(len(answer))
    said = without_thoughts(answer)
    if not said.strip():
        return wrong("nothing is written", "no_answer")
    followed: dict[str, float] = {}
    for number, (name, given) in enumerate(wanted):
        key = name if name not in followed else f"{name}#{number + 1}"
        try:
            followed[key] = float(_follows(said, name, given, rules, mode))
        except TimeoutError:
            return wrong(f"{name} could not be decided in time", "timeout", **followed)
    share = sum(followed.values()) / len(followed)
    missed = ", ".join(key for key, value in followed.items() if not value)
    return graded(share if score == "share" else float(share == 1), missed and f"not followed: {missed}", **followed)


def prove(reference: Mapping[str, Any], *, rules: Rules = "llmgym") -> None:
    """Prove that instructions are known and have the arguments that they need.

    Raises:
        TaskError: They are not; says which and what they need.
    """
    try:
        _read(reference, rules)
    except ValueError as error:
        raise TaskError(f"the instructions are wrong: {error}") from None


def _read(reference: Mapping[str, Any], rules: Rules) -> list[tuple[str, dict[str, Any]]]:
    if not isinstance(reference, Mapping):
        raise ValueError(f"a reference is a mapping, not {reference!r:.100}")  # noqa: TRY004
    names, given = reference.get("instruction_id_list"), reference.get("kwargs")
    if not isinstance(names, list | tuple) or not names:
        raise ValueError("`instruction_id_list` must be a list of ids that is not empty")
    given = [{}] * len(names) if given is None else given
    if not isinstance(given, list | tuple) or len(given) != len(names):
        raise ValueError(f"`kwargs` must be a list of the arguments of each of the {len(names)} instructions")
    return [(name, _arguments(name, one or {}, rules)) for name, one in zip(names, given, strict=True)]


def _arguments(name: Any, given: Any, rules: Rules) -> dict[str, Any]:
    if not isinstance(name, str) or name not in FAMILIES:
        raise ValueError(f"{name!r} is no instruction; there is {', '.join(FAMILIES)}")
    family = FAMILIES[name]
    try:
        found = read(given, family.arguments)
        if "nth_paragraph" in found and not 0 < found["nth_paragraph"] <= found["num_paragraphs"]:
            raise ValueError(f"asks for paragraph {found['nth_paragraph']} of {found['num_paragraphs']}")
        if rules == "google":
            if "letter" in found and not "a" <= found["letter"] <= "z":
                raise ValueError(f"has the letter {found['letter']!r}, for which the original draws another")
            for key in family.patterns:
                for source in (found[key],) if isinstance(found[key], str) else found[key]:
                    compile_pattern(source)
    except ValueError as error:
        raise ValueError(f"{name} {error}") from None
    return found


def _follows(answer: str, name: str, given: Mapping[str, Any], rules: Rules, mode: Mode) -> bool:
    texts = [answer] if mode == "strict" else _variants(answer)
    return any(FAMILIES[name].follows(text, rules == "google", **given) for text in texts if text.strip())


def _variants(answer: str) -> Iterator[str]:
    lines = answer.split("\n")
    for text in (answer, *("\n".join(part).strip() for part in (lines[1:], lines[:-1], lines[1:-1]))):
        yield text
        yield text.replace("*", "")
