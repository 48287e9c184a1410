"""Long context: facts in a long text, and a question that needs them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llmgym.env import Episode, ToolEnv
from llmgym.envs.long_context.filler import text
from llmgym.envs.long_context.problems import CODE, KINDS, Problems
from llmgym.messages import Message
from llmgym.rewards import Reward
from llmgym.tasks import Task, TaskSet, one_column, row_schema, task_from_row
from llmgym.verifiers import lists, numbers
from llmgym.verifiers.base import wrong
from llmgym.verifiers.text import without_thoughts

_LONGEST = 400  # characters of an answer that is a number, and of what is said around it


class LongContext(ToolEnv):
    r"""Find facts in a long text.

    ## Description

    A text of everyday sentences holds facts about the codes of depots, at any depth, and more facts about depots with
    names that are alike. A question after the text needs one fact (`single`), several (`names`), all codes of one
    depot (`codes`), the last of the codes that it has had (`last`), facts that refer to each other (`chain`), or a
    count (`count`); or the text has no answer (`absent`). Nothing else in the text looks like a code.

    A task holds the question, the facts with their depths, and the seed of the other sentences: the text is made of
    these when the episode opens, so that tasks and records of tasks stay small.

    ## Actions

    Text with the answer. There are no tools.

    ## Observations

    The text and the question, in one message.

    ## Rewards

    The last box counts, or what follows the last "Answer:", else the whole reply; text in `<think>` never counts. Words
    around codes do not matter, nor does their order.

    - One code, or a number: 1 where it is right and alone, else 0.
    - Several codes: the harmonic mean (F1) of the share of the codes given that are right and of the right ones that
      are given; 0 where more than one too many are given.
    - No answer in the text: 1 where the reply says so ("none", "not mentioned") and gives no code, else 0.

    Metrics: `no_answer`, `unparsable` or `too_long`, where that is why a reply earns nothing.

    ## Episode End

    Terminates with the first message (truncates where it calls a tool, since there is none).

    ## Arguments

    - `length` (16,000): characters of the text without its facts, 500 to 4,000,000.
    - `others` (20): facts about other depots, 0 to 1000.
    - `kinds` (all): kinds of questions, named in `llmgym.envs.long_context.problems.KINDS`.
    - `tasks`: a file of rows with `prompt` (or `messages`), which holds text and question, and `answer` (or
      `expected_answer`): a number, a text, or a list of texts, which may be JSON. Rows of NeMo Gym's `graphwalks` and
      `lc_niah` are such rows; one item or none is compared in full, several by F1.

    ## Registered Variants

    - `llmgym/LongContext-v0`: 16,000 characters.
    - `llmgym/LongContext-easy-v0`: 2,000 characters, one fact is asked for among 21.
    - `llmgym/LongContext-hard-v0`: 240,000 characters, sixty other facts.

    ## Version History

    - v0: first version.
    """

    max_turns = 1
    system_prompt = (
        'Read the text and answer the question behind it. End with "Answer:" and the answer alone: a code, several '
        'codes with commas between them, or a number. Where the text does not tell it, end with "Answer: none".'
    )

    def __init__(
        self,
        *,
        length: int = 16_000,
        others: int = 20,
        kinds: Sequence[str] = tuple(KINDS),
        tasks: TaskSet | str | Path | None = None,
        **options: Any,
    ) -> None:
        """Make the environment.

        Args:
            length: Characters of the text.
            others: Facts that are not asked for.
            kinds: Kinds of questions.
            tasks: Other texts and questions.
            **options: Passed to `ToolEnv`.

        Raises:
            ConfigError: An argument is out of range or unknown.
        """
        problems = Problems(length, others, tuple(kinds))
        super().__init__(tasks=TaskSet.generated(problems) if tasks is None else tasks, **options)

    @staticmethod
    def read_row(row: dict[str, Any]) -> Task:
        """Make the task of a row with text and question, and the answer or the answers."""
        task = task_from_row(row)
        answer: Any = task.answer
        if isinstance(answer, str) and answer.lstrip().startswith("["):
            answer = json.loads(answer)
        if isinstance(answer, bool) or not isinstance(answer, str | int | float | list):
            raise TypeError(f"the answer is a number, a text or a list of texts, this is {answer!r:.100}")
        if isinstance(answer, float):
            answer = str(answer)
        if isinstance(answer, str) and numbers.parse_number(answer) is None:
            answer = [answer]
        if isinstance(answer, list):
            lists.prove(answer)
        return Task(id=task.id, prompt=task.prompt, answer=answer, metadata=task.metadata)

    @staticmethod
    def row_schema() -> dict[str, Any]:
        """The JSON Schema of a row with text and question, and the answer or the answers."""
        answer = {
            "type": ["string", "number", "array"],
            "items": {"type": "string"},
            "description": "What is right: a number, a text, or a list of texts, empty where there is no answer.",
        }
        known = [one_column("answer", answer), one_column("expected_answer", answer, without=["answer"])]
        return {**row_schema(), "title": "A text and question of LongContext", "allOf": [{"anyOf": known}]}

    def opening(self, task: Task) -> list[Message]:
        """The text, made of its recipe, before the question; a row of a file has its own text."""
        if not isinstance(task.prompt, str):
            return task.messages
        messages = super().opening(task)
        if recipe := task.metadata.get("text"):
            messages[-1]["content"] = f"{text(**recipe)}\n\nQuestion: {task.prompt}"
        return messages

    def verify(self, episode: Episode) -> Reward:
        """Compare the answer of the reply with the one that is right."""
        answer = episode.task.answer
        if not isinstance(answer, list):
            part = lists.stated(without_thoughts(episode.final_text))
            if len(part) > _LONGEST or sum(any(map(str.isdigit, item)) for item in lists.read(part)) > 1:
                return wrong("several numbers, or none that is marked as the answer", "unparsable").reward
            return numbers.check(part, answer).reward
        item = CODE if "text" in episode.task.metadata else None
        mode = "f1" if len(answer) > 1 else "exact"
        return lists.check(episode.final_text, answer, item=item, mode=mode, most=len(answer) + 1).reward

    def oracle(self, task: Task) -> list[str]:
        """State the answer."""
        answer = task.answer if isinstance(task.answer, list) else [str(task.answer)]
        return [f"Answer: {', '.join(answer) or 'none'}"]
