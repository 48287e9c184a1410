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
from llmgym.messages import assistant, tool_call
from llmgym.tasks import TaskSet

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


async def http_bare(url: str) -> AsyncIterator[None]:
    """Episodes of NeMo Gym's protocol by aiohttp alone: JSON out, JSON in, a jar of cookies for each."""
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), cookie_jar=aiohttp.DummyCookieJar()
    ) as http:
        while True:
            cookies: dict[str, str] = {}

            async def post(path: str, body: Any, cookies: dict[str, str] = cookies) -> Any:
                async with http.post(
                    url + path, data=orjson.dumps(body), cookies=cookies, headers={"Content-Type": "application/json"}
                ) as response:
                    cookies |= {name: morsel.value for name, morsel in response.cookies.items()}
                    return orjson.loads(await response.read())

            await post("/seed_session", ROW)
            output: list[Any] = []
            for turn in range(TURNS):
                said = await post("/get_weather", ARGUMENTS)
                arguments = orjson.dumps(ARGUMENTS).decode()
                output.append(
                    {"type": "function_call", "call_id": f"c{turn}", "name": "get_weather", "arguments": arguments}
                )
                output.append(
                    {"type": "function_call_output", "call_id": f"c{turn}", "output": orjson.dumps(said).decode()}
                )
            response = {"id": "r", "created_at": 0, "model": "m", "object": "response", "output": output}
            await post("/verify", {**ROW, "response": response})
            await post("/close_session", {"resources_session_id": "x"})
            yield


async def socket_bare(url: str) -> AsyncIterator[None]:
    """Episodes of OpenEnv's protocol by aiohttp alone."""
    async with aiohttp.ClientSession() as http:
        while True:
            async with http.ws_connect(f"{url}/ws", compress=0) as socket:

                async def ask(kind: str, data: Any, socket: Any = socket) -> Any:
                    await socket.send_str(orjson.dumps({"type": kind, "data": data}).decode())
                    return orjson.loads((await socket.receive()).data)

                await ask("reset", {"seed": 3})
                for _ in range(TURNS):
                    await ask("step", ARGUMENTS)
            yield


async def websockets_bare(url: str) -> AsyncIterator[None]:
    """The same by websockets."""
    import websockets

    while True:
        async with websockets.connect(f"{url.replace('http', 'ws', 1)}/ws", compression=None) as socket:

            async def ask(kind: str, data: Any, socket: Any = socket) -> Any:
                await socket.send(orjson.dumps({"type": kind, "data": data}).decode())
                return orjson.loads(await socket.recv())

            await ask("reset", {"seed": 3})
            for _ in range(TURNS):
                await ask("step", ARGUMENTS)
        yield


async def ours(env: NeMoGym | OpenEnv) -> AsyncIterator[None]:
    """Episodes of an adapter."""
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
    """Ours and bare clients in turn, for both protocols: medians of rounds, and of their ratios."""
    rows = TaskSet.generated(lambda _: NeMoGym.read_row(dict(ROW)))
    http, openenv = NeMoGym(url=url, tasks=rows, max_turns=99), OpenEnv(url=url, max_turns=99)
    found: dict[str, dict[str, float]] = {}
    for name, env, clients in (
        ("nemo_gym", http, {"bare": http_bare}),
        ("openenv", openenv, {"bare": socket_bare, "websockets": websockets_bare}),
    ):
        episodes = {"episode": ours(env), **{client: play(url) for client, play in clients.items()}}
        spent = [{client: await cost(played, count) for client, played in episodes.items()} for _ in range(rounds)]
        found[name] = {f"{client}_us": round(statistics.median(each[client] for each in spent)) for client in episodes}
        for client in clients:
            ratio = statistics.median(each["episode"] / each[client] for each in spent)
            found[name]["ratio" if client == "bare" else f"vs_{client}"] = round(ratio, 2)
        for played in episodes.values():
            await played.aclose()
        await env.aclose()
    return found


if __name__ == "__main__":
    serve(int(sys.argv[1]))
