"""An LLM as judge: of an answer beside the right one, by a rubric, or of two answers; and how good a judge is.

A judge that cannot be read, or not be reached, leaves an answer unscored: it says nothing about it.
"""

from __future__ import annotations

from llmgym.verifiers.judge.asking import Model, Settings
from llmgym.verifiers.judge.grading import check, pairwise, rubric
from llmgym.verifiers.judge.measuring import Case, Measurement, Pair, measure

__all__ = ["Case", "Measurement", "Model", "Pair", "Settings", "check", "measure", "pairwise", "rubric"]
