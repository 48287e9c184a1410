"""The vector environment.

Text environments wait more than they compute, so a process for each is the wrong tool. Slots whose environments never
suspend are driven one after another without an event loop; otherwise all slots are coroutines of one loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from copy import deepcopy
from typing import Any, TypeVar

import numpy as np
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space, concatenate, create_empty_array
from numpy.typing import NDArray

from llmgym.concurrency import drive, drive_in_background, start_in_background
from llmgym.env import Observation, StepResult
from llmgym.errors import EnvironmentFailure, MessageError, VectorError
from llmgym.messages import check_assistant
from llmgym.spaces import MessagesSpace
from llmgym.vector.arguments import (
    check_number,
    read_batch,
    read_count,
    read_ids,
    read_options,
    read_seeds,
    settle_task,
)
from llmgym.vector.factory import Factory, end_all, patience
from llmgym.vector.infos import merge_infos
from llmgym.vector.mailbox import Mailbox
from llmgym.vector.slot import Slot
from llmgym.wrappers.base import AnyToolEnv

T = TypeVar("T")
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Batch = tuple[tuple[Observation, ...], Floats, Flags, Flags]


class TextVectorEnv(VectorEnv[tuple[Observation, ...], Sequence[Any], NDArray[Any]]):
    """Many slots of a `ToolEnv`, each with episodes of its own.

    A slot whose environment fails is truncated with reward NaN and the failure in `info["error"]`; the others go
    on. A slot that fails to begin an episode shows no messages and the failure in `info["error"]`, and its next
    step, whatever the action, is that truncation. An environment on which abandoned work may still run is closed, and
    its slot gets another.

    Threads may share a vector, and a slot answers one of them at a time.
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
            VectorError: A number or mode makes no sense, or the environments differ.
            AuthorError: What is made is no `ToolEnv`.
            Exception: What the constructor of an environment raises, once those made before it are closed.
        """
        super().__init__()
        if max_episode_steps is not None:
            raise VectorError(
                f"max_episode_steps={max_episode_steps!r:.100} would cut episodes off unverified; pass max_turns"
            )
        self.num_envs = read_count("num_envs", num_envs)
        self._mode = _read_mode(autoreset_mode)
        self._everyone = list(range(self.num_envs))
        self._mail = Mailbox(self.num_envs)
        self._tasks: set[asyncio.Task[Any]] = set()  # only the event loop looks at them
        self._slots: list[Slot] = []
        self._fill(Factory(env, kwargs))
        self._suspends = any(env.suspends for env in self.envs)

    def _fill(self, factory: Factory) -> None:
        """Make the environments of all slots, or leave none open."""
        same_step = self._mode is AutoresetMode.SAME_STEP
        try:
            for i in self._everyone:
                self._slots.append(Slot(i, factory.make(), factory, same_step))
                factory.check(self._slots[i].env, i)
            self._describe(self._slots[0].env)
        except BaseException as error:
            for i, second in end_all(dict(enumerate(self.envs)), self._patience).items():
                error.add_note(f"and slot {i} did not close: {type(second).__name__}: {second}")
            raise

    def _describe(self, first: AnyToolEnv) -> None:
        self.metadata = {**first.metadata, "autoreset_mode": self._mode}
        self.render_mode = first.render_mode
        self.single_observation_space: Any = first.observation_space
        self.single_action_space: Any = first.action_space
        self.observation_space: Any = batch_space(self.single_observation_space, self.num_envs)
        self.action_space: Any = batch_space(self.single_action_space, self.num_envs)

    @property
    def envs(self) -> list[AnyToolEnv]:
        """The environments of the slots, as they are now."""
        return [slot.env for slot in self._slots]

    # --- Gymnasium --------------------------------------------------------------------------------

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | Sequence[dict[str, Any] | None] | None = None,
    ) -> tuple[tuple[Observation, ...], dict[str, Any]]:
        """Begin episodes: in all slots that are to be reset, or, where something is refused, in none.

        Args:
            seed: Of each slot, or of the first; the others count on. Slots with equal seeds get equal tasks,
                episode after episode: a group.
            options: Of the environments: `task_id` or `task`, each for all slots or a list of one (or None) for each,
                others of their own; and `reset_mask`, an array of booleans that says which slots. Or a list of such
                options (or None) for each slot, without a mask. They are left as they are.

        Raises:
            TaskError: A task, the split or an option is unknown.
            ConfigError: An environment has a role that no model plays.
            VectorError: There is not one seed, task or flag for each slot.
            AlreadyPendingCallError: A step of one of the slots was sent and not received.
        """
        chosen, each = read_options(options, self.num_envs)
        seeds = read_seeds(seed, self.num_envs)
        slots, mail = self._slots, self._mail
        mail.claim(chosen, "reset")
        try:
            settled = {i: settle_task(slots[i].env, each[i]) for i in chosen}
            openings = self._run("reset", (slots[i].reset(seeds[i], settled[i]) for i in chosen))
        except BaseException:
            mail.release(chosen)
            raise
        mail.show(chosen, [observation for observation, _ in openings])
        new = dict(zip(chosen, openings, strict=True))
        # What is not reset was handed out before.
        observations = [new[i][0] if i in new else deepcopy(mail.seen[i]) for i in self._everyone]
        return self._concatenate(observations), merge_infos(chosen, [info for _, info in openings], self.num_envs)

    def step(self, actions: Sequence[Any]) -> tuple[tuple[Observation, ...], Floats, Flags, Flags, dict[str, Any]]:
        """Take one assistant message in each slot and wait for the slowest.

        Args:
            actions: One for each slot; that of a slot whose action counts for nothing may be None.

        Raises:
            VectorError: There is not one action for each slot; no slot has taken a step.
            MessageError: An action is no assistant message; no slot has taken a step.
            ResetNeeded: A slot needs a reset first; no slot has taken a step.
            AlreadyPendingCallError: A step was sent and not received, or another thread is taking one.
        """
        everyone, mail = self._everyone, self._mail
        mail.claim(everyone, "step")
        try:
            self._check(actions, everyone)
            results = self._run("step", map(Slot.step, self._slots, actions))
        except BaseException:
            mail.release(everyone)
            raise
        mail.show(everyone, [result[0] for result in results])
        *batch, infos = self._batch(results)
        return *batch, merge_infos(everyone, infos, self.num_envs)  # type: ignore[return-value]

    def render(self) -> tuple[Any, ...]:
        """The transcript of each slot in the mode "ansi", else None for each."""
        return tuple(env.render() for env in self.envs)

    def call(self, name: str, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        """Call a method of each environment, or read an attribute of each."""
        found = self.get_attr(name)
        return tuple(value(*args, **kwargs) if callable(value) else value for value in found)

    def get_attr(self, name: str) -> tuple[Any, ...]:
        """Read an attribute of each environment."""
        return tuple(getattr(env, name) for env in self.envs)

    def close_extras(self, **kwargs: Any) -> None:
        """Cancel what is pending, wait until it is torn down, and close the environments.

        Whoever waits in `recv` or `step` gets an error. The wait is bounded by the environments' `hook_timeout`.

        Raises:
            EnvironmentFailure: Some did not close; names each. The others are closed all the same.
        """
        self.closed = True
        self._mail.close()
        seconds, told = self._patience, list[str]()
        if self._suspends and (left := drive_in_background(self._end_pending())):
            told.append(f"{left} steps did not end within {seconds:g} s of being cancelled")
        if not self._mail.wait_for_callers(seconds):
            told.append(f"another thread was still in a step or reset after {seconds:g} s")
        errors = end_all(dict(enumerate(self.envs)), seconds)
        told += [f"slot {i}: {type(error).__name__}: {error}" for i, error in errors.items()]
        if told:
            text = f"{self.num_envs} slots were closed, but {'; '.join(told)}"
            raise EnvironmentFailure(text, stage="teardown") from next(iter(errors.values()), None)

    # --- partial batches --------------------------------------------------------------------------

    def send(self, actions: Sequence[Any], env_ids: Sequence[int] | NDArray[np.intp] | None = None) -> None:
        """Begin a step in some slots; `recv` gives the results.

        Args:
            actions: One for each of these slots.
            env_ids: The slots; None takes those of this thread's last `recv` (`reset` or `step`), in its order.

        Raises:
            VectorError: An id is no slot, there is not one action for each, or, without ids, this thread has nothing
                to answer, or a slot of it went on in another thread; nothing is sent.
            MessageError: An action is no assistant message; nothing is sent.
            ResetNeeded: A slot needs a reset first; nothing is sent.
            AlreadyPendingCallError: A slot was sent an action and its result not received; nothing is sent.
        """
        mail = self._mail
        if env_ids is None and not any(slot.begun for slot in self._slots):
            raise ResetNeeded("no slot has an episode: call reset()")
        ids = mail.claim(None if env_ids is None else read_ids(env_ids, self.num_envs), "send")
        try:
            self._check(actions, ids)
        except BaseException:
            mail.release(ids)
            raise
        mail.post(ids)
        batch = list(zip(ids, actions, strict=True))
        if self._suspends:
            start_in_background(self._start(batch))
            mail.leave()
        else:
            self._play(batch)

    def _play(self, batch: list[tuple[int, Any]]) -> None:
        """Take the steps at once."""
        taken = 0
        try:
            for i, action in batch:
                self._mail.put(i, drive(self._slots[i].step(action)))
                taken += 1
        finally:
            self._mail.leave([i for i, _ in batch[taken:]])  # an interrupt: what was not stepped is not pending

    async def _start(self, batch: list[tuple[int, Any]]) -> None:
        if not self.closed:
            for i, action in batch:
                self._task(self._deliver(i, action))

    async def _deliver(self, index: int, action: Any) -> None:
        self._mail.put(index, await self._slots[index].step(action))

    def recv(
        self, min_batch: int = 1, max_batch: int | None = None, timeout: float | None = None
    ) -> tuple[tuple[Observation, ...], Floats, Flags, Flags, list[dict[str, Any]], NDArray[np.intp]]:
        """Wait for steps that were sent, by whichever thread.

        Args:
            min_batch: How many to wait for; or for all that are pending, where there are fewer.
            max_batch: How many to take at most; the others stay for the next call.
            timeout: Seconds to wait. Then what has arrived is given, perhaps nothing, and the rest stays pending.

        Returns:
            Observations, rewards, terminations, truncations, infos (a list) and slots, in order of arrival.

        Raises:
            VectorError: A number makes no sense.
            NoAsyncCallError: Nothing is pending, or another thread has received the rest.
            ClosedEnvironmentError: The environment is closed, or was while waiting.
        """
        taken = self._mail.take(*read_batch(min_batch, max_batch, timeout, self.num_envs))
        batch = self._batch([result for _, result in taken])
        return *batch, np.array([i for i, _ in taken], dtype=np.intp)

    # --- what they share --------------------------------------------------------------------------

    def _check(self, actions: Sequence[Any], ids: Sequence[int]) -> None:
        """Refuse what cannot be stepped before anything is, so that no slot is ahead of the others."""
        check_number(actions, len(ids))
        for i, action in zip(ids, actions, strict=True):
            slot = self._slots[i]
            if not slot.begun or (slot.over and self._mode is AutoresetMode.DISABLED):
                raise ResetNeeded(f"slot {i} has no episode: call reset(), with a reset_mask for some slots")
            if not slot.over and slot.failure is None:
                try:
                    check_assistant(action)
                except MessageError as error:
                    raise MessageError(f"slot {i}: {error}") from None

    def _run(self, method: str, coroutines: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
        """Run coroutines of claimed slots to their ends."""
        if not self._suspends:
            return [drive(coroutine) for coroutine in coroutines]
        tasks: list[asyncio.Task[T]] = []
        try:
            return drive_in_background(self._gather(coroutines, tasks))
        except BaseException:  # an interrupt, or closed meanwhile: no slot is given back while it is torn down
            drive_in_background(_end_tasks(tasks, self._patience))
            self._mail.expect_open(method)
            raise

    async def _gather(self, coroutines: Iterable[Coroutine[Any, Any, T]], tasks: list[asyncio.Task[T]]) -> list[T]:
        """Run coroutines side by side, and only when all have ended raise what the first of them raised."""
        if self.closed:
            raise asyncio.CancelledError
        tasks += map(self._task, coroutines)
        results = await asyncio.gather(*tasks, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return results  # type: ignore[return-value]

    def _task(self, coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _end_pending(self) -> int:
        return await _end_tasks(self._tasks, self._patience)

    @property
    def _patience(self) -> float:
        """Seconds that the end of what runs, or of the environments, may take."""
        return patience(self.envs)

    def _batch(self, results: Sequence[StepResult]) -> tuple[Any, Floats, Flags, Flags, list[dict[str, Any]]]:
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
        if type(space) is MessagesSpace:  # for which `concatenate` does the same, after looking it up
            return tuple(observations)
        return concatenate(space, observations, create_empty_array(space, len(observations)))  # type: ignore[return-value]


async def _end_tasks(tasks: Iterable[asyncio.Task[Any]], seconds: float) -> int:
    """Cancel tasks, wait until they have ended, and give how many have not."""
    running = [task for task in tasks if not task.done()]
    for task in running:
        task.cancel()
    return len((await asyncio.wait(running, timeout=seconds))[1]) if running else 0


def _read_mode(mode: Any) -> AutoresetMode:
    try:
        return AutoresetMode(mode)
    except ValueError:
        names = ", ".join(repr(known.value) for known in AutoresetMode)
        raise VectorError(f"autoreset_mode must be one of {names}; it is {mode!r:.100}") from None
