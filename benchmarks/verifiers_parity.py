"""What a step of a verifiers taskset costs through llmgym, beside the package's own rollout in its own process.

Run: `python benchmarks/verifiers_parity.py PYTHON`, the interpreter of an environment with verifiers 0.1.14. CPU time
of both processes, for a hundred episodes at once of a number to guess, whose policy answers at once.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from llmgym.adapters.verifiers.env import Verifiers

_FOLDER = Path(__file__).parents[1] / "tests" / "adapters" / "tasksets"
_ROUNDS, _AT_ONCE = 4, 100
_ALONE = f"""
import asyncio, json, sys, time
sys.path.insert(0, {str(_FOLDER)!r})
import verifiers as vf
from verifiers.types import Response, ResponseMessage

env = vf.load_environment("local-guess")
rows = env.build_dataset()

class Model(vf.Client):
    def __init__(self):
        super().__init__(None)

    async def get_response(self, prompt, model, sampling_args, tools=None, **more):
        await asyncio.sleep(0)
        message = ResponseMessage(content="0", finish_reason="stop", is_truncated=False)
        return Response(id="x", created=1, model=model, message=message)

Model.__abstractmethods__ = frozenset()

async def episode(number):
    state = await env.rollout(dict(rows[number % len(rows)]), Model(), "model", {{}})
    await env.rubric.score_rollout(state)
    return len(state["trajectory"])

async def main():
    await asyncio.gather(*map(episode, range({_AT_ONCE})))
    began = time.process_time()
    steps = [sum(await asyncio.gather(*map(episode, range({_AT_ONCE})))) for _ in range({_ROUNDS})]
    print(json.dumps((time.process_time() - began) / sum(steps)))

asyncio.run(main())
"""


def cpu_of(pid: int) -> float:
    """CPU seconds of a process, on Linux."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def through_llmgym(python: str) -> tuple[float, float]:
    """CPU seconds of a step, here and in the worker."""
    envs = [Verifiers(taskset="local-guess", python=python, path=str(_FOLDER)) for _ in range(_AT_ONCE)]

    async def episode(env: Verifiers, seed: int) -> int:
        await env.areset(seed=seed)
        steps, over = 0, False
        while not over:
            _, _, done, truncated, _ = await env.astep("0")
            steps, over = steps + 1, done or truncated
        return steps

    await asyncio.gather(*map(episode, envs, range(_AT_ONCE)))
    pid = envs[0].kit.worker._process.pid
    here, there = time.process_time(), cpu_of(pid)
    steps = sum([sum(await asyncio.gather(*map(episode, envs, range(_AT_ONCE)))) for _ in range(_ROUNDS)])
    return (time.process_time() - here) / steps, (cpu_of(pid) - there) / steps


def main() -> None:
    for _ in range(3):
        said = subprocess.run([sys.argv[1], "-c", _ALONE], capture_output=True, text=True, check=True).stdout
        here, there = asyncio.run(through_llmgym(sys.argv[1]))
        alone = json.loads(said.splitlines()[-1])
        print(
            f"a step: {alone * 1e6:.0f} us alone; {there * 1e6:.0f} us in the worker and {here * 1e6:.0f} us in llmgym"
        )


if __name__ == "__main__":
    main()
