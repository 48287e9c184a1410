from __future__ import annotations

import pytest

from llmgym.verifiers import UNSCORED, Verdict
from llmgym.verifiers.base import correct, graded, unscored, wrong


def test_a_verdict_is_scored_unless_its_reason_says_otherwise() -> None:
    for reason in UNSCORED:
        assert unscored(reason, "why").reward.value is None
        with pytest.raises(ValueError, match=r"cannot have the score 0\.0"):
            Verdict(0.0, reason)
    with pytest.raises(ValueError, match="cannot have the score None"):
        Verdict(None, "wrong")
    with pytest.raises(ValueError, match="0 to 1"):
        Verdict(1.5, "partial")
    with pytest.raises(ValueError, match="'right' is no reason"):
        Verdict(1.0, "right")  # type: ignore[arg-type]


def test_a_verdict_is_a_reward_whose_metrics_name_reasons_that_are_not_plain() -> None:
    assert correct(words=3).reward.value == 1
    assert correct(words=3).reward.metrics == {"words": 3}
    assert wrong().reward.metrics == {}
    too_long = wrong("70,000 characters", "too_long").reward
    assert too_long.value == 0
    assert too_long.metrics == {"too_long": 1.0}
    assert unscored("judge_failed", "no verdict in the reply").reward.metrics == {"judge_failed": 1.0}


def test_only_full_marks_are_true() -> None:
    assert correct()
    assert not wrong()
    assert not graded(0.5)
    assert not unscored("infrastructure", "the sandbox is gone")
    assert [graded(score).reason for score in (0, 0.5, 1)] == ["wrong", "partial", "correct"]


def test_thoughts_are_no_part_of_an_answer() -> None:
    from llmgym.verifiers import instructions, structured

    thought = "<think>No, maybe, [1, 2]</think>"
    task = {"instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]}
    assert instructions.check(f"{thought}Yes.", task)
    assert not instructions.check(f"{thought}Yes, sir.", task)
    assert structured.check(f'{thought}{{"a": 1}}', {"value": {"a": 1}})
    assert structured.check("<think>{}", {"value": {}}).reason == "no_answer"
