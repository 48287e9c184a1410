"""A run as a page to look at: one HTML that opens from disk, and a server that shows a run while it goes on."""

from __future__ import annotations

from llmgym.report.page import write_report
from llmgym.report.report import Report

__all__ = ["Report", "write_report"]
