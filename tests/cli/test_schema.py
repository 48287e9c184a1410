"""`llmgym schema`."""

from __future__ import annotations

import json

from llmgym.records import rollout_schema
from tests.rollouts import llmgym


def test_the_schema_of_rollouts_is_printed() -> None:
    done = llmgym("schema", "rollout")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == rollout_schema()


def test_what_has_no_schema_is_one_line() -> None:
    done = llmgym("schema", "nothing")
    assert done.returncode == 2
    assert done.stderr == "error: there is no schema of 'nothing'; there is one of rollout\n"
