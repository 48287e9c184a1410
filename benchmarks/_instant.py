"""What the benchmarks share: an instant token policy, its tokenizer, and the two codecs."""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from llmgym.codec import ChatCodec, RendererCodec, TemplateCodec
from llmgym.policies import Generation, Sampling
from llmgym.policies.models import fetch
from llmgym.rollout import Collector

# Words of one token each for most tokenizers, so that a reply has the length that is asked for.
FILLER = " the of and to in is that for it as was with be by on not he his but at are this have from"


def tokenizer(*special: str) -> Any:
    """The tokenizer of SmolLM2, with the special tokens of another family added."""
    from transformers import AutoTokenizer

    made = AutoTokenizer.from_pretrained(fetch("smollm2"))
    made.add_special_tokens({"additional_special_tokens": [t for t in special if t not in made.get_vocab()]})
    return made


def template_codec() -> tuple[Any, ChatCodec]:
    """SmolLM2 with its own chat template."""
    made = tokenizer()
    return made, TemplateCodec(made)


def qwen3_codec() -> tuple[Any, ChatCodec]:
    """The Qwen3 renderer, on SmolLM2's tokenizer with Qwen3's special tokens."""
    from renderers import Qwen3RendererConfig

    special = ("<|im_start|>", "<|im_end|>", "<|endoftext|>", "<think>", "</think>", "<tool_call>", "</tool_call>",
               "<tool_response>", "</tool_response>")  # fmt: skip
    made = tokenizer(*special)
    made.unk_token = None  # it is SmolLM2's <|endoftext|>, which Qwen3 uses
    return made, RendererCodec(made, Qwen3RendererConfig())


class InstantPolicy:
    """A token policy with canned replies; each comes at once, or after a simulated time.

    Args:
        tokenizer: Encodes the replies once.
        replies: The replies of an episode, in order.
        tokens: Tokens of each reply: words are put before it to fill it up.
        latency: Gives the seconds that a reply takes.
    """

    name = "instant"
    model = "instant"
    context_length = 1 << 30
    logprobs_mode = "processed"

    def __init__(
        self, tokenizer: Any, replies: Sequence[str], tokens: int, stop: int, latency: Callable[[], float] | None = None
    ) -> None:
        self.tokenizer = tokenizer
        self.replies = [self._reply(text, tokens, stop) for text in replies]
        self._latency = latency
        self._turns: dict[str, int] = {}
        self.waiting = 0
        self.prompt_bytes = 0  # of the first prompts: a list takes 8 for each token

    def _reply(self, text: str, tokens: int, stop: int) -> Generation:
        tail = [*self.tokenizer.encode("\n" + text, add_special_tokens=False), stop]
        filler = self.tokenizer.encode(FILLER, add_special_tokens=False)
        missing = tokens - len(tail)
        assert missing >= 0, f"{text!r} alone has {len(tail)} tokens"
        ids = (filler * (missing // len(filler) + 1))[:missing] + tail
        rng = random.Random(text)
        return Generation(ids, [-rng.expovariate(2.0) for _ in ids], "stop")

    async def start(self) -> None:
        """Nothing to load."""

    async def close(self) -> None:
        """Nothing to free."""

    async def generate(
        self, prompt_ids: Sequence[int], sampling: Sampling, *, request_id: str, session_id: str
    ) -> Generation:
        """The reply of this turn."""
        turn = self._turns.get(session_id, 0)
        self._turns[session_id] = turn + 1
        self.prompt_bytes += 0 if turn else 8 * len(prompt_ids)
        if self._latency is not None:
            self.waiting += 1
            await asyncio.sleep(self._latency())
            self.waiting -= 1
        return self.replies[turn % len(self.replies)]


def call(name: str, **arguments: Any) -> str:
    """A tool call as models write it."""
    return f"<tool_call>\n{json.dumps({'name': name, 'arguments': arguments})}\n</tool_call>"


def one_core() -> None:
    """Keep this process on one core, as the figures say."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def measure(env_id: str, policy: InstantPolicy, codec: ChatCodec, episodes: int, **settings: Any) -> dict[str, Any]:
    """Collect episodes into a run folder; gives CPU and wall seconds, turns and tokens."""
    with tempfile.TemporaryDirectory() as folder:
        collector = Collector(
            [env_id],
            policy,
            codec=codec,
            output=Path(folder) / "run",
            num_tasks=episodes,
            **settings,
        )
        cpu, wall = time.process_time(), time.perf_counter()
        summary = asyncio.run(collector.collect())
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    assert summary["finished"] == episodes, summary
    return {
        "episodes": episodes,
        "turns": summary["turns"],
        "sampled_tokens": summary["tokens"]["sampled"],
        "cpu_s": cpu,
        "wall_s": wall,
    }


def report(name: str, figures: dict[str, Any]) -> None:
    """Print the result as the last line, one JSON object."""
    rounded = {key: round(value, 4) if isinstance(value, float) else value for key, value in figures.items()}
    print(json.dumps({"benchmark": name, "python": sys.version.split()[0], **rounded}))
