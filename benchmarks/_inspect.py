"""A log of Inspect with the episodes of a file, bundled with Inspect's viewer; for a Python that has `inspect-ai`.

Each line of the file is `{"id": ..., "epoch": ..., "messages": [...], "reward": ...}`. Run as:
python _inspect.py LINES FOLDER
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from inspect_ai.log import (
    EvalConfig,
    EvalDataset,
    EvalLog,
    EvalResults,
    EvalSample,
    EvalSpec,
    bundle_log_dir,
    write_eval_log,
)
from inspect_ai.model import ChatMessageAssistant, ChatMessageSystem, ChatMessageTool, ChatMessageUser
from inspect_ai.scorer import Score
from inspect_ai.tool import ToolCall


def message(found: dict[str, Any]) -> Any:
    """A message as Inspect has it."""
    text = found["content"] or ""
    if found["role"] == "system":
        return ChatMessageSystem(content=text)
    if found["role"] == "user":
        return ChatMessageUser(content=text)
    if found["role"] == "tool":
        return ChatMessageTool(content=text, tool_call_id=found["tool_call_id"], function=found.get("name"))
    calls = [
        ToolCall(one["id"], one["function"]["name"], json.loads(one["function"]["arguments"]))
        for one in found.get("tool_calls", ())
    ]
    return ChatMessageAssistant(content=text, tool_calls=calls or None)


def sample(line: str) -> EvalSample:
    """An episode as Inspect has it."""
    row = json.loads(line)
    messages = [message(found) for found in row["messages"]]
    opening = next(at for at, one in enumerate(messages) if one.role == "assistant")
    return EvalSample(
        id=row["id"], epoch=row["epoch"], input=messages[:opening], target="", messages=messages,
        scores={"reward": Score(value=row["reward"])},
    )  # fmt: skip


def main() -> None:
    """Write the log, and bundle it."""
    lines, folder = map(Path, sys.argv[1:])
    samples = [sample(line) for line in lines.open()]
    now = datetime.now(UTC).isoformat()
    spec = EvalSpec(
        created=now, task="rollouts", model="none/none", config=EvalConfig(),
        dataset=EvalDataset(name="rollouts", samples=len(samples)),
    )  # fmt: skip
    results = EvalResults(total_samples=len(samples), completed_samples=len(samples))
    log = EvalLog(eval=spec, status="success", results=results, samples=samples)
    write_eval_log(log, folder / "logs" / "rollouts.eval")
    bundle_log_dir(str(folder / "logs"), str(folder / "bundle"), overwrite=True)


if __name__ == "__main__":
    main()
