"""llmgym: tool-using tasks for language models as Gymnasium environments, and exact rollouts of them.

`import llmgym` registers every environment. It loads no environment module, and neither torch,
transformers nor vLLM; the names below are loaded when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from llmgym.registry import describe, list_envs, register_envs

if TYPE_CHECKING:
    from llmgym.batch import TokenBatch
    from llmgym.env import Episode, ToolEnv
    from llmgym.errors import EnvironmentFailure, LLMGymError, ToolError
    from llmgym.messages import Message, assistant, system, tool_call, user
    from llmgym.policies import ChatPolicy, Generation, Sampling, TokenPolicy, make_policy
    from llmgym.rewards import Part, Reward
    from llmgym.rollout import (
        Collector,
        Curriculum,
        Endless,
        Group,
        GroupFilter,
        RolloutConfig,
        batches,
        read_rollouts,
    )
    from llmgym.spaces import AssistantSpace, MessagesSpace
    from llmgym.tasks import Task, TaskSet
    from llmgym.tools import tool
    from llmgym.trajectory import Segment, Trajectory, Turn
    from llmgym.vector import TextVectorEnv

__version__ = "0.2.0"

_LAZY = {
    # writing environments
    "ToolEnv": "env",
    "Episode": "env",
    "tool": "tools",
    "ToolError": "errors",
    "EnvironmentFailure": "errors",
    "Task": "tasks",
    "TaskSet": "tasks",
    "Reward": "rewards",
    "Part": "rewards",
    "MessagesSpace": "spaces",
    "AssistantSpace": "spaces",
    # vectors
    "TextVectorEnv": "vector",
    # messages
    "Message": "messages",
    "assistant": "messages",
    "system": "messages",
    "user": "messages",
    "tool_call": "messages",
    # policies
    "TokenPolicy": "policies",
    "ChatPolicy": "policies",
    "Sampling": "policies",
    "Generation": "policies",
    "make_policy": "policies",
    # rollouts
    "Collector": "rollout",
    "Curriculum": "rollout",
    "Endless": "rollout",
    "Group": "rollout",
    "GroupFilter": "rollout",
    "batches": "rollout",
    "TokenBatch": "batch",
    "RolloutConfig": "rollout",
    "read_rollouts": "rollout",
    "Trajectory": "trajectory",
    "Segment": "trajectory",
    "Turn": "trajectory",
    # errors
    "LLMGymError": "errors",
}

__all__ = [
    "AssistantSpace",
    "ChatPolicy",
    "Collector",
    "Curriculum",
    "Endless",
    "EnvironmentFailure",
    "Episode",
    "Generation",
    "Group",
    "GroupFilter",
    "LLMGymError",
    "Message",
    "MessagesSpace",
    "Part",
    "Reward",
    "RolloutConfig",
    "Sampling",
    "Segment",
    "Task",
    "TaskSet",
    "TextVectorEnv",
    "TokenPolicy",
    "ToolEnv",
    "ToolError",
    "TokenBatch",
    "Trajectory",
    "Turn",
    "__version__",
    "assistant",
    "batches",
    "describe",
    "list_envs",
    "make_policy",
    "read_rollouts",
    "register_envs",
    "system",
    "tool",
    "tool_call",
    "user",
]


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used."""
    if name not in _LAZY:
        raise AttributeError(f"module 'llmgym' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"llmgym.{_LAZY[name]}"), name)
    globals()[name] = value
    return value


register_envs()
