"""Rollouts: one coroutine per episode, many at once, each stored exactly once."""

from __future__ import annotations

from llmgym.rollout.batches import GroupFilter, batches
from llmgym.rollout.collector import Collector
from llmgym.rollout.config import EnvConfig, ResponsesCreateParams, RolloutConfig, load_config, parse_config
from llmgym.rollout.driver import Driver
from llmgym.rollout.episode import run_episode
from llmgym.rollout.groups import Group
from llmgym.rollout.instances import Instances, TaskSource
from llmgym.rollout.order import Curriculum, Endless, Plan, TaskOrder
from llmgym.rollout.progress import Progress
from llmgym.rollout.speakers import ChatSpeaker, Limits, Stop, TokenSpeaker
from llmgym.rollout.store import EpisodeRecord, RunStore, read_rollouts
from llmgym.rollout.summary import pass_at_k, summarize

__all__ = [
    "ChatSpeaker",
    "Collector",
    "Curriculum",
    "Driver",
    "Endless",
    "EnvConfig",
    "EpisodeRecord",
    "Group",
    "GroupFilter",
    "Instances",
    "Limits",
    "Plan",
    "Progress",
    "ResponsesCreateParams",
    "RolloutConfig",
    "RunStore",
    "Stop",
    "TaskOrder",
    "TaskSource",
    "TokenSpeaker",
    "batches",
    "load_config",
    "parse_config",
    "pass_at_k",
    "read_rollouts",
    "run_episode",
    "summarize",
]
