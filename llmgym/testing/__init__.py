"""The conformance kit: what every environment must keep to, as checks that any package can run.

`check_text_env` runs all checks and raises with every one that failed; `run_checks` gives them one
by one. It needs no test framework, and knows environments by their Gymnasium id only:

    def test_my_env():
        check_text_env("my_package:my/Env-v0")
"""

from __future__ import annotations

from llmgym.testing.kit import CHECKS, check_text_env, run_checks
from llmgym.testing.report import CheckResult, Report
from llmgym.testing.subject import Check

__all__ = ["CHECKS", "Check", "CheckResult", "Report", "check_text_env", "run_checks"]
