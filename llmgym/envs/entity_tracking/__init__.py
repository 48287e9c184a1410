"""Entity tracking: who and what is where, after all that has happened."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from llmgym.env import Episode, ToolEnv
from llmgym.envs.entity_tracking.problems import Problems
from llmgym.envs.entity_tracking.replies import says
from llmgym.messages import Message
from llmgym.rewards import Reward
from llmgym.tasks import Task, TaskSet, schema_of_row
from llmgym.verifiers import lists

_MOST_OPTIONS = 100  # of a row


class EntityTracking(ToolEnv):
    r"""Say who and what is where, after a story of moves.

    ## Description

    A story tells where people, containers and things are, and what happens to them: people go to other rooms with
    what they have, put things into containers and take them out, hand them over, carry containers, empty them into
    each other, change places; with `conditions`, where they go depends on where others are. Sentences in which nothing
    moves stand between. Then comes a question: the rooms of three things, people or containers, who or what has each
    of three things, the rooms that these were in before or at first, or all things in a place. The three are in three
    places, so that one name for all is never right. With several rounds, each reply is followed by more of the story
    and another question, which needs all of what was told before.

    ## Actions

    Text with the answer: a name for each that was asked for, in the order of the question. There are no tools.

    ## Observations

    The story and its question; after each reply but the last, what happens next and another question. Whether an answer
    was right is not told.

    ## Rewards

    1 where the answers of all rounds are right, else 0. A reply gives the names in the order of the question ("Answer:
    the kitchen, the attic, the cellar") or each with what it is for ("The key is in the kitchen, ..."), and no others;
    of a question for all things, it lists them all and no others, in any order. Text in `<think>` never counts.

    Metrics: `right` (the share of rounds that were answered rightly).

    ## Episode End

    Terminates with the reply to the last question, or with a first message that calls a tool, since there is none.

    ## Arguments

    - `events` (20): what happens before each question, 1 to 2000; more where there would be nothing to ask yet.
    - `size` (8): rooms of the story, 3 to 17; it has as many things, and about half as many people and containers.
    - `rounds` (1): questions, 1 to 20; `max_turns` must be as many.
    - `distractors` (0.2): how often a sentence in which nothing moves follows another one, 0 to 0.9.
    - `conditions` (False): where people go depends on where others are.
    - `tasks`: a file of rows with `prompt`, `answer` and `options`: the names among which that of the answer is, or
      those of a list in the order that the prompt asks for. Without `options`, the answer is a list in any order.

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
        'Think first if you like, and end with "Answer:" and the answer alone: all names that are asked for, with '
        "commas between them."
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
        names = [answer] if isinstance(answer, str) else answer
        if not options and names is answer:
            lists.prove(names)
        elif not (2 <= len(options) <= _MOST_OPTIONS and names and all(name in options for name in names)):
            raise ValueError(f"answer {answer!r:.100} is not among 2 to {_MOST_OPTIONS} options: {options!r:.200}")
        return Task(
            id=row.get("id", ""),
            prompt=prompt,
            answer=[names],
            metadata={"questions": [{"asked": [], "options": list(options)}], "later": []},
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
                    "description": "The name that is right, or those of a list: of the options, in their order; "
                    "without options, in any order.",
                },
                "options": {"anyOf": [{**names, "maxItems": _MOST_OPTIONS}, {"type": "null"}]},
            },
            required=["prompt", "answer"],
        )

    def setup(self, task: Task) -> None:
        """Begin with the first question."""
        self.verdicts: list[bool] = []

    def respond(self, message: Message) -> str | None:
        """Take the answer to a question, and go on with the story."""
        assert self.task is not None
        reply, at = str(message["content"] or ""), len(self.verdicts)
        answer, question = self.task.answer[at], self.task.metadata["questions"][at]
        right = says(reply, answer, **question) if question["options"] else bool(lists.check(reply, answer))
        self.verdicts.append(right)
        later = self.task.metadata["later"]
        return later[len(self.verdicts) - 1] if len(self.verdicts) <= len(later) else None

    def verify(self, episode: Episode) -> Reward:
        """See that every answer was right."""
        asked = len(episode.task.answer)
        right = sum(self.verdicts)
        return Reward(correct=float(right == asked), metrics={"right": right / asked})

    def oracle(self, task: Task) -> list[str]:
        """Answer each question."""
        return [f"Answer: {', '.join(answer)}" for answer in task.answer]
