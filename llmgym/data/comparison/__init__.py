"""Runs beside each other, task by task."""

from __future__ import annotations

from llmgym.data.comparison.comparing import Comparison, compare
from llmgym.data.comparison.layout import document_of

__all__ = ["Comparison", "compare", "document_of"]
