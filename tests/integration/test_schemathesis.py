"""Hundreds of requests made of the OpenAPI document: no defect answers, and what answers is as documented."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("uvicorn")

from llmgym.serve import EnvServer
from tests.adapters.wire_servers import python_of
from tests.command import ROOT
from tests.serving import serve

__all__ = ["serve"]
pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

ENV, TOKEN = "llmgym/Calculator-v0", "s3cret"
# Names of environments and tasks that do not exist are refused, and so are turns out of order: no schema can say so.
EXCLUDED = "positive_data_acceptance,not_a_server_error"  # in the place of the latter, a check in the hooks


def test_requests_of_the_document_are_answered_as_it_says(
    serve: Callable[..., EnvServer], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    python = python_of("schemathesis")
    server = serve(ENV, token=TOKEN)
    command = [python.with_name("st"), "run", f"{server.url}/openapi.json", "--seed", "1", "--max-examples", "25",
               "--header", f"Authorization: Bearer {TOKEN}", "--checks", "all", "--exclude-checks", EXCLUDED,
               "--suppress-health-check", "all", "--continue-on-failure"]  # fmt: skip
    env = {**os.environ, "PYTHONPATH": str(ROOT / "tests" / "serve"), "SCHEMATHESIS_HOOKS": "schemathesis_hooks",
           "SERVED_ENV": ENV, "SERVED_URL": server.url, "SERVED_TOKEN": TOKEN}  # fmt: skip
    done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=580, check=False)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert [record.getMessage() for record in caplog.records if record.name == "llmgym.serve"] == []
