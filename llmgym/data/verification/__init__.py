"""Stored episodes scored again, without a policy: what they earn now, and what their environment answers now."""

from __future__ import annotations

from llmgym.data.verification.differences import Difference
from llmgym.data.verification.report import Report
from llmgym.data.verification.verifying import verify

__all__ = ["Difference", "Report", "verify"]
