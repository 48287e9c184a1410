"""The rows of each trainer, by what its own code reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, cast

import numpy as np

from llmgym.codec.formats import with_tools
from llmgym.data.export.recipe import Kind, Recipe, Trainer
from llmgym.data.export.samples import Chat, Sample
from llmgym.messages import Message, ToolSchema
from llmgym.responses import to_input
from llmgym.rollout.thresholds import reaches

Row = dict[str, Any]

#: What a column holds. "json" is text that Parquet knows to be JSON, so that dicts come back with the keys that they
#: had: structs would give each of them the keys of all others, with null.
Type = Literal["json", "text", "float", "int", "bool", "ints", "chat", "verl_reward", "verl_extra"]


@dataclass(frozen=True, slots=True)
class Shape:
    """The rows of a trainer.

    Attributes:
        columns: What each column holds.
        row: Makes one.
        file: How rows are written: Parquet, or lines of JSON where the trainer reads nothing else.
    """

    columns: Mapping[str, Type]
    row: Callable[[Sample, Recipe], Row]
    file: Literal["parquet", "jsonl"] = "parquet"


def shape_of(recipe: Recipe) -> Shape:
    """The rows of an export."""
    if recipe.tokens:
        return _LABELS if recipe.trainer == "trl" else _MASKS
    return _SHAPES[recipe.kind, recipe.trainer]


_ORIGIN: Final[dict[str, Type]] = {"id": "text", "env_id": "text", "reward": "float"}
_PAIR: Final[dict[str, Type]] = {
    "prompt": "json", "chosen": "json", "rejected": "json", "tools": "json", "margin": "float", "chosen_id": "text",
    "rejected_id": "text",
}  # fmt: skip
_STATISTICS: Final[dict[str, Type]] = {
    "episodes": "int", "reward_mean": "float", "reward_std": "float", "pass_rate": "float",
}  # fmt: skip
_TASK: Final[dict[str, Type]] = {"env_id": "text", "task_id": "text", "agent": "text", **_STATISTICS}


def _origin(sample: Sample) -> Row:
    episode = sample.episode
    return {"id": episode.id, "env_id": episode.env_id, "reward": episode.reward}


def _tools(sample: Sample) -> list[Any] | None:
    return list(sample.episode.tools) or None


def _margin(sample: Sample) -> float | None:
    other = sample.other.reward if sample.other else None
    return None if sample.episode.reward is None or other is None else sample.episode.reward - other


def _plain(messages: Chat, tools: Sequence[ToolSchema] = ()) -> Chat:
    """Messages with tools, calls and results in their text, for trainers that give a template no tools."""
    return cast("Chat", with_tools(cast("list[Message]", [_as_text(message) for message in messages]), tools))


def _as_text(message: dict[str, Any]) -> dict[str, Any]:
    """The arguments of calls as text again, as `with_tools` takes them."""
    if "tool_calls" not in message:
        return message
    calls = [
        {**call, "function": {**call["function"], "arguments": json_text(call["function"]["arguments"])}}
        for call in message["tool_calls"]
    ]
    return {**message, "tool_calls": calls}


# --- supervised ---------------------------------------------------------------------------------


def _labels(sample: Sample, recipe: Recipe) -> Row:
    segment = sample.segment
    assert segment is not None
    return {"input_ids": segment.ids, "labels": np.where(segment.sampled, segment.ids, -100), **_origin(sample)}


def _masks(sample: Sample, recipe: Recipe) -> Row:
    segment = sample.segment
    assert segment is not None
    return {"input_ids": segment.ids, "loss_mask": segment.sampled.astype(np.int32), **_origin(sample)}


def _conversation(sample: Sample, recipe: Recipe) -> Row:
    return {"messages": sample.prompt + sample.completion, "tools": _tools(sample), **_origin(sample)}


def _plain_conversation(sample: Sample, recipe: Recipe) -> Row:
    return {"messages": _plain(sample.prompt + sample.completion, sample.episode.tools), **_origin(sample)}


# --- pairs --------------------------------------------------------------------------------------


def _pair(sample: Sample, recipe: Recipe) -> Row:
    return {
        "prompt": sample.prompt, "chosen": sample.completion, "rejected": sample.rejected, "tools": _tools(sample),
        "margin": _margin(sample), "chosen_id": sample.episode.id,
        "rejected_id": sample.other.id if sample.other else None,
    }  # fmt: skip


def _plain_pair(sample: Sample, recipe: Recipe) -> Row:
    row = _pair(sample, recipe) | _parted(sample, sample.episode.tools)
    del row["tools"]
    return row


def _parted(sample: Sample, tools: Sequence[ToolSchema]) -> dict[str, Chat]:
    """A pair in plain messages; those that both have are the prompt."""
    chosen, rejected = (_plain(sample.prompt + rest, tools) for rest in (sample.completion, sample.rejected))
    same = len(_plain(sample.prompt, tools))
    return {"prompt": chosen[:same], "chosen": chosen[same:], "rejected": rejected[same:]}


def _ranked(sample: Sample, recipe: Recipe) -> Row:
    row = _plain_pair(sample, recipe)
    completions = [{"rank": rank, "completion": row[name]} for rank, name in enumerate(("chosen", "rejected"))]
    return {"context": row["prompt"], "completions": completions, **{n: row[n] for n in ("margin", "chosen_id")}}


# --- replies and prompts ------------------------------------------------------------------------


def _reply(sample: Sample, recipe: Recipe) -> Row:
    row = {"prompt": sample.prompt, "completion": sample.completion, "label": sample.desirable}
    return row | {"tools": _tools(sample), **_origin(sample)}


def _task(sample: Sample, recipe: Recipe) -> Row:
    rewards, episode = sample.rewards, sample.episode
    passed = [reaches(reward, recipe.threshold) for reward in rewards]
    return {
        "env_id": episode.env_id, "task_id": episode.task_id, "agent": episode.agent, "episodes": len(rewards),
        "reward_mean": float(np.mean(rewards)) if rewards else None,
        "reward_std": float(np.std(rewards)) if rewards else None,
        "pass_rate": float(np.mean(passed)) if passed else None,
    }  # fmt: skip


def _answer(sample: Sample) -> Any:
    return sample.episode.task.answer if sample.episode.task else None


def _ref(sample: Sample) -> str | None:
    return sample.ref.dumps() if sample.ref else None


def _trl_prompt(sample: Sample, recipe: Recipe) -> Row:
    """The task is named by a key of the last message, where `llmgym.trainers.trl` looks for it."""
    prompt = [*sample.prompt[:-1], sample.prompt[-1] | ({"llmgym": _ref(sample)} if sample.ref else {})]
    return {"prompt": prompt, "answer": _answer(sample), **_task(sample, recipe)}


def _verl_prompt(sample: Sample, recipe: Recipe) -> Row:
    texts = cast("list[Message]", [_as_text(message) for message in sample.prompt])
    said = [{"role": message["role"], "content": message["content"]} for message in with_tools(texts, [])]
    task, ref = _task(sample, recipe), _ref(sample)
    loop = "llmgym" if ref else "tool_agent" if sample.episode.tools else "single_turn_agent"
    carried = {"llmgym": ref}
    return {
        "data_source": sample.episode.env_id,
        "agent_name": loop,
        "prompt": said,
        "ability": "agent",
        "reward_model": {"style": "rule", "ground_truth": json_text(_answer(sample))},
        "extra_info": {
            "index": sample.number, "split": "train", "task_id": sample.episode.task_id, "tools_kwargs": carried,
        },
        **{name: task[name] for name in ("agent", *_STATISTICS)},
    }  # fmt: skip


def _openrlhf_prompt(sample: Sample, recipe: Recipe) -> Row:
    prompt = _plain(sample.prompt, sample.episode.tools)
    task = _task(sample, recipe)
    label = _ref(sample) or json_text(_answer(sample))
    return {"input": prompt, "label": label, "datasource": task["env_id"], **task}


def _nemo_gym_task(sample: Sample, recipe: Recipe) -> Row:
    params = {
        "input": to_input(cast("list[Message]", [_as_text(message) for message in sample.prompt])),
        "tools": [{"type": "function", **tool["function"], "strict": False} for tool in sample.episode.tools],
    }
    agent = {"type": "responses_api_agents", "name": "llmgym"}
    row = {"responses_create_params": params, "agent_ref": agent, **_task(sample, recipe)}
    return row | ({"verifier_metadata": {"llmgym": _ref(sample)}} if sample.ref else {})


# --- the generic mappings -----------------------------------------------------------------------


def said_in(messages: Sequence[Mapping[str, Any]]) -> str:
    """The text of messages; calls and results of tools are none."""
    return "\n\n".join(m["content"] for m in messages if m["content"] and m["role"] != "tool")


def _flat_conversation(sample: Sample, recipe: Recipe) -> Row:
    """Calls and tools without the wrapping that templates want: `{"name": ..., "arguments": ...}`."""
    messages: list[Any] = []
    for message in sample.prompt + sample.completion:
        calls = [call["function"] for call in message.get("tool_calls", ())]
        messages.append({**message, "tool_calls": calls} if calls else message)
    tools = [tool["function"] for tool in sample.episode.tools]
    return {"messages": messages, "tools": tools, "reward": sample.episode.reward}


def _input_output(sample: Sample, recipe: Recipe) -> Row:
    return {
        "input": said_in(sample.prompt), "output": said_in(sample.completion), "reward": sample.episode.reward,
    }  # fmt: skip


def _scored(sample: Sample, recipe: Recipe) -> Row:
    return {
        "prompt": said_in(sample.prompt), "completion": said_in(sample.completion), "score": sample.episode.reward,
    }  # fmt: skip


def _text_pair(sample: Sample, recipe: Recipe) -> Row:
    return {name: _joined(chat) for name, chat in _parted(sample, ()).items()} | {"margin": _margin(sample)}


def _text_reply(sample: Sample, recipe: Recipe) -> Row:
    prompt, completion = (_joined(_plain(part)) for part in (sample.prompt, sample.completion))
    return {"prompt": prompt, "completion": completion, "label": sample.desirable}


def _joined(messages: Chat) -> str:
    return "\n\n".join(message["content"] for message in messages)


def json_text(value: Any) -> str:
    """Write JSON; what JSON does not have, as text."""
    import json

    return json.dumps(value, ensure_ascii=False, default=str)


_INTS: Final[dict[str, Type]] = {"input_ids": "ints"}
_LABELS = Shape({**_INTS, "labels": "ints", **_ORIGIN}, _labels)
_MASKS = Shape({**_INTS, "loss_mask": "ints", **_ORIGIN}, _masks)
_MESSAGES: Final[dict[str, Type]] = {"messages": "json", "tools": "json", **_ORIGIN}
_PLAIN_PAIR: Final[dict[str, Type]] = {name: kind for name, kind in _PAIR.items() if name != "tools"}

_SHAPES: Final[dict[tuple[Kind, Trainer], Shape]] = {
    ("sft", "trl"): Shape(_MESSAGES, _conversation),
    ("sft", "verl"): Shape(_MESSAGES, _conversation),
    ("sft", "openrlhf"): Shape({"messages": "json", **_ORIGIN}, _plain_conversation),
    ("sft", "nemo-rl"): Shape(_MESSAGES, _conversation, "jsonl"),
    ("sft", "generic"): Shape({}, _flat_conversation, "jsonl"),
    ("dpo", "trl"): Shape(_PAIR, _pair),
    ("dpo", "openrlhf"): Shape(_PLAIN_PAIR, _plain_pair),
    ("dpo", "nemo-rl"): Shape({}, _ranked, "jsonl"),
    ("dpo", "generic"): Shape({}, _text_pair, "jsonl"),
    ("reward-model", "trl"): Shape(_PAIR, _pair),
    ("reward-model", "openrlhf"): Shape(_PLAIN_PAIR, _plain_pair),
    ("reward-model", "nemo-rl"): Shape({}, _ranked, "jsonl"),
    ("reward-model", "generic"): Shape({}, _scored, "jsonl"),
    ("kto", "trl"): Shape(
        {"prompt": "json", "completion": "json", "label": "bool", "tools": "json", **_ORIGIN}, _reply
    ),
    ("kto", "generic"): Shape({}, _text_reply, "jsonl"),
    ("grpo", "trl"): Shape({"prompt": "json", "answer": "json", **_TASK}, _trl_prompt),
    ("grpo", "verl"): Shape(
        {
            "data_source": "text", "agent_name": "text", "prompt": "chat", "ability": "text",
            "reward_model": "verl_reward", "extra_info": "verl_extra", "agent": "text",
            **_STATISTICS,
        },
        _verl_prompt,
    ),
    ("grpo", "openrlhf"): Shape({"input": "json", "label": "text", "datasource": "text", **_TASK}, _openrlhf_prompt),
    ("grpo", "nemo-rl"): Shape({}, _nemo_gym_task, "jsonl"),
    ("grpo", "generic"): Shape({}, _input_output, "jsonl"),
}  # fmt: skip
