"""The two tills of examples/nemo_gym: NeMo Gym's server and llmgym's environment, each played by both projects."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("aiohttp")
pytest.importorskip("uvicorn")

from llmgym.adapters.nemo_gym.env import response_of
from llmgym.messages import as_assistant
from llmgym.rollout import read_rollouts
from tests.adapters.mcp_servers import free_port
from tests.adapters.wire_servers import answering, python_of
from tests.command import ROOT, environ, llmgym
from tests.serve.fronts.dialogues import run

pytestmark = pytest.mark.integration
FOLDER = ROOT / "examples/nemo_gym"
ROWS = [json.loads(line) for line in (FOLDER / "till.jsonl").read_text().splitlines()]
CASHIER = ("--policy", "script:cashier.reply")


@contextmanager
def started(port: int, *command: Any, cwd: Path = FOLDER, **variables: str) -> Iterator[str]:
    """A server in a process, from when it answers."""
    with answering(port, *command, cwd=cwd, env={**environ(), **variables}) as url:
        yield url


def episodes(*flags: str) -> dict[str, Any]:
    """What a run gives, by task: the reward, and what was said."""
    folder = flags[-1]
    done = llmgym("--registry", "registry.yaml", "rollout", *CASHIER, *flags, cwd=FOLDER)
    assert done.returncode == 0, done.stderr
    return {
        each.task_id: (each.reward, [message["content"] for message in each.messages]) for each in read_rollouts(folder)
    }


def test_their_server_and_our_environment_give_the_same_episodes(tmp_path: Path) -> None:
    port = free_port()
    with started(port, python_of("nemo-gym"), "till_server.py", str(port)) as url:
        served = {"id": "llmgym/NeMoGym-v0", "kwargs": {"url": url, "tasks": "till.jsonl"}}
        theirs = episodes("--set", f"env_ids={json.dumps([served])}", "--output", str(tmp_path / "theirs"))
    ours = episodes("--env", "shop/Till-v0", "--output", str(tmp_path / "ours"))
    assert theirs == ours
    assert {reward for reward, _ in ours.values()} == {1.0}
    assert len(ours) == len(ROWS)


def test_their_agent_plays_our_environment_by_their_rows() -> None:
    sys.path.insert(0, str(FOLDER))
    from cashier import reply  # type: ignore[import-not-found]

    sys.path.remove(str(FOLDER))
    port = free_port()
    command = [sys.executable, "-m", "llmgym", "--registry", "registry.yaml"]
    settings = {"command": command, "arguments": ["shop/Till-v0"], "folder": "../..", "host": "127.0.0.1", "port": port}
    variables = {
        "NEMO_GYM_CONFIG_DICT": json.dumps({"till": {"resources_servers": {"llmgym": settings}}}),
        "NEMO_GYM_CONFIG_PATH": "till",
        "PATH": os.environ["PATH"],
    }
    asked: list[Any] = []
    for number, row in enumerate(ROWS):
        (said,) = row["responses_create_params"]["input"]
        call = as_assistant(reply([said], []))
        for place, each in enumerate(call.get("tool_calls", ())):
            each["id"] = f"c{place}"
        total = row["expected_total"] + (number == 0)  # what is said counts for nothing, what is rung up does
        asked.append([row, [response_of([each], row)["output"] for each in (call, as_assistant(f"That is {total}."))]])
    asked[1][1][0] = asked[1][1][0][:-1]  # one item is forgotten
    with started(port, python_of("nemo-gym"), "app.py", cwd=FOLDER / "resources_servers/llmgym", **variables) as url:
        found = run("nemo-gym", ["simple_agent", url], asked)
    assert [status for status, _ in found] == [200] * len(ROWS)
    rewards = [row["reward"] for _, row in found]
    assert rewards == [1.0, 0.0, *[1.0] * (len(ROWS) - 2)]
