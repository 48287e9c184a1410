"""What the environments of a library have in common: what search shows, what is counted, and how answers are scored."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, get_args

from llmgym.env import Episode, ToolEnv
from llmgym.envs.library import Library
from llmgym.errors import ConfigError
from llmgym.rewards import Reward
from llmgym.tasks import Task, TaskSet
from llmgym.verifiers import answers

#: What a search shows of a document besides its name.
Preview = Literal["passage", "text", "title"]


class DocumentsEnv(ToolEnv):
    """Base of the environments whose answers stand in the documents of a library."""

    library: Library

    def __init__(self, *, preview: Preview, tasks: TaskSet | str | Path, **options: Any) -> None:
        """Make the environment.

        Args:
            preview: What a search shows of a document.
            tasks: The questions; `kind` in their metadata says what the answer is.
            **options: Passed to `ToolEnv`.

        Raises:
            ConfigError: There is no such preview.
        """
        if preview not in get_args(Preview):
            raise ConfigError(f"preview is {preview!r}; there is {', '.join(get_args(Preview))}")
        self.preview = preview
        super().__init__(tasks=tasks, **options)

    def setup(self, task: Task) -> None:
        """Begin to count."""
        self.opened: set[str] = set()
        self.searches = 0

    def forms(self, task: Task) -> Any:
        """The right answer, in the ways in which it may be written."""
        raise NotImplementedError

    def verify(self, episode: Episode) -> Reward:
        """Compare the answer that the final message states with the right one."""
        task = episode.task
        verdict = answers.check(episode.final_text, self.forms(task), kind=task.metadata["kind"])
        support = task.metadata.get("support", [])
        metrics = {
            "documents_opened": float(len(self.opened)),
            "support": sum(name in self.opened for name in support) / len(support) if support else 1.0,
            "searches": float(self.searches),
            "answered": float(verdict.reason != "no_answer"),
        }
        return Reward(correct=verdict.score, metrics={**metrics, **verdict.reward.metrics})


def with_answers(task: Task, kind: answers.Kind, **metadata: Any) -> Task:
    """The task of a row with its answer as a list of those that are right, which are proven to be readable.

    Raises:
        TaskError: One is not.
    """
    right = task.answer if isinstance(task.answer, list) else [str(task.answer)]
    answers.prove(right, kind=kind)
    return Task(id=task.id, prompt=task.prompt, answer=right, metadata={**task.metadata, **metadata, "kind": kind})
