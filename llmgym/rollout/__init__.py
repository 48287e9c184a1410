"""Rollouts: one coroutine per episode, many at once, each stored exactly once."""

from __future__ import annotations

from llmgym.records import EpisodeRecord
from llmgym.rollout.batches import GroupFilter, batches
from llmgym.rollout.collector import Collector
from llmgym.rollout.config import (
    EnvConfig,
    GroupSettings,
    Limits,
    ResponsesCreateParams,
    RolloutConfig,
    load_config,
    parse_config,
)
from llmgym.rollout.driver import Driver
from llmgym.rollout.episode import run_episode
from llmgym.rollout.folder import RunRecords, open_records, read_rollouts
from llmgym.rollout.groups import Group
from llmgym.rollout.instances import Instances, TaskSource
from llmgym.rollout.order import Curriculum, Endless, Plan, TaskOrder
from llmgym.rollout.progress import Progress
from llmgym.rollout.speakers import ChatSpeaker, TokenSpeaker
from llmgym.rollout.stop import Stop
from llmgym.rollout.store import RunStore
from llmgym.rollout.summary import pass_at_k, summarize
from llmgym.rollout.thresholds import reaches

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
    "GroupSettings",
    "Instances",
    "Limits",
    "Plan",
    "Progress",
    "ResponsesCreateParams",
    "RolloutConfig",
    "RunRecords",
    "RunStore",
    "Stop",
    "TaskOrder",
    "TaskSource",
    "TokenSpeaker",
    "batches",
    "load_config",
    "open_records",
    "parse_config",
    "pass_at_k",
    "reaches",
    "read_rollouts",
    "run_episode",
    "summarize",
]
