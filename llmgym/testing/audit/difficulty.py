"""How hard an environment is: what reference policies earn in its variants, and what a model makes of it."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterator
from contextlib import aclosing
from typing import Any

from llmgym.concurrency import drive_in_background
from llmgym.env import ToolEnv
from llmgym.messages import Message
from llmgym.registry import known, list_envs
from llmgym.rollout import Collector
from llmgym.rollout.config import EnvConfig
from llmgym.testing.audit.report import AT
from llmgym.testing.audit.stage import Stage
from llmgym.testing.subject import TimeBox

_TASKS = 5  # of each split of a variant
REPEATS = 4  # episodes of each task that a model plays


def variants(env_id: str, seed: int, box: TimeBox) -> list[dict[str, Any]]:
    """What the oracle and random calls earn in an environment and its variants.

    Args:
        env_id: The environment; of a variant nothing is said.
        seed: Seed of tasks and actions.
        box: Time for them all.
    """
    entry = known(env_id)
    if entry is None or entry.id != entry.base:
        return []
    found = list[dict[str, Any]]()
    for variant in list_envs():
        if variant.base != entry.id or (box.over and found):
            continue
        stage = Stage(variant.id, _TASKS, seed)
        try:
            stage.core.action_space.seed(seed)
            stage.solve(box)
            random = [stage.play(solution, _random).reward for solution in stage.solutions]
            found.append({"id": variant.id, **_means(stage, random)})
        finally:
            stage.close()
    return found


def _random(core: ToolEnv) -> Iterator[Message | str]:
    while True:
        yield core.action_space.sample()


def _means(stage: Stage, random: list[float | None]) -> dict[str, Any]:
    oracle = [solution.play.reward or 0.0 for solution in stage.solutions]
    scored = [reward for reward in random if reward is not None]
    return {
        "oracle": statistics.fmean(oracle) if oracle else None,
        "random": statistics.fmean(scored) if scored else None,
        "turns": statistics.fmean(len(solution.said) for solution in stage.solutions) if oracle else None,
    }


def played_by(policy: str, stage: Stage) -> dict[str, str]:
    """What a model earns, and whether there is something to learn for it.

    Args:
        policy: Short form of a policy.
        stage: Where it plays.
    """
    groups = drive_in_background(_groups(policy, stage))
    scored = [[reward for reward in group if reward is not None] for group in groups]
    scored = [group for group in scored if group]
    if not scored:
        return {f"{policy} earns": "nothing that was scored"}
    passed = Counter(sum(reward >= AT * stage.ceiling for reward in group) for group in scored)
    equal = sum(max(group) - min(group) < 1e-9 for group in scored)
    return {
        f"{policy} earns": f"{statistics.fmean(reward for group in scored for reward in group):.3f} on average",
        f"tasks that {policy} solves in so many of {REPEATS} episodes": ", ".join(
            f"{count}: {passed[count]}" for count in range(REPEATS + 1)
        ),
        "groups without variance": f"{equal / len(scored):.0%}",
    }


async def _groups(policy: str, stage: Stage) -> list[list[float | None]]:
    env = EnvConfig(stage.env_id, stage.kwargs)
    collector = Collector([env], policy, num_tasks=stage.count, num_repeats=REPEATS, seed=stage.seed)
    async with aclosing(collector.stream()) as stream:
        return [group.rewards async for group in stream]
