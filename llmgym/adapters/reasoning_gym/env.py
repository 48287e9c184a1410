"""Questions of reasoning-gym as an environment of one turn."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from itertools import pairwise
from typing import Any, Literal

import numpy as np

from llmgym.adapters.packages import expect_packages
from llmgym.adapters.reasoning_gym.entries import Key, dataset_of, make
from llmgym.adapters.reasoning_gym.scoring import score
from llmgym.adapters.reasoning_gym.solutions import solve
from llmgym.adapters.reasoning_gym.table import DATASETS, REFUSED, SLOW
from llmgym.adapters.splitting import SplitTasks, split_of
from llmgym.env import Episode, ToolEnv
from llmgym.errors import ConfigError
from llmgym.rewards import Reward
from llmgym.tasks import Task
from llmgym.verifiers.text import without_thoughts

_TAG = re.compile("<(/?)answer>", re.IGNORECASE)


class ReasoningGym(ToolEnv):
    """Questions of reasoning-gym's generators.

    ## Description

    reasoning-gym has about a hundred generators of questions in one turn: arithmetic, algebra, geometry, logic, graphs,
    puzzles, code, grids. A task is an entry of one of them; it holds the key that the entry is made of, and no answer.

    ## Actions

    A text with the answer in `<answer>` tags, of which the last one counts. The end of the tag may be missing, as where
    it is a stop string. Without a tag the whole text is the answer.

    ## Observations

    The question, as the package words it, after a system prompt about the tags.

    ## Rewards

    1 for an answer that the package pays in full, else 0. With `scoring="partial"` what it pays, which for some
    datasets is a share for an answer that is partly right. Some scorers are replaced: those that pay wrong answers, and
    those that run the answer as code. `docs/audits.md` lists them.

    Metrics: `score` (what is paid in part, whatever `scoring` says), `tagged` (1 where there was a tag).

    ## Episode End

    Terminates with the first message.

    ## Arguments

    - `dataset` (None): a name of reasoning-gym such as "letter_counting", a list of them, of which a task has any, or
      None for all but the slowest.
    - `config` (None): settings of the dataset, such as `{"max_words": 5}`, where there is one.
    - `scoring` ("full"): or "partial".

    ## Registered Variants

    - `llmgym/ReasoningGym-v0`: a dataset by chance, of all but the slowest.
    - `llmgym/ReasoningGym-lettercounting-v0` and so on: one dataset, by its name without underscores.

    ## Version History

    - v0: reasoning-gym 0.1.25.
    """

    max_turns = 1
    verify_from = "transcript"
    system_prompt = (
        "Answer the question. Think first if that helps, then give the final answer, and nothing else, in a tag: "
        "<answer>...</answer>. Keep to the format that the question asks for."
    )

    def __init__(
        self,
        *,
        dataset: str | Sequence[str] | None = None,
        config: Mapping[str, Any] | None = None,
        scoring: Literal["full", "partial"] = "full",
        **options: Any,
    ) -> None:
        """Make the environment.

        Args:
            dataset: One dataset, several, or None for all.
            config: Settings of the dataset, where there is one.
            scoring: "full" pays 1 for what the package pays in full, and else nothing; "partial" what it pays.
            **options: Passed to `ToolEnv`.

        Raises:
            MissingExtraError: reasoning-gym is not installed.
            ConfigError: An argument makes no sense.
        """
        expect_packages("ReasoningGym", "reasoning-gym", "reasoning_gym")
        names = (dataset,) if isinstance(dataset, str) else tuple(dataset or (n for n in DATASETS if n not in SLOW))
        for name in names:
            if name in REFUSED:
                raise ConfigError(f"the dataset {name!r} of reasoning-gym cannot be made right: {REFUSED[name]}")
            if name not in DATASETS:
                raise ConfigError(f"no dataset {name!r}; there is {', '.join(DATASETS)}")
        if scoring not in ("full", "partial"):
            raise ConfigError(f"scoring must be 'full' or 'partial'; it is {scoring!r}")
        if config and len(names) > 1:
            raise ConfigError("config is for one dataset; name it")
        self.partial = scoring == "partial"
        self.config = dict(config or {})
        options.setdefault("tasks", entries(names, self.config))
        super().__init__(**options)

    def verify(self, episode: Episode) -> Reward:
        """Score the answer."""
        key, entry = self._entry(episode.task)
        text = without_thoughts(episode.final_text)
        tagged = _tagged(text)
        answer = text if tagged is None else tagged
        earned = score(dataset_of(key.dataset, self.config), key.dataset, answer.strip(), entry)
        right = earned if self.partial else float(earned >= 1.0)
        return Reward(correct=right, metrics={"score": earned, "tagged": float(tagged is not None)})

    def oracle(self, task: Task) -> list[str]:
        """Give the right answer."""
        key, entry = self._entry(task)
        return [f"<answer>{solve(key.dataset, entry)}</answer>"]

    def _entry(self, task: Task) -> tuple[Key, dict[str, Any]]:
        key = Key(**task.metadata)
        return key, make(key, self.config)


def _tagged(text: str) -> str | None:
    """What the last pair of tags holds, else what follows a tag that is open, as a stop string at its end leaves it."""
    tags = list(_TAG.finditer(text))
    pairs = [text[start.end() : end.start()] for start, end in pairwise(tags) if not start[1] and end[1]]
    if pairs:
        return pairs[-1]
    return text[tags[-1].end() :] if tags and not tags[-1][1] else None


def entries(names: Sequence[str], config: Mapping[str, Any]) -> SplitTasks:
    """Entries of some datasets, by a random key each; a question is in one split, whatever it was made from.

    Args:
        names: The datasets.
        config: Settings of the dataset, where there is one.
    """
    return SplitTasks(partial(_draw, tuple(names), dict(config)), "reasoning-gym")


def _draw(names: Sequence[str], config: Mapping[str, Any], rng: np.random.Generator, split: str) -> Task | None:
    key = Key.of(names[int(rng.integers(len(names)))], int(rng.integers(2**62)))
    slow = key.dataset in SLOW  # whose questions do not come twice, so that their keys are enough
    if slow and split_of(key.seed, key.index) != split:
        return None
    try:
        question = make(key, config)["question"]
    except (RuntimeError, ValueError):  # maze and countdown find nothing for some keys
        return None
    return Task(prompt=question, metadata=asdict(key)) if slow or split_of(question) == split else None
