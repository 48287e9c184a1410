"""What the benchmarks on a real vLLM share: models of any size, an environment, and replies of planned lengths.

Speed does not depend on what the weights say: they are random, unless `--engine load_format=auto` takes the model's.
Such a model neither stops nor calls tools, so `Planned` closes its replies; the engine samples every token that counts.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import gymnasium
import numpy as np
from _instant import call

from llmgym import Task, TaskSet, ToolEnv, tool
from llmgym.codec import ChatCodec
from llmgym.env import Episode
from llmgym.policies import Generation, Sampling, TokenPolicy
from llmgym.policies.models import resolve
from llmgym.policies.vllm import VLLMPolicy
from llmgym.tasks import stable_hash

#: Sizes of Qwen3, and one for tests: hidden size, layers, heads, heads of keys and values, size of the MLP.
SHAPES = {
    "qwen3-tiny": (256, 2, 4, 2, 512),
    "qwen3-0.6b": (1024, 28, 16, 8, 3072),
    "qwen3-1.7b": (2048, 28, 16, 8, 6144),
    "qwen3-4b": (2560, 36, 32, 8, 9728),
}

ENV = "bench/Library-v0"
WORDS = ("river", "stone", "patient", "hand", "cold", "bank", "night", "table", "winter", "question", "green", "letter")


def prose(rng: np.random.Generator, words: int) -> str:
    """Words of about one token each, in an order that nothing else has."""
    return " ".join(WORDS[i] for i in rng.integers(len(WORDS), size=words))


def make_task(rng: np.random.Generator) -> Task:
    return Task(prompt=f"Book {int(rng.integers(10**9))} begins so: {prose(rng, 100)}. Read on.")


class Library(ToolEnv):
    """A book of 128 words a page, for those who call its tool and those who only talk; it never ends by itself."""

    tasks = TaskSet.generated(make_task)
    system_prompt = "You read books page by page and think about them."

    @tool
    def read(self, page: int) -> str:
        """Read a page of the book.

        Args:
            page: Its number.
        """
        return prose(self.np_random, 128)

    def respond(self, message: Any) -> str:
        return prose(self.np_random, 128)

    def verify(self, episode: Episode) -> float:
        return float(len(episode.messages) > 1)


if ENV not in gymnasium.registry:
    gymnasium.register(ENV, entry_point=Library)


@dataclass(slots=True)
class Script:
    """What is the same in every run of an episode: all but the tokens that the engine samples.

    Attributes:
        heard: For each turn, the tokens that come before its reply and after the last one.
        lengths: Tokens of each reply.
        tails: The tokens that each reply ends with, whatever was sampled there.
    """

    heard: list[list[int]] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    tails: list[list[int]] = field(default_factory=list)


class Planned:
    """A policy whose replies have planned lengths and endings.

    The engine samples as many tokens as planned, without stopping. Then the last ones are overwritten with a tool call
    and a stop token, or with a stop token alone, and so are stop tokens further in. A stop token at the end costs
    nothing later, since no engine has computed the last token that it sampled; a call is computed with the next prompt.

    Args:
        policy: Started.
        codec: That of the run.
        turns: Replies of an episode.
        tokens: Most tokens of a reply; the fewest are half of it.
        tools: Whether all replies but the last call a tool.
        record: Whether to note the scripts, by session.
    """

    def __init__(
        self, policy: TokenPolicy, codec: ChatCodec, *, turns: int, tokens: int, tools: bool, record: bool = False
    ) -> None:
        self.name, self.model, self.tokenizer = policy.name, policy.model, policy.tokenizer
        self.context_length, self.logprobs_mode = policy.context_length, policy.logprobs_mode
        self.start, self.close = policy.start, policy.close
        self.scripts: dict[str, Script] = {}
        self.cached_tokens = 0
        self._policy, self._codec, self._tokens, self._record = policy, codec, tokens, record
        self._stops = frozenset(codec.stop_token_ids)
        stop = codec.stop_token_ids[0]
        read = [*self.tokenizer.encode("\n" + call("read", page=7), add_special_tokens=False), stop]
        assert codec.parse(read).get("tool_calls"), f"{self.model} writes tool calls in another way"
        assert tokens >= 2 * (len(read) if tools else 1), f"replies of {tokens // 2} tokens cannot hold a tool call"
        self._tails = [read if tools else [stop]] * (turns - 1) + [[stop]]

    async def generate(
        self, prompt_ids: Sequence[int], sampling: Sampling, *, request_id: str, session_id: str
    ) -> Generation:
        """Sample a reply of the planned length and close it."""
        turn = int(request_id.rpartition("/")[2])
        length = self._tokens - stable_hash(request_id) % (self._tokens // 2 + 1)
        if self._record:
            self._note(session_id, prompt_ids, length, turn)
        reply = await self._policy.generate(
            prompt_ids,
            replace(sampling, max_tokens=length, stop_token_ids=()),
            request_id=request_id,
            session_id=session_id,
        )
        self.cached_tokens += reply.cached_tokens
        ids = closed(reply.token_ids, self._tails[turn], self._stops)
        return replace(reply, token_ids=ids, finish_reason="stop")

    def _note(self, session_id: str, prompt_ids: Sequence[int], length: int, turn: int) -> None:
        script = self.scripts.setdefault(session_id, Script())
        known = sum(map(len, script.heard)) + sum(script.lengths)
        script.heard.append(list(prompt_ids[known:]))
        script.lengths.append(length)
        script.tails.append(self._tails[turn])


def closed(ids: Sequence[int], tail: Sequence[int], stops: frozenset[int]) -> list[int]:
    """A reply that ends with a tail, and has no stop token before it."""
    body = list(ids[: -len(tail)])
    if not stops.isdisjoint(body):
        body = [next(i for i in range(1 << 20) if i not in stops) if token in stops else token for token in body]
    return [*body, *tail]


async def reset_cache(policy: VLLMPolicy) -> None:
    """Empty the prefix cache; the engine refuses while it still frees what the last requests held."""
    for _ in range(100):
        if await policy.in_engine_loop(policy.engine.reset_prefix_cache()):
            return
        await asyncio.sleep(0.05)
    raise RuntimeError("the prefix cache cannot be emptied: the engine still has requests")


def engine_option(parser: argparse.ArgumentParser) -> None:
    """An option for arguments of the engine."""
    parser.add_argument(
        "--engine",
        action="append",
        default=[],
        type=_argument,
        metavar="NAME=VALUE",
        help="argument of vLLM, such as gpu_memory_utilization=0.8; may be given several times",
    )


def model_options(parser: argparse.ArgumentParser) -> None:
    """Options that say which model to run."""
    sizes = ", ".join(SHAPES)
    parser.add_argument("--model", default="smollm2", help=f"{sizes}, or any short name, local folder or Hub id")
    engine_option(parser)


@contextmanager
def policy_of(model: str, engine: Sequence[tuple[str, Any]], **defaults: Any) -> Iterator[VLLMPolicy]:
    """A policy of a model with random weights, not started; `engine` wins over `defaults`."""
    with TemporaryDirectory() as folder:
        where = shaped(model, Path(folder)) if model in SHAPES else model
        yield VLLMPolicy(where, **{"load_format": "dummy", **defaults, **dict(engine)})


def shaped(name: str, folder: Path) -> str:
    """A folder with a Qwen3's configuration and SmolLM2's tokenizer, whose vocabulary it takes; no weights."""
    from transformers import AutoTokenizer, Qwen3Config

    tokenizer = AutoTokenizer.from_pretrained(resolve("smollm2"))
    hidden, layers, heads, kv_heads, mlp = SHAPES[name]
    made = folder / name
    tokenizer.save_pretrained(made)
    config = Qwen3Config(
        vocab_size=len(tokenizer), hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=heads,
        num_key_value_heads=kv_heads, head_dim=128, intermediate_size=mlp,
        max_position_embeddings=8192, tie_word_embeddings=True, dtype="bfloat16", architectures=["Qwen3ForCausalLM"],
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    config.save_pretrained(made)
    return str(made)


def _argument(text: str) -> tuple[str, Any]:
    """An argument of the engine; its value is JSON, or text."""
    name, _, value = text.partition("=")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def described(policy: VLLMPolicy) -> dict[str, Any]:
    """What was measured, and on what."""
    config = policy.engine.vllm_config
    return {
        "model": policy.name,
        "weights": "random" if config.load_config.load_format == "dummy" else "its own",
        "dtype": str(policy.engine.model_config.dtype).removeprefix("torch."),
        "device": device(),
        "block_size": config.cache_config.block_size,
    }


def device() -> str:
    """The GPU's name, or how many cores of what kind this process may use."""
    from vllm.platforms import current_platform

    if not current_platform.is_cpu():
        return str(current_platform.get_device_name())
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{cores} cores of {_cpu() or platform.machine()}"


def _cpu() -> str:
    """What Linux calls the CPU; empty elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return ""
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), "")
