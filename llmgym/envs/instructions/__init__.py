"""Instructions: write about something, and keep to rules that a program can check."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, get_args

from llmgym.env import Episode, ToolEnv
from llmgym.envs.instructions.requests import Requests
from llmgym.envs.instructions.rows import read_row, row_schema
from llmgym.envs.instructions.writing import write
from llmgym.errors import ConfigError
from llmgym.loading import expect_modules
from llmgym.rewards import Reward
from llmgym.tasks import Task, TaskSet
from llmgym.verifiers import instructions as verifier


class Instructions(ToolEnv):
    """Write about something, and keep to rules that a program can check.

    ## Description

    The user asks for a text on one of 30 topics, of a length within two limits, and gives one to four instructions of
    the families of IFEval: words to use or to avoid, numbers of paragraphs, sentences or bullet points, a language, a
    title, JSON, capital letters, no commas, the words at the end. All 25 families occur, and only instructions that can
    be followed together are given. Among them is always one that a reply to another task does not follow, and one that
    the prompt itself does not.

    What the text says about its topic is not checked.

    ## Actions

    One message, the text. There are no tools.

    ## Observations

    The request.

    ## Rewards

    1 where the length is within its limits and every instruction is followed, else 0; with `score="share"` the share
    that is followed, each limit of the length being one instruction. Words are counted as runs of letters and digits.
    Text in `<think>` is not part of the reply. The page on verifiers says what each family counts.

    Metrics: each instruction by its id, 1 where it is followed; a second one of a kind ends in `#` and its place.

    ## Episode End

    Terminates with the first message.

    ## Arguments

    - `instructions` ([2, 3]): fewest and most instructions besides the length, 1 to 4. Where a single one would leave a
      task too easy to meet by chance, there are two.
    - `words` ([50, 100]): least and greatest lower limit of the length, which is a multiple of 5.
    - `slack` (2.0): the upper limit, as a multiple of the lower one.
    - `families` (None): ids of the instructions that may be given; all by default.
    - `score` ("all"): "all", or "share" for partial credit.
    - `mode` ("strict"): "loose" also takes the reply without its first line, its last line or both, and without stars.
    - `rules` ("llmgym"): "google" decides as the benchmark's own code.
    - `tasks`: a file of rows of IFEval (`prompt`, `instruction_id_list`, `kwargs`) or of NeMo Gym's
      `instruction_following`, whose `grading_mode` goes before `score`. Rows with instructions that are none of
      IFEval's are refused. On rows the oracle does what it can: some ask for what cannot be followed together.

    ## Registered Variants

    - `llmgym/Instructions-v0`: two or three instructions, texts from 50 to 200 words.
    - `llmgym/Instructions-easy-v0`: one or two instructions of eleven families, texts from 15 to 90 words.
    - `llmgym/Instructions-hard-v0`: four instructions, texts from 100 to 255 words, within narrower limits.

    ## Version History

    - v0: first version.
    """

    max_turns = 1

    def __init__(
        self,
        *,
        instructions: Sequence[int] = (2, 3),
        words: Sequence[int] = (50, 100),
        slack: float = 2.0,
        families: Sequence[str] | None = None,
        score: verifier.Score = "all",
        mode: verifier.Mode = "strict",
        rules: verifier.Rules = "llmgym",
        tasks: TaskSet | str | Path | None = None,
        **options: Any,
    ) -> None:
        """Make the environment.

        Args:
            instructions: Fewest and most instructions besides the length.
            words: Least and greatest lower limit of the length.
            slack: The upper limit, as a multiple of the lower one.
            families: Ids of the instructions that may be given; all by default.
            score: What partly followed instructions earn.
            mode: Whether the reply is taken as it is.
            rules: Who decides.
            tasks: Other tasks.
            **options: Passed to `ToolEnv`.

        Raises:
            ConfigError: An argument is out of range.
        """
        for name, value, known in (
            ("score", score, verifier.Score), ("mode", mode, verifier.Mode), ("rules", rules, verifier.Rules),
        ):  # fmt: skip
            if value not in get_args(known):
                raise ConfigError(f"{name} is {value!r}; it is {' or '.join(get_args(known))}")
        if len(instructions) != 2 or len(words) != 2:
            raise ConfigError(f"instructions is {instructions} and words is {words}; each is a pair of numbers")
        self.score: verifier.Score = score
        self.mode: verifier.Mode = mode
        self.rules: verifier.Rules = rules
        requests = Requests(
            (instructions[0], instructions[1]),
            (words[0], words[1]),
            slack,
            None if families is None else tuple(families),
        )
        expect_modules("Instructions", "verifiers", "py3langid")
        super().__init__(tasks=TaskSet.generated(requests) if tasks is None else tasks, **options)

    read_row = staticmethod(read_row)
    row_schema = staticmethod(row_schema)

    def verify(self, episode: Episode) -> Reward:
        """See which instructions the text follows."""
        task = episode.task
        score: verifier.Score = task.metadata.get("score", self.score)
        return verifier.check(episode.final_text, task.answer, rules=self.rules, mode=self.mode, score=score).reward

    def oracle(self, task: Task) -> Iterator[str]:
        """Write a text of stock sentences that follows the instructions."""
        yield write(task.answer)
