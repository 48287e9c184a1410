"""verl: an agent loop that drives any environment, tools for verl's own loop, a reward function, and datasets.

- `loop` runs episodes over verl's servers, in both of its trainer's paths: `DataProto` batches and TransferQueue.
- `tool` offers an environment's tools to verl's own `tool_agent` loop, and `reward` scores what that, or the
  `single_turn_agent`, gives.
- `sft` reads what `llmgym data export sft --to verl` writes.
- `data` writes the files that verl is configured with: datasets, the agent loop's and the tools' YAML.

verl's workers import what YAML names, as `llmgym.trainers.verl.NAME`. Only the agent loop, the tools and `sft` need
verl, so datasets can be made where it is not installed.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from llmgym.trainers.compatibility import check_version
from llmgym.trainers.verl.data import AGENT_LOOP_CONFIG, agent_loop_config, tool_config, write_parquet
from llmgym.trainers.verl.reward import compute_score

if TYPE_CHECKING:
    from llmgym.trainers.verl.loop import LLMGymAgentLoop
    from llmgym.trainers.verl.sft import ExactSFTDataset, MessagesSFTDataset
    from llmgym.trainers.verl.tool import LLMGymTool

__all__ = [
    # Named in verl's configuration
    "LLMGymAgentLoop",
    "LLMGymTool",
    "ExactSFTDataset",
    "MessagesSFTDataset",
    "compute_score",
    # What verl is configured with
    "AGENT_LOOP_CONFIG",
    "agent_loop_config",
    "tool_config",
    "write_parquet",
]

_NEED_VERL = {
    "LLMGymAgentLoop": "loop", "LLMGymTool": "tool", "ExactSFTDataset": "sft", "MessagesSFTDataset": "sft",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    """Import what needs verl when it is first asked for.

    Raises:
        MissingExtraError: verl is not installed.
        ConfigError: verl has a version that this was not tested with.
    """
    if name not in _NEED_VERL:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    check_version("verl")
    return getattr(importlib.import_module(f"{__name__}.{_NEED_VERL[name]}"), name)
