"""A machine with a hidden state, to be understood by experiments and then made to do something."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from llmgym.env import Episode, ToolEnv
from llmgym.envs.hidden_machine.machines import BUTTONS, LAMPS, Machine, Machines, explore
from llmgym.errors import ConfigError, ToolError
from llmgym.messages import Message, assistant, tool_call
from llmgym.rewards import Reward
from llmgym.tasks import Task, TaskSet
from llmgym.tools import tool

_LONGEST = 40  # presses of a run


class HiddenMachine(ToolEnv):
    """Learn a machine by pressing its buttons, then make it light a sequence of lamps.

    ## Description

    A machine is a table that nobody shows: for each of its states and each button, the lamp that a press lights and the
    state that follows. Every run starts in the same state. The goal is a sequence of lamps; which buttons light it can
    only be found by experiments, whose presses are counted, and in which the same lamp may stand for several states.
    At most one in two hundred sequences of buttons, or a single one, reaches the goal, and none that always presses the
    same button for a lamp.

    ## Actions

    Calls of `run`, an experiment, any number of them in a message; then one call of `perform`, which ends the episode.
    Without it nothing is earned.

    ## Observations

    The buttons, the goal and the budget; then the lamps of each run, and how many presses are left.

    ## Rewards

    1 where `perform` lights exactly the goal, else 0 (part `performed`). Metrics: `presses` in experiments, and
    `budget_left`, the share of the budget that was not used.

    The budget is one and a half times what a plain search takes, which tries every button behind each beginning that
    fits the goal. The oracle is that search: it knows nothing of the machine but what the tools answer.

    ## Episode End

    Terminates with `perform`, or with a message without a call; truncates after `max_turns` messages.

    ## Arguments

    - `buttons` (4): how many buttons there are, 2 to 8.
    - `states` (5): how many states, at least 2.
    - `lamps` (3): how many lamps, 2 to 5.
    - `length` (6): how many lamps a goal has, 3 to 20.
    - `rounds` (12): how many rounds the plain search takes at most, each a message with a run for every button.

    ## Registered Variants

    - `llmgym/HiddenMachine-v0`: four buttons, five states, three lamps, goals of six.
    - `llmgym/HiddenMachine-easy-v0`: three buttons, three states, four lamps, goals of five.
    - `llmgym/HiddenMachine-hard-v0`: five buttons, nine states, three lamps, goals of ten.

    ## Version History

    - v0: first version.
    """

    system_prompt = "Find out by runs how the machine works. When you know the buttons that reach the goal, perform."
    max_turns = 24

    def __init__(
        self,
        *,
        buttons: int = 4,
        states: int = 5,
        lamps: int = 3,
        length: int = 6,
        rounds: int = 12,
        tasks: TaskSet | str | Path | None = None,
        **options: Any,
    ) -> None:
        """Make the environment.

        Args:
            buttons: How many buttons there are.
            states: How many states.
            lamps: How many lamps.
            length: How many lamps a goal has.
            rounds: How many rounds the plain search takes at most.
            tasks: Other machines: rows with `prompt`, `table`, `goal` and `budget`.
            **options: Passed to `ToolEnv`.

        Raises:
            ConfigError: An argument is out of range.
        """
        bounds = {"buttons": (2, len(BUTTONS)), "states": (2, 50), "lamps": (2, len(LAMPS)), "length": (3, 20)}
        given = {"buttons": buttons, "states": states, "lamps": lamps, "length": length}
        for name, (low, high) in bounds.items():
            if not low <= given[name] <= high:
                raise ConfigError(f"{name}={given[name]}: must be from {low} to {high}")
        if rounds < length:
            raise ConfigError(f"rounds={rounds}: a goal of {length} lamps takes at least {length}")
        made = TaskSet.generated(Machines(buttons, states, lamps, length, rounds))
        super().__init__(tasks=made if tasks is None else tasks, **options)

    def setup(self, task: Task) -> None:
        """Set the machine up."""
        self.machine = Machine(task.metadata["table"])
        self.buttons = BUTTONS[: len(self.machine.table[0])]
        self.goal: list[str] = task.metadata["goal"]
        self.budget: int = task.metadata["budget"]
        self.left = self.budget
        self.performed = False

    @tool
    def run(self, buttons: list[str]) -> str:
        """Start the machine anew, and press buttons. Each press counts.

        Args:
            buttons: Their names in the order of the presses, such as ["A", "B", "A"].
        """
        pressed = self._read(buttons)
        if len(pressed) > self.left:
            raise ToolError(f"{len(pressed)} presses, and {self.left} are left; perform when you are ready")
        self.left -= len(pressed)
        return f"{', '.join(self.machine.run(pressed))} ({self.left} presses left)"

    @tool(serial=True)
    def perform(self, buttons: list[str]) -> str:
        """Start the machine anew, press buttons, and be done: they are to light the lamps of the goal.

        Args:
            buttons: Their names in the order of the presses.
        """
        lamps = self.machine.run(self._read(buttons))
        self.performed = lamps == self.goal
        self.finish()
        return ", ".join(lamps)

    def _read(self, buttons: list[str]) -> list[str]:
        """Names of buttons as the machine has them.

        Raises:
            ToolError: They are not.
        """
        if not 1 <= len(buttons) <= _LONGEST:
            raise ToolError(f"press 1 to {_LONGEST} buttons, not {len(buttons)}")
        names = [button.strip().upper() for button in buttons]
        if odd := [
            button for button, name in zip(buttons, names, strict=True) if len(name) != 1 or name not in self.buttons
        ]:
            raise ToolError(f"there is no button {odd[0][:20]!r}; there is {', '.join(self.buttons)}")
        return names

    def verify(self, episode: Episode) -> Reward:
        """Pay for the goal."""
        metrics = {"presses": float(self.budget - self.left), "budget_left": self.left / self.budget}
        return Reward(performed=float(self.performed), metrics=metrics)

    def oracle(self, task: Task) -> Iterator[Message | str]:
        """Try every button behind each beginning that fits the goal."""
        explorer = explore(self.buttons, self.goal)
        runs = next(explorer)
        while True:
            yield assistant("", *(tool_call("run", buttons=run) for run in runs))
            results = [message["content"] for message in self.transcript[-len(runs) :]]
            try:
                runs = explorer.send([result.partition(" (")[0].split(", ") for result in results])
            except StopIteration as found:
                yield assistant("", tool_call("perform", buttons=found.value))
                return
