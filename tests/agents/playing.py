"""What tests of agent programs share: a policy that plays `Letters` by any program's prompt, and what must be kept."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from llmgym.codec import TemplateCodec
from llmgym.policies import Generation, Sampling
from llmgym.policies.models import fetch
from llmgym.rollout import Collector
from llmgym.trajectory import Trajectory
from tests.exactness import Recording, Request
from tests.rollouts import LETTERS

_TOOL = re.compile(r'"name": "([\w.-]*shout)"')
_RESULT = re.compile(r"<tool_response>|Observation:")


class Speller:
    """Calls the tool twice, under whatever name a program offers it, then says the letter, as a program wants it said.

    Where it is asked without a tool, it says "A title".
    """

    name = model = "speller"
    logprobs_mode = "processed"
    context_length = 1 << 16

    def __init__(self) -> None:
        from transformers import AutoTokenizer

        self.tokenizer: Any = AutoTokenizer.from_pretrained(fetch("smollm2"))
        self.codec = TemplateCodec(self.tokenizer)

    async def start(self) -> None: ...

    async def close(self) -> None: ...

    async def generate(self, prompt_ids: Sequence[int], sampling: Sampling, **_: str) -> Generation:
        text = self._reply(self.tokenizer.decode(prompt_ids))
        ids = [*self.tokenizer.encode(text, add_special_tokens=False), self.codec.stop_token_ids[0]]
        cut = ids[: sampling.max_tokens]
        rng = random.Random(text)
        return Generation(cut, [-rng.random() for _ in cut], "stop" if cut == ids else "length")

    def _reply(self, prompt: str) -> str:
        head, asked, rest = prompt.rpartition("spell ")
        tools = _TOOL.findall(head)
        if not asked or not tools:
            return "A title"
        letter = rest[0]
        if len(_RESULT.findall(rest)) < 2:
            return f'<tool_call>\n{{"name": "{tools[-1]}", "arguments": {{"letter": "{letter}"}}}}\n</tool_call>'
        answer = f'<tool_call>\n{{"name": "final_answer", "arguments": {{"answer": "{letter.upper()}"}}}}\n</tool_call>'
        return answer if '"name": "final_answer"' in head else letter.upper()


def played(command: str, policy: Any, codec: Any, **settings: Any) -> tuple[Trajectory, list[Request]]:
    """An episode of a program, and the engine's record of it."""
    engine = Recording(policy)
    defaults = {"num_tasks": 1, "max_attempts": 1, "env_ids": [LETTERS], "episode_timeout": 300.0}
    found: dict[str, Any] = {**defaults, **settings}
    collector = Collector(found.pop("env_ids"), engine, codec=codec, agent_command=command, **found)  # type: ignore[arg-type]

    async def run() -> list[Trajectory]:
        return [trajectory async for group in collector.stream() for trajectory in group.trajectories]

    (trajectory,) = asyncio.run(run())
    return trajectory, [request for requests in engine.requests.values() for request in requests]


def expect_record(trajectory: Trajectory, requests: Sequence[Request]) -> None:
    """The trajectory has each reply of the engine's record once as sampled, behind exactly what it was asked with."""
    left = list(requests)
    for segment in trajectory.segments:
        for start, end in segment.spans:
            prompt, reply = tuple(segment.ids[:start].tolist()), segment.ids[start:end].tolist()
            one = next(r for r in left if r.prompt_ids == prompt and list(r.generation.token_ids) == reply)
            assert np.array_equal(segment.logprobs[start:end], np.float32(one.generation.logprobs))
            left.remove(one)
    assert left == []
    assert trajectory.sampled_tokens == sum(len(request.generation.token_ids) for request in requests)
