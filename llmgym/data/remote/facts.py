"""What a card says of a thing that is pushed: statistics, and where it is from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from llmgym.data.dataset import Dataset
from llmgym.data.remote.item import Item
from llmgym.registry import known
from llmgym.rollout.description import read_description
from llmgym.rollout.intervals import mean_with_interval
from llmgym.rollout.thresholds import reaches

_COUNTS = """
    select env_id, count(*), count(distinct (source, group_id)), count(reward), sum(num_turns),
        sum(num_sampled_tokens), sum(num_context_tokens)
    from rows group by env_id order by env_id
"""
_REWARDS = "select env_id, list(reward) from rows where reward is not null group by env_id, source, group_id, agent"
_NAMES = ("rows", "tasks", "scored", "turns", "sampled_tokens", "context_tokens")


def facts_of_rows(item: Item, data: Dataset) -> dict[str, Any]:
    """Of a run, or a file of rows."""
    rewards: dict[str, list[Sequence[float]]] = defaultdict(list)
    for env_id, earned in data.query(_REWARDS):
        rewards[env_id].append(earned)
    environments: dict[str, dict[str, Any]] = {}
    for env_id, *counts in data.query(_COUNTS):
        groups = rewards[env_id]
        shares = [[float(reaches(reward, data.threshold)) for reward in group] for group in groups]
        environments[env_id] = {
            **dict(zip(_NAMES, counts, strict=True)),
            "reward": mean_with_interval(groups),
            "pass_at_1": mean_with_interval(shares)["mean"],
            **_origin(env_id),
        }
    return {
        "rows": sum(found["rows"] for found in environments.values()),
        "environments": environments,
        **(_provenance(item) if item.kind == "run" else {}),
    }


def facts_of_export(item: Item) -> dict[str, Any]:
    """Of an export, from the manifest beside it; nothing where there is none."""
    return {name: item.settings[name] for name in ("rows", "recipe", "tokens", "llmgym") if name in item.settings}


def _origin(env_id: str) -> dict[str, str]:
    entry = known(env_id)
    return {} if entry is None else {"licence": entry.tasks.licence, "origin": entry.tasks.origin}


def _provenance(item: Item) -> dict[str, Any]:
    description = read_description(item.path)
    if description is None:
        return {}
    identity, confirmed = description.identity, description.confirmed or {}
    policy = identity.get("policy")
    return {
        "model": confirmed.get("model"),
        "policy": policy.get("kind") if isinstance(policy, dict) else None,
        "split": identity.get("split"),
        "seed": identity.get("seed"),
        "sampling": identity.get("responses_create_params"),
        "planned": description.planned,
        "versions": description.versions,
        "sessions": description.sessions,
    }
