"""Entity tracking: who and what is where, after all that has happened."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from llmgym.env import Episode, ToolEnv
from llmgym.envs.entity_tracking.problems import MOST_OPTIONS, Problems
from llmgym.envs.entity_tracking.world import is_name
from llmgym.messages import Message
from llmgym.rewards import Reward
from llmgym.tasks import Task, TaskSet, schema_of_row
from llmgym.verifiers import choices, lists
from llmgym.verifiers.base import Verdict, wrong
from llmgym.verifiers.strings import normalised
from llmgym.verifiers.text import without_thoughts

_LONGEST = 400  # characters of an answer that nothing marks as one
_LETTERS = "JKLMNOPQRSTUVWXYZ"  # neither "A" nor "I", which are words


class EntityTracking(ToolEnv):
    r"""Say who and what is where, after a story of moves.

    ## Description

    A story tells where people, containers and things are, and what happens to them: people go to other rooms with
    what they have, put things into containers and take them out, hand them over, carry containers, empty them into
    each other, change places; with `conditions`, where they go depends on where others are. Sentences in which nothing
    moves stand between. Then comes a question: the room, the container or the person that has a thing, the room that
    it was in before or at first, the room of somebody, or all things in a place. With several rounds, each reply is
    followed by more of the story and another question, which needs all of what was told before.

    ## Actions

    Text with the answer. There are no tools.

    ## Observations

    The story and its question; after each reply but the last, what happens next and another question. Whether an answer
    was right is not told.

    ## Rewards

    1 where the answers of all rounds are right, else 0. A reply names one of the rooms, containers or people of the
    story as its answer ("Answer: the kitchen", a box, or a short reply such as "It is in the kitchen"), and no second
    one beside it; of a question for all things, it lists them all and no others, in any order. Text in `<think>` never
    counts.

    Metrics: `right` (the share of rounds that were answered rightly).

    ## Episode End

    Terminates with the reply to the last question, or with a first message that calls a tool, since there is none.

    ## Arguments

    - `events` (20): what happens before each question, 1 to 2000.
    - `size` (8): rooms of the story, 3 to 17; it has as many things, and about half as many people and containers.
    - `rounds` (1): questions, 1 to 20; `max_turns` must be as many.
    - `distractors` (0.2): how often a sentence in which nothing moves follows another one, 0 to 0.9.
    - `conditions` (False): where people go depends on where others are.
    - `tasks`: a file of rows with `prompt`, `answer` and `options`: names of which the answer is one, 17 at most, or
      none where the answer is a list of names.

    ## Registered Variants

    - `llmgym/EntityTracking-v0`: twenty events among eight rooms.
    - `llmgym/EntityTracking-easy-v0`: three events among six rooms.
    - `llmgym/EntityTracking-turns-v0`: five rounds of eight events.
    - `llmgym/EntityTracking-hard-v0`: a hundred and twenty events among sixteen rooms, some of which depend on others.

    ## Version History

    - v0: first version.
    """

    max_turns = 1
    system_prompt = (
        "Read what happens and answer the question. People take along what they have, and containers what is in them. "
        'Think first if you like, and end with "Answer:" and the answer alone.'
    )

    def __init__(
        self,
        *,
        events: int = 20,
        size: int = 8,
        rounds: int = 1,
        distractors: float = 0.2,
        conditions: bool = False,
        tasks: TaskSet | str | Path | None = None,
        **options: Any,
    ) -> None:
        """Make the environment.

        Args:
            events: What happens before each question.
            size: Rooms of the story.
            rounds: Questions.
            distractors: How often a sentence in which nothing moves follows another one.
            conditions: Where people go depends on where others are.
            tasks: Other stories.
            **options: Passed to `ToolEnv`.

        Raises:
            ConfigError: An argument is out of range.
        """
        problems = Problems(events, size, rounds, distractors, conditions)
        super().__init__(tasks=TaskSet.generated(problems) if tasks is None else tasks, **options)

    @staticmethod
    def read_row(row: dict[str, Any]) -> Task:
        """Make the task of a row with a question and the names among which the answer is."""
        prompt, answer, options = row["prompt"], row["answer"], row.get("options") or []
        if not (isinstance(prompt, str) and prompt.strip()):
            raise ValueError(f"the prompt must be text, this is {prompt!r:.100}")
        if isinstance(answer, str):
            if not 2 <= len(options) <= MOST_OPTIONS or answer not in options:
                raise ValueError(f"answer {answer!r:.100} is not one of 2 to {MOST_OPTIONS} options: {options!r:.200}")
        else:
            lists.prove(answer)
        return Task(
            id=str(row.get("id") or ""),
            prompt=prompt,
            answer=[answer],
            metadata={"questions": [{"options": list(options)}], "later": []},
        )

    @staticmethod
    def row_schema() -> dict[str, Any]:
        """The JSON Schema of a row with a question and the names among which the answer is."""
        names = {"type": "array", "items": {"type": "string"}}
        return schema_of_row(
            "A story of EntityTracking",
            {
                "prompt": {"type": "string", "description": "The story and the question."},
                "answer": {
                    "anyOf": [{"type": "string"}, {**names, "minItems": 1}],
                    "description": "The name that is right, one of the options; or all names of a list.",
                },
                "options": {"anyOf": [{**names, "maxItems": MOST_OPTIONS}, {"type": "null"}]},
            },
            required=["prompt", "answer"],
        )

    def setup(self, task: Task) -> None:
        """Begin with the first question."""
        self.verdicts: list[bool] = []

    def respond(self, message: Message) -> str | None:
        """Take the answer to a question, and go on with the story."""
        assert self.task is not None
        self.verdicts.append(bool(_read(self.task, len(self.verdicts), str(message["content"] or ""))))
        later = self.task.metadata["later"]
        return later[len(self.verdicts) - 1] if len(self.verdicts) <= len(later) else None

    def verify(self, episode: Episode) -> Reward:
        """See that every answer was right."""
        asked = len(episode.task.answer)
        right = sum(self.verdicts)
        return Reward(correct=float(right == asked), metrics={"right": right / asked})

    def oracle(self, task: Task) -> list[str]:
        """Answer each question."""
        return [f"Answer: {answer if isinstance(answer, str) else ', '.join(answer)}" for answer in task.answer]


def _read(task: Task, at: int, reply: str) -> Verdict:
    """Whether a reply answers a question rightly."""
    answer, options = task.answer[at], task.metadata["questions"][at]["options"]
    if not isinstance(answer, str):
        return lists.check(reply, answer)
    part = lists.stated(without_thoughts(reply))
    if len(part) > _LONGEST or normalised(answer) not in normalised(part):  # a letter is no answer: the story has none
        return wrong()
    if sum(map(is_name, set(lists.read(part)))) > 1:
        return wrong("several names")
    named = dict(zip(_LETTERS, options, strict=False))
    letter = _LETTERS[options.index(answer)]
    return choices.check(part, letter, options=named, grading="lenient")
