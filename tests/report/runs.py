"""Runs for the tests of reports: of several agents and weights, with failures, and with texts that want to be more."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from llmgym.failures import Failure
from llmgym.messages import assistant, tool_call, user
from llmgym.policies.base import VersionSpan
from llmgym.rollout import RunStore
from llmgym.trajectory import Played, Segment, Trajectory, Turn, segment_of
from tests.data.rows import episode

CONFIG = {"num_repeats": 3, "success_threshold": 1.0}

#: What would run, or turn the page around, if it were anything but text.
HOSTILE = [
    "<script>window.ran = 1</script>",
    "<img src=x onerror='window.ran = 1'>",
    "</script><script>window.ran = 1</script>",
    "<!-- <script> window.ran = 1",
    "javascript:window.ran=1",
    "'\"><svg onload=window.ran=1>",
    "\x1b[31mred\x1b[0m \x00 \x07",
    "\u202eright to left\u202c \u2066inside\u2069 \u200f",
    "one\u2028two\u2029three\ufeff",
    "{{constructor.constructor('window.ran=1')()}} ${window.ran=1}",
    "x" * 200_000,
]


def store(folder: Path, rows: Iterable[Trajectory], **config: Any) -> Path:
    """A run folder with rows; those of the agents of an episode stand behind each other."""
    kept = RunStore(folder, {"environments": []}, {**CONFIG, **config}, 0.0)
    kept.confirm({"model": "nobody/has-this"}, planned=30)
    agents: list[Trajectory] = []
    for row in rows:
        agents.append(row)
        if len(agents) == row.agents:
            kept.append(*agents)
            agents = []
    kept.close()
    return folder


def plain(tasks: int = 4, repeats: int = 3, start: int = 0) -> Iterator[Trajectory]:
    """Episodes of two turns; the more so solved the later the weights."""
    for task in range(start, start + tasks):
        for repeat in range(repeats):
            made = episode(f"t{task}", repeat, float((task + repeat) % 2), turns=2)
            for turn in made.turns:
                turn.versions = (VersionSpan(task, 0, 2), VersionSpan(task + 1, 2, 3))
            yield made


def failing(number: int, error: str = "ConnectionError: port 8000 is closed") -> Trajectory:
    """An episode without a result."""
    trace = f'Traceback (most recent call last):\n  File "env.py", line {number}, in verify\n{error}'
    lost = Failure("environment", "verify", "none", "ConnectionError")
    return episode(f"f{number}", 0, None, status="env_error", error=trace, failure=lost)


def crowd() -> list[Trajectory]:
    """An episode of two agents."""
    return [episode("duel", 0, reward, agent=agent, agents=2) for agent, reward in (("black", 1.0), ("white", -1.0))]


def hostile() -> Iterator[Trajectory]:
    """Episodes with each of the texts in every place that has one."""
    for number, text in enumerate(HOSTILE):
        call: Any = {**tool_call(text[:50] or "t", **{text[:50]: text}), "id": "1"}
        result: Any = {"role": "tool", "tool_call_id": "1", "name": text[:50], "content": text}
        messages: list[Any] = [user(text), assistant(text, call), result, assistant(text)]
        tools: Any = [{"type": "function", "function": {"name": text[:50], "description": text, "parameters": {}}}]
        name = text[:60].replace("\x00", "")
        made = episode(f"{number} {name}", messages=messages, tools=tools, metrics={f"m {name}": 1.0})
        made.env_id, made.agent, made.tool_errors = f"x/{name}", name, {name: 1}
        made.turns = [Turn(0.0, "stop", 0, 0), Turn(1.0, "stop", 0, 0)]
        yield made


def segments(lengths: list[int]) -> list[Segment]:
    """Segments of so many tokens, every other one sampled."""
    made: list[Segment] = []
    for length in lengths:
        sampled = np.arange(length) % 2 == 1
        made.append(Segment(np.arange(length, dtype=np.int32), sampled, np.where(sampled, -1.5, 0).astype(np.float32)))
    return made


def branching() -> Trajectory:
    """An episode of a program: a fork, a call beside it, a reply that was dropped, and one that reached nobody."""
    task, made = user("say a"), episode("program", 0, 1.0, messages=[user("say a"), assistant("a")])
    made.branches = [Turn(0.0, "stop", 0, 0, place, 2, 4) for place in range(1, 5)]
    made.segments = [
        segment_of(range(4), [(2, 4)], [-0.5, -0.25], role=role, delivered=delivered, messages=messages)
        for role, delivered, messages in (
            ("agent", True, None),
            ("agent", True, [task, assistant("b")]),
            ("auxiliary", True, [user("a title?"), assistant("Saying a")]),
            ("abandoned", True, [task, assistant("", tool_call("look"))]),
            ("agent", False, [task, assistant("c")]),
        )
    ]
    made.turns = [Turn(1.0, "stop", 0, 0, 0, 2, 4)]
    made.played = Played([task, assistant("a")], 1, [])
    return made
