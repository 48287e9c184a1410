"""Wrappers that keep a record of episodes."""

from __future__ import annotations

import math
import os
import time
from pathlib import Path
from typing import Any

import gymnasium
import orjson

from llmgym.env import Observation, StepResult
from llmgym.wrappers.base import ToolWrapper


class RecordTranscript(ToolWrapper):
    """Appends each episode that ends to a JSONL file, which many environments and processes may share.

    A line has `env_id`, `task_id`, `messages`, `reward` (null where unscored), `reward_parts`, `metrics` and
    `truncated`.

    Args:
        env: The environment.
        path: The file.
    """

    def __init__(self, env: gymnasium.Env[Any, Any], path: str | os.PathLike[str]) -> None:
        super().__init__(env, path=os.fspath(path))
        self._path = Path(path).absolute()
        self._reward = 0.0

    def on_reset(self, observation: Observation, info: dict[str, Any]) -> tuple[Observation, dict[str, Any]]:
        """Begin an episode."""
        self._reward = 0.0
        return observation, info

    def on_step(self, action: Any, result: StepResult) -> StepResult:
        """Write the episode where it ends."""
        _, reward, terminated, truncated, info = result
        self._reward += reward
        if terminated or truncated:
            line = {
                "env_id": self.scope,
                "task_id": info["task_id"],
                "messages": self.transcript,
                "reward": self._reward if math.isfinite(self._reward) else None,
                "reward_parts": info.get("reward_parts"),
                "metrics": self.metrics,
                "truncated": truncated,
            }
            self._append(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_SERIALIZE_NUMPY))
        return result

    def _append(self, data: bytes) -> None:
        """Write in one call at the end of the file, so that lines of several writers do not mix."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("ab", buffering=0) as file:
            if (written := file.write(data)) < len(data):  # the disk took some of it, and says why to the rest
                file.write(data[written:])


class EpisodeStatistics(ToolWrapper):
    """Counts `turns`, `tool_calls`, `tool_errors` and `seconds` of each episode, in `info["statistics"]` at its end.

    Seconds, from the reset, are also a metric of the environment, which the collector stores. They differ from run
    to run, which is why environments have no clock themselves.

    Args:
        env: The environment.
    """

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        super().__init__(env)
        self._turns = 0
        self._started = 0.0

    def on_reset(self, observation: Observation, info: dict[str, Any]) -> tuple[Observation, dict[str, Any]]:
        """Begin an episode."""
        self._turns, self._started = 0, time.perf_counter()
        return observation, info

    def on_step(self, action: Any, result: StepResult) -> StepResult:
        """Count, and tell at the end."""
        _, _, terminated, truncated, info = result
        self._turns += action is not None
        if terminated or truncated:
            metrics = self.metrics
            metrics["seconds"] = time.perf_counter() - self._started
            counted = {name: metrics[name] for name in ("tool_calls", "tool_errors", "seconds")}
            info["statistics"] = {"turns": self._turns, **counted}
        return result
