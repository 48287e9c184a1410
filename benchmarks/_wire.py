"""A server of NeMo Gym's and OpenEnv's protocols that does nothing, in a process of its own, and bare clients of it."""

from __future__ import annotations

import asyncio
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import aiohttp
import orjson
from aiohttp import web

from llmgym.adapters.nemo_gym.env import NeMoGym
from llmgym.adapters.openenv.env import OpenEnv
from llmgym.env import Episode, ToolEnv
from llmgym.messages import assistant, tool_call
from llmgym.tasks import Task, TaskSet
from llmgym.tools import tool

TURNS = 8
ARGUMENTS = {"city": "Rome", "days": 3}
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["city"],
    "additionalProperties": False,
}
ROW = {
    "responses_create_params": {
        "input": [{"role": "user", "content": "How will the weather be?"}],
        "tools": [{"type": "function", "name": "get_weather", "description": "", "parameters": SCHEMA, "strict": True}],
    },
    "expected": "rain",
}
SAID = {"city": "Rome", "weather": "It rains, and then it does not, and then the sun is out." * 4}
ROUTES = ("/seed_session", "/verify", "/get_weather", "/close_session")
OBSERVATION = {"observation": SAID, "reward": 0.0, "done": False}


async def _post(request: web.Request) -> web.Response:
    await request.read()
    said = {"/get_weather": SAID, "/verify": {"reward": 1.0}}.get(request.path, {})
    response = web.Response(body=orjson.dumps(said), content_type="application/json")
    response.set_cookie("Weather___weather", "eyJzZXNzaW9uX2lkIjogIjEifQ==.x.y", path="/")
    return response


async def _socket(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse(compress=False)
    await socket.prepare(request)
    async for message in socket:
        orjson.loads(message.data)
        await socket.send_str(orjson.dumps({"type": "observation", "data": OBSERVATION}).decode())
    return socket


def serve(port: int) -> None:
    described = {"paths": {path: {"post": {}} for path in ROUTES}}
    action = {"action": {"title": "get_weather", **SCHEMA}}
    app = web.Application()
    app.add_routes([web.post(path, _post) for path in ROUTES])
    app.add_routes([web.get("/ws", _socket)])
    for path, said in (("/openapi.json", described), ("/schema", action)):
        app.add_routes([web.get(path, lambda _, said=said: _json(said))])
    web.run_app(app, host="127.0.0.1", port=port, print=None)


async def _json(said: Any) -> web.Response:
    return web.json_response(said)


@contextmanager
def serving() -> Iterator[str]:
    """The server, when it takes connections."""
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        port = asked.getsockname()[1]
    process = subprocess.Popen([sys.executable, __file__, str(port)])
    try:
        asyncio.run(_until_up(port))
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


async def _until_up(port: int) -> None:
    for _ in range(200):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.1)
        else:
            writer.close()
            return
    raise TimeoutError(port)


# --- bare clients: JSON out, JSON in --------------------------------------------------------------


class HTTP:
    """NeMo Gym's protocol by aiohttp, with a jar of cookies for each episode."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.http: Any = None

    async def post(self, path: str, body: Any) -> Any:
        headers = {"Content-Type": "application/json"}
        async with self.http.post(
            self.url + path, data=orjson.dumps(body), cookies=self.cookies, headers=headers
        ) as response:
            self.cookies |= {name: morsel.value for name, morsel in response.cookies.items()}
            return orjson.loads(await response.read())

    async def begin(self) -> None:
        if self.http is None:
            connector = aiohttp.TCPConnector(limit=0)
            self.http = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
        self.cookies: dict[str, str] = {}
        self.output: list[Any] = []
        await self.post("/seed_session", ROW)

    async def call(self, arguments: Any) -> Any:
        said = await self.post("/get_weather", arguments)
        name = {"call_id": f"c{len(self.output)}", "name": "get_weather"}
        self.output.append({"type": "function_call", **name, "arguments": orjson.dumps(arguments).decode()})
        self.output.append({"type": "function_call_output", **name, "output": orjson.dumps(said).decode()})
        return said

    async def end(self) -> None:
        response = {"id": "r", "created_at": 0, "model": "m", "object": "response", "output": self.output}
        await self.post("/verify", {**ROW, "response": response})
        await self.post("/close_session", {"resources_session_id": "x"})

    async def close(self) -> None:
        await self.http.close()


class Socket:
    """OpenEnv's protocol by aiohttp."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.http: Any = None

    async def ask(self, kind: str, data: Any) -> Any:
        await self.socket.send_str(orjson.dumps({"type": kind, "data": data}).decode())
        return orjson.loads((await self.socket.receive()).data)

    async def begin(self) -> None:
        if self.http is None:
            self.http = aiohttp.ClientSession()
        self.socket = await self.http.ws_connect(f"{self.url}/ws", compress=0)
        await self.ask("reset", {"seed": 3})

    async def call(self, arguments: Any) -> Any:
        return await self.ask("step", arguments)

    async def end(self) -> None:
        await self.socket.close()

    async def close(self) -> None:
        await self.http.close()


class Websockets(Socket):
    """The same by websockets."""

    async def ask(self, kind: str, data: Any) -> Any:
        await self.socket.send(orjson.dumps({"type": kind, "data": data}).decode())
        return orjson.loads(await self.socket.recv())

    async def begin(self) -> None:
        import websockets

        self.socket = await websockets.connect(f"{self.url.replace('http', 'ws', 1)}/ws", compression=None)
        await self.ask("reset", {"seed": 3})

    async def close(self) -> None:
        """There is nothing to close."""


class ByHand(ToolEnv):
    """An environment whose one tool is a bare client."""

    tasks = TaskSet.generated(lambda _: Task(prompt="How will the weather be?"))

    def __init__(self, client: HTTP | Socket) -> None:
        self.client = client
        super().__init__(max_turns=99)

    async def setup(self, task: Task) -> None:
        await self.client.begin()

    @tool
    async def get_weather(self, city: str, days: int = 1) -> dict[str, Any]:
        """Tell the weather."""
        return await self.client.call({"city": city, "days": days})

    async def verify(self, episode: Episode) -> float:
        await self.client.end()
        return 1.0


# --- episodes -------------------------------------------------------------------------------------


async def bare(client: HTTP | Socket) -> AsyncIterator[None]:
    """Episodes of a client by itself."""
    while True:
        await client.begin()
        for _ in range(TURNS):
            await client.call(ARGUMENTS)
        await client.end()
        yield


async def played(env: ToolEnv) -> AsyncIterator[None]:
    """Episodes of an environment."""
    call = assistant("", tool_call("get_weather", **ARGUMENTS))
    while True:
        await env.areset()
        for _ in range(TURNS):
            await env.astep(call)
        await env.astep("It rains.")
        yield


async def cost(episodes: AsyncIterator[None], count: int) -> float:
    """CPU microseconds of an episode, those of the server not counted."""
    await anext(episodes)
    began = time.process_time_ns()
    for _ in range(count):
        await anext(episodes)
    return (time.process_time_ns() - began) / 1000 / count


async def compare(url: str, count: int, rounds: int) -> dict[str, dict[str, float]]:
    """Adapters, environments made by hand and bare clients in turn: medians of rounds, and of the ratios in them."""
    rows = TaskSet.generated(lambda _: NeMoGym.read_row(dict(ROW)))
    found: dict[str, dict[str, float]] = {}
    for name, env, clients in (
        ("nemo_gym", NeMoGym(url=url, tasks=rows, max_turns=99), {"bare": HTTP}),
        ("openenv", OpenEnv(url=url, max_turns=99), {"bare": Socket, "websockets": Websockets}),
    ):
        made = {client: kind(url) for client, kind in (*clients.items(), ("by_hand", clients["bare"]))}
        by_hand = ByHand(made["by_hand"])
        episodes = {client: bare(each) for client, each in made.items()}
        episodes |= {"episode": played(env), "by_hand": played(by_hand)}
        spent = [{each: await cost(run, count) for each, run in episodes.items()} for _ in range(rounds)]
        found[name] = {f"{each}_us": round(statistics.median(round_[each] for round_ in spent)) for each in episodes}
        for each in made:
            ratio = statistics.median(round_["episode"] / round_[each] for round_ in spent)
            found[name]["ratio" if each == "bare" else f"vs_{each}"] = round(ratio, 2)
        await asyncio.gather(env.aclose(), by_hand.aclose(), *(client.close() for client in made.values()))
    return found


if __name__ == "__main__":
    serve(int(sys.argv[1]))
