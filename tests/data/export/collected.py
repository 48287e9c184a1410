"""A run whose episodes have all that an export can trip over, with exact tokens: two environments with other tools,
malformed calls, two calls in one message, no calls, observations that nothing follows."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from llmgym.rollout import Collector
from tests.exactness import FuzzPolicy
from tests.trainers.tiny import tiny_tokenizer

ENVS = ["llmgym/Calculator-easy-v0", "tests.exactness:test/Talk-v0"]
END = "<|im_end|>"


def call(name: str, **arguments: Any) -> str:
    return f"<tool_call>\n{json.dumps({'name': name, 'arguments': arguments})}\n</tool_call>"


REPLIES = [
    call("echo", text="crane") + END,
    call("echo", text="a") + call("echo", text="b") + END,
    call("add", a=1, b=2) + END,
    "Let me see. " + call("subtract", a=7, b=2) + END,
    "<tool_call>\n{bad json</tool_call>" + END,
    "The answer is 7." + END,
    "hello" + END,
]


def collect(folder: Path, *, repeats: int = 6, tasks: int = 5, **settings: Any) -> Path:
    """Make the run, the same each time."""
    tokenizer = tiny_tokenizer()
    turns = [tokenizer.encode(text, add_special_tokens=False) for text in REPLIES]
    policy = FuzzPolicy(tokenizer, [tokenizer.eos_token_id], 0, turns=turns, only_turns=True)
    collector = Collector(
        ENVS, policy, num_tasks=tasks, num_repeats=repeats, output=folder, num_samples_in_parallel=1, max_turns=4,
        **settings,
    )  # fmt: skip
    asyncio.run(collector.collect())
    return folder
