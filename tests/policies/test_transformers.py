"""Continuous batching against plain forward passes of small random models."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from __future__ import annotations

import asyncio
import contextlib
import gc
import random
import subprocess
import sys
import threading
import weakref
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("transformers")

import numpy as np
import torch
import transformers

from llmgym.chat import Sampling
from llmgym.errors import ConfigError, ContextLengthExceeded, PolicyError
from llmgym.policies.base import Generation, TokenPolicy
from llmgym.policies.models import fetch
from llmgym.policies.transformers import TransformersPolicy
from llmgym.policies.transformers import worker as worker_module
from llmgym.policies.transformers.kept import longest_prefix
from llmgym.policies.transformers.runner import Runner
from llmgym.policies.transformers.sampling import nucleus, sample
from llmgym.policies.transformers.store import Store
from llmgym.policies.transformers.worker import Worker
from tests.distributions import logprobs_of

hf: Any = transformers
VOCABULARY = 128
CONTEXT = 512
SHAPE: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": CONTEXT,
    "initializer_range": 0.3,  # peaked enough that a wrong mask or position shows
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
    "tie_word_embeddings": False,
}
SLIDING: dict[str, Any] = {"sliding_window": 8}
CONFIGS: dict[str, Callable[[], Any]] = {
    "llama": lambda: hf.LlamaConfig(**SHAPE),
    "qwen3": lambda: hf.Qwen3Config(**SHAPE),
    "qwen3-sliding": lambda: hf.Qwen3Config(**SHAPE, **SLIDING, use_sliding_window=True, max_window_layers=1),
    "mistral-sliding": lambda: hf.MistralConfig(**SHAPE, **SLIDING),
    "gemma3": lambda: hf.Gemma3TextConfig(**SHAPE, **SLIDING),
    "gpt2": lambda: hf.GPT2Config(vocab_size=VOCABULARY, n_positions=CONTEXT, n_embd=32, n_layer=2, n_head=4),
    "phi3": lambda: hf.Phi3Config(**SHAPE),
}


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """Make checkpoints of random models, each with a tokenizer of numbered words."""
    made: dict[str, str] = {}

    def make(kind: str) -> str:
        if kind not in made:
            folder = tmp_path_factory.mktemp(kind)
            save(CONFIGS[kind](), folder)
            made[kind] = str(folder)
        return made[kind]

    return make


def save(config: Any, folder: Path) -> None:
    from tokenizers import Tokenizer
    from tokenizers import models as tokenizer_models

    torch.manual_seed(0)
    hf.AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    words = {f"w{i}": i for i in range(VOCABULARY)}
    tokenizer = Tokenizer(tokenizer_models.WordLevel(words, unk_token="w0"))
    hf.PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="w2").save_pretrained(folder)


@pytest.fixture
def llama(checkpoint: Callable[[str], str]) -> str:
    return checkpoint("llama")


def prompt(length: int, seed: int = 0) -> list[int]:
    return torch.randint(
        3, VOCABULARY, (length,), generator=torch.Generator().manual_seed(seed * 1000 + length)
    ).tolist()


def run(model: Any, body: Callable[[TransformersPolicy], Awaitable[Any]], **options: Any) -> Any:
    """Run a coroutine with a started policy."""

    async def main() -> Any:
        policy = TransformersPolicy(model, device="cpu", **options)
        await policy.start()
        try:
            return await asyncio.wait_for(body(policy), 60)
        finally:
            await policy.close()

    return asyncio.run(main())


async def ask(
    policy: TransformersPolicy, ids: Sequence[int], session: str = "s", *, request: str = "r", **options: Any
) -> Generation:
    return await policy.generate(ids, Sampling(**options), request_id=request, session_id=session)


def plain_logits(model: Any, ids: Sequence[int], reply: Generation) -> torch.Tensor:
    with torch.inference_mode():
        return model(torch.tensor([[*ids, *reply.token_ids]])).logits[0, len(ids) - 1 : -1].float()


def recompute(model: Any, ids: Sequence[int], reply: Generation, temperature: float, top_p: float) -> torch.Tensor:
    """Log-probabilities of a reply from one plain forward pass and a plain nucleus."""
    logits = plain_logits(model, ids, reply)
    if temperature == 0:
        temperature, top_p = 1, 1
    probabilities = (logits / temperature).softmax(-1)
    if top_p < 1:
        for row in probabilities:
            mass = 0.0
            for token in row.argsort(descending=True).tolist():
                mass, row[token] = mass + float(row[token]), 0.0 if mass >= top_p else row[token]
        probabilities /= probabilities.sum(-1, keepdim=True)
    return probabilities.log().gather(1, torch.tensor(reply.token_ids)[:, None])[:, 0]


def load(folder: str) -> Any:
    return hf.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


@pytest.mark.parametrize("kind", list(CONFIGS))
def test_greedy_takes_the_likeliest_tokens_of_a_plain_forward_pass(checkpoint: Callable[[str], str], kind: str) -> None:
    folder, prompts = checkpoint(kind), [prompt(length) for length in (1, 2, 7, 40, 41, 130)]

    async def body(policy: TransformersPolicy) -> list[Generation]:
        return await asyncio.gather(
            *(ask(policy, ids, str(i), temperature=0, max_tokens=12) for i, ids in enumerate(prompts))
        )

    model = load(folder)
    for ids, reply in zip(prompts, run(folder, body), strict=True):
        assert (len(reply.token_ids), reply.finish_reason) == (12, "length")
        expected = plain_logits(model, ids, reply).log_softmax(-1).max(-1)
        assert list(reply.token_ids) == expected.indices.tolist()
        torch.testing.assert_close(torch.tensor(reply.logprobs), expected.values, atol=1e-4, rtol=0)


def test_greedy_equals_generate(llama: str) -> None:
    ids = prompt(20)
    reply: Generation = run(llama, lambda policy: ask(policy, ids, temperature=0, max_tokens=12))
    options = {"max_new_tokens": 12, "do_sample": False, "eos_token_id": None, "pad_token_id": 0}
    assert [*ids, *reply.token_ids] == load(llama).generate(torch.tensor([ids]), **options)[0].tolist()


def test_logprobs_are_of_the_distribution_that_was_sampled(llama: str) -> None:
    cases = [
        (0.0, 1.0),
        (0.0, 0.5),
        (1.0, 1.0),
        (0.7, 1.0),
        (1.3, 0.9),
        (0.7, 0.5),
        (1.0, 0.999),
        (1e-4, 1.0),
        (1.0, 1e-6),
    ]
    prompts = [prompt(5 + 23 * i) for i in range(len(cases))]

    async def body(policy: TransformersPolicy) -> list[Generation]:
        return await asyncio.gather(
            *(
                ask(policy, ids, str(i), temperature=temperature, top_p=top_p, max_tokens=8 + i, seed=i)
                for i, (ids, (temperature, top_p)) in enumerate(zip(prompts, cases, strict=True))
            )
        )

    model = load(llama)
    for ids, (temperature, top_p), reply in zip(prompts, cases, run(llama, body), strict=True):
        found = torch.tensor(reply.logprobs)
        assert bool((found <= 0).all())
        torch.testing.assert_close(found, recompute(model, ids, reply, temperature, top_p), atol=1e-4, rtol=0)


@pytest.mark.parametrize("sampling", [
    {"top_k": 5}, {"top_k": 1}, {"top_k": 1000}, {"min_p": 0.2}, {"min_p": 1.0}, {"repetition_penalty": 1.5},
    {"repetition_penalty": 0.7, "temperature": 0.5}, {"presence_penalty": 1.0}, {"frequency_penalty": -1.0},
    {"temperature": 0.0, "repetition_penalty": 1.3, "top_k": 3, "min_p": 0.5},
    {"temperature": 0.8, "top_k": 40, "min_p": 0.01, "top_p": 0.8, "repetition_penalty": 1.1, "presence_penalty": 0.5,
     "frequency_penalty": 0.2},
])  # fmt: skip
def test_logprobs_with_every_setting(llama: str, sampling: dict[str, Any]) -> None:
    model, prompts = load(llama), [prompt(length) for length in (4, 30)]

    async def body(policy: TransformersPolicy) -> list[Generation]:
        neighbour = ask(policy, prompt(9), "n", max_tokens=20, seed=4)
        asked = (ask(policy, ids, str(i), **sampling, max_tokens=24, seed=i) for i, ids in enumerate(prompts))
        return await asyncio.gather(*asked, neighbour)

    *replies, neighbour = run(llama, body)
    for ids, reply in zip(prompts, replies, strict=True):
        np.testing.assert_allclose(reply.logprobs, logprobs_of(model, ids, reply, Sampling(**sampling)), atol=2e-4)
    np.testing.assert_allclose(neighbour.logprobs, logprobs_of(model, prompt(9), neighbour, Sampling()), atol=2e-4)


def test_samples_follow_the_distribution(llama: str) -> None:
    ids, count = prompt(6), 1000

    async def body(policy: TransformersPolicy) -> list[Generation]:
        return await asyncio.gather(
            *(ask(policy, ids, str(i), top_p=0.9, max_tokens=1, seed=i, request=str(i)) for i in range(count))
        )

    replies: list[Generation] = run(llama, body, max_batch=64)
    frequency = torch.bincount(torch.tensor([reply.token_ids[0] for reply in replies]), minlength=VOCABULARY) / count
    probability = torch.zeros(VOCABULARY)
    for reply in replies:
        probability[reply.token_ids[0]] = torch.tensor(reply.logprobs[0]).exp()
    assert float((frequency - probability).abs().sum() / 2) < 0.1  # total variation, about 0.04 expected


def test_narrow_search_for_a_nucleus_equals_the_wide_one() -> None:
    generator = torch.Generator().manual_seed(0)
    logprobs = (torch.randn(6, 500, generator=generator) * torch.tensor([[0.1], [1], [2], [4], [8], [16]])).log_softmax(
        -1
    )
    top_p = torch.tensor([0.9, 0.5, 0.99, 0.3, 0.9, 0.9])
    torch.testing.assert_close(nucleus(logprobs, top_p, 16), nucleus(logprobs, top_p, 500))


def test_sixty_four_prompts_of_very_different_lengths(llama: str) -> None:
    prompts = [prompt(1 + (i * i) // 10, seed=i) for i in range(64)]

    async def body(policy: TransformersPolicy) -> list[Generation]:
        return await asyncio.gather(
            *(
                ask(policy, ids, f"s{i}", max_tokens=1 + i % 17, seed=i, top_p=0.95, request=str(i))
                for i, ids in enumerate(prompts)
            )
        )

    replies: list[Generation] = run(llama, body, max_batch=16, max_batch_tokens=4096)
    model = load(llama)
    for i, (ids, reply) in enumerate(zip(prompts, replies, strict=True)):
        assert len(reply.token_ids) == len(reply.logprobs) == 1 + i % 17
        torch.testing.assert_close(
            torch.tensor(reply.logprobs), recompute(model, ids, reply, 1, 0.95), atol=1e-4, rtol=0
        )


def test_a_seed_gives_the_same_tokens_alone_and_in_a_crowd(llama: str) -> None:
    ids = prompt(30)

    async def body(policy: TransformersPolicy) -> None:
        alone = await ask(policy, ids, seed=7, max_tokens=24)
        crowd = [ask(policy, prompt(3 + 11 * i, seed=1), str(i), max_tokens=9 + i) for i in range(10)]
        again, other, *_ = await asyncio.gather(
            ask(policy, ids, "a", seed=7, max_tokens=24), ask(policy, ids, "b", seed=8, max_tokens=24), *crowd
        )
        assert again.token_ids == alone.token_ids
        assert other.token_ids != alone.token_ids
        unseeded = await asyncio.gather(*(ask(policy, ids, str(i), max_tokens=24) for i in range(2)))
        assert unseeded[0].token_ids != unseeded[1].token_ids

    run(llama, body)


def test_stop_tokens(llama: str) -> None:
    ids = prompt(9)

    async def body(policy: TransformersPolicy) -> None:
        free = await ask(policy, ids, temperature=0, max_tokens=8)
        assert (free.finish_reason, len(free.token_ids)) == ("length", 8)
        first = await ask(policy, ids, temperature=0, max_tokens=8, stop_token_ids=(free.token_ids[0],))
        assert (first.finish_reason, list(first.token_ids)) == ("stop", [free.token_ids[0]])
        everything = tuple(range(VOCABULARY))
        last = await ask(policy, ids, temperature=0, max_tokens=1, stop_token_ids=everything)
        assert last.finish_reason == "stop"

    run(llama, body)


def test_stop_strings(llama: str) -> None:
    ids = prompt(9)

    async def body(policy: TransformersPolicy) -> None:
        free = list((await ask(policy, ids, max_tokens=60, seed=3)).token_ids)
        words = [f"w{token}" for token in free]
        for stop in (words[7], words[20] + " " + words[21], words[30][1:] + " w"):
            reply = await ask(policy, ids, max_tokens=60, seed=3, stop=("nowhere", stop))
            length = next(n for n in range(60) if stop in " ".join(words[:n]))
            assert (list(reply.token_ids), reply.finish_reason) == (free[:length], "stop")
            assert len(reply.logprobs) == length
        token = await ask(policy, ids, max_tokens=60, seed=3, stop=(words[9],), stop_token_ids=(free[4],))
        assert token.token_ids[-1] == free[4]
        last = await ask(policy, ids, max_tokens=5, seed=3, stop=(words[4],))
        assert last.finish_reason == "stop"

    run(llama, body)


def test_context(llama: str) -> None:
    async def body(policy: TransformersPolicy) -> None:
        assert policy.context_length == 64
        with pytest.raises(ContextLengthExceeded, match="64 tokens leaves no room in the 64"):
            await ask(policy, prompt(64))
        assert len((await ask(policy, prompt(63), max_tokens=50)).token_ids) == 1
        reply = await ask(policy, prompt(50), "t", max_tokens=50)
        assert (len(reply.token_ids), reply.finish_reason) == (14, "length")

    run(llama, body, context_length=64)


def test_to_the_end_of_learned_positions(checkpoint: Callable[[str], str]) -> None:
    async def body(policy: TransformersPolicy) -> None:
        pair = [ask(policy, prompt(length), str(length), max_tokens=CONTEXT) for length in (CONTEXT - 3, CONTEXT - 40)]
        assert [len(reply.token_ids) for reply in await asyncio.gather(*pair)] == [3, 40]

    run(checkpoint("gpt2"), body)


@pytest.mark.parametrize("options", [{}, {"max_batch": 1}])
@pytest.mark.parametrize("kind", ["llama", "qwen3-sliding"])
def test_reusing_keys_and_values_changes_nothing(
    checkpoint: Callable[[str], str], kind: str, options: dict[str, Any]
) -> None:
    async def body(policy: TransformersPolicy) -> list[list[Generation]]:
        async def episode(i: int) -> list[Generation]:
            ids, replies = prompt(20 + 7 * i, seed=i), list[Generation]()
            for turn in range(4):
                reply = await ask(policy, ids, f"e{i}", max_tokens=5 + i, seed=turn, top_p=0.9)
                replies.append(reply)
                ids = [*ids, *reply.token_ids, *prompt(1 + turn * 3, seed=99)]
            return replies

        return list(await asyncio.gather(*(episode(i) for i in range(5))))

    cached, plain = (run(checkpoint(kind), body, cache_bytes=size, **options) for size in (1 << 30, 0))
    for i, (with_cache, without) in enumerate(zip(cached, plain, strict=True)):
        known = 20 + 7 * i
        for turn, (one, other) in enumerate(zip(with_cache, without, strict=True)):
            assert one.token_ids == other.token_ids
            assert one.logprobs == pytest.approx(other.logprobs, abs=1e-4)
            if turn:
                assert one.cached_tokens == known - 1 >= 20  # all but the last sampled token and what came after it
            known += len(one.token_ids) if not turn else 1 + (turn - 1) * 3 + len(one.token_ids)


def test_only_equal_prefixes_are_reused(llama: str) -> None:
    opening = prompt(60)

    async def body(policy: TransformersPolicy) -> None:
        assert (await ask(policy, opening, "a", max_tokens=4)).cached_tokens == 0
        changed = [*opening[:25], (opening[25] + 1) % VOCABULARY, *opening[26:]]
        fork = await ask(policy, changed, "a", max_tokens=4, seed=1, temperature=0)
        assert fork.cached_tokens == 25
        same = await ask(policy, changed, "another session", max_tokens=4, temperature=0)
        assert same.cached_tokens == 59
        assert same.token_ids == fork.token_ids
        assert (await ask(policy, prompt(30, seed=5), "a", max_tokens=4)).cached_tokens == 0

    run(llama, body)


def test_episodes_that_start_together_share_their_opening(llama: str) -> None:
    opening = prompt(100)

    async def body(policy: TransformersPolicy) -> None:
        prompts = [[*opening, *prompt(10, seed=i)] for i in range(8)]
        replies = await asyncio.gather(
            *(ask(policy, ids, str(i), temperature=0, max_tokens=6) for i, ids in enumerate(prompts))
        )
        assert sorted(reply.cached_tokens for reply in replies)[0] == 0
        assert sum(reply.cached_tokens >= 100 for reply in replies) == 7
        model = load(llama)
        for ids, reply in zip(prompts, replies, strict=True):
            assert reply.logprobs == pytest.approx(recompute(model, ids, reply, 0, 1).tolist(), abs=1e-4)

    run(llama, body, cache_bytes=0)  # shared with a running request, not with a kept one


def test_kept_caches_are_bounded(llama: str) -> None:
    per_token = 3 * 2 * 2 * 8 * 4  # layers, keys and values, heads, dim, bytes

    async def body(policy: TransformersPolicy) -> None:
        for session in ("a", "b", "c"):
            await ask(policy, prompt(50, seed=ord(session)), session, max_tokens=1)
        cached = [
            (await ask(policy, prompt(50, seed=ord(session)), "new", max_tokens=1)).cached_tokens for session in "cba"
        ]
        assert cached[0] == 49
        assert cached[2] == 0

    run(llama, body, cache_bytes=100 * per_token)


def test_cancelling_frees_the_slot(llama: str, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = count_steps(monkeypatch)

    async def body(policy: TransformersPolicy) -> None:
        long = asyncio.create_task(ask(policy, prompt(5), "long", max_tokens=CONTEXT))
        waiting = asyncio.create_task(ask(policy, prompt(6), "waiting", max_tokens=CONTEXT))
        short = asyncio.create_task(ask(policy, prompt(7), "short", max_tokens=3))
        await until(lambda: bool(steps))
        long.cancel()
        waiting.cancel()
        assert len((await short).token_ids) == 3
        for task in (long, waiting):
            with pytest.raises(asyncio.CancelledError):
                await task
        done = len(steps)
        await asyncio.sleep(0.05)
        assert len(steps) == done < CONTEXT / 2

    run(llama, body, max_batch=1)


def count_steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Record the batch size of every decoding step."""
    steps: list[int] = []

    def counting(logits: torch.Tensor, *arguments: Any) -> Any:
        steps.append(len(logits))
        return sample(logits, *arguments)

    monkeypatch.setattr(worker_module, "sample", counting)
    return steps


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(10_000):
        if condition():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("it did not happen within 10 s")


def test_requests_are_batched_and_bounded(llama: str, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = count_steps(monkeypatch)

    async def body(policy: TransformersPolicy) -> None:
        await asyncio.gather(*(ask(policy, prompt(40, seed=i), str(i), max_tokens=10) for i in range(20)))

    run(llama, body, max_batch=8)
    assert max(steps) == 8
    assert sum(steps) == 200
    steps.clear()
    run(llama, body, max_batch_tokens=150)
    assert max(steps) == 3
    steps.clear()
    run(llama, body, max_batch_tokens=1)
    assert set(steps) == {1}


def test_many_concurrent_requests_from_several_loops(llama: str) -> None:
    async def body(policy: TransformersPolicy) -> None:
        async def some(offset: int) -> list[int]:
            replies = await asyncio.gather(
                *(ask(policy, prompt(1 + i % 30, seed=offset + i), str(offset + i), max_tokens=6) for i in range(100))
            )
            return [len(reply.token_ids) for reply in replies]

        other_loops = [asyncio.to_thread(asyncio.run, some(1000 * (i + 1))) for i in range(2)]
        for lengths in await asyncio.gather(some(0), *other_loops):
            assert lengths == [6] * 100

    run(llama, body)


@pytest.mark.parametrize("where", ["worker.sample", "runner.Runner.prefill", "store.Store.move", "kept.Kept.keep"])
def test_a_crash_of_the_worker_reaches_everyone(llama: str, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    def crash(*_args: object) -> None:
        raise MemoryError("no more")

    async def body(policy: TransformersPolicy) -> None:
        monkeypatch.setattr(f"llmgym.policies.transformers.{where}", crash)
        replies = await asyncio.gather(
            *(ask(policy, prompt(9, seed=i), str(i), max_tokens=2 + i) for i in range(12)), return_exceptions=True
        )
        failed = [reply for reply in replies if isinstance(reply, PolicyError)]
        assert len(failed) == 12 if where in {"worker.sample", "runner.Runner.prefill"} else len(failed) >= 8
        assert all("MemoryError" in str(error) and isinstance(error.__cause__, MemoryError) for error in failed)
        with pytest.raises(PolicyError, match=r"MemoryError.*start the policy again") as later:
            await ask(policy, prompt(3))
        assert isinstance(later.value.__cause__, MemoryError)
        monkeypatch.undo()
        await policy.close()
        await policy.start()
        assert len((await ask(policy, prompt(3), max_tokens=2)).token_ids) == 2

    run(llama, body, max_batch=4)


def test_nan_fails_one_request_alone(checkpoint: Callable[[str], str], tmp_path: Path) -> None:
    model = load(checkpoint("llama"))
    with torch.no_grad():
        model.get_input_embeddings().weight[5] = float("nan")
    model.save_pretrained(tmp_path)
    hf.AutoTokenizer.from_pretrained(checkpoint("llama")).save_pretrained(tmp_path)
    poisoned = [[5, 7], [7, 5], [*prompt(40), 5], [5, *prompt(90)]]
    healthy = [[token for token in prompt(12 + i, seed=i) if token != 5] for i in range(4)]

    async def body(policy: TransformersPolicy) -> None:
        for _ in range(2):  # the second time in rows that had NaN in them
            bad, good = [], []
            for i, (one, other) in enumerate(zip(poisoned, healthy, strict=True)):
                bad.append(ask(policy, one, f"bad {i}", request=f"bad {i}", max_tokens=4))
                good.append(ask(policy, other, f"good {i}", temperature=0, max_tokens=1))
            failed = await asyncio.gather(*bad, *good, return_exceptions=True)
            for i, error in enumerate(failed[:4]):
                assert isinstance(error, PolicyError)
                assert f"NaN for request bad {i};" in str(error)
            for ids, reply in zip(healthy, failed[4:], strict=True):
                assert isinstance(reply, Generation)
                assert reply.logprobs == pytest.approx(recompute(model, ids, reply, 0, 1).tolist(), abs=1e-4)

    run(str(tmp_path), body)


def test_closing_fails_what_is_pending(llama: str) -> None:
    async def main() -> None:
        policy = TransformersPolicy(llama, device="cpu", max_batch=1)
        await asyncio.gather(policy.start(), policy.start())
        tasks = [asyncio.create_task(ask(policy, prompt(5), str(i), max_tokens=CONTEXT)) for i in range(3)]
        await asyncio.sleep(0.01)
        await policy.close()
        for task in tasks:
            with pytest.raises(PolicyError, match="was closed"):
                await asyncio.wait_for(task, 10)
        with pytest.raises(PolicyError, match="await its start"):
            await ask(policy, prompt(5))
        await policy.close()

    asyncio.run(main())


def test_closing_from_another_loop(llama: str) -> None:
    async def body(policy: TransformersPolicy) -> None:
        pending = asyncio.create_task(ask(policy, prompt(5), max_tokens=CONTEXT))
        await asyncio.sleep(0.01)
        await asyncio.to_thread(asyncio.run, policy.close())
        with pytest.raises(PolicyError, match="was closed"):
            await pending

    run(llama, body)


def test_two_loops_in_turn(llama: str) -> None:
    policy = TransformersPolicy(llama, device="cpu")
    asyncio.run(policy.start())
    replies = [asyncio.run(ask(policy, prompt(9), max_tokens=3, seed=1)) for _ in range(2)]
    asyncio.run(policy.close())
    assert replies[0].token_ids == replies[1].token_ids
    assert replies[1].cached_tokens == 8


def test_a_loop_that_is_closed_on_its_requests_frees_their_slots(llama: str, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = count_steps(monkeypatch)
    policy = TransformersPolicy(llama, device="cpu", max_batch=1)
    loop = asyncio.new_event_loop()
    loop.run_until_complete(policy.start())
    tasks = [loop.create_task(ask(policy, prompt(5), str(i), max_tokens=CONTEXT)) for i in range(2)]
    loop.run_until_complete(until(lambda: bool(steps)))
    loop.close()
    asyncio.run(ask(policy, prompt(6), "other", max_tokens=1))
    assert len(steps) < CONTEXT / 2
    for task in tasks:
        setattr(task, "_log_destroy_pending", False)  # noqa: B010  it is left pending on purpose
        task.get_coro().close()  # pyright: ignore[reportOptionalMemberAccess]
    asyncio.run(policy.close())


def test_the_prompt_is_read_at_once(llama: str) -> None:
    ids = prompt(20)

    async def body(policy: TransformersPolicy) -> None:
        live = list(ids)
        task = asyncio.create_task(ask(policy, live, temperature=0, max_tokens=8))
        await asyncio.sleep(0)
        live[:] = [99]
        reply = await task
        assert live == [99]
        assert list(reply.token_ids) == list((await ask(policy, ids, "b", temperature=0, max_tokens=8)).token_ids)

    run(llama, body)


@pytest.mark.parametrize("by", ["cancelling", "closing"])
def test_a_long_prefill_can_be_interrupted(llama: str, monkeypatch: pytest.MonkeyPatch, by: str) -> None:
    ids, widths, first, go_on = prompt(400), list[int](), threading.Event(), threading.Event()
    prefill = Runner.prefill

    def slow(runner: Runner, row: int, chunks: Sequence[Any], starts: Sequence[int]) -> None:
        prefill(runner, row, chunks, starts)
        widths.append(max(map(len, chunks)))
        if len(widths) > 1:  # the first is the proof at the start
            first.set()
            go_on.wait(10)

    monkeypatch.setattr(worker_module, "PASS_TOKENS", 64)
    monkeypatch.setattr(Runner, "prefill", slow)

    async def body(policy: TransformersPolicy) -> None:
        task = asyncio.create_task(ask(policy, ids))
        await asyncio.to_thread(first.wait, 10)
        if by == "closing":
            closing = asyncio.create_task(policy.close())
            await until(lambda: bool(getattr(getattr(policy, "_worker"), "_stopping")))  # noqa: B009
            go_on.set()
            with pytest.raises(PolicyError, match="was closed"):
                await task
            await closing
            return
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        go_on.set()
        reply = await ask(policy, ids, "other", temperature=0, max_tokens=4)
        assert reply.cached_tokens == 64  # what was prefilled is whole, and kept
        expected = recompute(load(llama), ids, reply, 0, 1)
        assert reply.logprobs == pytest.approx(expected.tolist(), abs=1e-4)

    run(llama, body)
    assert widths[:2] == [8, 64]
    assert len(widths) == (2 if by == "closing" else 8)


def test_memory_for_running_requests_is_bounded(llama: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    reserve = Store.reserve

    def recording(store: Store, rows: int, length: int) -> None:
        reserve(store, rows, length)
        sizes.append(store.cells)

    monkeypatch.setattr(Store, "reserve", recording)

    async def body(policy: TransformersPolicy) -> None:
        short = [ask(policy, prompt(5, seed=i), str(i), max_tokens=2 + i) for i in range(16)]
        long = [ask(policy, prompt(400, seed=i), f"long {i}", temperature=0, max_tokens=100) for i in range(3)]
        more = [ask(policy, prompt(300, seed=i), f"more {i}", max_tokens=2 + i) for i in range(8)]
        replies = await asyncio.gather(*short, *long, *more)
        model = load(llama)
        for i in range(3):
            expected = recompute(model, prompt(400, seed=i), replies[16 + i], 0, 1)
            assert replies[16 + i].logprobs == pytest.approx(expected.tolist(), abs=1e-4)

    run(llama, body, max_batch_tokens=4096)
    assert max(sizes) == 4096


def test_a_store_keeps_what_is_there_as_it_grows_and_shrinks() -> None:
    store, generator = Store(1000, 4096), random.Random(0)
    store.reserve(1, 1)
    cells = torch.randn(1, 1000, 2, 3)
    for _ in range(200):
        length = generator.randint(1, 1000)
        rows = generator.randint(1, max(1, 4096 // length))
        store.clear()
        store.reserve(rows, length)
        for row in range(rows):
            store.put(row, {0: (cells[:, :length] + row, -cells[:, :length] - row)}, length)
        longer = generator.randint(length, 1000)
        more = generator.randint(rows, max(rows, 4096 // longer))
        store.reserve(more, longer)
        assert store.length >= longer
        assert store.cells <= max(4096, more * min(-(-longer // 256) * 256, 1000))
        store.put(more - 1, {0: (cells[:, :longer], cells[:, :longer])}, longer)
        for row in range(rows if more > rows else rows - 1):
            keys, values = store.get(row, length)[0]
            assert torch.equal(keys, cells[:, :length] + row)
            assert torch.equal(values, -cells[:, :length] - row)


def test_the_longest_prefix_is_found() -> None:
    generator = random.Random(0)

    def shared(one: Sequence[int], other: Sequence[int]) -> int:
        return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))

    for _ in range(500):
        ids, *others = ([generator.randint(0, 1) for _ in range(generator.randint(0, 8))] for _ in range(6))
        sources = [(np.array(other, np.int64), row) for row, other in enumerate(others)]
        length, row = longest_prefix(np.array(ids, np.int64), sources)
        assert length == max(shared(ids, other) for other in others)
        assert row is None if not length else isinstance(row, int) and shared(ids, others[row]) == length


def test_a_policy_that_is_dropped_unclosed_ends(llama: str) -> None:
    before = {*threading.enumerate()}
    policy = TransformersPolicy(llama, device="cpu")
    asyncio.run(policy.start())
    started = {*threading.enumerate()} - before
    del policy
    gc.collect()
    for thread in started:
        thread.join(10)
    assert started
    assert not any(thread.is_alive() for thread in started)


@pytest.mark.parametrize("crash", [False, True])
def test_an_error_that_is_held_does_not_hold_the_model(
    llama: str, monkeypatch: pytest.MonkeyPatch, crash: bool
) -> None:
    def fail(*_args: object) -> None:
        raise MemoryError

    async def body(policy: TransformersPolicy) -> tuple[BaseException, weakref.ref[Any]]:
        worker: Worker = getattr(policy, "_worker")  # noqa: B009  private
        model = weakref.ref(getattr(getattr(worker, "_runner"), "_model"))  # noqa: B009  private
        if crash:
            monkeypatch.setattr(worker_module, "sample", fail)
        task = asyncio.create_task(ask(policy, prompt(5), max_tokens=CONTEXT))
        await asyncio.sleep(0.01)
        await policy.close()
        with pytest.raises(PolicyError) as raised:
            await task
        return raised.value, model

    error, model = run(llama, body)
    gc.collect()
    assert error.__traceback__ is not None
    assert model() is None


LEAVE = """
import asyncio, sys
from llmgym.policies.base import Sampling
from llmgym.policies.transformers import TransformersPolicy

loop = asyncio.new_event_loop()
busy, idle = (TransformersPolicy(sys.argv[1], device="cpu") for _ in range(2))
for policy in (busy, idle):
    loop.run_until_complete(policy.start())
requests = [busy.generate([5] * 9, Sampling(max_tokens=490), request_id="", session_id=str(i)) for i in range(4)]
tasks = [loop.create_task(request) for request in requests]
loop.run_until_complete(asyncio.sleep(0.05))
assert not any(task.done() for task in tasks)
"""


@pytest.mark.slow
def test_a_script_that_forgets_to_close_exits_cleanly(llama: str) -> None:
    done = subprocess.run([sys.executable, "-c", LEAVE, llama], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_a_loop_that_ends_early_harms_nobody(llama: str) -> None:
    async def body(policy: TransformersPolicy) -> None:
        async def give_up() -> None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(ask(policy, prompt(5), "gone", max_tokens=CONTEXT), 0.005)

        await asyncio.to_thread(asyncio.run, give_up())
        assert len((await ask(policy, prompt(5), max_tokens=3)).token_ids) == 3

    run(llama, body)


@pytest.mark.parametrize(
    ("ids", "options", "error"),
    [
        ([], {}, "one or more ids from 0 to 127"),
        ([VOCABULARY], {}, "one or more ids from 0 to 127"),
        ([-1], {}, "one or more ids from 0 to 127, but it has -1"),
        ([[5, 6]], {}, r"shape is \[1, 2\]"),
        ([5], {"temperature": -1.0}, "temperature >= 0"),
        ([5], {"temperature": float("nan")}, "temperature >= 0"),
        ([5], {"top_p": 0.0}, "top_p"),
        ([5], {"top_p": 1.5}, "top_p"),
        ([5], {"max_tokens": 0}, "max_tokens"),
    ],
)
def test_malformed_requests_fail_alone(llama: str, ids: Any, options: dict[str, Any], error: str) -> None:
    async def body(policy: TransformersPolicy) -> None:
        with pytest.raises(PolicyError, match=error):
            await ask(policy, ids, **options)
        assert len((await ask(policy, [5], max_tokens=2)).token_ids) == 2

    run(llama, body)


def test_what_cannot_start(llama: str, tmp_path: Path) -> None:
    async def start(model: str, **options: Any) -> None:
        await TransformersPolicy(model, device="cpu", **options).start()

    with pytest.raises(PolicyError, match="cannot load"):
        asyncio.run(start(str(tmp_path)))
    with pytest.raises(ConfigError, match="is made for 512"):
        asyncio.run(start(llama, context_length=1000))
    with pytest.raises(ConfigError, match="max_batch=0"):
        TransformersPolicy(llama, max_batch=0)
    save(hf.MambaConfig(vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=2, state_size=4), tmp_path / "mamba")
    with pytest.raises(PolicyError, match=r"cannot be batched by TransformersPolicy.*vllm:"):
        asyncio.run(start(str(tmp_path / "mamba"), context_length=64))


def test_a_model_that_is_loaded(llama: str) -> None:
    model, tokenizer = hf.AutoModelForCausalLM.from_pretrained(llama), hf.AutoTokenizer.from_pretrained(llama)
    ids = prompt(20)

    async def greedy(policy: TransformersPolicy) -> Sequence[int]:
        return (await ask(policy, ids, temperature=0.0, max_tokens=30)).token_ids

    expected = run(llama, greedy)
    assert run(model.eval(), greedy, tokenizer=tokenizer) == expected
    policy = TransformersPolicy(model, tokenizer=tokenizer)
    assert (policy.model, policy.name, policy.tokenizer) == (llama, Path(llama).name, tokenizer)
    # It goes on being trained, and the next policy samples with what it learned.
    model.train()
    with pytest.raises(ConfigError, match=r"in training mode; call its eval\(\)"):
        asyncio.run(policy.start())
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    batch = torch.tensor([ids])
    model(batch, labels=batch).loss.backward()
    optimizer.step()
    assert run(model.eval(), greedy, tokenizer=tokenizer) != expected
    fresh = hf.AutoModelForCausalLM.from_config(CONFIGS["llama"]())
    assert TransformersPolicy(fresh, tokenizer=tokenizer).name == "LlamaForCausalLM"


def test_a_model_and_its_tokenizer_come_together(llama: str) -> None:
    model, tokenizer = hf.AutoModelForCausalLM.from_pretrained(llama), hf.AutoTokenizer.from_pretrained(llama)
    for arguments in ({"model": model}, {"model": llama, "tokenizer": tokenizer}):
        with pytest.raises(ConfigError, match="a loaded model comes with its `tokenizer`"):
            TransformersPolicy(**arguments)
    tokenizer.add_tokens([f"surplus{i}" for i in range(3)])
    with pytest.raises(ConfigError, match=f"has {VOCABULARY + 3} tokens, but LlamaForCausalLM knows {VOCABULARY}"):
        asyncio.run(TransformersPolicy(model.eval(), tokenizer=tokenizer).start())


def test_contract(llama: str) -> None:
    policy = TransformersPolicy(llama)
    assert isinstance(policy, TokenPolicy)
    assert policy.logprobs_mode == "processed"
    assert policy.name == Path(llama).name

    async def body(policy: TransformersPolicy) -> None:
        assert policy.tokenizer.convert_tokens_to_ids("w7") == 7
        assert policy.context_length == CONTEXT

    run(llama, body)


def test_importing_loads_neither_torch_nor_transformers() -> None:
    code = "import sys, llmgym.policies.transformers; assert not {'torch', 'transformers'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.integration
def test_smollm2_talks() -> None:
    fetch("smollm2")

    async def body(policy: TransformersPolicy) -> None:
        chat = [{"role": "user", "content": "What is the capital of France?"}]
        ids = policy.tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_dict=False)
        stop = policy.tokenizer.eos_token_id
        reply = await ask(policy, ids, temperature=0, max_tokens=20, stop_token_ids=(stop,))
        assert "Paris" in policy.tokenizer.decode(reply.token_ids)
        assert (reply.finish_reason, reply.token_ids[-1]) == ("stop", stop)
        follow_up = policy.tokenizer.encode("\n<|im_start|>user\nAnd of Italy?<|im_end|>\n<|im_start|>assistant\n")
        again = await ask(policy, [*ids, *reply.token_ids, *follow_up], temperature=0, max_tokens=20)
        assert again.cached_tokens == len(ids) + len(reply.token_ids) - 1
        assert policy.context_length == 8192

    run("smollm2", body)
