"""What the stock clients of other protocols are asked to do, and what comes of it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from llmgym.adapters.nemo_gym.env import response_of
from llmgym.env.reading import name_calls
from llmgym.messages import Message, as_assistant
from llmgym.registry import make_core
from llmgym.rollout.config import EnvConfig
from llmgym.rollout.reference import TaskRef
from llmgym.serve.fronts.nemo_gym_episode import row_of
from tests.adapters.wire_servers import python_of

CLIENTS = Path(__file__).parent / "clients"
ENV = "llmgym/Calculator-v0"


class Dialogue(NamedTuple):
    """A stock client and what it is asked.

    Attributes:
        front: Of the server.
        env_ids: Of the server.
        client: Its virtual environment and script.
        given: The rest of the command line of the script, where URL stands for that of the server.
        asked: Makes its input.
    """

    front: str
    env_ids: Sequence[str]
    client: str
    given: Sequence[str]
    asked: Callable[[], Any]


def solution(task_id: str) -> tuple[Any, list[Message]]:
    """The opening and the oracle's messages of a task."""
    env = make_core(ENV)
    messages, info = env.reset(options={"task_id": task_id})
    said: list[Message] = []
    for message in env.oracle(env.task):
        said.append(as_assistant(message))
        name_calls(said[-1], len(said))
        env.step(said[-1])
    env.close()
    return (messages, info["tools"]), said


def planned(index: int) -> str:
    """The task at a place."""
    return make_core(ENV).tasks.plan("train", 0, index, scope=ENV).id


def nemo_gym_rows() -> list[Any]:
    """Two rows, each with the replies of a model; one asks for what is none of its tools before it is right."""
    found: list[Any] = []
    for index in range(2):
        (messages, tools), said = solution(planned(index))
        row: Any = json.loads(json.dumps(row_of(_Opening(messages, tools), TaskRef(EnvConfig(ENV), planned(index), 0))))
        found.append([row, [response_of([each], row)["output"] for each in said]])
    names = ("verify", "seed_session", "close_session", "../v1/sessions", "none")
    calls = [
        {"type": "function_call", "call_id": f"c{n}", "name": name, "arguments": "{}"} for n, name in enumerate(names)
    ]
    found[1][1][:0] = [calls]
    return found


class _Opening(NamedTuple):
    messages: Any
    tools: Any


def openenv_actions() -> dict[str, Any]:
    """Actions that are right, and calls in another session."""
    *_, said = solution(planned(0))
    actions = [
        {"type": "call_tool", "tool_name": call["name"], "arguments": json.loads(call["arguments"])}
        for message in said
        for call in (each["function"] for each in message.get("tool_calls", ()))
    ]
    wrong = {"type": "call_tool", "tool_name": "../reset", "arguments": {}}
    calls = [["multiply", {"a": 4, "b": 5}], ["assistant_message", {"message": "20"}]]
    return {
        "reset": {"split": "train", "index": 0, "episode_id": "first"},
        "actions": [wrong, *actions, {"message": said[-1]["content"]}],
        "calls": calls,
    }


def ors_calls() -> dict[str, Any]:
    """Calls that are right, and some that are not."""
    *_, said = solution(planned(3))
    calls = [
        [call["function"]["name"], json.loads(call["function"]["arguments"])]
        for message in said
        for call in message.get("tool_calls", ())
    ]
    wrong = [["none", {}], ["add", {"a": 1}]]
    return {"env": ENV, "split": "train", "index": 3, "calls": [*wrong, *calls], "answer": said[-1]["content"]}


DIALOGUES = {
    **{
        f"nemo_gym_{agent}": Dialogue("nemo_gym", [ENV], "nemo-gym", [agent, "URL"], nemo_gym_rows)
        for agent in ("simple_agent", "gymnasium_agent", "single_agent_turn")
    },
    "nemo_gym_0_5": Dialogue("nemo_gym_0_5", [ENV], "nemo-gym", ["simple_agent", "URL"], nemo_gym_rows),
    "openenv": Dialogue("openenv", [ENV], "openenv", ["URL"], openenv_actions),
    "ors": Dialogue("ors", [ENV, "llmgym/MultipleChoice-v0"], "ors", ["URL", "KEY"], ors_calls),
}


def talk(name: str, url: str, key: str = "") -> list[Any]:
    """Have the stock client of a dialogue talk to a server; what it says came of that.

    A client that shows no key shows it in the URL.
    """
    dialogue = DIALOGUES[name]
    given = [each.replace("URL", url).replace("KEY", key) for each in dialogue.given]
    return run(dialogue.client, given, dialogue.asked())


def run(client: str, given: Sequence[str], asked: Any) -> list[Any]:
    """Run the script of a client in the virtual environment that is named alike; what it says."""
    script = CLIENTS / f"{client.replace('-', '_')}_client.py"
    done = subprocess.run(
        [python_of(client), script, *given],
        input=json.dumps(asked), capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines()]
