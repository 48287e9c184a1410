"""Rollouts as data: read, measured, filtered, exported; files of any size, of llmgym and of others."""

from __future__ import annotations

from llmgym.data.dataset import Dataset, Group, Selection
from llmgym.data.problems import BadRowsError, Problem

__all__ = ["BadRowsError", "Dataset", "Group", "Problem", "Selection"]
