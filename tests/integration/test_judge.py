"""A real, and poor, judge: SmolLM2 is asked as any other, and what it cannot say is no verdict."""

from __future__ import annotations

import asyncio

import pytest

from llmgym.policies import make_policy
from llmgym.rollout.roles import chat_policy
from llmgym.verifiers import judge
from llmgym.verifiers.base import Verdict

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

CASES = [
    judge.Case("It is 7.", "7", correct=True, question="What is 3 + 4?"),
    judge.Case("It is 9.", "7", correct=False, question="What is 3 + 4?"),
    judge.Pair("3 + 4 is 7.", "I do not know.", question="What is 3 + 4?"),
]


def test_a_small_model_as_judge() -> None:
    async def run() -> tuple[judge.Measurement, list[Verdict]]:
        policy = make_policy("smollm2")
        model = chat_policy(policy)
        settings = judge.Settings(max_tokens=96, temperature=0.7, attempts=2)
        try:
            found = await judge.measure(CASES, model=model, settings=settings)
            essay = "Paris is the capital of France."
            rubric = await judge.rubric(essay, {"short": "It is one sentence."}, model=model, settings=settings)
            again = [
                await judge.check("7", "7", model=model, settings=judge.Settings(max_tokens=48, attempts=1))
                for _ in range(2)
            ]
            return found, [rubric, *again]
        finally:
            await policy.close()

    found, verdicts = asyncio.run(run())
    print(found, *verdicts, sep="\n")
    assert found.verdicts == 6
    assert 0 <= found.failed <= 1
    assert (found.agreement is None) == (found.failed == 1)
    for verdict in verdicts:
        assert verdict.reason in ("correct", "partial", "wrong", "judge_failed"), verdict
        assert verdict.metrics["judge_calls"] >= 1
    assert verdicts[1] == verdicts[2]  # the same question at temperature 0
