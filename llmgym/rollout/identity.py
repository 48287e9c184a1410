"""What makes two runs the same: all that decides results, and nothing else.

Ports, concurrency, deadlines and sizes do not. The content of tasks is not here either: each row has the hash of its
own, so that one task that was mended costs its own episodes and no others (`llmgym.rollout.stock`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium
import msgspec

from llmgym.chat import Policy
from llmgym.codec.base import ChatCodec
from llmgym.policies.base import gives_tokens
from llmgym.policies.fingerprint import fingerprint
from llmgym.rollout.config import RolloutConfig
from llmgym.rollout.description import named, plain
from llmgym.rollout.instances import Instances
from llmgym.rollout.order import TaskOrder

# Options of policies that say where and how fast, and not what.
_TRANSPORT = frozenset(
    {"api_key", "base_url", "cache_bytes", "disable_log_stats", "gpu_memory_utilization", "max_batch",
     "max_batch_tokens", "max_num_seqs", "max_retries", "timeout", "unavailable_timeout"}
)  # fmt: skip


def known_before(
    config: RolloutConfig,
    order: TaskOrder,
    environments: Sequence[Instances],
    policy: Policy,
    models: Mapping[str, Policy],
    opponents: Mapping[str, Policy],
) -> dict[str, Any]:
    """What is known before the policy runs, so that another run is refused before a model is loaded."""
    return {
        "environments": [_environment(instances) for instances in environments],
        "split": config.tasks.split,
        "seed": config.tasks.seed,
        "order": order.identity(config),
        "policy": _policy(policy, config.agent.policy_options),
        "models": {role: {"model": model.model, **_policy(model, {})} for role, model in models.items()},
        "policies": config.agent.policies,
        "agent_command": config.agent.agent_command,
        "opponents": {name: {"model": other.model, **_policy(other, {})} for name, other in opponents.items()},
        "responses_create_params": msgspec.to_builtins(config.agent.responses_create_params),
        "max_turns": config.limits.max_turns,
        "max_episode_tokens": config.limits.max_episode_tokens,
        "max_completion_length": config.limits.max_completion_length,
        "context_management": msgspec.to_builtins(config.limits.context_management),
    }


def known_after(policy: Policy, codec: ChatCodec | None) -> dict[str, Any]:
    """The rest, which is known once the policy runs."""
    return {
        "model": policy.model,
        # Weights that were updated are another model than the one of that name.
        "weights": getattr(policy, "version", 0),
        "logprobs_mode": policy.logprobs_mode if gives_tokens(policy) else None,
        "codec": codec.fingerprint if codec else None,
        "calls": codec.call_form if codec else None,
    }


def _environment(instances: Instances) -> dict[str, Any]:
    entry_point = gymnasium.spec(instances.config.env_id).entry_point
    return {
        "label": instances.id,
        "id": instances.config.env_id,
        "entry_point": entry_point if isinstance(entry_point, str) else named(entry_point),
        "kwargs": plain_arguments(instances),
        "wrappers": plain(instances.config.wrappers),
    }


def plain_arguments(instances: Instances) -> Any:
    """What decides the results of an environment, as JSON data."""
    return plain(instances.arguments)


def _policy(policy: Policy, given: Mapping[str, Any]) -> dict[str, Any]:
    own: Mapping[str, Any] | None = getattr(policy, "options", None)
    options = own if isinstance(own, Mapping) else {k: v for k, v in given.items() if k not in _TRANSPORT}
    return {"kind": type(policy).__name__, "options": plain(options), "weights": fingerprint(policy.model)}
