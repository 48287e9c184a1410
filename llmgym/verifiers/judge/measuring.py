"""How good a judge is: measured on cases whose verdicts are known, before it is trusted with rewards."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from llmgym.verifiers.base import Verdict
from llmgym.verifiers.judge.asking import Model, Settings
from llmgym.verifiers.judge.grading import check, pairwise


@dataclass(frozen=True, slots=True)
class Case:
    """An answer, and whether it is right."""

    answer: str
    reference: str
    correct: bool
    question: str = ""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two answers, of which one is known to be better."""

    better: str
    worse: str
    question: str = ""


@dataclass(frozen=True, slots=True)
class Measurement:
    """What a judge is worth.

    Attributes:
        verdicts: How many were asked for.
        failed: The share of them that could not be read.
        agreement: Mean of how far the others are what is known, 0 to 1; a coin has 0.5.
        consistency: Mean share of a case's verdicts that are its most frequent one.
        first_position: The share of verdicts on pairs for what stood first, 0.5 without bias; None without pairs.
    """

    verdicts: int
    failed: float
    agreement: float | None
    consistency: float | None
    first_position: float | None


async def measure(
    cases: Sequence[Case | Pair], *, model: Model, repeats: int = 2, settings: Settings | None = None, parallel: int = 8
) -> Measurement:
    """Ask a judge about cases that are known.

    Args:
        cases: The cases.
        model: The judge.
        repeats: How often each is asked, with other seeds; at a temperature of 0 they mostly say the same.
        settings: How to ask.
        parallel: Cases at a time.
    """
    settings = settings or Settings()
    room = asyncio.Semaphore(parallel)

    async def verdicts(case: Case | Pair) -> list[Verdict]:
        async with room:
            return [
                await _judge(case, model, replace(settings, seed=settings.seed + repeat * settings.attempts))
                for repeat in range(repeats)
            ]

    asked = await asyncio.gather(*map(verdicts, cases))
    agreements: list[float] = []
    shares: list[float] = []
    positions: list[float] = []
    for case, found in zip(cases, asked, strict=True):
        right = 1.0 if isinstance(case, Pair) else float(case.correct)
        scores = [verdict.score for verdict in found if verdict.score is not None]
        agreements += [1 - abs(right - score) for score in scores]
        if scores:
            shares.append(max(Counter(scores).values()) / len(scores))
        positions += [v.metrics["judge_first_position"] for v in found if "judge_first_position" in v.metrics]
    total = len(cases) * repeats
    failed = (total - len(agreements)) / total if total else 0.0
    return Measurement(total, failed, *(fmean(v) if v else None for v in (agreements, shares, positions)))


async def _judge(case: Case | Pair, model: Model, settings: Settings) -> Verdict:
    if isinstance(case, Pair):
        return await pairwise(case.better, case.worse, model=model, question=case.question, settings=settings)
    return await check(case.answer, case.reference, model=model, question=case.question, settings=settings)
