"""NeMo Gym's own agents against a resources server, with a model that says what it is told to say.

`nemo_gym_client.py AGENT URL`, in an environment that has nemo-gym; AGENT is simple_agent, gymnasium_agent, or
single_agent_turn, which is an environment server with a simple_agent. On the input is a list of `[row, replies]`, a
reply being the items of a response; on the output, what `/run` answers to each row.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import socket
import sys
import urllib.parse
from typing import Any

import aiohttp
import uvicorn
from fastapi import FastAPI
from nemo_gym import server_utils
from nemo_gym.global_config import get_first_server_config_dict
from nemo_gym.server_utils import BaseServerConfig, GlobalAIOHTTPAsyncClientConfig, ServerClient
from omegaconf import OmegaConf

agent, url = sys.argv[1:]
replies: list[Any] = []
running: list[Any] = []
model = FastAPI()


@model.post("/v1/responses")
async def respond(body: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": "resp", "created_at": 0, "model": "scripted", "object": "response", "output": replies.pop(0),
        "parallel_tool_calls": True, "tool_choice": "auto", "tools": body.get("tools") or [],
    }  # fmt: skip


model.post("/ng-rollout/{rollout}/v1/responses")(respond)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def place(port: int, **settings: Any) -> dict[str, Any]:
    return {"host": "127.0.0.1", "port": port, "entrypoint": "app.py", **settings}


async def serve(app: Any, port: int) -> None:
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="error"))
    running.append(asyncio.create_task(server.serve()))
    while not server.started:  # noqa: ASYNC110 -- uvicorn has no event for it
        await asyncio.sleep(0.01)


class_of = {"simple_agent": "SimpleAgent", "gymnasium_agent": "GymnasiumAgent"}
inner = "gymnasium_agent" if agent == "gymnasium_agent" else "simple_agent"
parsed = urllib.parse.urlsplit(url)
host, _, port = parsed.netloc.rpartition(":")  # the host may have a user and a password before it
resources = {"type": "resources_servers", "name": "llmgym"}
policy = {"type": "responses_api_models", "name": "policy"}
config = OmegaConf.create(
    {
        "llmgym": {"resources_servers": {"llmgym": {"host": host, "port": int(port), "domain": "agent"}}},
        "policy": {"responses_api_models": {"scripted": place(free_port())}},
        "agent": {"responses_api_agents": {inner: place(free_port(), resources_server=resources, model_server=policy)}},
        "single_agent_turn": {
            "environment_servers": {
                "single_agent_turn": place(
                    free_port(),
                    resources_server=resources,
                    agent_server={"type": "responses_api_agents", "name": "agent"},
                    resources_tool_transports=["direct_http"],
                    cleanup_timeout_seconds=10,
                )
            }
        },
    }
)
client = ServerClient(head_server_config=BaseServerConfig(host="127.0.0.1", port=1), global_config_dict=config)


async def start(module: str, name: str, entry: str) -> str:
    """Start one of NeMo Gym's servers, and give its address."""
    server_class = getattr(importlib.import_module(f"{module}.app"), name)
    settings = OmegaConf.to_container(get_first_server_config_dict(config, entry))
    server_config = server_class.model_fields["config"].annotation.model_validate({**settings, "name": entry})
    server = server_class(config=server_config, server_client=client)
    await serve(server.setup_webserver(), server_config.port)
    return f"http://127.0.0.1:{server_config.port}"


async def main() -> None:
    server_utils.set_global_aiohttp_client(GlobalAIOHTTPAsyncClientConfig())
    await serve(model, config.policy.responses_api_models.scripted.port)
    address = await start(f"responses_api_agents.{inner}", class_of[inner], "agent")
    if agent == "single_agent_turn":
        address = await start(
            "environment_servers.single_agent_turn", "SingleAgentTurnEnvironmentServer", "single_agent_turn"
        )
    async with aiohttp.ClientSession() as http:
        for number, (row, said) in enumerate(json.load(sys.stdin)):
            replies[:] = said
            if agent == "single_agent_turn":
                names = {"episode_id": {"rollout_id": f"r{number}", "attempt": 0}}
                row = {**names, "task": {"task_id": {"taskset": "t", "task_id": str(number)}, "task_input": row}}
            async with http.post(f"{address}/run", json=row) as answer:
                print(json.dumps([answer.status, json.loads(await answer.read())]), flush=True)
    os._exit(0)  # servers that wait for nobody


asyncio.run(main())
