"""Play many slots at once with Gymnasium's vector API: `python examples/vectorized_rollouts.py`.

The same episodes twice: in lockstep with `reset` and `step`, then in partial batches with `send` and `recv`. No model
is needed: the oracle of each environment acts, but gives up on about three episodes in ten, so that both ways print a
mean return of about 0.7. What to see: the step that ends an episode opens the next one of its slot, and `recv` gives
whatever has arrived, with the slots that it came from.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import gymnasium
import numpy as np

import llmgym

gymnasium.register_envs(llmgym)
SLOTS, EPISODES, BATCH = 16, 64, 4


class Actor:
    """Stands in for a policy: one message for each slot that asks."""

    def __init__(self, envs: Any) -> None:
        self.envs = envs
        self.rng = np.random.default_rng(0)
        self.scripts = {slot: self.script(slot) for slot in range(envs.num_envs)}

    def script(self, slot: int) -> Any:
        """The messages of the slot's episode, from the first to the last."""
        env = self.envs.envs[slot]
        return iter(env.oracle(env.task)) if self.rng.random() < 0.7 else iter(["I give up."])

    def act(self, slots: Iterable[int]) -> list[Any]:
        return [next(self.scripts[slot]) for slot in slots]

    def begin(self, slots: Iterable[int]) -> None:
        self.scripts |= {slot: self.script(slot) for slot in slots}


def lockstep() -> list[float]:
    """Every step waits for all slots."""
    envs = gymnasium.make_vec("llmgym/Calculator-easy-v0", num_envs=SLOTS)
    envs.reset(seed=0)
    actor, returns, total = Actor(envs), [], np.zeros(SLOTS)
    while len(returns) < EPISODES:
        _, rewards, terminations, truncations, _ = envs.step(actor.act(range(SLOTS)))
        total += rewards
        over = np.flatnonzero(terminations | truncations)
        returns += total[over].tolist()
        total[over] = 0.0
        actor.begin(over)
    envs.close()
    return returns


def partial_batches() -> list[float]:
    """Slots go on as soon as a few of them are ready."""
    envs = gymnasium.make_vec("llmgym/Calculator-easy-v0", num_envs=SLOTS)
    envs.reset(seed=0)
    actor, returns, total = Actor(envs), [], np.zeros(SLOTS)
    envs.send(actor.act(range(SLOTS)))
    while len(returns) < EPISODES:
        _, rewards, terminations, truncations, _, slots = envs.recv(min_batch=BATCH, max_batch=BATCH)
        total[slots] += rewards
        over = slots[terminations | truncations]
        returns += total[over].tolist()
        total[over] = 0.0
        actor.begin(over)
        envs.send(actor.act(slots), slots)
    envs.close()
    return returns


if __name__ == "__main__":
    for play in (lockstep, partial_batches):
        returns = play()
        print(f"{play.__name__}: {len(returns)} episodes, mean return {np.mean(returns):.2f}")
