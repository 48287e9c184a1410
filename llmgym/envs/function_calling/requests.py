"""Tasks: what a user wants, the tools that are offered, and the calls that are right."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from llmgym.envs.function_calling.operations import OPERATIONS
from llmgym.envs.function_calling.wishes import KINDS, Wish, Wishes
from llmgym.envs.kinds import Rng, pick, some
from llmgym.errors import ConfigError
from llmgym.tasks import Task

_OPENINGS = ("", "", "Hello. ", "Could you help me? ", "Here is what I need: ", "A quick request. ")
_LISTS = ("Please do all of this:", "I have several wishes:", "There is more than one thing to do:")
_RECEIPTS = (
    "When it is done, tell me the confirmation code of the last step.",
    "End with the confirmation code that the last call gave.",
    "I also want to know the confirmation code of what you did last.",
)
_ENDING = (
    'When you are through, end your last message with the line "Not done: " and the numbers of the wishes that no tool '
    'can grant, or "Not done: none".'
)


@dataclass(frozen=True, slots=True)
class Requests:
    """A generator of tasks.

    Attributes:
        wishes: Fewest and most wishes.
        kinds: Of `KINDS`.
        tools: How many tools are offered, at least where so many are not needed.
        near: Whether most other tools are about the same kinds of things.
    """

    wishes: tuple[int, int]
    kinds: tuple[str, ...]
    tools: int
    near: bool

    def __post_init__(self) -> None:
        """Check the fields."""
        if not 1 <= self.wishes[0] <= self.wishes[1] <= 6 or not 1 <= self.tools <= 64:
            raise ConfigError(f"wishes is {list(self.wishes)} and tools is {self.tools}; 1 to 6, and 1 to 64")
        if unknown := [kind for kind in self.kinds if kind not in KINDS]:
            raise ConfigError(f"{unknown[0]!r} is no kind of wish; there is {', '.join(KINDS)}")
        if not {"single", "chain"}.intersection(self.kinds):
            raise ConfigError(f"kinds is {list(self.kinds)}; it needs 'single' or 'chain'")

    def __call__(self, rng: Rng) -> Task:
        """Make a task."""
        source = Wishes(rng)
        wishes = [source.make(kind) for kind in self._kinds(rng)]
        if len(wishes) == 1:
            prompt = f"{pick(rng, _OPENINGS)}{wishes[0].text} {pick(rng, _RECEIPTS)}"
        else:
            lines = [f"{at + 1}. {wish.text}" for at, wish in enumerate(wishes)]
            prompt = "\n".join([f"{pick(rng, _OPENINGS)}{pick(rng, _LISTS)}", *lines, "", _ENDING])
        asked = next((wish for wish in wishes if wish.reply), None)
        return Task(
            prompt=prompt,
            answer={
                "calls": [call for wish in wishes for call in wish.calls],
                "not_done": [at + 1 for at, wish in enumerate(wishes) if wish.kind == "impossible"]
                if len(wishes) > 1
                else None,
            },
            metadata={
                "tools": self._offered(rng, wishes),
                "confirmations": {call["name"]: source.code() for wish in wishes for call in wish.calls},
                "things": source.things,
                "plan": [wish.steps for wish in wishes if not wish.reply],
                "asked": asked and {"what": asked.missing, "reply": asked.reply, "plan": asked.steps},
            },
        )

    def _kinds(self, rng: Rng) -> list[str]:
        """Kinds of wishes, of which one can be granted at once; few need anything more."""
        count = int(rng.integers(self.wishes[0], self.wishes[1] + 1))
        free = [kind for kind in self.kinds if kind in ("single", "chain")]
        rare = [kind for kind in self.kinds if kind not in free and (kind == "missing" or count > 1)]
        some_rare = [kind for kind in some(rng, rare, len(rare)) if rng.random() < 0.4][
            : count if count == 1 else count - 1
        ]
        kinds = [*some_rare, *(pick(rng, free) for _ in range(count - len(some_rare)))]
        return some(rng, kinds, count)

    def _offered(self, rng: Rng, wishes: list[Wish]) -> list[str]:
        """Names of tools: those that are needed, and others, but none for what is impossible."""
        needed = dict.fromkeys(name for wish in wishes if wish.kind != "impossible" for name in wish.uses)
        barred = {name for wish in wishes if wish.kind == "impossible" for name in wish.uses}
        about = {OPERATIONS[name].entity.word for wish in wishes for name in wish.uses}

        def others(near: bool) -> Iterable[str]:
            names = [name for name, one in OPERATIONS.items() if (one.entity.word in about) is near]
            return (name for name in some(rng, names, len(names)) if name not in needed and name not in barred)

        more = [*(others(near=True) if self.near else ()), *others(near=False)]
        names = [*needed, *more[: max(0, self.tools - len(needed))]]
        return some(rng, names, len(names))
