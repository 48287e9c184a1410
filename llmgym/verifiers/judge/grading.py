"""What judges are asked: whether an answer is right, which of two is better, how much of a rubric it fulfils."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from llmgym.verifiers.base import Verdict, graded
from llmgym.verifiers.judge.asking import Model, Reply, Settings, ask, choice_at_end, compose, object_at_end, unjudged
from llmgym.verifiers.text import without_thoughts

_DEFAULTS = Settings()
_REASON = "First reason in a few sentences. Then end your reply with one line of JSON and nothing after it"


async def check(
    answer: str, reference: str, *, model: Model, question: str = "", swap: bool = False, settings: Settings = _DEFAULTS
) -> Verdict:
    """Whether an answer says the same as the right one.

    Args:
        answer: The answer.
        reference: The right one.
        model: Who judges.
        question: What was asked.
        swap: Ask a second time with the two in each other's place; where the verdicts differ, the score is 0.5.
        settings: How to ask.

    Returns:
        1, 0 or 0.5, with `judge_calls`, and with `swap` `judge_disagreement`; None where the judge gave no verdict.
    """
    answer = without_thoughts(answer)
    if (verdict := unjudged(answer, settings)) is not None:
        return verdict
    orders = [(answer, reference), (reference, answer)][: 2 if swap else 1]
    replies = await asyncio.gather(*(_same(given, right, model, question, settings) for given, right in orders))
    return _agreed(replies, [reply.value == "correct" for reply in replies])


async def pairwise(
    first: str, second: str, *, model: Model, question: str = "", reference: str = "", settings: Settings = _DEFAULTS
) -> Verdict:
    """Whether the first of two answers is the better one: asked in both orders, since judges prefer a place.

    Args:
        first: An answer.
        second: The other one.
        model: Who judges.
        question: What was asked.
        reference: A right answer, if there is one.
        settings: How to ask.

    Returns:
        1 where the first is better in both orders, 0 where the second is, else 0.5, with `judge_disagreement` and
        `judge_first_position`, the share of verdicts for what stood first: 0.5 where the place made no difference. An
        answer that is empty or too long is the worse one. None where the judge gave no verdict.
    """
    first, second = without_thoughts(first), without_thoughts(second)
    if (lost := [unjudged(text, settings) is not None for text in (first, second)]) != [False, False]:
        return graded((1 + lost[1] - lost[0]) / 2, "not judged: an answer is empty or too long")
    replies = await asyncio.gather(
        _better(first, second, model, question, reference, settings),
        _better(second, first, model, question, reference, settings),
    )
    verdict = _agreed(replies, [replies[0].value == "A", replies[1].value == "B"])
    if verdict.score is None:
        return verdict
    first_position = sum(reply.value == "A" for reply in replies) / 2
    return replace(verdict, metrics={**verdict.metrics, "judge_first_position": first_position})


async def rubric(
    answer: str,
    criteria: Mapping[str, str],
    *,
    model: Model,
    weights: Mapping[str, float] | None = None,
    scale: Literal["yes_no", "1_to_5"] = "yes_no",
    question: str = "",
    reference: str = "",
    settings: Settings = _DEFAULTS,
) -> Verdict:
    """How much of a rubric an answer fulfils, in one call.

    Args:
        answer: The answer.
        criteria: What it should do, by names such as `cites_sources`.
        model: Who judges; it is not told the weights.
        weights: Of the criteria, above 0; 1 where nothing is said.
        scale: Whether a criterion is met or not, or from 1 to 5, of which 1 earns nothing.
        question: What was asked.
        reference: A right answer, if there is one.
        settings: How to ask.

    Returns:
        The weighted mean, with what each criterion earned under its name; None where the judge left one out.

    Raises:
        ValueError: There are no criteria, or a weight is of none or not above 0.
    """
    shares = {name: (weights or {}).get(name, 1.0) for name in criteria}
    if not criteria or not all(weight > 0 for weight in shares.values()) or set(weights or ()) - set(criteria):
        raise ValueError(f"a rubric needs criteria, and weights above 0 of those: {list(criteria)}, {weights}")
    answer = without_thoughts(answer)
    if (verdict := unjudged(answer, settings)) is not None:
        return verdict
    values = "true or false" if scale == "yes_no" else "a whole number from 1 (not at all) to 5 (entirely)"
    listed = "\n".join(f"- {name}: {text}" for name, text in criteria.items())
    example = ", ".join(f'"{name}": ...' for name in criteria)
    prompt = compose(
        f"Grade an answer by these criteria, each on its own:\n{listed}",
        {"Question": question, "Reference answer": reference, "Answer": answer},
        f"{_REASON}, in which each criterion is {values}: {{{example}}}",
    )
    reply = await ask(model, prompt, lambda text: _grades(text, criteria, scale), settings)
    if reply.value is None:
        return reply.verdict
    score = sum(shares[name] * value for name, value in reply.value.items()) / sum(shares.values())
    verdict = graded(min(1.0, score))
    return replace(verdict, metrics={**reply.value, "judge_calls": float(reply.calls)})


async def _same(answer: str, reference: str, model: Model, question: str, settings: Settings) -> Reply[str]:
    prompt = compose(
        "Grade an answer: it is correct where it says the same as the reference answer, in whatever words or form, and "
        "incorrect where it says something else, gives several answers, or gives none.",
        {"Question": question, "Reference answer": reference, "Answer": answer},
        f'{_REASON}: {{"verdict": "correct"}} or {{"verdict": "incorrect"}}',
    )
    return await ask(model, prompt, lambda text: choice_at_end(text, ("correct", "incorrect")), settings)


async def _better(
    first: str, second: str, model: Model, question: str, reference: str, settings: Settings
) -> Reply[str]:
    prompt = compose(
        "Say which of two answers, A and B, is the better one. Their order and their length mean nothing.",
        {"Question": question, "Reference answer": reference, "Answer A": first, "Answer B": second},
        f'{_REASON}: {{"verdict": "A"}} or {{"verdict": "B"}}',
    )
    return await ask(model, prompt, lambda text: choice_at_end(text, ("A", "B")), settings)


def _agreed(replies: Sequence[Reply[str]], found: list[bool]) -> Verdict:
    """What verdicts on one thing, each asked in another order, come to."""
    if (failed := next((reply for reply in replies if reply.value is None), None)) is not None:
        return failed.verdict
    metrics = {"judge_calls": float(sum(reply.calls for reply in replies))}
    if len(found) > 1:
        metrics["judge_disagreement"] = float(len(set(found)) > 1)
    return replace(graded(sum(found) / len(found)), metrics=metrics)


def _grades(reply: str, criteria: Mapping[str, str], scale: str) -> dict[str, float] | None:
    """What a reply gives each criterion, 0 to 1; None where one is missing or is no grade."""
    found = object_at_end(reply) or {}
    grades = {name: _grade(found.get(name), scale) for name in criteria}
    read = {name: grade for name, grade in grades.items() if grade is not None}
    return read if len(read) == len(criteria) else None


def _grade(value: Any, scale: str) -> float | None:
    if scale == "yes_no":
        return float(value) if isinstance(value, bool) else None
    whole = isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 5
    return (value - 1) / 4 if whole else None
