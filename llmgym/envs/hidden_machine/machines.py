"""Machines with hidden states: what they show, how a goal is found by trying, and the tasks that are made of both."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from llmgym.tasks import Task

LAMPS = ("red", "green", "blue", "white", "amber")
BUTTONS = "ABCDEFGH"
_LUCK = 0.005  # share of all sequences of buttons, at most, that reach the goal

_PROMPTS = (
    "A machine has the buttons {buttons}. It always starts in the same hidden state; each press lights one lamp and "
    "may change the state. Find buttons that light these lamps, in this order: {goal}.",
    "Here is a machine with the buttons {buttons} and a hidden state, which is the same at each start. A press lights "
    "a lamp, which depends on the state, and may change the state. Make it light: {goal}.",
    "Learn how this machine works. It has the buttons {buttons}; what lamp a press lights depends on a hidden state, "
    "which presses change. Each run starts anew. In the end it has to light {goal}, in this order.",
)
_BUDGET = " You may press {budget} buttons in experiments, and perform once."


@dataclass(frozen=True)
class Machine:
    """A Mealy machine that starts in state 0.

    Attributes:
        table: For each state and button, the next state and the lamp.
    """

    table: Sequence[Sequence[tuple[int, str]]]

    def run(self, buttons: Sequence[str]) -> list[str]:
        """The lamps that a run lights."""
        state, lamps = 0, list[str]()
        for button in buttons:
            state, lamp = self.table[state][BUTTONS.index(button)]
            lamps.append(lamp)
        return lamps

    def count(self, goal: Sequence[str]) -> int:
        """How many sequences of buttons light the lamps of a goal."""
        ways = {0: 1}
        for wanted in goal:
            after: dict[int, int] = {}
            for state, number in ways.items():
                for following, lamp in self.table[state]:
                    if lamp == wanted:
                        after[following] = after.get(following, 0) + number
            ways = after
        return sum(ways.values())

    def is_stateless(self, goal: Sequence[str]) -> bool:
        """Whether one button for each lamp, whatever the state, reaches a goal."""

        def reaches(at: int, state: int, chosen: dict[str, int]) -> bool:
            if at == len(goal):
                return True
            wanted, row = goal[at], self.table[state]
            return any(
                row[button][1] == wanted and reaches(at + 1, row[button][0], {**chosen, wanted: button})
                for button in ([chosen[wanted]] if wanted in chosen else range(len(row)))
            )

        return reaches(0, 0, {})


def explore(buttons: Sequence[str], goal: Sequence[str]) -> Generator[list[list[str]], list[list[str]], list[str]]:
    """Find the buttons of a goal by experiments alone, knowing nothing of the machine.

    Yields:
        Runs to make; what they light is sent back.

    Returns:
        The buttons.
    """
    open_ends = [list[str]()]
    while len(open_ends[-1]) < len(goal):
        start = open_ends.pop()
        runs = [[*start, button] for button in buttons]
        seen = yield runs
        open_ends += [run for run, lamps in zip(runs, seen, strict=True) if lamps[-1] == goal[len(start)]][::-1]
    return open_ends[-1]


def cost_of(buttons: Sequence[str], goal: Sequence[str], run: Callable[[Sequence[str]], list[str]]) -> tuple[int, int]:
    """How many presses, and how many rounds of runs, exploring takes."""
    presses = rounds = 0
    explorer = explore(buttons, goal)
    runs = next(explorer)
    while True:
        presses, rounds = presses + sum(map(len, runs)), rounds + 1
        try:
            runs = explorer.send([run(each) for each in runs])
        except StopIteration:
            return presses, rounds


@dataclass(frozen=True)
class Machines:
    """Makes tasks; see `HiddenMachine` for what the fields mean."""

    buttons: int
    states: int
    lamps: int
    length: int
    rounds: int

    def __call__(self, rng: np.random.Generator) -> Task:
        """Make a task: a machine, and a goal that exploring reaches, and neither luck nor a button for each lamp."""
        names = BUTTONS[: self.buttons]
        while True:
            machine = self._machine(rng)
            goal = machine.run([names[index] for index in rng.integers(self.buttons, size=self.length)])
            few = machine.count(goal) <= max(1, _LUCK * self.buttons**self.length)
            if few and len(set(goal)) > 1 and not machine.is_stateless(goal):
                presses, rounds = cost_of(names, goal, machine.run)
                if rounds <= self.rounds:
                    break
        budget = presses + presses // 2
        told = _PROMPTS[rng.integers(len(_PROMPTS))] + _BUDGET
        prompt = told.format(buttons=", ".join(names), goal=", ".join(goal), budget=budget)
        metadata: dict[str, Any] = {"table": machine.table, "goal": goal, "budget": budget}
        return Task(prompt=prompt, metadata=metadata)

    def _machine(self, rng: np.random.Generator) -> Machine:
        size = (self.states, self.buttons)
        following, lamps = rng.integers(self.states, size=size).tolist(), rng.integers(self.lamps, size=size).tolist()
        pairs = zip(following, lamps, strict=True)
        return Machine([[(to, LAMPS[lamp]) for to, lamp in zip(*pair, strict=True)] for pair in pairs])
