"""Rows for the tests of data: ours, and files of them with what can be wrong with a line."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from llmgym.messages import assistant, tool_call, user
from llmgym.records import dump_row
from llmgym.rewards import Part
from llmgym.tasks import Task
from llmgym.trajectory import Segment, Trajectory, Turn


def episode(task: str = "a", repeat: int = 0, reward: float | None = 1.0, turns: int = 1, **more: Any) -> Trajectory:
    """An episode of so many turns, all but the last of which call a tool."""
    messages = [user(f"say {task}")]
    spans, ids = [], list(range(10))
    for turn in range(turns):
        if turn < turns - 1:
            call: Any = {**tool_call("look", at=turn), "id": f"call_{turn}"}
            result: Any = {"role": "tool", "tool_call_id": call["id"], "name": "look", "content": "no"}
            messages += [assistant("", call), result]
        else:
            messages.append(assistant(f"{task} {repeat}"))
        spans.append((len(ids), len(ids) + 3))
        ids += [100 + turn, 7, 8, 9]
    sampled = np.zeros(len(ids), np.bool_)
    for start, end in spans:
        sampled[start:end] = True
    logprobs = np.where(sampled, -0.1, 0).astype(np.float32)
    fields: dict[str, Any] = {
        "messages": messages,
        "opening": 1,
        "turns": [
            Turn((reward if turn == turns - 1 else 0.0), "stop", 0.5, 0.25, 0, start, end)
            for turn, (start, end) in enumerate(spans)
        ],
        "segments": [Segment(np.array(ids, np.int32), sampled, logprobs)],
        "reward": reward,
        "reward_parts": {"right": Part(reward, 1.0)},
        "metrics": {"num_turns": turns, "accuracy": reward or 0.0},
        "timings": {"wall_s": 1.5, "engine_s": 1.0, "env_s": 0.5},
        "sampling": {"temperature": 1.0},
        "task": Task(id=task, prompt=f"say {task}", answer=task, metadata={"split": "train"}),
    }
    return Trajectory("test/Say-v0", task, repeat, 0, **{**fields, **more})


def line(*args: Any, **more: Any) -> bytes:
    """The row of an episode, with its line end."""
    return dump_row(episode(*args, **more))


def line_with(task: str = "a", repeat: int = 0, reward: float | None = 1.0, /, **fields: Any) -> bytes:
    """The row of an episode of which some fields are others."""
    return dump_row(replace(episode(task, repeat, reward), **fields))


def changed(row: bytes, **fields: Any) -> bytes:
    """A row with other fields; one that is `...` is taken out."""
    data = json.loads(row) | fields
    return json.dumps({name: value for name, value in data.items() if value is not ...}).encode() + b"\n"


def run_of(folder: Path, rows: Iterable[bytes]) -> Path:
    """A folder with rows."""
    folder.mkdir(exist_ok=True)
    (folder / "rollouts.jsonl").write_bytes(b"".join(rows))
    return folder


def groups(rewards: dict[str, list[float | None]]) -> Iterator[bytes]:
    """Rows of the repeats of tasks, by their rewards."""
    for task, earned in rewards.items():
        for repeat, reward in enumerate(earned):
            yield line(task, repeat, reward)


def described_run(folder: Path, rewards: dict[str, list[float | None]]) -> Path:
    """A run folder of repeats of tasks, with what a run writes beside its rows."""
    run_of(folder, groups(rewards))
    (folder / "failures.jsonl").touch()
    (folder / "lock").touch()
    description = {
        "format": 1,
        "identity": {
            "environments": [{"label": "test/Say-v0"}],
            "policy": {"kind": "Teller"},
            "split": "train",
            "seed": 0,
        },
        "confirmed": {"model": "a <b>model</b> | of | ours"},
        "versions": {"llmgym": "0.1.0"},
        "sessions": ["2026-01-01T00:00:00+00:00"],
    }
    (folder / "run.json").write_text(json.dumps(description))
    (folder / "summary.json").write_text("{}")
    return folder
