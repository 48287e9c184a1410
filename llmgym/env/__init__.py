"""Environments of language models: Gymnasium environments whose actions are assistant messages."""

from __future__ import annotations

from llmgym.env.core import Observation, Solution, StepResult, ToolEnv
from llmgym.env.episode import Episode, Report

__all__ = ["Episode", "Observation", "Report", "Solution", "StepResult", "ToolEnv"]
