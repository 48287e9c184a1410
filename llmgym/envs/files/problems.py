"""Problems: a folder, some jobs on it one after another, and what is to be told in the end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from random import Random

import numpy as np

from llmgym.envs.files import trees
from llmgym.envs.files.job import Archive, Job
from llmgym.envs.files.jobs import JOBS
from llmgym.envs.files.trees import NothingThere, Tree, pick
from llmgym.tasks import Task

#: Jobs that come last: those after one that only asks, or packs files, would make nothing of it, or find nothing.
_LAST = frozenset(["count", "count_level", "sum_column", "top_client", "archive"])
_OPENINGS = ("", "", "Please do this. ", "A task on the files here: ", "Here is what to do. ")
_ENDINGS = (
    "Leave everything else as it is, and no other files behind. Then tell me {}.",
    "Change nothing else, and leave no files that were not asked for. In the end, tell me {}.",
    "No other file may be changed, added or removed. When you are done, say {}.",
)


@dataclass(frozen=True)
class Problem:
    """A problem.

    Attributes:
        text: What is to be done.
        tree: The folder before.
        goal: The folder afterwards; an archive is the files in it.
        answer: What is to be told.
        commands: Commands that do it; the last line of output of the last one is the answer.
    """

    text: str
    tree: Tree
    goal: Mapping[str, str | Archive]
    answer: str
    commands: list[str]


@lru_cache(maxsize=256)
def problem(seed: int, sorts: tuple[str, ...], jobs: int, size: int) -> Problem:
    """The problem of a seed, always the same."""
    rng = Random(seed)
    tree = trees.make(rng, size)
    chosen: list[Job] = []
    left = list(sorts)
    here: Tree = tree
    while len(chosen) < jobs:
        names = [name for name in left if name not in _LAST or len(chosen) == jobs - 1]
        name = pick(rng, names or left)
        if job := _tried(rng, name, here):
            chosen.append(job)
            left.remove(name)
            here = {path: said for path, said in job.goal.items() if isinstance(said, str)}
    texts = [job.text for job in chosen] if jobs == 1 else [f"{at}. {job.text}" for at, job in enumerate(chosen, 1)]
    last = chosen[-1]
    text = ("\n" if jobs > 1 else " ").join([*texts, pick(rng, _ENDINGS).format(last.asked)])
    opening = "Do these one after another.\n" if jobs > 1 else pick(rng, _OPENINGS)
    return Problem(f"{opening}{text}", tree, last.goal, last.answer, [job.command for job in chosen])


def _tried(rng: Random, name: str, tree: Tree) -> Job | None:
    try:
        return JOBS[name](rng, tree)
    except NothingThere:
        return None


@dataclass(frozen=True)
class Problems:
    """Makes tasks.

    Attributes:
        sorts: Sorts of jobs.
        jobs: How many a task has.
        size: How large the folder is.
        testing: Whether they are for the split "test", whose folders no other split has.
    """

    sorts: tuple[str, ...]
    jobs: int
    size: int
    testing: bool

    def __call__(self, rng: np.random.Generator) -> Task:
        """Make one task; its folder is made again from the seed."""
        seed = 2 * int(rng.integers(2**47)) + self.testing
        made = problem(seed, self.sorts, self.jobs, self.size)
        metadata = {"seed": seed, "sorts": list(self.sorts), "jobs": self.jobs, "size": self.size}
        return Task(prompt=made.text, answer=made.answer, metadata=metadata)
