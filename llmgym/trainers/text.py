"""The environment's side of an episode, for trainers that sample by themselves and speak text.

Such trainers make tokens of what the environment says, once, when it is said; what was sampled stays as it was. They
take a number for each step and no word on failures, so an episode without a reward gets a stand-in for one.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from llmgym.concurrency import start_in_background
from llmgym.messages import Message, ToolSchema
from llmgym.rollout.driver import Driver
from llmgym.trainers.common import Episodes, TaskRef
from llmgym.trainers.siblings import StandIns
from llmgym.trajectory import Trajectory

_log = logging.getLogger("llmgym.trainers")


@dataclass(frozen=True, slots=True)
class TextStep:
    """What a step brought.

    Attributes:
        messages: What the environment said; none where the episode is over.
        reward: Reward of the step.
        done: Whether the episode is over.
    """

    messages: list[Message]
    reward: float
    done: bool


class TextEpisodes:
    """Starts the episodes that a trainer asks for; one for a process, in one event loop.

    Attributes:
        episodes: Their environments and configuration.
        tokenizer: The trainer's; None where it renders messages itself.
        stand_ins: For episodes that have no reward.
    """

    def __init__(self, tokenizer: Any = None, **settings: Any) -> None:
        """Configure them, as `Episodes`."""
        self.episodes, self.tokenizer = Episodes(tokenizer, **settings), tokenizer
        self.episodes.check_sampled_elsewhere()
        self.stand_ins = StandIns()

    async def open(self, ref: TaskRef) -> TextEpisode:
        """Start an episode; where the environment's setup fails for good, it is over with the first step.

        Raises:
            ConfigError: There is no such environment.
            TaskError: There is no such task.
        """
        episode = TextEpisode(self, ref)
        await episode.open()
        return episode


class TextEpisode:
    """One episode.

    Attributes:
        prompt_ids: The rendered opening; none without a tokenizer.
        reward: Sum of the steps' rewards so far, a stand-in included.
        turns: Steps so far.
        done: Whether it is over.
        unscored: Whether `reward` is a stand-in.
    """

    def __init__(self, episodes: TextEpisodes, ref: TaskRef) -> None:
        """Name the task; `open` starts it."""
        self._all, self._ref = episodes, ref
        self._driver: Driver = episodes.episodes.driver(ref)
        self.prompt_ids: list[int] = []
        self.reward, self.turns = 0.0, 0
        self.done = self.unscored = False

    @property
    def trajectory(self) -> Trajectory:
        """The episode so far."""
        return self._driver.trajectory

    @property
    def messages(self) -> list[Message]:
        """Opening messages; none where the setup failed."""
        return self.trajectory.messages[: self.trajectory.opening]

    @property
    def tools(self) -> list[ToolSchema]:
        """Schemas of the tools."""
        return self.trajectory.tools

    @property
    def error(self) -> str | None:
        """What failed, if anything."""
        return self.trajectory.error

    async def open(self) -> None:
        """Reset an environment to the task, as often as configured where its setup fails."""
        for _ in range(self._all.episodes.config.limits.max_attempts):
            self._driver = self._all.episodes.driver(self._ref)
            if await self._driver.open():
                self.prompt_ids = self._all.episodes.prompt_ids(self.trajectory)
                return

    async def step(self, action: str | Message) -> TextStep:
        """Take what the policy said; text is read as `Episodes.read` does."""
        self.turns += 1
        if self._driver.done:
            return await self._unscored()
        if isinstance(action, str):
            action = self._all.episodes.read(action, self.prompt_ids, self.tools)
        return await self._told(await self._driver.step(action))

    async def finish(self) -> TextStep:
        """End the episode after a step, at a limit of the trainer's, and score it as it is."""
        await self._driver.end("max_turns")
        return await self._told([])

    async def _told(self, new: list[Message]) -> TextStep:
        """What a step brought, to be told to the trainer."""
        total = self.trajectory.reward
        if total is None:
            return await self._unscored()
        earned, self.reward, self.done = total - self.reward, total, self._driver.done
        if self.done:
            self._all.stand_ins.note(self._ref, self.reward)
        return TextStep([] if self.done else [message.copy() for message in new], earned, self.done)

    async def _unscored(self) -> TextStep:
        if self.error is not None:
            _log.warning("%s, task %s: %s", self.trajectory.env_id, self._ref.task_id, self.error)
        missing = self._all.stand_ins.of(self._ref) - self.reward
        self.reward += missing
        self.done = self.unscored = True
        await self._driver.close()
        return TextStep([], missing, True)

    def glue(self, text: str, new: list[Message]) -> str | None:
        """The text that leads from what the policy said to its next turn; None where the template has none.

        It is for trainers that end what was sampled with its stop token and make tokens of what they are given.
        """
        codec, tokenizer = self._all.episodes.codec, self._all.tokenizer
        assert codec is not None, "give TextEpisodes the tokenizer"
        said = tokenizer.encode(text, add_special_tokens=False)
        found = [codec.extend(self.prompt_ids, [*said, stop], new, self.tools) for stop in codec.stop_token_ids]
        # Behind another token than the template ends such a turn with, its own may have to follow.
        shortest = min((ids for ids in found if ids is not None), key=len, default=None)
        return None if shortest is None else tokenizer.decode(shortest, skip_special_tokens=False)

    def metrics(self) -> dict[str, float]:
        """What a trainer should log, with the same names for every episode."""
        return {
            "llmgym/reward": self.reward,
            "llmgym/turns": float(self.turns),
            "llmgym/unscored": float(self.unscored),
            "llmgym/failed": float(self.error is not None),
        }

    def close(self) -> None:
        """Give the environment back."""
        if not self._driver.done:
            start_in_background(self._driver.close())
