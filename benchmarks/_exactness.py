"""CPU of a codec's turns, of whatever llmgym is on the path; for `exactness.py`.

It gets the turns of each family, the codec to take and the number of episodes, and gives CPU milliseconds of a turn.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import time
from pathlib import Path
from typing import Any

from _instant import one_core

import llmgym.codec

RESULT = "The result is {}, as it was before, and nothing else is known of it."
TURNS = 8


def episode(codec: Any, turns: list[list[int]], tools: list[Any], number: int) -> None:
    """What a rollout asks of a codec in an episode."""
    messages: list[Any] = [{"role": "user", "content": f"Say {number}."}]
    ids = codec.open(messages, tools)
    for at in range(TURNS):
        reply = turns[at % len(turns)]
        said = codec.parse(reply, ids, tools)
        results = [
            {"role": "tool", "name": "echo", "tool_call_id": call.get("id", ""), "content": RESULT.format(number + at)}
            for call in said.get("tool_calls", ())
        ]
        new: list[Any] = results or [{"role": "user", "content": f"Go on: {number + at}."}]
        messages += [said, *new]
        more = codec.extend(ids, reply, new, tools)
        ids = codec.open(messages, tools) if more is None else [*ids, *reply, *more]


def cost(codec: Any, turns: list[list[int]], tools: list[Any], episodes: int) -> float:
    """CPU milliseconds of a turn."""
    episode(codec, turns, tools, 0)
    began = time.process_time()
    for number in range(episodes):
        episode(codec, turns, tools, 1000 * number)
    return 1e3 * (time.process_time() - began) / (episodes * TURNS)


def main() -> None:
    """Read the task from the arguments; print the costs by family, without those that the codec refuses."""
    task = json.loads(Path(sys.argv[1]).read_text())
    spec: Any = importlib.util.spec_from_file_location("families", task["families"])
    families: Any = importlib.util.module_from_spec(spec)
    sys.modules["families"] = families
    spec.loader.exec_module(families)
    found: dict[str, float] = {}
    one_core()
    for name, turns in task["turns"].items():
        tokenizer = families.tokenizer(name)
        try:
            codec: Any = getattr(llmgym.codec, sys.argv[2])(tokenizer)
            found[name] = cost(codec, turns, task["tools"], task["episodes"])
        except Exception as error:  # noqa: BLE001 -- an older commit may trip over a newer template
            print(f"{name}: {error!r}", file=sys.stderr)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
