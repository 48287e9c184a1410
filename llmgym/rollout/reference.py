"""Which episode to run, as one text that a row of any dataset can hold."""

from __future__ import annotations

import msgspec

from llmgym.errors import ConfigError
from llmgym.rollout.config import EnvConfig


class TaskRef(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Which episode to run; what a row of a trainer's dataset holds, as JSON text.

    Attributes:
        env: The environment, with its arguments and wrappers.
        task_id: The task.
        seed: Seed of the environment's `reset`, the same for all episodes of a group.
        agent: Whose share of it, in a game of several agents.
    """

    env: EnvConfig
    task_id: str
    seed: int
    agent: str = ""

    def dumps(self) -> str:
        """As JSON text; in one text, since Arrow fills the fields of unlike structs with nulls."""
        return msgspec.json.encode(self).decode()

    @staticmethod
    def loads(text: str) -> TaskRef:
        """Read JSON text.

        Raises:
            ConfigError: It is not one of ours.
        """
        try:
            return msgspec.json.decode(text, type=TaskRef)
        except (msgspec.DecodeError, TypeError) as error:  # a trainer may hand over whatever its dataset has
            raise ConfigError(f"not a task that llmgym wrote ({error}): {str(text)[:200]!r}") from None
