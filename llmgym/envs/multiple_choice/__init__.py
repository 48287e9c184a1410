"""Multiple choice: one question, lettered options, one reply."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from llmgym.env import Episode, ToolEnv
from llmgym.envs.multiple_choice.questions import Questions
from llmgym.envs.multiple_choice.rows import read_row
from llmgym.envs.multiple_choice.schema import row_schema
from llmgym.errors import ConfigError
from llmgym.messages import Message
from llmgym.rewards import Reward
from llmgym.tasks import Task, TaskSet
from llmgym.verifiers.choices import GRADINGS, extract, extract_pattern

_INSTRUCTIONS = {
    "boxed": "Think first if you like, then put the letter of the right option in \\boxed{}.",
    "answer": 'Think first if you like. End with "Answer:" and the letter of the right option.',
    "lenient": "Reply with the letter of the right option.",
}


class MultipleChoice(ToolEnv):
    r"""Choose the right one of some lettered options.

    ## Description

    One question, one reply. Questions are generated from facts and rules that belong to the package:
    arithmetic, comparison, sequences, spelling, alphabet, calendar, clock, units, percentages,
    capitals, chemical elements, opposites and kinds of things. Wrong options are of the same sort as the
    right one, which stands at each letter equally often. Questions of your own come from a file.

    ## Actions

    Text. There are no tools.

    ## Observations

    The question, the options with their letters, and how the reply is to name one.

    ## Rewards

    1 where the reply chooses the right option, else 0. How the choice is read depends on `grading`:

    - `boxed`: the last `\boxed{B}`; a capital letter, with the text of its option at most.
    - `answer`: the last thing that the reply states: "Answer: B" with any Markdown, "the answer is B", "the correct
      option is B", a box, or a tag `<answer>`; a letter, a letter and text, or the text of one option.
    - `lenient`: that, else what it claims in other words ("I choose B", "so it is B", "B is right", "B" as a line),
      where all claims agree; else the one option that it names.

    Thoughts (`<think>`) never count, nor does what is taken back ("No, wait"). What is denied ("not A", "A is wrong"),
    supposed, asked or hedged ("maybe A") is not chosen, and what could mean several options ("A or B", the letter of
    one with the text of another, a list of them) is no choice. The words are English ones; for other languages there
    are boxes, tags, lines that are an option, and `pattern`. No rule depends on which letter the option has.

    Metrics: `answered` (1 where a choice could be read).

    ## Episode End

    Terminates with the first message (truncates where it calls a tool, since there is none).

    ## Arguments

    - `grading` ("answer"): "boxed", "answer" or "lenient".
    - `pattern` (None): a regular expression that reads the choice instead; the first group of its last match
      is a letter or the text of an option. It is tried on the last 8,000 characters of a reply.
    - `instruction` (None): how the reply is asked for; by default what `grading` needs, and nothing for
      a `pattern`.
    - `num_options` (4): options of a generated question, 2 to 10.
    - `subjects` (all): sorts of generated questions, named in `llmgym.envs.multiple_choice.questions.SUBJECTS`.
    - `tasks`: a file of rows; a row has `question`, `options` (a list, or an object of letters and
      texts) and `answer` (letter, text, or zero-based index), and may have `id`, `split` and `metadata`. The
      names `prompt`, `choices`, `answerKey` and `expected_answer` are understood too, and a `grading` of its own. So
      are rows of NeMo Gym's `mcqa`, with `responses_create_params`: their prompts stay as they are, and `grading_mode`
      and `template_metadata.output_regex` go before `grading` and `pattern`. A row has 2 to 26 options.

    ## Registered Variants

    - `llmgym/MultipleChoice-v0`: four options, "Answer: B".
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
    row_schema = staticmethod(row_schema)

    def opening(self, task: Task) -> list[Message]:
        """The question, with the instruction added to its last message where the row does not ask by itself."""
        messages = super().opening(task)
        if isinstance(task.prompt, str) and (instruction := self._instruction(task)):
            messages[-1]["content"] += f"\n\n{instruction}"
        return messages

    def _instruction(self, task: Task) -> str:
        grading, patterns = self._way(task)
        if "read_by" not in task.metadata or (grading, patterns) == (self.grading, []):
            return self.instruction
        return "" if patterns else _INSTRUCTIONS.get(grading, _INSTRUCTIONS["boxed"])

    def verify(self, episode: Episode) -> Reward:
        """Compare the option that the reply chooses with the answer."""
        chosen = self._chosen(episode.task, episode.final_text)
        right = chosen is not None and chosen == episode.task.answer
        return Reward(correct=float(right), metrics={"answered": float(chosen is not None)})

    def _chosen(self, task: Task, reply: str) -> str | None:
        """The letter that a reply chooses; what a row's own patterns cannot read its grading reads, as in NeMo Gym."""
        options = task.metadata["options"]
        grading, patterns = self._way(task)
        for pattern in patterns:
            if letter := extract_pattern(reply, options, pattern):
                return letter
        return None if patterns and "read_by" not in task.metadata else extract(reply, options, grading)

    def oracle(self, task: Task) -> list[str]:
        """Name the right option in the way that is read."""
        grading, patterns = self._way(task)
        for pattern in patterns:
            if reply := _matching(task, pattern):
                return [reply]
        if patterns and "read_by" not in task.metadata:
            raise NotImplementedError(f"no usual form of an answer fits the pattern {patterns[0].pattern!r}")
        form = {"answer": "Answer: {}", "lenient": "{}"}.get(grading, "\\boxed{{{}}}")
        return [form.format(task.answer)]

    def _way(self, task: Task) -> tuple[str, list[re.Pattern[str]]]:
        """Grading and patterns of a task: those of its row, else those of the environment."""
        read_by = task.metadata.get("read_by")
        if read_by is None:
            return self.grading, [] if self.pattern is None else [self.pattern]
        patterns = [re.compile(pattern, re.IGNORECASE) for pattern in read_by.get("patterns", ())]
        return read_by.get("grading", self.grading), patterns


def _matching(task: Task, pattern: re.Pattern[str]) -> str | None:
    """A reply that a pattern reads: its own words around the group, or one of the usual forms; None where none fits."""
    options = task.metadata["options"]
    before, _, after = re.sub(r"\(\?[!=<][^()]*\)", "", pattern.pattern).partition("(")
    own = [_spoken(before), _spoken(after.partition(")")[2])]
    usual = (
        "{}",
        "Answer: {}",
        "Final answer: {}",
        "The answer is {}.",
        "\\boxed{{{}}}",
        "<answer>{}</answer>",
        "({})",
    )
    for reply in (task.answer.join(own), *(form.format(task.answer) for form in usual)):
        if extract_pattern(reply, options, pattern) == task.answer:
            return reply
    return None


def _spoken(pattern: str) -> str:
    """What the plain words of a pattern stand for; blanks where it allows some."""
    return re.sub(r"\\(\W)", r"\1", re.sub(r"\\s[*+?]?", " ", pattern))
