"""Two real vLLM servers, one of them killed (SIGKILL) in the middle of a run and started again.

No episode may be lost, none doubled, and every token must be what a server consumed or sampled. The servers differ
on purpose: one offers `/inference/v1/generate`, the other `/v1/completions` alone.

    python benchmarks/servers.py --tasks 24
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from llmgym.policies.models import resolve
from llmgym.policies.server import ServerPolicy
from llmgym.rollout import Collector, read_rollouts
from tests.exactness import Recording, prove
from tests.vllm_servers import VLLMServer

ENVS: list[Any] = ["llmgym/Calculator-easy-v0", "test/Talk-v0"]
REPEATS = 2
SAMPLING: dict[str, Any] = {"temperature": 0.9, "top_p": 0.95, "max_output_tokens": 48}
FLAGS = ("--logprobs-mode", "processed_logprobs")


def collector(policy: Any, tasks: int, output: Path | None, seed: int = 0) -> Collector:
    return Collector(ENVS, policy, output=output, num_tasks=tasks, num_repeats=REPEATS, max_turns=4, seed=seed,
                     num_samples_in_parallel=12, responses_create_params=SAMPLING)  # fmt: skip


async def killed_midway(policy: Any, killed: VLLMServer, tasks: int, output: Path) -> tuple[Any, dict[str, Any]]:
    """A run in which a server is killed, and started again, while it has requests to answer."""
    run = collector(policy, tasks, output)
    collecting = asyncio.create_task(run.collect())
    while run.progress.finished < run.progress.planned // 4 or run.progress.planned == 0:
        await asyncio.sleep(0.05)
        if collecting.done():
            break
    running = 0.0
    while not running and not collecting.done():
        running = await asyncio.to_thread(killed.metric, "num_requests_running")
    killed.kill()
    at, seconds = run.progress.finished, run.progress.seconds
    killed.start()
    await collecting
    return run, {
        "killed_after_episodes": at,
        "killed_after_s": round(seconds, 1),
        "requests_on_killed_server": int(running),
        "run_s": round(run.progress.seconds, 1),
        "tokens": run.progress.tokens,
    }


def logprob_error(found: list[Any]) -> float:
    """Largest difference to one forward pass, over the longest segment."""
    import numpy as np
    import torch
    from transformers import AutoModelForCausalLM

    from tests.integration.test_smollm2 import recomputed

    model = AutoModelForCausalLM.from_pretrained(resolve("smollm2"), dtype=torch.float32)
    longest = max((segment for trajectory in found for segment in trajectory.segments), key=lambda s: len(s.ids))
    expected = recomputed(model, longest, SAMPLING["temperature"], SAMPLING["top_p"])
    return float(np.abs(expected - longest.logprobs[longest.sampled]).max())


async def measure(servers: list[VLLMServer], tasks: int, output: Path) -> dict[str, Any]:
    started = ServerPolicy([server.address for server in servers])
    await started.start()
    policy = Recording(started)
    assert started._pool is not None
    result: dict[str, Any] = {
        "apis": [endpoint.offer and endpoint.offer.api for endpoint in started._pool.endpoints],
        "logprobs_mode": started.logprobs_mode,
    }
    run, told = await killed_midway(policy, servers[0], tasks, output)
    result |= told
    found = list(read_rollouts(output))
    for trajectory in found:
        prove(trajectory, policy.requests[trajectory.id], run._codec)
    result |= {
        "planned": tasks * REPEATS * len(ENVS),
        "finished": run.progress.finished,
        "failures": run.progress.failed,
        "exact": len(found),
        "distinct": len({trajectory.id for trajectory in found}),
        "servers_at_the_end": started.servers,
    }
    result["logprob_error"] = logprob_error(found)
    waiting = time.monotonic()
    while started.servers[servers[0].address] != "up":
        await asyncio.sleep(0.2)
        assert time.monotonic() - waiting < 400, started.servers
    before = await asyncio.to_thread(servers[0].metric, "request_success_total")
    policy.requests.clear()
    again = collector(policy, 2, None, seed=1)  # other episodes: these ones' sessions have moved to the other server
    await again.collect()
    after = await asyncio.to_thread(servers[0].metric, "request_success_total")
    result["after_return"] = {
        "waited_s": round(time.monotonic() - waiting, 1),
        "episodes": again.progress.finished,
        "killed_server_requests": int(after - before),
        "all_requests": sum(map(len, policy.requests.values())),
    }
    await started.close()
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=24, help="tasks of each of the two environments")
    arguments = parser.parse_args()
    model = resolve("smollm2")
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as stack:
        folder = Path(scratch)
        servers = [
            VLLMServer(model, folder / "a.log", "--enable-scale-out", *FLAGS),
            VLLMServer(model, folder / "b.log", *FLAGS),
        ]
        begun = time.monotonic()
        for server in servers:
            stack.enter_context(server)
        for server in servers:
            server.wait()
        result = {"start_s": round(time.monotonic() - begun, 1)}
        result |= asyncio.run(measure(servers, arguments.tasks, folder / "run"))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
