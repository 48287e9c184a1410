"""`rollout_func` over TRL's own vLLM: TRL itself compares the log-probabilities that it got with the model's."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("vllm")
pytest.importorskip("trl")

ROOT = Path(__file__).parents[2]


@pytest.mark.integration
@pytest.mark.vllm
@pytest.mark.timeout(600)
def test_rollouts_over_trls_vllm(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.trainers.trl_vllm", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert len(told["turns"]) == 4
    assert max(told["turns"]) > 1
    assert told["log"]["llmgym/unscored"] == 0
    # vLLM samples in bfloat16; ids that are out of place are off by many nats.
    assert told["log"]["sampling/sampling_logp_difference/max"] < 1
