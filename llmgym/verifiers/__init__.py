"""Verifiers: pure functions that compare what a model answered with what is right; of use without any environment."""

from __future__ import annotations

from llmgym.verifiers.base import MAX_ANSWER, UNSCORED, Reason, Verdict

__all__ = ["MAX_ANSWER", "UNSCORED", "Reason", "Verdict"]
