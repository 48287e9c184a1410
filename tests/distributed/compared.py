"""An environment that scores the repeats of a task beside each other, and a policy that can be kept waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import gymnasium

from llmgym.chat import Sampling
from llmgym.env import Episode, ToolEnv
from llmgym.messages import user
from llmgym.policies.base import Generation
from llmgym.rewards import Part, Reward
from llmgym.tasks import RowTasks
from tests.distributed.recorded import Recorded
from tests.rollouts import Alphabet, say

COMPARED = "test/Compared-v0"


class Compared(ToolEnv):
    """Spell a letter; all repeats that do so are right, and a later one is better."""

    tasks = RowTasks(Alphabet())
    roles = ("judge",)

    def verify(self, episode: Episode) -> float:
        """Look at one."""
        return float(episode.final_text == episode.task.answer)

    async def group_verify(self, episodes: Sequence[Episode | None]) -> list[Reward | None]:
        """Look at all of them."""
        await self.models["judge"].chat([user(f"which of {len(episodes)}")])
        return [one and Reward(place=Part(place / len(episodes))) for place, one in enumerate(episodes)]


gymnasium.register(COMPARED, entry_point="tests.distributed.compared:Compared")


class Waiting(Recorded):
    """Spells the letter; in the last repeat of a task only once there is a file."""

    def __init__(self, record: Path, gate: Path, repeats: int) -> None:
        super().__init__(say, record)
        self.gate, self._last = gate, f"/{repeats - 1}"

    async def generate(
        self, prompt_ids: Sequence[int], sampling: Sampling, *, request_id: str, session_id: str
    ) -> Generation:
        while session_id.endswith(self._last) and not self.gate.exists():  # noqa: ASYNC110 -- a test makes it
            await asyncio.sleep(0.05)
        return await super().generate(prompt_ids, sampling, request_id=request_id, session_id=session_id)
