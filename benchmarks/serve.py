"""What `llmgym serve env` costs, beside the servers of NeMo Gym and OpenEnv. The last line is one JSON object.

    python benchmarks/serve.py [--nemo-gym PYTHON] [--openenv PYTHON] [--short]

All servers have a calculator, and run in processes of their own, whose CPU counts. 64 connections ask at once, each
in a session of its own, for episodes of eight calls of a tool and an answer, with JSON both ways. What it takes to
begin an episode, of a task that the client sends, counts, and is no step.

- `http_steps_per_core_s`, `ws_steps_per_core_s`: steps for a second of CPU; of rounds, the median.
- `nemo_gym_steps_per_core_s`, `vs_nemo_gym`: `math_advanced_calculations` over HTTP, in the same rounds, `/verify` for
  the answer, and ours over HTTP by that.
- `front_steps_per_core_s`: calls of a tool of `_adder.py` over the WebSocket of our front for OpenEnv.
- `openenv_steps_per_core_s`, `vs_openenv`: the same messages to OpenEnv's own server, with a like `MCPEnvironment`,
  nothing of which is verified, and ours by that; `openenv_action_...`: to an `Environment` without tools, whose action
  is the two numbers. Null where there is no PYTHON for it.
- `p50_ms`, `p99_ms`: what a step takes over HTTP, seen by the client, with 256 sessions that pause at random, so that
  there are 1,000 steps a second in all; on the best of some windows, since other programs run here too.
- `memory_mb`: of the server, with 10,000 live sessions that have had eight steps.

PYTHON is an interpreter that has nemo-gym 0.7 or openenv 0.10, as `make install-servers` makes them.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import re
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from _load import Connection, Requests, connect, flood, frame, pace, post
from _served import Server, resources_server, started

HERE = Path(__file__).resolve().parent
ENV = "llmgym/Calculator-v0"
TICK = os.sysconf("SC_CLK_TCK")
CONNECTIONS = 64
CALLS = 8
CALL = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 12, "b": 30}'}}
ADD = {"type": "call_tool", "tool_name": "add", "arguments": {"a": 12, "b": 30}}
ACTION = {"role": "assistant", "content": "", "tool_calls": [CALL]}
EPISODE: list[tuple[str, dict[str, Any]]] = [
    *[("step", {"action": ACTION})] * CALLS, ("step", {"action": "The answer is 42."}),
    ("reset", {"task": {"id": "t", "prompt": "12 + 30?", "answer": "42"}}),
]  # fmt: skip
NEMO_GYM = resources_server("math_advanced_calculations", "MultiVerseMathHardResourcesServer", "math", access_log=False)
OPENENV = """
import sys, uvicorn
from fastmcp import FastMCP
from openenv.core.env_server.http_server import create_fastapi_app
from openenv.core.env_server.interfaces import Environment
from openenv.core.env_server.mcp_environment import MCPEnvironment
from openenv.core.env_server.mcp_types import CallToolAction, CallToolObservation
from openenv.core.env_server.types import Action, Observation, State

class Tools(MCPEnvironment):
    SUPPORTS_CONCURRENT_SESSIONS = True
    def __init__(self):
        server = FastMCP("calculator")
        @server.tool
        def add(a: float, b: float) -> float:
            return a + b
        super().__init__(server)
    def reset(self, seed=None, episode_id=None, **_):
        return Observation()
    def _step_impl(self, action, timeout_s=None, **_):
        raise NotImplementedError
    state = property(lambda self: State())

class Numbers(Action):
    a: float
    b: float
class Sum(Observation):
    sum: float = 0.0
class Plain(Environment):
    SUPPORTS_CONCURRENT_SESSIONS = True
    def reset(self, seed=None, episode_id=None, **_):
        return Sum()
    def step(self, action, timeout_s=None, **_):
        return Sum(sum=action.a + action.b, reward=0.0)
    state = property(lambda self: State())

port, kind = int(sys.argv[1]), sys.argv[2]
made = (Tools, CallToolAction, CallToolObservation) if kind == "tools" else (Plain, Numbers, Sum)
app = create_fastapi_app(*made, max_concurrent_envs=1000)
uvicorn.run(app, host="127.0.0.1", port=port, log_level="error", access_log=False)
"""


# --- servers --------------------------------------------------------------------------------------


def ours(env: str = ENV, *more: str) -> Any:
    command = [sys.executable, "-m", "llmgym", "serve", "env", env, "--port", "{port}", "--no-token", "--set",
               "sessions=20000", *more]  # fmt: skip
    return started(command, f"{HERE.parent}:{HERE}")


# --- what is asked --------------------------------------------------------------------------------


async def begun(server: Server, count: int) -> list[str]:
    """Sessions of ours that have begun."""
    connections = [await connect("127.0.0.1", server.port) for _ in range(min(count, CONNECTIONS))]
    sessions: list[str] = []

    async def begin(connection: Connection, number: int) -> None:
        for seed in range(number):
            answer = await connection.ask(post("/v1/sessions", b'{"env":"%b","seed":%d}' % (ENV.encode(), seed)))
            sessions.append(json.loads(answer.partition(b"\r\n\r\n")[2])["session"])

    shares = [count // len(connections) + (n < count % len(connections)) for n in range(len(connections))]
    await asyncio.gather(*map(begin, connections, shares))
    close(connections)
    return sessions


def over_http(session: str) -> list[bytes]:
    """An episode as requests of HTTP."""
    return [post(f"/v1/sessions/{session}/{op}", json.dumps(body).encode()) for op, body in EPISODE]


def over_socket(session: str) -> list[bytes]:
    """An episode as frames of a WebSocket."""
    return [
        frame(json.dumps([n, {"op": op, "session": session, **body}]).encode()) for n, (op, body) in enumerate(EPISODE)
    ]


def close(connections: list[Connection]) -> None:
    for connection in connections:
        connection.transport.close()


async def rate(
    server: Server, requests: Callable[[int], Requests], path: str, expects: list[bytes], seconds: float
) -> float:
    """Steps for a second of the server's CPU; the requests of an episode, but one, are its steps.

    Args:
        server: The server.
        requests: Those of a connection, one episode after another.
        path: Of its WebSocket; empty for HTTP.
        expects: What the answers of an episode hold.
        seconds: How long.
    """
    connections = [await connect("127.0.0.1", server.port, path) for _ in range(CONNECTIONS)]

    async def check(place: int) -> None:
        for expected in expects:
            answer = await connections[place].ask(next(requests(place)))
            assert expected in answer, (expected, answer)

    await asyncio.gather(*map(check, range(CONNECTIONS)))
    before = server.cpu
    done = await flood(connections, requests, seconds)
    spent = server.cpu - before
    close(connections)
    return done * (len(expects) - 1) / len(expects) / spent


async def measure_ours(server: Server, seconds: float) -> dict[str, float]:
    found = dict[str, float]()
    for name, path, made in (("http", "", over_http), ("ws", "/v1/ws", over_socket)):
        episodes = [itertools.cycle(made(session)) for session in await begun(server, CONNECTIONS)]
        expects = [b'"content":"42"'] * CALLS + [b'"terminated":true', b'"tools"']
        found[name] = await rate(server, episodes.__getitem__, path, expects, seconds)
    return found


async def measure_nemo_gym(server: Server, seconds: float) -> float:
    """Episodes as its collector has them: the session, calls, and the verdict on the whole response."""
    call = {"type": "function_call", "call_id": "c1", "name": "add", "arguments": '{"a": 12, "b": 30}'}
    answer = {"type": "function_call_output", "call_id": "c1", "output": '{"solution": 43.2}'}
    said = {"type": "output_text", "text": "The answer is 43.2.", "annotations": []}
    message = {"type": "message", "id": "m", "role": "assistant", "status": "completed", "content": [said]}
    response = {"id": "r", "created_at": 0, "model": "m", "object": "response", "tools": [], "tool_choice": "auto",
                "parallel_tool_calls": True, "output": [*[call, answer] * CALLS, message]}  # fmt: skip
    row = {"responses_create_params": {"input": [{"role": "user", "content": "12 + 30?"}]}, "ground_truth": "[43.2]",
           "id": 0, "depth": 1, "breadth": 1}  # fmt: skip
    cookies: list[str] = []
    for _ in range(CONNECTIONS):
        connection = await connect("127.0.0.1", server.port)
        opened = (await connection.ask(post("/seed_session", json.dumps(row).encode()))).decode()
        found = re.search(r"set-cookie: ([^;]+)", opened, re.IGNORECASE)
        assert found, opened
        cookies.append(f"Cookie: {found[1]}\r\n")
        close([connection])

    def episode(cookie: str) -> list[bytes]:
        verify = post("/verify", json.dumps({**row, "response": response}).encode(), cookie)
        return [*[post("/add", b'{"a": 12, "b": 30}', cookie)] * CALLS, verify,
                post("/seed_session", json.dumps(row).encode(), cookie)]  # fmt: skip

    episodes = [itertools.cycle(episode(cookie)) for cookie in cookies]
    expects = [b'"solution"'] * CALLS + [b'"reward":1.0', b"200 OK"]
    return await rate(server, episodes.__getitem__, "", expects, seconds)


async def measure_openenv(server: Server, action: dict[str, Any], seconds: float) -> float:
    begin = frame(json.dumps({"type": "reset", "data": {"seed": 3}}).encode())
    step = frame(json.dumps({"type": "step", "data": action}).encode())
    episodes = [itertools.cycle([*[step] * (CALLS + 1), begin]) for _ in range(CONNECTIONS)]
    for each in episodes:
        next(itertools.islice(each, CALLS, None))
    expects = [b'"observation"', *[b"42"] * CALLS, b"42"]
    return await rate(server, episodes.__getitem__, "/ws", expects, seconds)


async def latency(server: Server, windows: int, seconds: float) -> tuple[float, float]:
    """Milliseconds that half of the steps, and 99 of 100, take at most, on the best window."""
    sessions = await begun(server, 256)
    connections = [await connect("127.0.0.1", server.port) for _ in sessions]
    episodes = [itertools.cycle(over_http(session)) for session in sessions]
    found: list[tuple[float, float]] = []
    for _ in range(windows):
        took = sorted(await pace(connections, episodes.__getitem__, 1000, seconds))
        found.append((1e3 * took[len(took) * 99 // 100], 1e3 * took[len(took) // 2]))
    close(connections)
    p99, p50 = min(found)
    return p50, p99


async def live(server: Server, count: int) -> float:
    """Megabytes of a server with so many sessions that have had some steps."""
    sessions = await begun(server, count)
    connections = [await connect("127.0.0.1", server.port) for _ in range(CONNECTIONS)]

    async def play(place: int) -> None:
        for session in sessions[place::CONNECTIONS]:
            for request in over_http(session)[:CALLS]:
                await connections[place].ask(request)

    await asyncio.gather(*map(play, range(CONNECTIONS)))
    page = await connections[0].ask(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert f"llmgym_sessions {float(count)}".encode() in page, page
    close(connections)
    return server.memory_mb


# --- the report -----------------------------------------------------------------------------------


def rounds_of(count: int, seconds: float, nemo_gym: Path | None, openenv: Path | None) -> dict[str, float]:
    """All rates, each the median of rounds in which all servers are asked in turn."""
    found: dict[str, list[float]] = {}
    with contextlib.ExitStack() as stack:
        server, front = stack.enter_context(ours()), stack.enter_context(ours("_adder:Adder-v0", "--front", "openenv"))
        gym = nemo_gym and stack.enter_context(started([nemo_gym, "-c", NEMO_GYM, "{port}"]))
        kinds = {"openenv": ("tools", ADD), "openenv_action": ("plain", {"a": 12, "b": 30})}
        others = {
            name: (stack.enter_context(started([openenv, "-c", OPENENV, "{port}", kind])), action)
            for name, (kind, action) in kinds.items()
            if openenv
        }
        for _ in range(count):
            rates = asyncio.run(measure_ours(server, seconds))
            rates["front"] = asyncio.run(measure_openenv(front, ADD, seconds))
            if gym:
                rates["nemo_gym"] = asyncio.run(measure_nemo_gym(gym, seconds))
            for name, (other, action) in others.items():
                rates[name] = asyncio.run(measure_openenv(other, action, seconds))
            for name, value in rates.items():
                found.setdefault(name, []).append(value)
    return {name: statistics.median(values) for name, values in found.items()}


def main() -> None:
    """Measure all and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nemo-gym", type=Path, metavar="PYTHON", help="an interpreter that has nemo-gym")
    parser.add_argument("--openenv", type=Path, metavar="PYTHON", help="an interpreter that has openenv")
    parser.add_argument("--short", action="store_true", help="fewer sessions, shorter windows")
    given = parser.parse_args()
    count, seconds, sessions = (1, 1.0, 1000) if given.short else (3, 4.0, 10_000)
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, -10)
    rates = rounds_of(
        count, seconds, given.nemo_gym and given.nemo_gym.absolute(), given.openenv and given.openenv.absolute()
    )
    with ours() as server:
        p50, p99 = asyncio.run(latency(server, 2 * count, seconds))
    with ours() as server:
        memory = asyncio.run(live(server, sessions))
    report: dict[str, Any] = {"benchmark": "serve", "load": round(os.getloadavg()[0], 1), "rounds": count}
    for name in ("http", "ws", "front", "nemo_gym", "openenv", "openenv_action"):
        report[f"{name}_steps_per_core_s"] = rates.get(name) and round(rates[name])
    for name, mine in (("nemo_gym", "http"), ("openenv", "front"), ("openenv_action", "front")):
        report[f"vs_{name}"] = rates.get(name) and round(rates[mine] / rates[name], 1)
    report |= {"paced_steps_s": 1000, "p50_ms": round(p50, 2), "p99_ms": round(p99, 2)}
    print(json.dumps({**report, "sessions": sessions, "memory_mb": round(memory)}))


if __name__ == "__main__":
    main()
