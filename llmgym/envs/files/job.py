"""A job on a folder: what is to be done, what it leaves, what is to be told of it, and a command that does it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random

from llmgym.envs.files.trees import Tree, lines

#: What is said of an archive in place of its content: the files in it.
Archive = dict[str, str]


@dataclass(frozen=True, slots=True)
class Job:
    """A job.

    Attributes:
        text: What is to be done.
        goal: The folder afterwards; an archive is the files in it.
        answer: What is to be told; a number or a name.
        asked: How it is asked for.
        command: A command of a shell that does it, and whose last line of output is the answer.
    """

    text: str
    goal: Mapping[str, str | Archive]
    answer: str
    asked: str
    command: str


Maker = Callable[[Random, Tree], "Job | None"]


def under(tree: Tree, start: str, end: str = "") -> list[str]:
    """The paths of a folder that begin and end so."""
    return [path for path in tree if path.startswith(start) and path.endswith(end)]


def total(tree: Tree, paths: list[str]) -> str:
    """How many lines some files have together, as it is told."""
    return str(sum(len(lines(tree[path])) for path in paths))
