"""The stock clients of NeMo Gym, OpenEnv and the Open Reward Standard play environments of a server process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("uvicorn")

from tests.serve.fronts.dialogues import DIALOGUES, talk
from tests.serving import Process, process

__all__ = ["process"]

pytestmark = pytest.mark.integration
KEY = "a-t0ken_of-16"


@pytest.fixture
def said(process: Callable[..., Process]) -> Callable[[str], list[Any]]:
    """What comes of a dialogue with a server that asks for a token, which each client shows as it can."""

    def run(name: str) -> list[Any]:
        dialogue = DIALOGUES[name]
        server = process(*dialogue.env_ids, token=KEY, front=dialogue.front)
        host = server.url.partition("//")[2]
        url = {"nemo_gym": f"http://llmgym:{KEY}@{host}", "openenv": f"{server.url}/t/{KEY}", "ors": server.url}
        return talk(name, url[dialogue.front], KEY)

    return run


@pytest.mark.parametrize("agent", ["simple_agent", "gymnasium_agent", "single_agent_turn"])
def test_agents_of_nemo_gym(said: Callable[[str], list[Any]], agent: str) -> None:
    for status, row in said(f"nemo_gym_{agent}"):
        assert status == 200, row
        result = row["result"] if agent == "single_agent_turn" else row
        assert (result["reward"], result["mask_sample"]) == (1.0, False)
        outputs = [item["output"] for item in result["response"]["output"] if item["type"] == "function_call_output"]
        assert outputs
        metrics = result["info"]["metrics"] if agent == "gymnasium_agent" else result
        wrong = [output for output in outputs if output.startswith("Error: there is no tool")]
        assert metrics["tool_errors"] == len(wrong)


def test_clients_of_openenv(said: Callable[[str], list[Any]]) -> None:
    (found,) = said("openenv")
    *_, (_, reward, done, metadata) = found["steps"]
    assert (reward, done, metadata["terminated"], metadata["truncated"]) == (1.0, True, True, False)
    assert (found["state"]["episode_id"], found["state"]["step_count"]) == ("first", len(found["steps"]) - 1)
    assert "VALIDATION_ERROR" in found["refused"]
    assert found["tasks"][0]["task_id"] == metadata["task_id"]
    assert (found["tools"][-1], found["called"][0]) == ("assistant_message", "20")


def test_the_client_of_the_open_reward_standard(said: Callable[[str], list[Any]]) -> None:
    (found,) = said("ors")
    *_, last = found["outputs"]
    assert (last["reward"], last["finished"], last["metadata"]["terminated"]) == (1.0, True, True)
    assert last["metadata"]["metrics"]["tool_errors"] == 2.0
    assert (found["final"], found["again"], found["splits"]) == (True, True, ["train", "test"])
    assert [message["role"] for message in found["messages"]] == ["system", "user"]
