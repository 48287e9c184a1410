"""What verl is configured with: datasets in its Parquet format, and the YAML of the agent loop and of tools."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, cast

import msgspec
import orjson
import yaml

from llmgym.errors import ConfigError, MissingExtraError
from llmgym.messages import ToolSchema
from llmgym.rollout.config import EnvConfig
from llmgym.spaces import AssistantSpace
from llmgym.trainers.common import Episodes, TaskRef, TaskRow, task_rows

#: The agent loop's YAML as it is installed, with default settings.
AGENT_LOOP_CONFIG: Final = Path(__file__).with_name("agent_loop.yaml")

_TOOL = "llmgym.trainers.verl.LLMGymTool"
_CARRIER = "llmgym"

# Set elsewhere in verl's configuration, or by the dataset.
_VERLS = {
    "env_ids": "the dataset",
    "max_completion_length": "actor_rollout_ref.rollout.response_length",
    "num_repeats": "actor_rollout_ref.rollout.n",
    "num_tasks": "the dataset",
    "responses_create_params": "sampling of actor_rollout_ref.rollout, and max_output_tokens of the loop",
}


def write_parquet(
    path: str | Path, env_ids: Sequence[str | EnvConfig], *, agent: str = "llmgym", **settings: Any
) -> int:
    """Write a dataset for `data.train_files` or `data.val_files`, a row for each task.

    A row's `prompt` shows how its episode opens, for verl's filters and logs; the agent loop takes the messages from
    the environment, and from the row only which task to take: a `TaskRef` in `extra_info.tools_kwargs.llmgym`, where
    verl hands it to agent loops, tools and reward functions alike.

    Args:
        path: The file.
        env_ids: Environments, as ids or as `{id, kwargs, wrappers, label}`; those that are not registered by a plain
            `import llmgym` as "module:id", since verl's workers have to find them.
        agent: verl's name of the agent loop that runs them.
        **settings: Further settings of a run: `split`, `seed`, `num_tasks`.

    Returns:
        The number of rows.

    Raises:
        MissingExtraError: pyarrow is not installed.
        ConfigError: A setting is wrong, or the file cannot be written.
        EnvironmentFailure: An environment's setup failed.
    """
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError:
        raise MissingExtraError("a Parquet file", "data") from None
    from llmgym.data.output import replacing  # which training has no use for

    tasks, split = task_rows(env_ids=list(env_ids), **settings), settings.get("split", "train")
    # With a schema, a column has the same type in every file, whatever is in it.
    text, message = pa.string(), pa.struct({"role": pa.string(), "content": pa.string()})
    fields = {
        "data_source": text,
        "agent_name": text,
        "prompt": pa.list_(message),
        "ability": text,
        "reward_model": pa.struct({"style": text, "ground_truth": text}),
        "extra_info": pa.struct(
            {"index": pa.int64(), "split": text, "task_id": text, "tools_kwargs": pa.struct({_CARRIER: text})}
        ),
    }
    rows = [_row(index, split, agent, task) for index, task in enumerate(tasks)]
    with replacing(path, force=True) as file:
        parquet.write_table(pa.Table.from_pylist(rows, pa.schema(list(fields.items()))), file)
    return len(rows)


def _row(index: int, split: str, agent: str, task: TaskRow) -> dict[str, Any]:
    return {
        "data_source": task.ref.env.name,
        "agent_name": agent,
        "prompt": [{"role": message["role"], "content": message["content"]} for message in task.messages],
        "ability": "agent",
        "reward_model": {"style": "rule", "ground_truth": orjson.dumps(task.answer, default=str).decode()},
        "extra_info": {
            "index": index,
            "split": split,
            "task_id": task.ref.task_id,
            "tools_kwargs": {_CARRIER: task.ref.dumps()},
        },
    }


def task_of(tools_kwargs: Mapping[str, Any] | None) -> TaskRef:
    """The task of a row, from its `extra_info.tools_kwargs`.

    Raises:
        ConfigError: `write_parquet` did not write the row.
    """
    text = (tools_kwargs or {}).get(_CARRIER)
    if not isinstance(text, str):
        raise ConfigError(
            f"a row of the dataset has no extra_info.tools_kwargs.{_CARRIER}: make it with `llmgym export verl-data`"
        )
    return TaskRef.loads(text)


def agent_loop_config(*, max_output_tokens: int | None = None, drop_failed: bool = False, **settings: Any) -> str:
    """The YAML of the agent loop, for `actor_rollout_ref.rollout.agent.agent_loop_config_path`.

    Args:
        max_output_tokens: Most tokens of one reply; None for what the episode has left.
        drop_failed: Leave failed and unscored episodes out, instead of handing over rows that train nothing.
        **settings: Further settings of a run.

    Raises:
        ConfigError: A setting is wrong, or verl's to say.
    """
    Episodes(**loop_settings(settings, max_output_tokens))
    loop = yaml.safe_load(AGENT_LOOP_CONFIG.read_text("utf-8"))[0]
    loop |= {"max_output_tokens": max_output_tokens, "drop_failed": drop_failed, "settings": settings}
    return yaml.safe_dump([loop], sort_keys=False)


def loop_settings(settings: Mapping[str, Any], max_output_tokens: int | None) -> dict[str, Any]:
    """Settings of the agent loop, as `Episodes` takes and checks them.

    Raises:
        ConfigError: One is verl's to say.
    """
    if verls := sorted(_VERLS.keys() & settings.keys()):
        raise ConfigError(f"{verls[0]}: it comes from {_VERLS[verls[0]]}, and is no setting of the agent loop")
    params = {} if max_output_tokens is None else {"max_output_tokens": max_output_tokens}
    return {**settings, "responses_create_params": params}


def tool_config(env: str | EnvConfig) -> str:
    """The YAML of an environment's tools, for `actor_rollout_ref.rollout.multi_turn.tool_config_path`.

    Raises:
        ConfigError: There is no such environment, or it has no tools.
    """
    config = EnvConfig(env) if isinstance(env, str) else env
    tools = [tool["function"]["name"] for tool in tools_of(Episodes(), config)]
    if not tools:
        raise ConfigError(f"{config.id} has no tools")
    configs = [
        {"class_name": _TOOL, "config": {"type": "native", "env": msgspec.to_builtins(config), "tool": tool}}
        for tool in tools
    ]
    return yaml.safe_dump({"tools": configs}, sort_keys=False)


def tools_of(episodes: Episodes, env: EnvConfig) -> list[ToolSchema]:
    """Schemas of an environment's tools.

    Raises:
        ConfigError: There is no such environment.
    """
    return cast("AssistantSpace", episodes.instances(env).sample.action_space).tools
