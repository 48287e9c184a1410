"""What the environments of files have in common: tasks, the comparison of the folder, and the oracle."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from llmgym.env import Episode, ToolEnv
from llmgym.envs.apart import ApartTasks
from llmgym.envs.files.folders import compare
from llmgym.envs.files.job import Archive
from llmgym.envs.files.jobs import JOBS
from llmgym.envs.files.problems import Problems, problem
from llmgym.envs.files.trees import Tree
from llmgym.errors import ConfigError
from llmgym.messages import Message, assistant, tool_call
from llmgym.rewards import Reward
from llmgym.tasks import Task, TaskSet, schema_of_row, task_from_row
from llmgym.verifiers import answers
from llmgym.verifiers.numbers import parse_number

_INSTRUCTIONS = (
    "You work on a folder of files with a shell: `shell` runs a command in it, and the shell keeps its "
    "folder and exported "
    "variables from one command to the next. It starts in the folder that the task is about; paths are relative to it, "
    "and temporary files belong in /tmp.\n"
    "When everything is done, reply without a tool call, and end the reply with a line such as\n"
    "Answer: 42\n"
    "that says what you are asked to tell, and nothing else."
)


class FolderEnv(ToolEnv):
    """Base of the environments whose state is a folder of files; they start it, run commands in it, and read it."""

    max_turns = 16
    system_prompt = _INSTRUCTIONS
    #: Sorts of jobs where none are named: those over many files.
    default_sorts: tuple[str, ...] = (
        "count_level", "sum_column", "top_client", "replace_setting", "rename_ending", "put_away", "clean", "report",
        "extract", "rename_function", "merge", "archive",
    )  # fmt: skip

    def __init__(
        self,
        *,
        sorts: Sequence[str] | None = None,
        jobs: int = 1,
        size: int = 3,
        tasks: TaskSet | str | Path | None = None,
        **options: Any,
    ) -> None:
        """Make the environment.

        Args:
            sorts: Sorts of jobs; by default those of the environment.
            jobs: How many a task has.
            size: How large the folder is.
            tasks: Other tasks.
            **options: Passed to `ToolEnv`.

        Raises:
            ConfigError: An argument is out of range or unknown.
        """
        sorts = self.default_sorts if sorts is None else sorts
        if not sorts or not set(sorts) <= set(JOBS):
            raise ConfigError(f"sorts is {sorts!r}; there is {', '.join(JOBS)}")
        if not (1 <= jobs <= min(5, len(sorts)) and 2 <= size <= 8):
            raise ConfigError(f"jobs is {jobs} and size is {size}; they must be 1 to 5, with as many sorts, and 2 to 8")
        if tasks is None:
            made = [Problems(tuple(sorts), jobs, size, testing) for testing in (False, True)]
            tasks = ApartTasks(train=made[0], test=made[1])
        super().__init__(tasks=tasks, **options)

    @staticmethod
    def read_row(row: dict[str, Any]) -> Task:
        """Make the task of a row with the files before and after.

        Raises:
            ValueError: It has no files, or paths that leave the folder.
        """
        task = task_from_row(row)
        files = task.metadata.get("files")
        goal = task.metadata.get("goal") or files
        for name, tree in (("files", files), ("goal", goal)):
            if not isinstance(tree, dict) or not all(isinstance(said, str) for said in tree.values()):
                raise ValueError(f"{name} must be an object with the text of each file by its path")
            if bad := [path for path in tree if not _stays_inside(path)]:
                raise ValueError(f"{name} has the path {bad[0]!r}; write one such as 'data/in.csv'")
        if goal == files and task.answer is None:
            raise ValueError(
                "the row asks for nothing: it has neither a goal that differs from its files nor an answer"
            )
        if task.answer is not None:
            answers.prove(str(task.answer), kind=_kind(str(task.answer)))
        answer = None if task.answer is None else str(task.answer)
        return Task(id=task.id, prompt=task.prompt, answer=answer, metadata={**task.metadata, "goal": goal})

    @staticmethod
    def row_schema() -> dict[str, Any]:
        """The JSON Schema of a row with the files before and after."""
        tree = {"type": "object", "additionalProperties": {"type": "string"}}
        return schema_of_row(
            "A task on files",
            {
                "prompt": {"type": "string", "description": "What is to be done."},
                "files": {**tree, "description": "The text of each file at first, by its path."},
                "goal": {**tree, "description": "The same at the end; as at first where it is absent."},
                "answer": {
                    "type": ["string", "number", "null"],
                    "description": "What is to be told; null for nothing.",
                },
            },
            required=["prompt", "files"],
        )

    def _trees(self, task: Task) -> tuple[Tree, Mapping[str, str | Archive]]:
        """The folder of a task before and after."""
        if "files" in task.metadata:
            return dict(task.metadata["files"]), dict(task.metadata["goal"])
        made = self._problem(task)
        return made.tree, made.goal

    def _problem(self, task: Task) -> Any:
        data = task.metadata
        return problem(data["seed"], tuple(data["sorts"]), data["jobs"], data["size"])

    def _judge(self, episode: Episode, found: Mapping[str, bytes | None] | None) -> Reward:
        """Compare the folder, None where it is lost, and the answer with what they should be."""
        task = episode.task
        before, goal = self._trees(task)
        told = task.answer is None or bool(answers.check(episode.final_text, task.answer, kind=_kind(task.answer)))
        if found is None:
            return Reward(correct=0.0, metrics={"told": float(told), "folder_lost": 1.0})
        verdict = compare(found, goal, before)
        metrics = {"told": float(told), "folder": float(bool(verdict)), **verdict.metrics}
        return Reward(correct=None if verdict.score is None else float(bool(verdict) and told), metrics=metrics)

    def oracle(self, task: Task) -> Iterator[Message | str]:
        """Run the commands of the jobs, and tell what the last one says; for rows, write their goal."""
        if "files" in task.metadata:
            yield from self._written(task)
            return
        for command in self._problem(task).commands:
            yield assistant("", tool_call("shell", command=command))
        yield f"Answer: {self.transcript[-1]['content'].split()[-1] if self._problem(task).commands else ''}"

    def _written(self, task: Task) -> Iterator[Message | str]:
        before, goal = self._trees(task)
        for path in before.keys() - goal.keys():
            yield assistant("", tool_call("shell", command=f"rm {_quoted(path)}"))
        for path, said in sorted(goal.items()):
            if before.get(path) != said:
                folder = _quoted(str(PurePosixPath(path).parent))
                command = f"mkdir -p {folder} && printf %s {_quoted(str(said))} > {_quoted(path)}"
                yield assistant("", tool_call("shell", command=command))
        yield f"Answer: {task.answer or 'done'}"


def said_of(stdout: str, stderr: str, code: int | None) -> str:
    """What a command has printed, as the model sees it."""
    parts = [text.rstrip("\n") for text in (stdout, stderr) if text.strip()]
    if code:
        parts.append(f"[exit code {code}]")
    return "\n".join(parts) or "[no output]"


def _kind(answer: str) -> answers.Kind:
    return "name" if parse_number(answer) is None or "." in answer or answer[0] == "0" != answer else "number"


def _stays_inside(path: str) -> bool:
    parts = PurePosixPath(path).parts
    return bool(parts) and not path.startswith("/") and ".." not in parts and "\0" not in path


def _quoted(text: str) -> str:
    inside = text.replace("'", "'\\''")
    return f"'{inside}'"
