"""vLLM in this process plays real environments: exact tokens, weights that change under way, and no process left."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llmgym.errors import ConfigError, ContextLengthExceeded, MissingExtraError, PolicyError, PolicyUnavailable
from llmgym.policies import Generation, Sampling, VersionSpan, make_policy
from llmgym.policies.models import resolve
from llmgym.policies.stop_strings import before_stop
from llmgym.policies.vllm import VLLMPolicy
from llmgym.rollout import Collector
from llmgym.trajectory import Segment, Trajectory
from tests.distributions import logprobs_of
from tests.exactness import Brief, Recording, prove
from tests.integration.test_smollm2 import recomputed
from tests.judging import check_judge_away, check_judge_of_itself

pytest.importorskip("vllm")
psutil = pytest.importorskip("psutil")
torch = pytest.importorskip("torch")

pytestmark = [
    pytest.mark.integration,
    pytest.mark.vllm,
    pytest.mark.timeout(900),
    # vLLM leaves a zmq context for the garbage collector when it shuts down.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

BLOCK = 32
EOS = 2
ENVS = ["llmgym/Calculator-easy-v0", "test/Talk-v0"]
SMALL = {"kv_cache_memory_bytes": 256 << 20, "block_size": BLOCK}


@pytest.fixture(scope="module")
def policy() -> Iterator[VLLMPolicy]:
    """One engine for all tests that leave it running; each may use a loop of its own."""
    made = make_policy("vllm:smollm2", block_size=BLOCK, disable_log_stats=False)
    assert isinstance(made, VLLMPolicy)
    began = time.perf_counter()
    asyncio.run(made.start())
    print(f"\nstarted in {time.perf_counter() - began:.0f} s")
    yield made
    running = engine_processes()
    assert running
    asyncio.run(made.close())
    assert not alive(running)


@pytest.fixture(scope="module")
def models() -> list[Any]:
    """The model, and one with other weights, the tied embeddings among them."""
    from transformers import AutoModelForCausalLM

    found = [AutoModelForCausalLM.from_pretrained(resolve("smollm2"), dtype=torch.float32) for _ in range(2)]
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in found[1].parameters():
            parameter += 0.05 * parameter.std() * torch.randn(parameter.shape, generator=generator)
    return found


def engine_processes() -> list[Any]:
    return [child for child in psutil.Process().children(recursive=True) if _is_engine(child)]


def _is_engine(process: Any) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE and "VLLM::" in " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return False


def alive(processes: Sequence[Any], seconds: float = 0.0) -> list[Any]:
    """Those that still run after a while."""
    deadline = time.monotonic() + seconds
    while any(map(_is_engine, processes)) and time.monotonic() < deadline:
        time.sleep(0.2)
    return [process for process in processes if _is_engine(process)]


async def ask(policy: VLLMPolicy, prompt: Sequence[int], name: str = "a", **sampling: Any) -> Generation:
    return await policy.generate(prompt, Sampling(**sampling), request_id=name, session_id=name)


def segment(prompt: Sequence[int], reply: Generation) -> Segment:
    sampled = np.arange(len(prompt) + len(reply.token_ids)) >= len(prompt)
    logprobs = np.zeros(len(sampled), np.float32)
    logprobs[sampled] = reply.logprobs
    return Segment(np.int32([*prompt, *reply.token_ids]), sampled, logprobs)


@pytest.fixture(scope="module")
def run(policy: VLLMPolicy) -> tuple[list[Trajectory], Recording, Any]:
    recording = Recording(policy)
    collector = Collector(
        ENVS, recording, num_tasks=3, num_repeats=2, max_turns=4,
        responses_create_params={"temperature": 0.8, "top_p": 0.9, "max_output_tokens": 200},
    )  # fmt: skip

    async def collect() -> list[Trajectory]:
        return [trajectory async for group in collector.stream() for trajectory in group.trajectories]

    found = asyncio.run(collect())
    return found, recording, collector._codec


def test_every_trajectory_is_what_the_engine_consumed_and_sampled(run: Any) -> None:
    found, policy, codec = run
    assert len(found) == 6 * len(ENVS)
    for trajectory in found:
        prove(trajectory, policy.requests[trajectory.id], codec)
        assert trajectory.reward is not None
        for turn in trajectory.turns:
            assert turn.versions == (VersionSpan(0, 0, turn.end - turn.start),)


def test_logprobs_are_those_of_a_plain_forward_pass(run: Any, models: list[Any]) -> None:
    found, *_ = run
    longest = sorted((part for trajectory in found for part in trajectory.segments), key=lambda part: -len(part.ids))
    for part in longest[:3]:
        assert np.allclose(recomputed(models[0], part, 0.8, 0.9), part.logprobs[part.sampled], atol=5e-3)


@pytest.mark.parametrize(("env", "policies"), [
    ("llmgym/Secret-v0", {"attacker": "train", "defender": "frozen"}),
    ("llmgym/Debate-v0", {"debater": "train", "judge": "script"}),
])  # fmt: skip
def test_the_agents_of_a_game_each_have_what_the_engine_sampled_for_them(
    policy: VLLMPolicy, env: str, policies: dict[str, Any]
) -> None:
    recording = Recording(policy)
    collector = Collector(
        [env], recording, policies=policies, num_tasks=3, responses_create_params={"max_output_tokens": 48}
    )

    async def collect() -> list[Trajectory]:
        return [trajectory async for group in collector.stream() for trajectory in group.trajectories]

    found = [trajectory for trajectory in asyncio.run(collect()) if trajectory.policy != "script"]
    assert len(found) == 6
    assert len({trajectory.agent for trajectory in found}) == 2
    for trajectory in found:
        assert trajectory.finished, trajectory.error
        prove(trajectory, recording.requests.get(trajectory.id, []), collector._codec)
    turns = [turn for trajectory in found for turn in trajectory.turns]
    assert len(turns) == sum(map(len, recording.requests.values())) >= 3  # how long they talk is up to the model


def test_what_is_sent_again_comes_from_the_prefix_cache(policy: VLLMPolicy) -> None:
    recording = Recording(Brief(policy))
    collector = Collector(
        ["test/Talk-v0"], recording, num_tasks=3, num_repeats=2, max_turns=4,
        responses_create_params={"max_output_tokens": 60},
    )  # fmt: skip

    async def collect() -> list[Trajectory]:
        return [trajectory async for group in collector.stream() for trajectory in group.trajectories]

    sent = cached = 0
    for trajectory in asyncio.run(collect()):
        assert len(trajectory.turns) == 4
        prove(trajectory, recording.requests[trajectory.id], collector._codec)
        for before, turn in pairwise(trajectory.turns):
            assert before.segment == turn.segment
            sent += (before.end - 1) // BLOCK * BLOCK  # the last sampled token was never computed
            cached += turn.cached_tokens
    assert cached >= 0.9 * sent


def test_only_our_stop_tokens_end_a_reply(policy: VLLMPolicy) -> None:
    text = policy.tokenizer.apply_chat_template(
        [{"role": "user", "content": "What is the capital of France?"}], add_generation_prompt=True, tokenize=False
    )
    prompt = policy.tokenizer.encode(text, add_special_tokens=False)

    async def scenario() -> list[Generation]:
        return [
            await ask(policy, prompt, temperature=0.0, max_tokens=40, stop_token_ids=stops) for stops in ((), (EOS,))
        ]

    through, stopped = asyncio.run(scenario())
    assert (through.finish_reason, len(through.token_ids)) == ("length", 40)
    assert EOS in through.token_ids
    assert (stopped.finish_reason, stopped.token_ids[-1]) == ("stop", EOS)
    assert list(stopped.token_ids) == list(through.token_ids)[: len(stopped.token_ids)]


@pytest.mark.parametrize(
    "sampling",
    [
        {"temperature": 0.9, "top_k": 20, "min_p": 0.05, "top_p": 0.9},
        {"temperature": 0.9, "repetition_penalty": 1.3, "presence_penalty": 0.5, "frequency_penalty": 0.3, "top_k": 9},
        {"temperature": 0.0, "repetition_penalty": 1.3},
    ],
)
def test_logprobs_with_every_setting(policy: VLLMPolicy, models: list[Any], sampling: dict[str, Any]) -> None:
    prompt = policy.tokenizer.encode("Once upon a time there was a time")
    reply = asyncio.run(ask(policy, prompt, max_tokens=40, **sampling))
    assert np.allclose(logprobs_of(models[0], prompt, reply, Sampling(**sampling)), reply.logprobs, atol=5e-3)


def test_stop_strings(policy: VLLMPolicy) -> None:
    prompt = policy.tokenizer.encode("The best cities of the world are, first,")
    free = asyncio.run(ask(policy, prompt, temperature=0.0, max_tokens=40))
    for place in (6, 25):
        stop = policy.tokenizer.decode(free.token_ids[place : place + 2])[1:-1]  # begins and ends within a token
        reply = asyncio.run(ask(policy, prompt, temperature=0.0, max_tokens=40, stop=("nowhere", stop)))
        length = next(n for n in range(40) if stop in policy.tokenizer.decode(free.token_ids[:n]))
        assert (reply.token_ids, reply.finish_reason) == (free.token_ids[:length], "stop")
        assert np.allclose(reply.logprobs, free.logprobs[:length], atol=5e-3)
        assert reply.versions == (VersionSpan(0, 0, length),)
        read = policy.tokenizer.decode(before_stop(policy.tokenizer, reply, Sampling(stop=(stop,))))
        assert policy.tokenizer.decode(free.token_ids).startswith(read + stop)


def test_episodes_with_stop_strings_are_exact(policy: VLLMPolicy) -> None:
    recording = Recording(policy)
    params = {"max_output_tokens": 60, "stop": ["the", "\n", "1"], "top_k": 40, "repetition_penalty": 1.1}
    collector = Collector(ENVS, recording, num_tasks=3, num_repeats=2, max_turns=4, responses_create_params=params)

    async def collect() -> list[Trajectory]:
        return [trajectory async for group in collector.stream() for trajectory in group.trajectories]

    found = asyncio.run(collect())
    ends = [turn for t in found for turn in t.turns if t.segments[turn.segment].ids[turn.end - 1] != EOS]
    assert sum(turn.finish_reason == "stop" for turn in ends) > 5
    for trajectory in found:
        prove(trajectory, recording.requests[trajectory.id], collector._codec, policy.tokenizer)


def test_a_seed_makes_a_reply_repeatable_and_none_does_not(policy: VLLMPolicy) -> None:
    async def scenario(seed: int | None) -> list[tuple[int, ...]]:
        replies = await asyncio.gather(*(ask(policy, range(9), f"s{i}", max_tokens=12, seed=seed) for i in range(3)))
        return [tuple(reply.token_ids) for reply in replies]

    assert len(set(asyncio.run(scenario(7)))) == 1
    assert len(set(asyncio.run(scenario(None)))) == 3


def test_a_prompt_without_room_is_told_apart(policy: VLLMPolicy) -> None:
    assert policy.context_length == 8192
    with pytest.raises(ContextLengthExceeded, match="8192"):
        asyncio.run(ask(policy, [5] * 8192))
    reply = asyncio.run(ask(policy, [5] * 8190, max_tokens=9))
    assert (len(reply.token_ids), reply.finish_reason) == (2, "length")


@pytest.mark.parametrize(
    ("prompt", "sampling"), [([], {}), ([99_999_999], {}), ([1], {"top_p": 0.0}), ([1], {"stop_token_ids": (1 << 30,)})]
)
def test_a_malformed_request_fails_alone(policy: VLLMPolicy, prompt: list[int], sampling: dict[str, Any]) -> None:
    with pytest.raises(PolicyError):
        asyncio.run(ask(policy, prompt, **sampling))
    assert asyncio.run(ask(policy, [1], max_tokens=2)).finish_reason == "length"


def test_cancelling_frees_the_engine(policy: VLLMPolicy) -> None:
    async def scenario() -> None:
        tasks = [asyncio.create_task(ask(policy, [i, 5, 6], f"c{i}", max_tokens=4000)) for i in range(4)]
        await asyncio.sleep(1.0)
        assert policy.num_unfinished == 4
        for task in tasks:
            task.cancel()
        assert all(isinstance(e, asyncio.CancelledError) for e in await asyncio.gather(*tasks, return_exceptions=True))
        for _ in range(100):
            if not policy.num_unfinished:
                return
            await asyncio.sleep(0.05)
        pytest.fail("the engine still has requests")

    asyncio.run(scenario())


def test_weights_change_under_running_requests(policy: VLLMPolicy, models: list[Any], tmp_path: Path) -> None:
    models[0].save_pretrained(tmp_path, max_shard_size="200MB")  # several files and an index
    prompts = [[*range(100 + i, 180 + i)] for i in range(4)]
    sampling: dict[str, Any] = {"temperature": 0.8, "top_p": 0.9}
    long, short = {**sampling, "max_tokens": 400}, {**sampling, "max_tokens": 60}

    async def scenario() -> tuple[list[Generation], Generation, Generation]:
        tasks = [asyncio.create_task(ask(policy, p, f"w{i}", **long)) for i, p in enumerate(prompts)]
        await asyncio.sleep(0.5)
        await policy.update_weights(models[1].state_dict(), 1)
        assert policy.version == 1
        replies = await asyncio.gather(*tasks)
        warm = await ask(policy, prompts[0], **short)
        await policy.update_weights(tmp_path, 2)
        return replies, warm, await ask(policy, prompts[0], **short)

    replies, warm, cold = asyncio.run(scenario())
    for prompt, reply in zip(prompts, replies, strict=True):
        assert [(span.version, span.start) for span in reply.versions[:1]] == [(0, 0)]
        assert [span.version for span in reply.versions] == [0, 1]
        assert reply.versions[0].end == reply.versions[1].start
        assert reply.versions[1].end == len(reply.token_ids) == 400
        for span, model in zip(reply.versions, models, strict=True):
            expected = recomputed(model, segment(prompt, reply), 0.8, 0.9)[span.start : span.end]
            assert np.allclose(expected, reply.logprobs[span.start : span.end], atol=5e-3)
    assert warm.versions == (VersionSpan(1, 0, 60),)
    assert warm.cached_tokens >= 64
    assert np.allclose(recomputed(models[1], segment(prompts[0], warm), 0.8, 0.9), warm.logprobs, atol=5e-3)
    assert (cold.versions, cold.cached_tokens) == ((VersionSpan(2, 0, 60),), 0)
    assert np.allclose(recomputed(models[0], segment(prompts[0], cold), 0.8, 0.9), cold.logprobs, atol=5e-3)


def test_running_requests_are_aborted_where_asked(policy: VLLMPolicy, tmp_path: Path) -> None:
    async def scenario() -> Generation:
        task = asyncio.create_task(ask(policy, [7, 8, 9], max_tokens=4000))
        await asyncio.sleep(0.5)
        await policy.update_weights(resolve("smollm2"), 3, in_flight="abort")
        return await task

    assert asyncio.run(scenario()).finish_reason == "abort"
    with pytest.raises(PolicyError, match="holds no"):
        asyncio.run(policy.update_weights(tmp_path, 4))
    with pytest.raises(PolicyError, match="empty"):
        asyncio.run(policy.update_weights({}, 4))
    with pytest.raises(ConfigError, match="-1"):
        asyncio.run(policy.update_weights(tmp_path, -1))
    assert asyncio.run(ask(policy, [1], max_tokens=2)).versions == (VersionSpan(3, 0, 2),)


def test_a_pause_holds_requests_back(policy: VLLMPolicy) -> None:
    async def scenario() -> None:
        for pause, resume in ((policy.pause, policy.resume), (policy.sleep, policy.wake_up)):
            task = asyncio.create_task(ask(policy, [3, 4], max_tokens=40))
            await asyncio.sleep(0.1)
            await pause()
            late = asyncio.create_task(ask(policy, [5, 6], "b", max_tokens=2))
            await asyncio.sleep(0.7)
            assert not task.done()
            assert not late.done()
            await resume()
            assert len((await task).token_ids) == 40
            assert len((await late).token_ids) == 2

    asyncio.run(scenario())


def test_throughput(policy: VLLMPolicy) -> None:
    async def scenario() -> float:
        began = time.perf_counter()
        asked = (ask(policy, range(i, i + 32), f"t{i}", max_tokens=64) for i in range(32))
        replies = await asyncio.gather(*asked)
        return sum(len(reply.token_ids) for reply in replies) / (time.perf_counter() - began)

    print(f"\n{asyncio.run(scenario()):.0f} tokens/s at 32 requests")


def test_the_engine_says_how_busy_it_is(policy: VLLMPolicy) -> None:
    async def scenario() -> None:
        asked = [asyncio.create_task(ask(policy, range(i, i + 32), f"b{i}", max_tokens=60)) for i in range(8)]
        seen = await policy.load()
        while not any(task.done() for task in asked) and seen.running < 8:
            await asyncio.sleep(0.02)
            seen = await policy.load()
        assert seen.running == 8
        assert seen.waiting == seen.preemptions == 0  # though weights have changed under running requests
        assert 0 < seen.kv_cache_usage < 0.5
        await asyncio.gather(*asked)
        assert (await policy.load()).running == 0

    asyncio.run(scenario())


def test_stragglers_are_aborted_in_the_engine(policy: VLLMPolicy) -> None:
    collector = Collector(
        ["llmgym/Calculator-mental-v0"], policy, num_tasks=2, num_repeats=2, num_spare_repeats=4,
        num_samples_in_parallel="auto", responses_create_params={"max_output_tokens": 300},
    )  # fmt: skip

    async def scenario() -> None:
        groups = [group async for group in collector.stream()]
        assert [len(group.trajectories) for group in groups] == [2, 2]
        assert collector.progress.stragglers > 0
        await asyncio.sleep(0.5)
        assert policy.num_unfinished == 0

    asyncio.run(scenario())


def test_a_model_that_judges_itself(policy: VLLMPolicy) -> None:
    async def scenario() -> None:
        await check_judge_of_itself(policy)
        await check_judge_away(policy)
        assert policy.num_unfinished == 0

    asyncio.run(scenario())


@pytest.mark.parametrize("victim", ["EngineCore", "Worker"])
def test_a_dead_engine_is_told_at_once_and_can_be_replaced(victim: str, models: list[Any]) -> None:
    policy = VLLMPolicy("smollm2", logprobs_mode="raw", **SMALL, max_model_len=512)

    async def scenario() -> None:
        before = engine_processes()
        await policy.start()
        with pytest.raises(ConfigError, match="disable_log_stats=False"):
            await policy.load()
        running = [process for process in engine_processes() if process not in before]
        pending = [asyncio.create_task(ask(policy, [i, 5, 6], f"k{i}", max_tokens=400)) for i in range(3)]
        await asyncio.sleep(0.5)
        began = time.monotonic()
        next(process for process in running if victim in process.name() or victim in process.cmdline()[0]).kill()
        for error in await asyncio.gather(*pending, return_exceptions=True):
            assert isinstance(error, PolicyUnavailable)
        with pytest.raises(PolicyUnavailable, match="restart"):
            await ask(policy, [1])
        assert time.monotonic() - began < 20
        await asyncio.gather(policy.restart(), policy.restart())
        assert not alive(running, 5.0)
        prompt = list(range(40))
        reply = await ask(policy, prompt, temperature=0.7, top_p=0.5, max_tokens=20)
        assert np.allclose(recomputed(models[0], segment(prompt, reply), 1.0, 1.0), reply.logprobs, atol=5e-3)
        if victim == "Worker":
            await _break(policy, models[0])
        running = [process for process in engine_processes() if process not in before]
        pending = [asyncio.create_task(ask(policy, [1, 2], max_tokens=400))]
        await asyncio.sleep(0.3)
        await policy.close()
        assert isinstance((await asyncio.gather(*pending, return_exceptions=True))[0], PolicyUnavailable)
        assert not alive(running)
        with pytest.raises(PolicyUnavailable, match="start"):
            await ask(policy, [1])

    asyncio.run(scenario())


async def _break(policy: VLLMPolicy, model: Any) -> None:
    """Half of the weights are worse than none."""
    state = {name: tensor for name, tensor in model.state_dict().items() if "layers.3." not in name}
    with pytest.raises(PolicyError, match="lack"):
        await policy.update_weights(state, 1)
    with pytest.raises(PolicyUnavailable, match="restart"):
        await ask(policy, [1])
    await policy.restart()
    assert (await ask(policy, [1], max_tokens=1)).versions == (VersionSpan(0, 0, 1),)


def test_what_cannot_start_says_what_to_lower() -> None:
    before = engine_processes()
    with pytest.raises(ConfigError, match="nonsense"):
        asyncio.run(VLLMPolicy("smollm2", nonsense=1).start())
    with pytest.raises(PolicyError, match="refuses"):
        asyncio.run(VLLMPolicy("smollm2", max_model_len=1 << 20).start())
    with pytest.raises(ConfigError, match="logprobs_mode"):
        make_policy("vllm:smollm2", logprobs_mode="cooked")
    with pytest.raises(PolicyUnavailable, match=r"kv_cache_memory_bytes"):
        asyncio.run(VLLMPolicy("smollm2", kv_cache_memory_bytes=1 << 50).start())
    assert not alive([process for process in engine_processes() if process not in before], 10.0)


SCRIPT = """
import asyncio, os, signal, sys, time
from llmgym.policies import Sampling, make_policy

signal.signal(signal.SIGINT, signal.default_int_handler)  # a test run in the background has it ignored

async def main():
    policy = make_policy("vllm:smollm2", kv_cache_memory_bytes=256 << 20)
    await policy.start()
    globals()["kept"] = policy
    task = asyncio.create_task(policy.generate([1], Sampling(max_tokens=4000), request_id="a", session_id="a"))
    await asyncio.sleep(1)
    print("running", flush=True)
    if sys.argv[1] != "exit":
        await task

if __name__ == "__main__":
    asyncio.run(main())
"""


@pytest.mark.parametrize("way", ["exit", "interrupt", "kill", "kill at start"])
def test_no_process_outlives_its_owner(way: str, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    owner = subprocess.Popen([sys.executable, script, way], stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert owner.stdout is not None
    process = psutil.Process(owner.pid)
    if way == "kill at start":
        while not any(map(_is_engine, process.children(recursive=True))):
            time.sleep(0.2)
    else:
        assert owner.stdout.readline() == "running\n"
    running = process.children(recursive=True)
    if way == "interrupt":
        os.killpg(owner.pid, signal.SIGINT)  # as a terminal does, to the whole group
    elif way != "exit":
        owner.send_signal(signal.SIGKILL)
    owner.communicate(timeout=300)
    seconds = 40.0 if way == "kill at start" else 10.0  # until its worker is there to notice
    assert not alive(running, seconds)


def test_without_vllm_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vllm.platforms", None)
    with pytest.raises(MissingExtraError, match="vllm"):
        asyncio.run(VLLMPolicy("smollm2").start())
