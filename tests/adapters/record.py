"""Record what the adapters over the wire say to the packages' own servers: `record.py NAME`, see `DIALOGUES`.

A server of `servers/` has to run at the port that is named. What is written is what `test_nemo_gym.py` and
`test_openenv.py` replay.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from llmgym.adapters import wire
from llmgym.messages import assistant, tool_call
from llmgym.registry import make_core
from llmgym.tasks import Task, TaskSet
from tests.adapters.wire_servers import TRANSCRIPTS, unnamed

_COUNT = {
    "responses_create_params": {
        "input": [{"role": "system", "content": "Count."}, {"role": "user", "content": "Add 4, and tell the count."}],
        "tools": [
            {
                "type": "function",
                "name": "increment_counter",
                "description": "Increment the counter.",
                "parameters": {"type": "object", "properties": {"count": {"type": "integer"}}, "required": ["count"]},
                "strict": True,
            },
            {"type": "function", "name": "get_counter_value", "description": "", "parameters": None, "strict": True},
        ],
    },
    "initial_count": 3,
    "expected_count": 7,
}
_CITY = {
    "responses_create_params": {
        "input": "What is the weather in Rome?",
        "tools": [
            {
                "type": "function",
                "name": "get_weather",
                "description": "",
                "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
                "strict": True,
            }
        ],
    }
}
_TALK = {
    "responses_create_params": {"input": [{"role": "user", "content": "What is the capital of France?"}]},
    "follow_ups": ["Name a landmark there."],
    "expected_answer": "Eiffel",
}
_COUNTED = [assistant("", tool_call("increment_counter", count=4), tool_call("get_counter_value")), "7"]


def nemo_gym(port: int, row: dict[str, Any], *actions: Any) -> dict[str, Any]:
    return {"id": "llmgym/NeMoGym-v0", "port": port, "task": row, "actions": actions}


def openenv(port: int, *actions: Any) -> dict[str, Any]:
    task = {"prompt": "", "metadata": {"reset": {"seed": 3}}}
    return {"id": "llmgym/OpenEnv-v0", "port": port, "task": task, "actions": actions}


DIALOGUES = {
    "nemo_gym_counter": nemo_gym(9101, _COUNT, *_COUNTED),
    "nemo_gym_counter_0_5": nemo_gym(9104, _COUNT, *_COUNTED),
    "nemo_gym_by_id": nemo_gym(9103, _CITY, assistant("", tool_call("get_weather", city="Rome")), "Cold."),
    "nemo_gym_steps": nemo_gym(9102, _TALK, "Paris", "The Eiffel Tower."),
    "openenv_guess": openenv(
        9201,
        assistant("", tool_call("Number", number=9), tool_call("Number", number="x")),
        assistant("", tool_call("Number", number=4)),
    ),
    "openenv_repeat": openenv(9202, "please"),
    "openenv_shelf": openenv(9204, "tea") | {"task": None},
    "openenv_desk": openenv(
        9203,
        assistant("", tool_call("add", a=2, b=3), tool_call("boom")),
        assistant("", tool_call("submit", answer=5)),
    ),
}


def play(env: Any, actions: Any) -> list[Any]:
    """What is seen in an episode."""
    opening, info = env.reset(seed=0)
    seen: list[Any] = [opening, [tool["function"]["name"] for tool in info["tools"]]]
    for action in actions:
        said, reward, done, _, info = env.step(action)
        seen.append([said, reward, done, info.get("metrics"), info.get("tool_errors")])
    env.close()
    return json.loads(json.dumps(seen))


def task_set(env_id: str, row: dict[str, Any] | None) -> TaskSet | None:
    """A set of one task; without one, that of the server."""
    if row is None:
        return None
    from llmgym.adapters.nemo_gym.env import NeMoGym

    if env_id == "llmgym/NeMoGym-v0":
        return TaskSet.generated(lambda _: NeMoGym.read_row(json.loads(json.dumps(row))))
    return TaskSet.generated(lambda _: Task(**row))


def record(name: str) -> None:
    dialogue = DIALOGUES[name]
    exchanges: list[dict[str, Any]] = []
    ask, ask_socket = wire.Server.ask, wire.Socket.ask

    async def noted(self: Any, path: str, body: Any = None, **rest: Any) -> wire.Answer:
        found = await ask(self, path, body, **rest)
        text = found.text
        if path == "/openapi.json":  # of which little is looked at
            paths = json.loads(text)["paths"]
            text = json.dumps(
                {
                    "paths": {
                        place: ways if place == "/seed_session" else {way: {} for way in ways}
                        for place, ways in paths.items()
                    }
                }
            )
        exchange = {"path": path, "sent": unnamed(body), "status": found.status, "answer": text}
        exchanges.append({**exchange, "cookies": found.cookies})
        return found

    async def noted_socket(self: Any, message: Any, **rest: Any) -> dict[str, Any]:
        found = await ask_socket(self, message, **rest)
        exchanges.append({"path": "/ws", "sent": dict(message), "answer": json.dumps(found)})
        return found

    wire.Server.ask, wire.Socket.ask = noted, noted_socket  # type: ignore[method-assign]
    env = make_core(
        dialogue["id"],
        url=f"http://127.0.0.1:{dialogue['port']}",
        tasks=task_set(dialogue["id"], dialogue["task"]),
        hook_timeout=10.0,
    )
    seen = play(env, dialogue["actions"])
    TRANSCRIPTS.mkdir(exist_ok=True)
    recorded = {"id": dialogue["id"], "task": dialogue["task"], "actions": dialogue["actions"], "seen": seen}
    text = json.dumps({**recorded, "exchanges": exchanges}, indent=1)
    (TRANSCRIPTS / f"{name}.json").write_text(text + "\n")


if __name__ == "__main__":
    for each in sys.argv[1:] or DIALOGUES:
        record(each)
