"""Many environments in one process: Gymnasium's `reset` and `step`, and `send` and `recv` for partial batches.

Text environments wait more than they compute, so a process for each is the wrong tool. Slots whose environments
never suspend are driven one after another without an event loop; otherwise all slots are coroutines of one loop.

`make_vec` gives a vector entry point neither an id nor a spec. Each registered id therefore names one of its own,
`llmgym.vector:ID`, which the module's `__getattr__` makes; it is text, so specs stay JSON.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import math
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Sequence
from copy import deepcopy
from typing import Any, TypeVar

import gymnasium
import numpy as np
from gymnasium.error import (
    AlreadyPendingCallError,
    ClosedEnvironmentError,
    NoAsyncCallError,
    ResetNeeded,
)
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space, concatenate, create_empty_array
from numpy.typing import NDArray

from llmgym.concurrency import drive, drive_in_background, is_cancellation, start_in_background
from llmgym.env import Observation, StepResult, ToolEnv
from llmgym.errors import EnvironmentFailure, TaskError
from llmgym.messages import check_assistant
from llmgym.registry import make_core
from llmgym.wrappers.base import AnyToolEnv, ToolWrapper

T = TypeVar("T")
Opening = tuple[Observation, dict[str, Any]]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

_CLOSE_S = 2.0  # for pending steps to take note of being cancelled


def __getattr__(env_id: str) -> Callable[..., TextVectorEnv]:
    """The vector entry point of a registered id."""
    if env_id in gymnasium.registry:
        return functools.partial(TextVectorEnv, env_id)
    raise AttributeError(f"module {__name__!r} has no attribute {env_id!r}, and no environment has that id")


class TextVectorEnv(VectorEnv[tuple[Observation, ...], Sequence[Any], NDArray[Any]]):
    """Many slots of a `ToolEnv`, each with episodes of its own.

    A slot whose environment fails is truncated with reward NaN and the failure in `info["error"]`; the others go
    on. A slot that fails to begin an episode shows no messages and the failure in `info["error"]`, and its next
    step, whatever the action, is that truncation.

    `send` and `recv` may be called from different threads.

    Attributes:
        envs: The environments of the slots.
    """

    def __init__(
        self,
        env: str | Callable[..., AnyToolEnv],
        num_envs: int = 1,
        *,
        autoreset_mode: str | AutoresetMode = AutoresetMode.SAME_STEP,
        max_episode_steps: int | None = None,
        **kwargs: Any,
    ) -> None:
        """Make the slots.

        Args:
            env: A registered id, or what makes one environment, such as its class.
            num_envs: How many slots.
            autoreset_mode: "SameStep" (a step that ends an episode gives the opening of the next, and the end as
                `final_obs` and `final_info`), "NextStep" (the action after the end, which may be None, begins the
                next), or "Disabled" (`reset` with a `reset_mask` does).
            max_episode_steps: Refused: it would cut episodes off unverified.
            **kwargs: Arguments of the environment.

        Raises:
            RegistryError: The environment cannot be made.
            ValueError: A number or mode makes no sense.
        """
        super().__init__()
        self.envs: list[AnyToolEnv] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._condition = threading.Condition()  # guards all below, and `pending` of the slots
        self._arrived: deque[tuple[int, StepResult]] = deque()
        self._outstanding = 0  # steps that were sent and not received
        self._answerable = list(range(num_envs))  # slots that the caller saw last
        if max_episode_steps is not None:
            raise ValueError("max_episode_steps would cut episodes off unverified; pass max_turns")
        if num_envs < 1:
            raise ValueError(f"num_envs must be at least 1; it is {num_envs}")
        self._mode = AutoresetMode(autoreset_mode)
        make = functools.partial(make_core, env) if isinstance(env, str) else env
        self.envs += (make(**kwargs) for _ in range(num_envs))
        if not isinstance(self.envs[0], ToolEnv | ToolWrapper):
            raise TypeError(f"a slot is a ToolEnv, perhaps in llmgym.wrappers; this is {self.envs[0]}")
        self._slots = [_Slot(env, self._mode is AutoresetMode.SAME_STEP) for env in self.envs]
        self._suspends = any(env.suspends for env in self.envs)
        self._describe(num_envs)

    def _describe(self, num_envs: int) -> None:
        first = self.envs[0]
        self.num_envs = num_envs
        self.metadata = {**first.metadata, "autoreset_mode": self._mode}
        self.render_mode = first.render_mode
        self.single_observation_space: Any = first.observation_space
        self.single_action_space: Any = first.action_space
        self.observation_space: Any = batch_space(self.single_observation_space, num_envs)
        self.action_space: Any = batch_space(self.single_action_space, num_envs)

    # --- Gymnasium --------------------------------------------------------------------------------

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[tuple[Observation, ...], dict[str, Any]]:
        """Begin episodes.

        Args:
            seed: Of each slot, or of the first; the others count on. Slots with equal seeds get equal tasks,
                episode after episode: a group.
            options: `task_id` or `task` for all slots, or a list of one (or None) for each; and `reset_mask`, an
                array of booleans that says which slots. It is left as it is.

        Raises:
            TaskError: A task or the split is unknown.
            ValueError: There is not one seed, task or flag for each slot.
            AlreadyPendingCallError: A step of one of the slots was sent and not received.
        """
        options = dict(options or {})
        chosen = self._masked(options.pop("reset_mask", None))
        seeds = self._seeds(seed)
        each = [{name: self._of_slot(name, value, i) for name, value in options.items()} for i in range(self.num_envs)]
        with self._condition:
            self._expect_idle(chosen, "reset")
            self._answerable = chosen
        openings = self._run(self._slots[i].reset(seeds[i], each[i]) for i in chosen)
        observations = [slot.observation for slot in self._slots]
        infos: dict[str, Any] = {}
        for i, (observation, info) in zip(chosen, openings, strict=True):
            observations[i] = self._slots[i].observation = observation
            infos = self._add_info(infos, info, i)
        for i in set(range(self.num_envs)).difference(chosen):
            observations[i] = deepcopy(observations[i])  # it was handed out before
        return self._concatenate(observations), infos

    def _masked(self, mask: Any) -> list[int]:
        if mask is None:
            return list(range(self.num_envs))
        mask = np.asarray(mask)
        if mask.shape != (self.num_envs,) or mask.dtype != np.bool_ or not mask.any():
            raise ValueError(f"reset_mask must hold {self.num_envs} booleans, at least one of them true; it is {mask}")
        return np.flatnonzero(mask).tolist()

    def _seeds(self, seed: int | Sequence[int | None] | None) -> list[int | None]:
        if seed is None:
            return [None] * self.num_envs
        seeds = [seed + i for i in range(self.num_envs)] if isinstance(seed, int | np.integer) else list(seed)
        if len(seeds) != self.num_envs:
            raise ValueError(f"there are {len(seeds)} seeds for {self.num_envs} slots")
        return [None if seed is None else int(seed) for seed in seeds]

    def _of_slot(self, name: str, value: Any, index: int) -> Any:
        """What an option says for one slot."""
        if not isinstance(value, list | tuple | np.ndarray):
            return value
        if len(value) != self.num_envs:
            raise ValueError(f"there are {len(value)} values of {name!r} for {self.num_envs} slots")
        return value[index]

    def step(self, actions: Sequence[Any]) -> tuple[tuple[Observation, ...], Floats, Flags, Flags, dict[str, Any]]:
        """Take one assistant message in each slot and wait for the slowest.

        Args:
            actions: One for each slot; that of a slot whose action counts for nothing may be None.

        Raises:
            ValueError: An action is no assistant message; no slot has taken a step.
            ResetNeeded: A slot needs a reset first; no slot has taken a step.
            AlreadyPendingCallError: A step was sent and not received.
        """
        with self._condition:
            everyone = list(range(self.num_envs))
            self._expect_idle(everyone, "step")
            self._check(actions, everyone)
            self._answerable = everyone
        results = self._run(slot.step(action) for slot, action in zip(self._slots, actions, strict=True))
        observations, rewards, terminations, truncations, infos = self._batch(self._slots, results)
        return observations, rewards, terminations, truncations, self._merge(infos)

    def _merge(self, infos: list[dict[str, Any]]) -> dict[str, Any]:
        """The infos of all slots as Gymnasium merges them; at once where no slot has more to tell than its task."""
        if all(len(info) == 1 and "task_id" in info for info in infos):
            ids = np.empty(self.num_envs, dtype=object)
            ids[:] = [info["task_id"] for info in infos]
            return {"task_id": ids, "_task_id": np.ones(self.num_envs, dtype=np.bool_)}
        merged: dict[str, Any] = {}
        for i, info in enumerate(infos):
            merged = self._add_info(merged, info, i)
        return merged

    def render(self) -> tuple[Any, ...]:
        """The transcript of each slot in the mode "ansi", else None for each."""
        return tuple(env.render() for env in self.envs)

    def call(self, name: str, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        """Call a method of each environment, or read an attribute of each."""
        found = (getattr(env, name) for env in self.envs)
        return tuple(value(*args, **kwargs) if callable(value) else value for value in found)

    def get_attr(self, name: str) -> tuple[Any, ...]:
        """Read an attribute of each environment."""
        return tuple(getattr(env, name) for env in self.envs)

    def close_extras(self, **kwargs: Any) -> None:
        """Cancel what is pending and close the environments; whoever waits in `recv` gets an error."""
        with self._condition:
            self.closed = True
            pending = list(self._tasks)
            self._condition.notify_all()
        if pending:
            with contextlib.suppress(TimeoutError):
                start_in_background(_cancel(pending)).result(_CLOSE_S)
        for env in self.envs:
            env.close()

    # --- partial batches --------------------------------------------------------------------------

    def send(self, actions: Sequence[Any], env_ids: Sequence[int] | None = None) -> None:
        """Begin a step in some slots; `recv` gives the results.

        Args:
            actions: One for each of these slots.
            env_ids: The slots; None takes those of the last `recv` (`reset` or `step`), in its order.

        Raises:
            ValueError: An action is no assistant message, or an id no slot; nothing is sent.
            ResetNeeded: A slot needs a reset first; nothing is sent.
            AlreadyPendingCallError: A slot was sent an action and its result not received; nothing is sent.
        """
        with self._condition:
            ids = self._answerable if env_ids is None else [int(i) for i in env_ids]
            if unknown := set(ids).difference(range(self.num_envs)):
                raise ValueError(f"there is no slot {min(unknown)}; there are {self.num_envs}")
            self._expect_idle(ids, "send")
            self._check(actions, ids)
            for i in ids:
                self._slots[i].pending = True
            self._outstanding += len(ids)
            self._answerable = []
        batch = list(zip(ids, actions, strict=True))
        if self._suspends:
            start_in_background(self._start(batch))
        else:
            self._play(batch)

    def _play(self, batch: list[tuple[int, Any]]) -> None:
        """Take the steps at once."""
        taken = 0
        try:
            for i, action in batch:
                self._arrive(i, drive(self._slots[i].step(action)))
                taken += 1
        finally:
            with self._condition:  # an interrupt: what was not stepped is not pending
                for i, _ in batch[taken:]:
                    self._slots[i].pending = False
                self._outstanding -= len(batch) - taken

    async def _start(self, batch: list[tuple[int, Any]]) -> None:
        for i, action in batch:
            if not self.closed:
                task = asyncio.create_task(self._deliver(i, action))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _deliver(self, index: int, action: Any) -> None:
        self._arrive(index, await self._slots[index].step(action))

    def _arrive(self, index: int, result: StepResult) -> None:
        with self._condition:
            self._arrived.append((index, result))
            self._condition.notify_all()

    def recv(
        self, min_batch: int = 1, max_batch: int | None = None, timeout: float | None = None
    ) -> tuple[tuple[Observation, ...], Floats, Flags, Flags, list[dict[str, Any]], NDArray[np.intp]]:
        """Wait for steps that were sent.

        Args:
            min_batch: How many to wait for; or for all that are pending, where there are fewer.
            max_batch: How many to take at most; the others stay for the next call.
            timeout: Seconds to wait. Then what has arrived is given, perhaps nothing, and the rest stays pending.

        Returns:
            Observations, rewards, terminations, truncations, infos (a list) and slots, in order of arrival.

        Raises:
            NoAsyncCallError: Nothing is pending.
            ClosedEnvironmentError: The environment is closed, or was while waiting.
        """
        if min_batch < 1 or (max_batch is not None and max_batch < min_batch):
            raise ValueError(f"min_batch must be at least 1 and at most max_batch; they are {min_batch}, {max_batch}")
        with self._condition:
            self._expect_open("recv")
            if not self._outstanding:
                raise NoAsyncCallError("recv() without a send() that is still to be answered", "recv")
            self._condition.wait_for(
                lambda: self.closed or len(self._arrived) >= min(min_batch, self._outstanding), timeout
            )
            self._expect_open("recv")
            count = min(len(self._arrived), max_batch or self.num_envs)
            taken = [self._arrived.popleft() for _ in range(count)]
            self._outstanding -= count
            self._answerable = [i for i, _ in taken]
            slots = [self._slots[i] for i, _ in taken]
            for slot in slots:
                slot.pending = False
            return *self._batch(slots, [result for _, result in taken]), np.array(self._answerable, dtype=np.intp)

    # --- what they share --------------------------------------------------------------------------

    def _expect_open(self, method: str) -> None:
        if self.closed:
            raise ClosedEnvironmentError(f"{method}() of an environment that is closed")

    def _expect_idle(self, ids: list[int], method: str) -> None:
        self._expect_open(method)
        if pending := [i for i in ids if self._slots[i].pending]:
            raise AlreadyPendingCallError(f"{method}() while a step of slot {pending[0]} is pending: recv() it", method)
        if len(set(ids)) < len(ids):
            raise AlreadyPendingCallError(f"{method}() names a slot twice: {ids}", method)

    def _check(self, actions: Sequence[Any], ids: list[int]) -> None:
        """Refuse what cannot be stepped before anything is, so that no slot is ahead of the others."""
        if isinstance(actions, str | dict) or len(actions) != len(ids):
            raise ValueError(f"there must be one action for each of {len(ids)} slots, in a list; got {actions!r:.200}")
        for i, action in zip(ids, actions, strict=True):
            slot = self._slots[i]
            if not slot.begun or (slot.over and self._mode is AutoresetMode.DISABLED):
                raise ResetNeeded(f"slot {i} has no episode: call reset(), with a reset_mask for some slots")
            if not slot.over and slot.failure is None:
                check_assistant(action)

    def _run(self, coroutines: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
        if self._suspends:
            return drive_in_background(_gather(coroutines))
        return [drive(coroutine) for coroutine in coroutines]

    def _batch(
        self, slots: list[_Slot], results: list[StepResult]
    ) -> tuple[tuple[Observation, ...], Floats, Flags, Flags, list[dict[str, Any]]]:
        for slot, result in zip(slots, results, strict=True):
            slot.observation = result[0]
        observations, rewards, terminations, truncations, infos = zip(*results, strict=True) if results else [()] * 5
        return (
            self._concatenate(observations),
            np.array(rewards, dtype=np.float64),
            np.array(terminations, dtype=np.bool_),
            np.array(truncations, dtype=np.bool_),
            list(infos),
        )

    def _concatenate(self, observations: Sequence[Observation]) -> tuple[Observation, ...]:
        space = self.single_observation_space
        return concatenate(space, observations, create_empty_array(space, len(observations)))  # type: ignore[return-value]


class _Slot:
    """One environment, and where its episode stands.

    Attributes:
        env: The environment.
        begun: Whether it was ever reset.
        over: Whether its episode has ended and the next is still to be begun.
        failure: Why there is no episode where one should be.
        pending: Whether a step was sent and not received.
        observation: What the caller saw last.
    """

    __slots__ = ("_same_step", "begun", "env", "failure", "observation", "over", "pending")

    def __init__(self, env: AnyToolEnv, same_step: bool) -> None:
        self.env, self._same_step = env, same_step
        self.begun = self.over = self.pending = False
        self.failure: str | None = None
        self.observation: Observation = ()

    async def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> Opening:
        """Begin an episode; one that the environment fails to begin has no messages.

        Raises:
            TaskError: There is no such task or split.
        """
        self.begun, self.over, self.failure = True, False, "no episode was begun"
        try:
            opening = await self.env.areset(seed=seed, options=options)
        except TaskError:
            raise
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 -- one slot fails, the others go on
            return (), self._failed(error)
        self.failure = None
        return opening

    async def step(self, action: Any) -> StepResult:
        """Take a message, or begin the next episode where one is over."""
        if self.over:
            observation, info = await self._next()
            return observation, 0.0, False, False, info
        if self.failure is not None:
            result = (), math.nan, False, True, self._info()
        else:
            try:
                result = await self.env.astep(action)
            except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 -- one slot fails, the others go on
                result = (), math.nan, False, True, self._failed(error)
        if not (result[2] or result[3]):
            return result
        if not self._same_step:
            self.over = True
            return result
        return await self._roll_over(*result)

    async def _roll_over(
        self, final: Observation, reward: float, terminated: bool, truncated: bool, info: dict[str, Any]
    ) -> StepResult:
        """Show the opening of the next episode where the last has ended, and its end in `info`."""
        ended = {"final_obs": final, "final_info": info} | ({"error": info["error"]} if "error" in info else {})
        observation, info = await self._next()
        return observation, reward, terminated, truncated, ended | info

    async def _next(self) -> Opening:
        """The next episode of the slot's stream; tasks that cannot be drawn fail this slot only."""
        try:
            return await self.reset()
        except TaskError as error:
            return (), self._failed(error)

    def _failed(self, error: BaseException) -> dict[str, Any]:
        """Note a failure; only the cancellation of the running task goes on."""
        if is_cancellation(error):
            raise error
        named = isinstance(error, EnvironmentFailure)
        self.failure = str(error) if named else f"{type(error).__name__}: {error}"
        return self._info()

    def _info(self) -> dict[str, Any]:
        task = self.env.task
        return {"task_id": task.id if task else None, "error": self.failure}


async def _gather(coroutines: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Run coroutines side by side to their ends, and only then raise what the first of them raised."""
    results = await asyncio.gather(*coroutines, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results  # type: ignore[return-value]


async def _cancel(tasks: Iterable[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
