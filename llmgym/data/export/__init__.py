"""Rollouts as training data: for TRL, verl, OpenRLHF and NeMo RL as their own code reads it, and for others."""

from __future__ import annotations

from llmgym.data.export.exporting import export, transform_rollouts
from llmgym.data.export.recipe import KINDS, SUPPORTED, TRAINERS, Kind, Recipe, Trainer
from llmgym.data.export.writing import write_jsonl

__all__ = ["KINDS", "SUPPORTED", "TRAINERS", "Kind", "Recipe", "Trainer", "export", "transform_rollouts", "write_jsonl"]
