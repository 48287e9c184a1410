"""Multiple choice: one question, lettered options, one reply."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from llmgym.env import Episode, ToolEnv
from llmgym.envs.multiple_choice.extraction import GRADINGS, extract, extract_pattern
from llmgym.envs.multiple_choice.questions import Questions
from llmgym.envs.multiple_choice.rows import read_row
from llmgym.errors import ConfigError
from llmgym.messages import Message
from llmgym.rewards import Reward
from llmgym.tasks import Task, TaskSet

_INSTRUCTIONS = {
    "boxed": "Think first if you like, then put the letter of the right option in \\boxed{}.",
    "answer": 'Think first if you like, then end with a line "Answer: X", where X is the letter of the right option.',
    "lenient": "Reply with the letter of the right option.",
}


class MultipleChoice(ToolEnv):
    r"""Choose the right one of some lettered options.

    ## Description

    One question, one reply. Questions are generated from facts and rules that belong to the package:
    arithmetic, comparison, sequences, spelling, alphabet, calendar, clock, units, percentages,
    capitals, chemical elements, opposites and kinds of things. Wrong options are of the same sort as the
    right one, which stands at each letter equally often. Questions of your own come from a JSONL file.

    ## Actions

    Text. There are no tools.

    ## Observations

    The question, the options with their letters, and how the reply is to name one.

    ## Rewards

    1 where the reply chooses the right option, else 0. How the choice is read depends on `grading`:

    - `boxed`: the last `\boxed{B}`; a letter alone, in parentheses or `\text{}` at most.
    - `answer`: the last line "Answer: B", with any Markdown; a letter, a letter and text, or the
      text of one option.
    - `lenient`: the last box, else such a line, else "the answer is B", else a reply that is nothing but a
      letter or an option, else the last capital letter that stands alone, else the one option whose text
      occurs in the reply.

    Metrics: `answered` (1 where a choice could be read).

    ## Episode End

    Terminates with the first message (truncates where it calls a tool, since there is none).

    ## Arguments

    - `grading` ("answer"): "boxed", "answer" or "lenient".
    - `pattern` (None): a regular expression that reads the choice instead; the first group of its last match
      is a letter or the text of an option.
    - `instruction` (None): how the reply is asked for; by default what `grading` needs, and nothing for
      a `pattern`.
    - `num_options` (4): options of a generated question, 2 to 10.
    - `subjects` (all): sorts of generated questions, named in `llmgym.envs.multiple_choice.questions.SUBJECTS`.
    - `tasks`: a JSONL file; a row has `question`, `options` (a list, or an object of letters and
      texts) and `answer` (letter, text, or zero-based index), and may have `id`, `split` and `metadata`. The
      names `prompt`, `choices`, `answerKey` and `expected_answer` are understood too.

    ## Registered Variants

    - `llmgym/MultipleChoice-v0`: four options, "Answer: X".
    - `llmgym/MultipleChoice-easy-v0`: three options, easy subjects, lenient grading.
    - `llmgym/MultipleChoice-hard-v0`: ten options, hard subjects, `\boxed{}`.

    ## Version History

    - v0: first version.
    """

    max_turns = 1

    def __init__(
        self,
        *,
        grading: Literal["boxed", "answer", "lenient"] = "answer",
        pattern: str | None = None,
        instruction: str | None = None,
        num_options: int = 4,
        subjects: Sequence[str] | None = None,
        tasks: TaskSet | str | Path | None = None,
        **options: Any,
    ) -> None:
        """Make the environment.

        Args:
            grading: How the choice is read out of the reply.
            pattern: Regular expression that reads the choice instead.
            instruction: How the reply is asked for.
            num_options: Options of a generated question.
            subjects: Sorts of generated questions; all by default.
            tasks: Other questions.
            **options: Passed to `ToolEnv`.

        Raises:
            ConfigError: An argument is out of range or unknown.
        """
        if grading not in GRADINGS:
            raise ConfigError(f"unknown grading {grading!r}; there is {', '.join(GRADINGS)}")
        try:
            self.pattern = None if pattern is None else re.compile(pattern)
        except re.error as error:
            raise ConfigError(f"pattern {pattern!r} is no regular expression: {error}") from None
        self.grading = grading
        if instruction is None:
            instruction = _INSTRUCTIONS[grading] if pattern is None else ""
        self.instruction = instruction
        questions = Questions(num_options, None if subjects is None else tuple(subjects))
        super().__init__(tasks=TaskSet.generated(questions) if tasks is None else tasks, **options)

    read_row = staticmethod(read_row)

    def opening(self, task: Task) -> list[Message]:
        """The question, with the instruction added to its last message."""
        messages = super().opening(task)
        if self.instruction:
            messages[-1]["content"] += f"\n\n{self.instruction}"
        return messages

    def verify(self, episode: Episode) -> Reward:
        """Compare the option that the reply chooses with the answer."""
        options, text = episode.task.metadata["options"], episode.final_text
        if self.pattern is None:
            chosen = extract(text, options, self.grading)
        else:
            chosen = extract_pattern(text, options, self.pattern)
        right = chosen is not None and chosen == episode.task.answer
        return Reward(correct=float(right), metrics={"answered": float(chosen is not None)})

    def oracle(self, task: Task) -> list[str]:
        """Name the right option in the way that the grading reads."""
        if self.pattern is not None:
            return [self._matching(task)]
        form = {"boxed": "\\boxed{{{}}}", "answer": "Answer: {}"}.get(self.grading, "{}")
        return [form.format(task.answer)]

    def _matching(self, task: Task) -> str:
        """A reply that the pattern reads: one of the usual forms, since no text can be made from a pattern alone."""
        assert self.pattern is not None
        options = task.metadata["options"]
        forms = (
            "{}",
            "Answer: {}",
            "Final answer: {}",
            "The answer is {}.",
            "\\boxed{{{}}}",
            "<answer>{}</answer>",
            "({})",
        )
        for form in forms:
            reply = form.format(task.answer)
            if extract_pattern(reply, options, self.pattern) == task.answer:
                return reply
        raise NotImplementedError(f"no usual form of an answer fits the pattern {self.pattern.pattern!r}")
