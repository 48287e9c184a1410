"""FrozenLake, CliffWalking and Taxi of Gymnasium."""

from __future__ import annotations

from functools import cached_property, partial
from typing import Any

import gymnasium
import numpy as np

from llmgym.adapters.gymnasium.game import GymnasiumGame
from llmgym.errors import ConfigError
from llmgym.tasks import Task, TaskSet

_CORNERS = ("Red", "Green", "Yellow", "Blue")


class FrozenLake(GymnasiumGame):
    """Cross a frozen lake.

    ## Description

    Gymnasium's FrozenLake-v1 on maps that its generator draws, each with a way from the start to the goal.

    ## Actions

    A text with moves in a tag: `<move>right, down</move>`.

    ## Observations

    The map after each message: P the player, S the start, F ice, H a hole, G the goal.

    ## Rewards

    1 at the goal, else 0, as in Gymnasium.

    Metrics: `return` (the sum of Gymnasium's rewards), `moves`, `illegal_moves`.

    ## Episode End

    Terminates at the goal, in a hole, and when the moves are spent: 100, or 200 on a lake of more than 4 by 4.

    ## Arguments

    - `size` (4): cells of a side, 2 to 10.
    - `slippery` (False): each step goes where it should one time in three, else to a side of that. It is True in
      Gymnasium.
    - `scoring` ("win"): or "return".

    ## Registered Variants

    - `llmgym/FrozenLake-v0`: 4 by 4.
    - `llmgym/FrozenLake-large-v0`: 8 by 8.
    - `llmgym/FrozenLake-slippery-v0`: 4 by 4, slippery.

    ## Version History

    - v0: Gymnasium 1.4.
    """

    actions = {"left": 0, "down": 1, "right": 2, "up": 3}

    def __init__(self, *, size: int = 4, slippery: bool = False, **options: Any) -> None:
        """Make the environment.

        Args:
            size: Cells of a side.
            slippery: Whether steps may go to a side.
            **options: Passed to `GymnasiumGame`.

        Raises:
            ConfigError: The size is out of range.
        """
        if not 2 <= size <= 10:
            raise ConfigError(f"size is 2 to 10; it is {size!r}")
        self.slippery, self.limit = slippery, 100 if size <= 4 else 200
        self.oracle_kind = "reference" if slippery else "optimal"
        self.rules = (
            "You cross a frozen lake from the start, S, to the goal, G. F is ice, H is a hole, in which you lose, P is "
            "you. A step off the map leaves you where you are."
        )
        if slippery:
            self.rules += " The ice is slippery: one step in three goes where you want, the others to a side of that."
        options.setdefault("tasks", TaskSet.generated(partial(_lake, size)))
        super().__init__(**options)

    def world_of(self, task: Task, seed: int) -> tuple[gymnasium.Env[Any, Any], Any]:
        """The lake of a task."""
        rows = list(task.metadata["map"])
        world = gymnasium.make("FrozenLake-v1", desc=rows, is_slippery=self.slippery).unwrapped
        self.rows = rows
        return world, world.reset(seed=seed)[0]

    def describe(self, observation: Any) -> str:
        """The map with the player in it."""
        return _map(self.rows, int(observation))


def _lake(size: int, rng: np.random.Generator) -> Task:
    from gymnasium.envs.toy_text.frozen_lake import generate_random_map

    rows = generate_random_map(size, seed=int(rng.integers(2**31)))
    return Task(prompt=f"Cross this lake.\n{_map(rows, 0)}", metadata={"map": rows})


def _map(rows: list[str], at: int) -> str:
    cells = [list(row) for row in rows]
    cells[at // len(rows[0])][at % len(rows[0])] = "P"
    return "\n".join(" ".join(row) for row in cells)


class CliffWalking(GymnasiumGame):
    """Walk along a cliff.

    ## Description

    Gymnasium's CliffWalking-v1. Since that has one start only, a task is one of the 37 cells that are neither cliff nor
    goal; a fall leads back to Gymnasium's start at the bottom left.

    ## Actions

    A text with moves in a tag: `<move>up, right</move>`.

    ## Observations

    The map after each message: P the player, . ground, C cliff, G the goal.

    ## Rewards

    1 where the goal is reached, else 0. With `scoring="return"` Gymnasium's: -1 for each step, -100 for a fall.

    Metrics: `return`, `moves`, `illegal_moves`.

    ## Episode End

    Terminates at the goal, and when the moves are spent: 50, or 60 where it is slippery.

    ## Arguments

    - `slippery` (False): each step goes where it should one time in three, else to a side of that.
    - `scoring` ("win"): or "return".

    ## Registered Variants

    - `llmgym/CliffWalking-v0`: not slippery.
    - `llmgym/CliffWalking-slippery-v0`: slippery.

    ## Version History

    - v0: Gymnasium 1.4.
    """

    actions = {"up": 0, "right": 1, "down": 2, "left": 3}

    def __init__(self, *, slippery: bool = False, **options: Any) -> None:
        """Make the environment.

        Args:
            slippery: Whether steps may go to a side.
            **options: Passed to `GymnasiumGame`.
        """
        self.slippery, self.limit = slippery, 60 if slippery else 50
        self.oracle_kind = "reference" if slippery else "optimal"
        self.rules = (
            "You walk to the goal, G. C is a cliff: who steps onto it falls, and goes on from the bottom left. P is "
            "you. A step off the map leaves you where you are."
        )
        if slippery:
            self.rules += (
                " The ground is slippery: one step in three goes where you want, the others to a side of that."
            )
        options.setdefault("tasks", TaskSet.generated(_cliff, outcomes=37))
        super().__init__(**options)

    def is_won(self, reward: float, terminated: bool) -> bool:
        """At the goal."""
        return terminated

    def world_of(self, task: Task, seed: int) -> tuple[gymnasium.Env[Any, Any], Any]:
        """The cliff, with the player where the task says."""
        world: Any = gymnasium.make("CliffWalking-v1", is_slippery=self.slippery).unwrapped
        world.reset(seed=seed)
        world.s = task.metadata["start"]
        return world, world.s

    def describe(self, observation: Any) -> str:
        """The map with the player in it."""
        return _map(_CLIFF, int(observation))


_CLIFF = ["." * 12] * 3 + [f".{'C' * 10}G"]


def _cliff(rng: np.random.Generator) -> Task:
    start = int(rng.integers(37))
    return Task(prompt=f"Walk to the goal.\n{_map(_CLIFF, start)}", metadata={"start": start})


class Taxi(GymnasiumGame):
    """Fetch a passenger and bring him where he wants to go.

    ## Description

    Gymnasium's Taxi-v4: a taxi in a town of 5 by 5 with walls, and a passenger at one of four corners, who wants to go
    to another.

    ## Actions

    A text with moves in a tag: `<move>south, pickup</move>`.

    ## Observations

    The map after each message, and where taxi and passenger are.

    ## Rewards

    1 where the passenger was brought where he wanted, else 0. With `scoring="return"` Gymnasium's: -1 for each step,
    -10 for a pickup or dropoff where there is none, 20 at the end.

    Metrics: `return`, `moves`, `illegal_moves` (messages without a move).

    ## Episode End

    Terminates at the end of the ride, and when the moves are spent: 60, or 100 in rain.

    ## Arguments

    - `rainy` (False): one move in five goes to a side.
    - `scoring` ("win"): or "return".

    ## Registered Variants

    - `llmgym/Taxi-v0`: dry.
    - `llmgym/Taxi-rainy-v0`: rainy.

    ## Version History

    - v0: Gymnasium 1.4.
    """

    actions = {"south": 0, "north": 1, "east": 2, "west": 3, "pickup": 4, "dropoff": 5}

    def __init__(self, *, rainy: bool = False, **options: Any) -> None:
        """Make the environment.

        Args:
            rainy: Whether moves may go to a side.
            **options: Passed to `GymnasiumGame`.
        """
        self.rainy, self.limit = rainy, 100 if rainy else 60
        self.oracle_kind = "reference" if rainy else "optimal"
        self.rules = (
            "You drive a taxi: fetch the passenger, and bring him to his destination. Rows are numbered from 0 at the "
            "top, columns from 0 at the left. On the map, : can be crossed, | is a wall, and R, G, Y and B are Red, "
            "Green, Yellow and Blue. A move into a wall leaves you where you are."
        )
        if rainy:
            self.rules += " It rains: one move in five goes to a side."
        options.setdefault("tasks", TaskSet.generated(_ride, outcomes=300))
        super().__init__(**options)

    def world_of(self, task: Task, seed: int) -> tuple[gymnasium.Env[Any, Any], Any]:
        """The town, as the task says."""
        world: Any = self.town
        world.reset(seed=seed)
        world.s = task.metadata["state"]
        return world, world.s

    @cached_property
    def town(self) -> Any:
        """It takes milliseconds to build, and is the same for all episodes but for its state."""
        return gymnasium.make("Taxi-v4", is_rainy=self.rainy).unwrapped

    def describe(self, observation: Any) -> str:
        """The map, and who is where."""
        return _town(int(observation))


def _ride(rng: np.random.Generator) -> Task:
    taxi, passenger, to = int(rng.integers(25)), int(rng.integers(4)), int(rng.integers(3))
    state = (taxi * 5 + passenger) * 4 + (to if to < passenger else to + 1)
    return Task(prompt=_town(state), metadata={"state": state})


def _town(state: int) -> str:
    from gymnasium.envs.toy_text.taxi import MAP

    taxi, passenger, to = state // 20, state // 4 % 5, state % 4
    where = "is in the taxi" if passenger == 4 else f"waits at {_CORNERS[passenger]}"
    return (
        "\n".join(MAP)
        + f"\nThe taxi is in row {taxi // 5}, column {taxi % 5}. The passenger {where} and wants to {_CORNERS[to]}."
    )
