"""Where an audit plays: an environment, its tasks, and the oracle's solutions of them."""

from __future__ import annotations

import copy
import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from llmgym.env import ToolEnv
from llmgym.messages import Message, ToolSchema, assistant
from llmgym.rollout.config import EnvConfig
from llmgym.rollout.instances import Instances
from llmgym.tasks import Task
from llmgym.testing.audit.report import AT, Play
from llmgym.testing.playing import Messages, follow, solver
from llmgym.testing.report import Fault
from llmgym.testing.subject import TimeBox
from llmgym.trajectory import Trajectory

FEWEST = 4  # episodes of a policy, however long they take
_SHOWN = 400  # characters of what a policy said


@dataclass(slots=True)
class Solution:
    """How the oracle solves a task.

    Attributes:
        task: The task.
        split: Its split.
        seed: Of the episode.
        opening: What the episode began with.
        tools: Schemas of the tools that it was offered.
        said: The oracle's messages.
        play: What they earned.
        speaks: Whether the text of the last one matters.
        acts: Whether anything before it does.
    """

    task: Task
    split: str
    seed: int
    opening: list[Message]
    tools: list[ToolSchema]
    said: list[Message]
    play: Play
    speaks: bool = False
    acts: bool = False

    @property
    def text(self) -> str:
        """Text of the last message; empty where it calls tools."""
        last = self.said[-1] if self.said else assistant("")
        return "" if "tool_calls" in last else last["content"]

    @property
    def prompt(self) -> str:
        """All text of the opening."""
        return "\n".join(message["content"] for message in self.opening)

    @property
    def calls(self) -> list[tuple[int, int]]:
        """Where its calls are: places of message and call."""
        return [
            (at, place) for at, message in enumerate(self.said) for place in range(len(message.get("tool_calls", ())))
        ]

    @property
    def deed(self) -> str:
        """All that it says and does, to be compared with that for another task."""
        calls = [
            [call["function"]["name"], call["function"]["arguments"]]
            for message in self.said
            for call in message.get("tool_calls", ())
        ]
        return json.dumps([calls, [" ".join(message["content"].split()) for message in self.said]])

    def saying(self, text: str) -> list[Message]:
        """Its messages with another text at the end."""
        return [*self.said[:-1], {**self.said[-1], "content": text}]


@dataclass
class Stage:
    """An environment that policies play.

    Attributes:
        env_id: Its id.
        count: Tasks of each split.
        seed: Seed of tasks and sampled actions.
        kwargs: Arguments of the environment.
        solutions: Those of the oracle, of the splits by turns.
        unsolved: Episodes of the oracle that failed.
        notes: What was not looked at, and why.
    """

    env_id: str
    count: int
    seed: int
    kwargs: dict[str, Any] = field(default_factory=dict[str, Any])
    solutions: list[Solution] = field(default_factory=list[Solution])
    unsolved: list[Play] = field(default_factory=list[Play])
    notes: list[str] = field(default_factory=list[str])

    def __post_init__(self) -> None:
        """Make the first instance."""
        self.instances = Instances(EnvConfig(self.env_id, self.kwargs))

    @property
    def core(self) -> ToolEnv:
        """An instance to look at."""
        core = self.instances.sample.unwrapped
        assert isinstance(core, ToolEnv)
        return core

    @property
    def ceiling(self) -> float:
        """What the oracle earns: the most, or on average where it is a reference."""
        earned = [solution.play.reward or 0.0 for solution in self.solutions]
        return max(earned) if self.optimal else sum(earned) / len(earned)

    @property
    def optimal(self) -> bool:
        """Whether the oracle earns the most that can be earned."""
        return self.core.oracle_kind == "optimal"

    @property
    def solved(self) -> list[Solution]:
        """The solutions that earn the ceiling, so that it can be seen what a change of them costs."""
        return [solution for solution in self.solutions if self.full(solution.play)]

    def full(self, play: Play) -> bool:
        """Whether an episode earned the ceiling."""
        return play.reward is not None and play.reward >= AT * self.ceiling

    def tasks(self, box: TimeBox) -> Iterator[tuple[str, Task]]:
        """Tasks of the splits by turns, none twice; fewer where they take long to make."""
        tasks, known = self.core.tasks, set[str]()
        for index, split in itertools.product(range(self.count), tasks.splits):
            if box.over and index >= FEWEST:
                self.notes.append(f"{index} of {self.count} tasks of each split played, for want of time")
                return
            task = tasks.plan(split, self.seed, index)
            if task.id not in known:
                known.add(task.id)
                yield split, task

    def solve(self, box: TimeBox) -> None:
        """Have the oracle solve tasks of each split."""
        for split, task in self.tasks(box):
            seed = self.seed + len(self.solutions)
            trajectory, play = self.record(task, solver, seed, stop=False)
            if trajectory is None or play.reward is None:
                self.unsolved.append(play)
                continue
            said = [message for message in trajectory.messages if message["role"] == "assistant"]
            opening = trajectory.messages[: trajectory.opening]
            self.solutions.append(Solution(task, split, seed, opening, trajectory.tools, said, play))

    def look(self, box: TimeBox) -> None:
        """Find out what of the oracle's messages matters: the last text, and what it does before."""
        for count, solution in enumerate(self.solved):
            if box.over and count >= FEWEST:
                break
            if solution.text.strip():
                solution.speaks = not self.full(self.replay(solution, solution.saying("")))
            if len(solution.said) > 1 or solution.calls:
                alone = [solution.said[-1]] if not solution.said[-1].get("tool_calls") else [assistant("Done.")]
                solution.acts = not self.full(self.replay(solution, alone))

    def record(self, task: Task, messages: Messages, seed: int, *, stop: bool = True) -> tuple[Trajectory | None, Play]:
        """Play an episode, and keep all of it; no trajectory where it does not end as episodes should."""
        try:
            trajectory = follow(self.instances, task, messages, seed, stop=stop)
        except Fault as fault:
            return None, Play(task.id, None, "", str(fault).removeprefix(f"task {task.id}: "))
        except Exception as error:  # noqa: BLE001 -- of an oracle, which is its author's code
            return None, Play(task.id, None, "", f"{type(error).__name__}: {error}")
        held = trajectory.timings.get("held_s", 0.0)
        trouble = trajectory.error or "" if trajectory.failure is not None else ""
        return trajectory, Play(task.id, trajectory.reward, shown(trajectory), trouble, held)

    def play(self, solution: Solution, messages: Messages) -> Play:
        """Have a policy play a task, to the end of what it says."""
        return self.record(solution.task, messages, solution.seed)[1]

    def replay(self, solution: Solution, messages: Sequence[Message | str]) -> Play:
        """Play messages that are there already."""
        return self.play(solution, lambda core: copy.deepcopy(list(messages)))

    def close(self) -> None:
        """Close the instances."""
        self.instances.close()


def shown(trajectory: Trajectory) -> str:
    """What a policy said and did, shortened."""
    parts = list[str]()
    for message in trajectory.messages[trajectory.opening :]:
        if message["role"] != "assistant":
            continue
        calls = [
            f"{call['function']['name']}({call['function']['arguments']})" for call in message.get("tool_calls", ())
        ]
        parts += [part for part in (message["content"], *calls) if part]
        if sum(map(len, parts)) > 4 * _SHOWN:
            break
    text = " | ".join(parts)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN // 3]} ... {text[-2 * _SHOWN // 3 :]}"
