"""Games for several agents: as PettingZoo environments, in the collector, and for one player against scripted ones."""

from __future__ import annotations

from typing import Any

from llmgym.errors import ConfigError
from llmgym.loading import expect_modules
from llmgym.multiagent.game import IllegalMove, TextGame, role_of
from llmgym.multiagent.solo import SoloGame

__all__ = ["IllegalMove", "SoloGame", "TextGame", "aec_env", "parallel_env", "role_of"]


def aec_env(env_id: str, *, split: str = "train", render_mode: str | None = None, **kwargs: Any) -> Any:
    """Make a game as a PettingZoo AEC environment.

    Args:
        env_id: A registered game, such as `llmgym/Leduc-v0`.
        split: Split of the tasks.
        render_mode: "ansi" for `render` to give text, or None.
        **kwargs: Arguments of the game.

    Raises:
        MissingExtraError: PettingZoo is not installed.
        ConfigError: It is no game for several agents.
    """
    expect_modules("PettingZoo environments", "multiagent", "pettingzoo")
    from llmgym.multiagent.aec import GameAEC

    return GameAEC(_play(env_id, split, kwargs), render_mode)


def parallel_env(env_id: str, *, split: str = "train", render_mode: str | None = None, **kwargs: Any) -> Any:
    """Make a game as a PettingZoo Parallel environment; takes and raises what `aec_env` does."""
    expect_modules("PettingZoo environments", "multiagent", "pettingzoo")
    from llmgym.multiagent.parallel import GameParallel

    return GameParallel(_play(env_id, split, kwargs), render_mode)


def _play(env_id: str, split: str, kwargs: dict[str, Any]) -> Any:
    from llmgym.multiagent.play import Play
    from llmgym.registry import make_core

    env = make_core(env_id, **kwargs)
    if not isinstance(env, SoloGame):
        raise ConfigError(f"{env_id} is no game for several agents; see docs/multiagent.md")
    return Play(env.game, env.tasks, env.scope, split)
