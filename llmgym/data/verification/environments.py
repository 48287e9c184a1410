"""The environments of stored episodes, made as their run made them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from llmgym.chat import ChatPolicy
from llmgym.data.verification.recorded import RecordedModel
from llmgym.errors import LLMGymError, StoreError
from llmgym.rollout.config import AgentSettings, EnvConfig, Limits, TaskSettings
from llmgym.rollout.description import FILE, read_description
from llmgym.rollout.instances import Instances


class Environments:
    """The environments of a run, each made when an episode of it comes."""

    def __init__(self, folder: Path | None, models: Mapping[str, ChatPolicy]) -> None:
        """Read how a run made its environments.

        Args:
            folder: The run; None for rows of which no run is known, whose environments are made as they are registered.
            models: Models of roles; those that the run had in other roles say again what is recorded.

        Raises:
            StoreError: The description of the run cannot be read.
        """
        description = None if folder is None else read_description(folder)
        config: dict[str, Any] = {} if description is None else description.config
        try:
            self._tasks, self._limits = TaskSettings.of(config), Limits.of(config)
            roles = AgentSettings.of(config).models
        except msgspec.ValidationError as error:
            raise StoreError(f"{folder}/{FILE}: its configuration was damaged: {error}") from None
        self._models = {role: RecordedModel(role) for role in roles} | dict(models)
        self._known = {env.name: env for env in self._tasks.environments}
        self._foreign = description is not None and not self._known
        self._made: dict[str, Instances | str] = {}

    def get(self, env_id: str) -> Instances | str:
        """The instances of an environment, or why there are none."""
        if env_id not in self._made:
            self._made[env_id] = self._make(env_id)
        return self._made[env_id]

    def _make(self, env_id: str) -> Instances | str:
        if self._foreign:
            return "a gateway recorded it, which has no environments: whoever had the loop scored it"
        config = self._known.get(env_id) or EnvConfig(env_id)
        try:
            return Instances(config, max_turns=self._limits.max_turns, split=self._tasks.split, models=self._models)
        except LLMGymError as error:
            return str(error)

    async def aclose(self) -> None:
        """End them."""
        for made in self._made.values():
            if isinstance(made, Instances):
                await made.aclose()
