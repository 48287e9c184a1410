"""The benchmark of endpoints plays the conversation that it says it does, and reports ratios of medians."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "benchmarks"))  # as for a script that is run from there

import _nemo_gym  # noqa: E402
import endpoints  # noqa: E402
from _endpoint import CALLS, reply  # noqa: E402


def test_the_conversation_has_eight_calls_and_an_end() -> None:
    messages = [{"role": "user", "content": "hi"}]
    for turn in range(CALLS + 1):
        message = reply({"messages": messages})["choices"][0]["message"]
        assert ("tool_calls" in message) == (turn < CALLS)
        messages.append(message)


def test_nemo_gym_is_asked_the_same() -> None:
    asked = _nemo_gym.ROW["responses_create_params"]["input"]  # type: ignore[index]
    assert [message["content"] for message in asked] == [_nemo_gym.PROMPT, _nemo_gym.QUESTION]


def test_a_measurement_of_this_tree() -> None:
    with endpoints.serving("chat") as url:
        assert 0 < float(endpoints.output_of(ROOT, str(endpoints.WORKER), "turns", url, "2")) < 1000


def test_a_commit_that_is_not_there() -> None:
    missing = r"0{40} cannot be checked out: .*; a shallow clone .* `git fetch --unshallow`"
    with pytest.raises(SystemExit, match=missing), endpoints.checked_out("0" * 40):
        pass


def test_one_figure_of_all_rounds() -> None:
    figures = {"cpu_here": [1.0, 9.0, 2.0], "cpu_other": [10.0], "start_here": [3.0, 1.0, 2.0], "start_other": [4.0],
               "memory_here": [100.0], "memory_other": [400.0]}  # fmt: skip
    found = endpoints.report("abc", figures)
    assert (found["openai_cpu_ms_per_turn"], found["vs_abc"], found["vs_nemo_gym"], found["start_s"]) == (
        2.0,
        0.2,
        None,
        1.0,
    )
    assert endpoints.report("abc", {**figures, "cpu_nemo_gym": [40.0]})["vs_nemo_gym"] == 0.05
