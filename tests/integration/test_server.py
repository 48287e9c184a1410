"""Real vLLM servers, over HTTP: every token is accounted for, whatever happens to the servers."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llmgym.errors import ContextLengthExceeded
from llmgym.policies import Sampling, make_policy
from llmgym.policies.models import resolve
from llmgym.policies.server import ServerPolicy, endpoint, wire
from llmgym.policies.stop_strings import before_stop
from llmgym.rollout import Collector, read_rollouts
from tests.exactness import Recording, prove
from tests.integration.test_smollm2 import recomputed
from tests.rollouts import ROOT
from tests.vllm_servers import VLLMServer

pytest.importorskip("vllm")
pytestmark = [pytest.mark.integration, pytest.mark.vllm, pytest.mark.timeout(900)]

ENVS = ["llmgym/Calculator-easy-v0", "llmgym/Wordle-easy-v0", "test/Talk-v0"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VLLMServer]:
    log = tmp_path_factory.mktemp("server") / "log"
    with VLLMServer(resolve("smollm2"), log, "--enable-scale-out") as server:
        server.wait()
        yield server


@contextmanager
def only(api: str) -> Iterator[None]:
    """Hide the other API, which the server offers too."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(endpoint, "PATHS", {api: wire.PATHS[api]})  # type: ignore[index]
        yield


@pytest.fixture(params=["generate", "completions"])
def api(request: pytest.FixtureRequest) -> Iterator[str]:
    with only(request.param):
        yield request.param


def on(server: VLLMServer, use: Any) -> Any:
    """What an async function makes of a started policy."""

    async def run() -> Any:
        policy = make_policy(server.address)
        assert isinstance(policy, ServerPolicy)
        await policy.start()
        try:
            return await use(policy)
        finally:
            await policy.close()

    return asyncio.run(run())


def test_every_trajectory_is_what_the_engine_consumed_and_sampled(server: VLLMServer, api: str, tmp_path: Path) -> None:
    async def collect(started: ServerPolicy) -> Any:
        policy = Recording(started)
        collector = Collector(
            ENVS, policy, output=tmp_path / "run", num_tasks=2, num_repeats=2, max_turns=3,
            responses_create_params={"temperature": 0.8, "top_p": 0.9, "max_output_tokens": 40},
        )  # fmt: skip
        found = [trajectory async for group in collector.stream() for trajectory in group.trajectories]
        return found, policy, collector._codec

    found, policy, codec = on(server, collect)
    assert policy._pool is None  # closed
    assert policy.logprobs_mode == "raw"
    assert len(found) == 4 * len(ENVS)
    for trajectory in [*found, *read_rollouts(tmp_path / "run")]:
        prove(trajectory, policy.requests[trajectory.id], codec)
        assert trajectory.reward is not None

    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(resolve("smollm2"), dtype=torch.float32)
    longest = max((segment for trajectory in found for segment in trajectory.segments), key=lambda s: len(s.ids))
    raw = recomputed(model, longest, temperature=1.0, top_p=1.0)
    assert np.allclose(raw, longest.logprobs[longest.sampled], atol=2e-3)


def test_both_apis_sample_the_same(server: VLLMServer) -> None:
    async def sample(policy: ServerPolicy) -> Any:
        sampling = Sampling(temperature=0.8, top_p=0.9, max_tokens=24, stop_token_ids=(2,), seed=3)
        prompts = [policy.tokenizer.encode(f"<|im_start|>user\nSay {i}<|im_end|>\n<|im_start|>assistant\n")
                   for i in range(6)]  # fmt: skip
        calls = (policy.generate(p, sampling, request_id=f"r{p}", session_id=f"s{p}") for p in prompts)
        return await asyncio.gather(*calls)

    with only("generate"):
        one = on(server, sample)
    with only("completions"):
        other = on(server, sample)
    assert [g.token_ids for g in one] == [g.token_ids for g in other]
    assert {g.finish_reason for g in one} <= {"stop", "length"}
    for a, b in zip(one, other, strict=True):
        assert np.allclose(a.logprobs, b.logprobs, atol=2e-3)


def test_stop_strings_and_every_setting(server: VLLMServer, api: str) -> None:
    async def sample(policy: ServerPolicy) -> None:
        prompt = policy.tokenizer.encode("The best cities of the world are, first,")
        sampling = Sampling(
            0.8, 0.9, 40, (2,), seed=3, top_k=30, min_p=0.01, repetition_penalty=1.1, frequency_penalty=0.1
        )
        free = await policy.generate(prompt, sampling, request_id=f"free-{api}", session_id="s")
        said = policy.tokenizer.decode(free.token_ids)
        stop = policy.tokenizer.decode(free.token_ids[9:11])[1:-1]
        stopped = replace(sampling, stop=("nowhere", stop))
        reply = await policy.generate(prompt, stopped, request_id=f"stopped-{api}", session_id="s")
        length = next(n for n in range(40) if stop in policy.tokenizer.decode(free.token_ids[:n]))
        assert (reply.token_ids, reply.finish_reason) == (free.token_ids[:length], "stop")
        assert np.allclose(reply.logprobs, free.logprobs[:length], atol=2e-3)
        assert said.startswith(policy.tokenizer.decode(before_stop(policy.tokenizer, reply, stopped)) + stop)

    on(server, sample)


def test_a_prefix_is_found_in_the_cache(server: VLLMServer, api: str) -> None:
    async def ask_twice(policy: ServerPolicy) -> None:
        prompt = [*range(100, 700), len(api)]  # several blocks of the cache, which has 128 tokens in each on a CPU
        for request in ("first", "second"):
            generation = await policy.generate(prompt, Sampling(max_tokens=1), request_id=request, session_id="s")
        assert generation.cached_tokens >= 256

    on(server, ask_twice)


def test_cancelling_frees_the_engine(server: VLLMServer, api: str) -> None:
    async def cancel(policy: ServerPolicy) -> None:
        sampling = Sampling(max_tokens=1900)
        task = asyncio.create_task(policy.generate([1, 2, 3], sampling, request_id="c", session_id="c"))
        await until(1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await until(0)

    async def until(running: int) -> None:
        async with asyncio.timeout(20):
            while await asyncio.to_thread(server.metric, "num_requests_running") != running:  # noqa: ASYNC110
                await asyncio.sleep(0.1)

    on(server, cancel)


@pytest.mark.parametrize("length", [2048, 3000])
def test_a_prompt_that_the_server_finds_too_long(server: VLLMServer, api: str, length: int) -> None:
    async def ask(policy: ServerPolicy) -> None:
        policy.context_length = 1 << 20
        with pytest.raises(ContextLengthExceeded, match=r"127\.0\.0\.1"):
            await policy.generate([5] * length, Sampling(), request_id="r", session_id="s")

    on(server, ask)


def test_a_server_is_killed_in_the_middle_of_a_run() -> None:
    script = [sys.executable, "benchmarks/servers.py", "--tasks", "8"]
    done = subprocess.run(script, cwd=ROOT, capture_output=True, text=True, timeout=800, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["planned"] == result["finished"] == result["exact"] == result["distinct"]
    assert result["failures"] == 0
    assert result["apis"] == ["generate", "completions"]  # the better one where there is a choice
    assert result["logprobs_mode"] == "processed"
    assert result["logprob_error"] < 5e-3
    assert result["after_return"]["killed_server_requests"] > 0
