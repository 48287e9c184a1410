"""A token policy that writes down all that it says, for runs whose workers are killed."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from llmgym.chat import Sampling
from llmgym.policies.base import Generation
from llmgym.rollout import read_rollouts
from tests.rollouts import Reply, WordPolicy, Words


class Letters(Words):
    """Tokens are letters, so that all processes have the same."""

    def ids(self, text: str) -> list[int]:
        return [1 + byte for byte in text.encode()]

    def text(self, ids: Sequence[int]) -> str:
        return bytes(i - 1 for i in ids if i).decode()


class Recorded(WordPolicy):
    """Takes its time, and appends to a file what it was asked and what it said, and in which process."""

    def __init__(self, reply: Reply, record: Path, seconds: float = 0.0) -> None:
        super().__init__(Letters(), reply, context_length=100_000)
        self.record, self.seconds = record, seconds

    async def generate(
        self, prompt_ids: Sequence[int], sampling: Sampling, *, request_id: str, session_id: str
    ) -> Generation:
        await asyncio.sleep(self.seconds)
        said = await super().generate(prompt_ids, sampling, request_id=request_id, session_id=session_id)
        self.requests.clear()
        entry = [os.getpid(), session_id, list(prompt_ids), list(said.token_ids), list(said.logprobs)]
        with self.record.open("ab") as file:
            file.write(orjson.dumps(entry) + b"\n")
        return said


def entries(record: Path) -> list[list[Any]]:
    """What was written down: process, session, prompt, reply, log-probabilities."""
    return [orjson.loads(line) for line in record.read_bytes().splitlines()] if record.exists() else []


def check_exact(run: Path, record: Path) -> int:
    """See that each sampled token of a run was given by the policy, behind the same prompt; gives how many."""
    said = {(session, tuple(prompt), tuple(reply)): logprobs for _, session, prompt, reply, logprobs in entries(record)}
    tokens = 0
    for trajectory in read_rollouts(run):
        if trajectory.policy not in ("", "train", "frozen"):  # somebody else's
            continue
        for turn in trajectory.turns:
            segment = trajectory.segments[turn.segment]
            ids = segment.ids.tolist()
            key = trajectory.id, tuple(ids[: turn.start]), tuple(ids[turn.start : turn.end])
            assert key in said, f"{trajectory.id} has tokens that were not sampled for it"
            assert segment.logprobs[turn.start : turn.end].tolist() == said[key]
            tokens += turn.end - turn.start
    return tokens
