"""SDKs, agent frameworks and agent programs, unchanged, play episodes through the gateway.

`make .venv-agents/.stamp` makes the environment of the first two; LLMGYM_AGENTS names the Python of another one. The
programs are npm's, and their tests run by `make test-agents`.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from llmgym.policies import make_policy
from tests.agents.playing import Speller, expect_record, played

_ROOT = Path(__file__).parents[2]
_PYTHON = os.environ.get("LLMGYM_AGENTS", str(_ROOT / ".venv-agents" / "bin" / "python"))
_SDKS = ["sdk_openai.py chat", "sdk_openai.py responses", "sdk_anthropic.py"]
_FRAMEWORKS = [
    "with_pydantic_ai.py chat", "with_pydantic_ai.py responses", "with_pydantic_ai.py anthropic", "with_langgraph.py",
    "with_openai_agents.py chat", "with_openai_agents.py responses",
]  # fmt: skip


def program(name: str) -> str:
    """The command of a program."""
    if not Path(_PYTHON).exists():
        pytest.skip("needs an environment with agents: make .venv-agents/.stamp, or LLMGYM_AGENTS=PYTHON")
    file, _, arguments = name.partition(" ")
    return f"{shlex.quote(_PYTHON)} {shlex.quote(str(_ROOT / 'tests' / 'agents' / file))} {arguments}"


def shell(name: str) -> str:
    """The command of a script."""
    return f"sh {shlex.quote(str(_ROOT / name))}.sh"


@pytest.fixture(scope="module")
def speller() -> Speller:
    return Speller()


@pytest.mark.integration
@pytest.mark.parametrize("stream", ["", " stream"])
@pytest.mark.parametrize("name", [*_SDKS, *_FRAMEWORKS])
def test_a_program_goes_on_in_one_context(name: str, stream: str, speller: Speller) -> None:
    trajectory, requests = played(program(name + stream), speller, speller.codec)
    assert (trajectory.status, trajectory.reward) == ("completed", 1.5), trajectory.error
    assert trajectory.metrics["tool_calls"] == 2
    assert len(trajectory.segments) == 1
    assert len(trajectory.turns) == len(requests) == 3
    expect_record(trajectory, requests)


@pytest.mark.integration
@pytest.mark.parametrize("stream", ["", " stream"])
def test_a_program_that_writes_its_turns_anew_has_a_context_for_each(stream: str, speller: Speller) -> None:
    trajectory, requests = played(program(f"with_smolagents.py{stream}"), speller, speller.codec)
    assert trajectory.status == "completed", trajectory.error
    assert trajectory.metrics["tool_calls"] == 2
    assert len(trajectory.segments) == len(requests) == 3
    expect_record(trajectory, requests)


@pytest.mark.integration
def test_a_shell_script(speller: Speller, monkeypatch: pytest.MonkeyPatch) -> None:
    if not (shutil.which("curl") and shutil.which("jq")):
        pytest.skip("needs curl and jq")
    monkeypatch.setenv("LLMGYM", f"{sys.executable} -m llmgym")
    trajectory, requests = played(shell("tests/agents/with_curl"), speller, speller.codec)
    assert trajectory.status == "completed", trajectory.error
    assert (trajectory.metrics["tool_calls"], len(trajectory.segments), len(requests)) == (1, 1, 2)
    expect_record(trajectory, requests)


@pytest.fixture(scope="module")
def model() -> Any:
    return make_policy("smollm2")


@pytest.mark.integration
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", [*_SDKS, "with_langgraph.py stream"])
def test_what_a_real_model_says_is_recorded(name: str, model: Any, speller: Speller) -> None:
    settings = {"env_ids": ["llmgym/Calculator-easy-v0"], "responses_create_params": {"max_output_tokens": 48}}
    trajectory, requests = played(program(name), model, speller.codec, **settings)
    assert trajectory.finished, trajectory.error
    assert trajectory.reward is not None
    assert requests
    expect_record(trajectory, requests)


# --- programs -------------------------------------------------------------------------------------


@pytest.mark.agents
@pytest.mark.parametrize(("name", "roles"), [
    ("examples/claude_code", ["agent"]), ("tests/agents/codex", ["agent"]),
    ("tests/agents/opencode", ["agent", "auxiliary"]),
])  # fmt: skip
def test_an_agent_program_plays_an_episode(name: str, roles: list[str], programs: None, speller: Speller) -> None:
    trajectory, requests = played(shell(name), speller, speller.codec)
    assert (trajectory.status, trajectory.reward) == ("completed", 1.5), trajectory.error
    assert trajectory.metrics["tool_calls"] == 2
    assert [segment.role for segment in trajectory.segments] == roles
    assert len(trajectory.turns) == 3
    expect_record(trajectory, requests)
