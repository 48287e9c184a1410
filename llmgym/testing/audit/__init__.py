"""The audit: whether an environment's rewards are true.

The conformance kit asks whether an environment keeps the rules. The audit asks what an optimiser will find: answers
that are nearly right and paid, policies that look at nothing and are paid, right answers that are not paid because they
are said in other words, verdicts that change from one process to the next. It needs no model, only the oracle.
"""

from __future__ import annotations

from llmgym.testing.audit.auditing import audit_env
from llmgym.testing.audit.page import page
from llmgym.testing.audit.report import AuditReport, Finding, Play, Row

__all__ = ["AuditReport", "Finding", "Play", "Row", "audit_env", "page"]
