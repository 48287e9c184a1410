"""`TransformersPolicy` on whatever machine there is, with nothing but torch and transformers: no vLLM, no network.

Models have random weights, made on the spot. The tokenizer is SmolLM2's where that is cached, else a small one that is
trained here in a second; how large the vocabulary is, is in the result.
"""

from __future__ import annotations

import asyncio
import copy
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from _engine import ENV, SHAPES, Planned, prose

from llmgym.codec import codec_for
from llmgym.errors import LLMGymError
from llmgym.policies import Generation, Sampling
from llmgym.policies.models import cache_dir, resolve
from llmgym.policies.transformers import TransformersPolicy
from llmgym.rollout import Collector

sys.path.append(str(Path(__file__).parents[1]))

from tests.exactness import Recording, prove

_CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def tokenizer_here() -> Any:
    """SmolLM2's tokenizer if it is cached, else a byte-level one."""
    from transformers import AutoTokenizer

    if (cache_dir() / "smollm2").is_dir():
        with suppress(LLMGymError):
            return AutoTokenizer.from_pretrained(resolve("smollm2"))
    return small_tokenizer()


def small_tokenizer() -> Any:
    """A byte-level BPE, trained on the text of this folder."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # pyright: ignore[reportAttributeAccessIssue]
    made.decoder = decoders.ByteLevel()  # pyright: ignore[reportAttributeAccessIssue]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=2048, initial_alphabet=alphabet, special_tokens=special, show_progress=False
    )
    made.train_from_iterator((path.read_text("utf-8") for path in Path(__file__).parent.glob("*.py")), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=made, bos_token=special[1], eos_token=special[2], chat_template=_CHATML
    )


def random_model(shape: str, tokenizer: Any, device: str, dtype: str) -> Any:
    """A Qwen3 of a shape with random weights; peaked enough that a wrong mask or position shows."""
    import torch
    from transformers import AutoModelForCausalLM, Qwen3Config

    hidden, layers, heads, kv_heads, mlp = SHAPES[shape]
    config = Qwen3Config(
        vocab_size=len(tokenizer), hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=heads,
        num_key_value_heads=kv_heads, head_dim=128, intermediate_size=mlp, max_position_embeddings=8192,
        tie_word_embeddings=True, initializer_range=0.05, bos_token_id=None, eos_token_id=None,
    )  # fmt: skip
    torch.manual_seed(0)
    with torch.device(device):
        return AutoModelForCausalLM.from_config(config, dtype=getattr(torch, dtype)).eval()


@asynccontextmanager
async def running(model: Any, tokenizer: Any, episodes: int, tokens: int) -> AsyncIterator[TransformersPolicy]:
    """A policy on a model, with room for so many episodes of so many tokens, as far as half of a GPU's memory goes."""
    import torch

    cells = episodes * tokens
    if model.device.type == "cuda":
        config = model.config
        size = 2 * config.num_hidden_layers * config.num_key_value_heads * config.head_dim * model.dtype.itemsize
        torch.cuda.empty_cache()
        cells = min(cells, torch.cuda.mem_get_info()[0] // 2 // size)
    policy = TransformersPolicy(
        model, tokenizer=tokenizer, max_batch=episodes, max_batch_tokens=max(cells, 4096), context_length=4096
    )
    await policy.start()
    try:
        yield policy
    finally:
        await policy.close()


async def exactness(model: Any, tokenizer: Any, episodes: int, max_tokens: int) -> dict[str, Any]:
    """Episodes of four turns with tools: every id, mask and log-probability against the engine's own record."""
    codec = codec_for(tokenizer)
    async with running(model, tokenizer, episodes, 1024) as policy:
        recording: Any = Recording(Planned(policy, codec, turns=4, tokens=max_tokens, tools=True))
        collector = Collector(
            [ENV], recording, codec=codec, num_tasks=episodes, max_turns=4, num_samples_in_parallel=episodes,
            responses_create_params={"max_output_tokens": max_tokens},
        )  # fmt: skip
        found = [trajectory async for group in collector.stream() for trajectory in group.trajectories]
    exact = 0
    for trajectory in found:
        with suppress(AssertionError):
            prove(trajectory, recording.requests[trajectory.id], codec)
            exact += 1
    turns = sum(len(trajectory.turns) for trajectory in found)
    return {"episodes": len(found), "turns": turns, "exact_share": exact / episodes}


async def logprobs(model: Any, tokenizer: Any, sessions: int, max_tokens: int) -> dict[str, Any]:
    """Three replies of each of many sessions at once, whose earlier tokens are cached, against plain forward passes."""
    rng = np.random.default_rng(0)
    sampling = Sampling(temperature=0.8, top_p=0.9, max_tokens=max_tokens)

    async def session(policy: TransformersPolicy, number: int) -> list[tuple[list[int], Generation]]:
        ids = tokenizer.encode(prose(rng, 20 + 7 * number % 90))
        replies: list[tuple[list[int], Generation]] = []
        for turn in range(3):
            reply = await policy.generate(ids, sampling, request_id=f"{number}/{turn}", session_id=str(number))
            replies.append((ids, reply))
            ids = [*ids, *reply.token_ids, *tokenizer.encode(prose(rng, 5 + number % 11))]
        return replies

    async with running(model, tokenizer, sessions, 1024) as policy:
        found = await asyncio.gather(*(session(policy, number) for number in range(sessions)))
    errors = np.concatenate([_errors(model, *reply, 0.8, 0.9) for replies in found for reply in replies])
    cached = sum(reply.cached_tokens for replies in found for _, reply in replies)
    return {
        "dtype": str(model.dtype).removeprefix("torch."),
        "tokens": len(errors),
        "cached_tokens": cached,
        "mean_error": float(errors.mean()),
        "max_error": float(errors.max()),
    }


def _errors(model: Any, prompt: list[int], reply: Generation, temperature: float, top_p: float) -> Any:
    """How far a reply's log-probabilities are from those of a plain forward pass, which may cut the nucleus elsewhere.

    A token at its edge that is in it on one side only is as far as its probability; sampled itself, it is left out.
    """
    import torch

    ids = torch.tensor([[*prompt, *reply.token_ids]], device=model.device)
    with torch.inference_mode():
        logits = model(ids, use_cache=False).logits[0, len(prompt) - 1 : -1].double()
    scaled = torch.log_softmax(logits / temperature, -1)
    ordered, order = scaled.sort(-1, descending=True)
    kept = torch.zeros_like(scaled, dtype=torch.bool).scatter(
        1, order, ordered.exp().cumsum(-1) - ordered.exp() < top_p
    )
    nucleus = scaled.masked_fill(~kept, -torch.inf)
    expected = (nucleus - nucleus.logsumexp(-1, keepdim=True)).gather(1, ids[0, len(prompt) :, None])[:, 0]
    expected = expected.cpu().numpy()
    return np.abs(expected - np.array(reply.logprobs))[np.isfinite(expected)]


async def throughput(model: Any, tokenizer: Any, concurrency: int, max_tokens: int, rounds: int) -> dict[str, Any]:
    """Tokens a second of a collector, and of transformers' own continuous batching given the same prompts and lengths.

    Each side has a model of its own, since each puts its own attention into it, and runs once before it is timed.
    """
    codec = codec_for(tokenizer)
    async with running(model, tokenizer, concurrency, 512 + max_tokens) as policy:
        planned = Planned(policy, codec, turns=1, tokens=max_tokens, tools=False, record=True)

        async def collect() -> int:
            summary = await Collector(
                [ENV], planned, codec=codec, num_tasks=concurrency, max_turns=1, num_samples_in_parallel=concurrency,
                responses_create_params={"max_output_tokens": max_tokens},
            ).collect()  # fmt: skip
            assert summary["finished"] == concurrency, summary
            return summary["tokens"]["sampled"]

        await collect()
        prompts = {name: (script.heard[0], script.lengths[0]) for name, script in planned.scripts.items()}
        ours = [await _speed(collect) for _ in range(rounds)]
    found = {"concurrency": concurrency, "tokens_per_s": round(max(ours))}
    try:
        theirs = await asyncio.to_thread(_batched, copy.deepcopy(model), list(prompts.values()), rounds)
    except Exception as error:  # noqa: BLE001  another's engine; our figures stand without it
        return found | {"transformers_tokens_per_s": None, "why": f"{type(error).__name__}: {error}"[:300]}
    return found | {"transformers_tokens_per_s": round(max(theirs)), "ratio": round(max(ours) / max(theirs), 2)}


async def _speed(run: Callable[[], Coroutine[Any, Any, int]]) -> float:
    began = time.perf_counter()
    return await run() / (time.perf_counter() - began)


def _batched(model: Any, requests: list[tuple[list[int], int]], rounds: int) -> list[float]:
    """Tokens a second of transformers' own continuous batching, in each round after one that warms it."""
    from transformers import ContinuousBatchingConfig, GenerationConfig

    longest = max(len(ids) + length for ids, length in requests)
    # On a GPU it finds out itself how much memory it can have; on a CPU it would take most of it.
    blocks = None if model.device.type == "cuda" else len(requests) * (2 + longest // 256)
    expected = sum(length for _, length in requests)
    speeds: list[float] = []
    with model.continuous_batching_context_manager(
        generation_config=GenerationConfig(do_sample=True, max_new_tokens=longest, eos_token_id=-1),
        continuous_batching_config=ContinuousBatchingConfig(num_blocks=blocks, return_logprobs=True),
    ) as manager:
        for number in range(rounds + 1):
            began = time.perf_counter()
            for place, (ids, length) in enumerate(requests):
                manager.add_request(ids, request_id=f"{number}/{place}", max_new_tokens=length)
            sampled = _finished(manager, len(requests), began + _PATIENCE_S)
            if sampled != expected:
                raise RuntimeError(f"{sampled} tokens came where {expected} were asked for")
            speeds.append(sampled / (time.perf_counter() - began))
    return speeds[1:]


def _finished(manager: Any, requests: int, due: float) -> int:
    """Wait for requests; gives the tokens that were sampled."""
    sampled = 0
    while requests:
        result = manager.get_result(timeout=1)
        if result is not None and result.is_finished():
            requests, sampled = requests - 1, sampled + len(result.generated_tokens)
        elif result is None and (not manager.is_running() or time.perf_counter() > due):
            raise RuntimeError(f"{requests} requests did not finish within {_PATIENCE_S} s, or its thread ended")
    return sampled


_PATIENCE_S = 120
