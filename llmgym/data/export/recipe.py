"""What an export is to be: for which trainer, of what kind, and how episodes become rows of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args

from llmgym.errors import ConfigError

Kind = Literal["sft", "dpo", "grpo", "kto", "reward-model"]
Trainer = Literal["trl", "verl", "openrlhf", "nemo-rl", "generic"]
Form = Literal["tokens", "messages"]
MalformedCalls = Literal["drop", "text"]
Turns = Literal["all", "last"]

KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
TRAINERS: Final[tuple[Trainer, ...]] = get_args(Trainer)

#: The kinds that a trainer has, and is known to read.
SUPPORTED: Final[dict[Trainer, tuple[Kind, ...]]] = {
    "trl": KINDS,
    "verl": ("sft", "grpo"),
    "openrlhf": ("sft", "dpo", "grpo", "reward-model"),
    "nemo-rl": ("sft", "dpo", "grpo", "reward-model"),
    "generic": KINDS,
}

#: Those whose supervised training takes tokens as they were sampled.
TAKE_TOKENS: Final[frozenset[Trainer]] = frozenset({"trl", "verl"})


@dataclass(frozen=True, slots=True)
class Recipe:
    """How episodes become rows.

    Attributes:
        kind: What is trained.
        trainer: Who reads the rows; "generic" is for a loader of one's own.
        form: Of "sft": the exact tokens that were sampled, or messages that a template renders anew. None takes tokens
            where the trainer can.
        malformed_calls: Calls whose arguments are no JSON object, which templates cannot render: leave out what has
            one, or write it as text into the message.
        pairs: Of "dpo" and "reward-model", for each group: so many of its best against as many of its worst, each
            episode once; None for all pairs.
        min_quality_difference: How far the rewards of a pair are apart at least.
        turns: Of "kto": a row for each reply of an episode, or for its last.
        threshold: Of "kto": reward from which an episode's replies are desirable.
    """

    kind: Kind
    trainer: Trainer
    form: Form | None = None
    malformed_calls: MalformedCalls = "drop"
    pairs: int | None = 1
    min_quality_difference: float = 0.0
    turns: Turns = "all"
    threshold: float = 1.0

    def __post_init__(self) -> None:
        """See that there is such an export.

        Raises:
            ConfigError: There is none; says what there is.
        """
        for what, value, known in (("export", self.kind, KINDS), ("trainer", self.trainer, TRAINERS)):
            if value not in known:
                raise ConfigError(f"there is no {what} {value!r}; there is {', '.join(known)}")
        if self.kind not in SUPPORTED[self.trainer]:
            able = ", ".join(trainer for trainer in TRAINERS if self.kind in SUPPORTED[trainer])
            raise ConfigError(f"{self.trainer} takes no data for {self.kind!r}; it is for {able}")
        if self.form == "tokens" and (self.kind != "sft" or self.trainer not in TAKE_TOKENS):
            raise ConfigError(f"tokens are for sft with trl and verl, not for {self.kind} with {self.trainer}")
        if self.pairs is not None and self.pairs < 1:
            raise ConfigError(f"pairs is {self.pairs}; at least 1, or all")

    @property
    def tokens(self) -> bool:
        """Whether rows are tokens."""
        return self.form == "tokens" or (self.form is None and self.kind == "sft" and self.trainer in TAKE_TOKENS)

    @property
    def unit(self) -> Literal["episode", "pair", "group"]:
        """What a row, or several, are made of."""
        if self.kind in ("dpo", "reward-model") and (self.kind, self.trainer) != ("reward-model", "generic"):
            return "pair"
        return "group" if self.kind == "grpo" and self.trainer != "generic" else "episode"
