"""What an episode of Workplace costs the CPU, beside NeMo Gym's workplace_assistant.

    python benchmarks/workplace.py [--nemo-gym PYTHON] [--short]

`setup_ms`, `tool_ms` and `verify_ms` are CPU of the hooks of llmgym/Workplace-hard-v0, whose offices are its largest
(200 mails, 100 events, 100 customers, 140 tasks): drawing an office from its seed and beginning with it, a call of a
tool as an episode makes them, the first of which make the tables that they look at, and comparing the tables with the
right ones. Of some rounds the median counts. `step_ms` is a whole step, with reading the message, its call and its
arguments.

PYTHON is an interpreter that has nemo-gym 0.7 (see endpoints.py). Its server runs in a process of its own, and counted
is the CPU of that process for a request, HTTP included, which is how it is used: `POST /seed_session`, a tool,
`/verify`. Its tables have 500 mails, 300 events, 200 customers and 300 tasks. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gymnasium
from _served import resources_server, started

from llmgym.envs.office.world import make_office

SERVER = resources_server("workplace_assistant", "WorkbenchResourcesServer", "agent", timeout_keep_alive=600)
FIND = "print(__import__('resources_servers.workplace_assistant').workplace_assistant.__path__[0])"


def spent(work: Callable[[Any], Any], given: Sequence[Any]) -> float:
    """CPU milliseconds of each of some calls."""
    before = time.process_time()
    for each in given:
        work(each)
    return 1e3 * (time.process_time() - before) / len(given)


def measure_llmgym(times: int, rounds: int) -> dict[str, float]:
    """The figures of this package."""
    env: Any = gymnasium.make("llmgym:llmgym/Workplace-hard-v0").unwrapped
    figures: dict[str, list[float]] = {}
    for turn in range(rounds):
        tasks = [env.tasks.draw("train", turn, i) for i in range(times)]
        make_office.cache_clear()
        figures.setdefault("setup_ms", []).append(spent(env.setup, tasks))
        calls: list[tuple[Any, str, dict[str, Any]]] = []
        steps = 0.0
        for i in range(times):
            env.reset(seed=turn, options={"task": tasks[i]})
            for message in env.oracle(env.task):
                before = time.process_time()
                env.step(message)
                steps += time.process_time() - before
                made = message.get("tool_calls", ()) if isinstance(message, dict) else ()
                functions = [call["function"] for call in made]
                calls.extend((tasks[i], each["name"], json.loads(each["arguments"])) for each in functions)
        figures.setdefault("step_ms", []).append(1e3 * steps / (len(calls) + times))
        figures.setdefault("tool_ms", []).append(measure_tools(env, calls))
        figures.setdefault("verify_ms", []).append(measure_verify(env, tasks))
    return {name: round(statistics.median(values), 4) for name, values in figures.items()}


def measure_tools(env: Any, calls: list[tuple[Any, str, dict[str, Any]]]) -> float:
    """CPU milliseconds of each call, on the tables of its task as the calls before have left them."""
    task, total = None, 0.0
    for of_task, name, arguments in calls:
        if of_task is not task:
            task = of_task
            make_office.cache_clear()  # a table is made when a tool first looks at it, which is to count
            env.setup(task)
        before = time.process_time()
        getattr(env, name)(**arguments)
        total += time.process_time() - before
    return 1e3 * total / len(calls)


def measure_verify(env: Any, tasks: list[Any]) -> float:
    """CPU milliseconds of comparing the tables after a solution."""
    total = 0.0
    for task in tasks:
        env.setup(task)
        for call in task.answer:
            getattr(env, call["name"])(**call["arguments"])
        before = time.process_time()
        assert env.judge(task.answer).score == 1
        total += time.process_time() - before
    return 1e3 * total / len(tasks)


class Client:
    """Talks to NeMo Gym's server, which knows an episode by its cookie."""

    def __init__(self, port: int) -> None:
        self._connection, self._cookie = http.client.HTTPConnection("127.0.0.1", port), ""

    def post(self, path: str, body: Any) -> Any:
        """Send JSON and read what comes back."""
        headers = {"Content-Type": "application/json", "Cookie": self._cookie}
        self._connection.request("POST", f"/{path}", json.dumps(body), headers)
        answer = self._connection.getresponse()
        text = answer.read()
        if answer.status != 200:
            sys.exit(f"NeMo Gym's server answered {answer.status} to /{path}: {text[:500]!r}")
        self._cookie = (answer.getheader("Set-Cookie") or self._cookie).partition(";")[0]
        return json.loads(text)


def measure_nemo_gym(python: Path, times: int) -> dict[str, float]:
    """The same figures of NeMo Gym's server, with its own example rows and their right calls."""
    found = subprocess.run(
        [python, "-c", FIND], capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": ""}
    )
    rows = [json.loads(line) for line in (Path(found.stdout.strip()) / "data/example.jsonl").read_text().splitlines()]
    with started([python, "-c", SERVER, "{port}"]) as server:
        clients = [Client(server.port) for _ in range(times)]
        Client(server.port).post("seed_session", rows[0])  # the first one costs more
        figures, made = {}, 0
        before = server.cpu
        for i, client in enumerate(clients):
            client.post("seed_session", rows[i % len(rows)])
        figures["setup_ms"], before = 1e3 * (server.cpu - before) / times, server.cpu
        for i, client in enumerate(clients):
            for call in rows[i % len(rows)]["ground_truth"]:
                client.post(call["name"], json.loads(call["arguments"]))
                made += 1
        figures["tool_ms"], before = 1e3 * (server.cpu - before) / made, server.cpu
        for i, client in enumerate(clients):
            row = rows[i % len(rows)]
            assert client.post("verify", {**row, "response": response(row["ground_truth"])})["reward"] == 1
        figures["verify_ms"] = 1e3 * (server.cpu - before) / times
    return {name: round(value, 3) for name, value in figures.items()}


def response(calls: list[dict[str, str]]) -> dict[str, Any]:
    """A response with calls."""
    output = [{"type": "function_call", "call_id": f"c{i}", **call} for i, call in enumerate(calls)]
    return {"id": "r", "created_at": 0, "model": "m", "object": "response", "output": output, "tools": [],
            "tool_choice": "auto", "parallel_tool_calls": True}  # fmt: skip


def main() -> None:
    """Measure both and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nemo-gym", type=Path, metavar="PYTHON", help="an interpreter that has nemo-gym")
    parser.add_argument("--short", action="store_true", help="fewer episodes")
    given = parser.parse_args()
    times, rounds = (20, 1) if given.short else (60, 5)
    figures: dict[str, Any] = measure_llmgym(times, rounds)
    report = {"benchmark": "workplace", "tasks": times, "rounds": rounds, **figures}
    if given.nemo_gym:
        theirs = measure_nemo_gym(given.nemo_gym.absolute(), times)
        report |= {f"nemo_gym_{name}": value for name, value in theirs.items()}
        report |= {
            f"vs_nemo_gym_{name[:-3]}": round(figures[name] / value, 4) for name, value in theirs.items() if value
        }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
