"""What callers hand over, read and checked before anything in a vector changes."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium.error import AlreadyPendingCallError

from llmgym.env.contract import check_roles, reset_options
from llmgym.env.reading import take_task
from llmgym.errors import VectorError
from llmgym.wrappers.base import AnyToolEnv

_MANY = (list, tuple, np.ndarray)


def is_whole(value: Any) -> bool:
    """Whether a value is a whole number; truth values are none."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def read_count(name: str, value: Any) -> int:
    """A whole number, at least 1.

    Raises:
        VectorError: It is something else.
    """
    if not is_whole(value) or value < 1:
        raise VectorError(f"{name} must be a whole number, at least 1; it is {value!r:.100}")
    return int(value)


def read_batch(least: Any, most: Any, timeout: Any, num_envs: int) -> tuple[int, int, float | None]:
    """How many results to wait for, how many to take at most, and the seconds to wait.

    Raises:
        VectorError: They make no sense.
    """
    low, high = read_count("min_batch", least), num_envs if most is None else read_count("max_batch", most)
    if most is not None and high < low:
        raise VectorError(f"min_batch must be at most max_batch; they are {least}, {most}")
    if timeout is None or timeout == math.inf:
        return low, high, None
    if not isinstance(timeout, int | float | np.number) or isinstance(timeout, bool) or not timeout >= 0:
        raise VectorError(f"timeout must be a number of seconds, at least 0, or None; it is {timeout!r:.100}")
    return low, high, float(timeout)


def read_seeds(seed: Any, num_envs: int) -> list[int | None]:
    """A seed or None for each slot.

    Raises:
        VectorError: They are no seeds, or not as many as there are slots.
    """
    if seed is None:
        return [None] * num_envs
    many = isinstance(seed, _MANY)
    seeds: list[Any] = list(seed) if many else [seed]
    for one in seeds:
        if one is not None and not (is_whole(one) and one >= 0):
            raise VectorError(f"a seed is a whole number, at least 0; this is {one!r:.100}")
    if not many:
        return [int(seed) + i for i in range(num_envs)]
    if len(seeds) != num_envs:
        raise VectorError(f"there are {len(seeds)} seeds for {num_envs} slots: pass one for each, or a number")
    return [None if one is None else int(one) for one in seeds]


def read_options(options: Any, num_envs: int) -> tuple[list[int], list[dict[str, Any]]]:
    """The slots to reset, and the options of each slot.

    Args:
        options: Options for all slots, of which `task` and `task_id` may be lists and `reset_mask` may choose slots; or
            a list of options, or None, for each.
        num_envs: How many slots there are.

    Raises:
        VectorError: There are not as many as there are slots, or they are no options.
    """
    if isinstance(options, list | tuple):
        each = [_of_slot("options", options, i, num_envs) or {} for i in range(num_envs)]
        if odd := [one for one in each if not isinstance(one, Mapping)]:
            raise VectorError(f"the options of a slot are a dict or None; these are {odd[0]!r:.100}")
        return list(range(num_envs)), [dict(one) for one in each]
    if not isinstance(options, Mapping | None):
        raise VectorError(f"options are a dict, or a list of a dict or None for each slot; they are {options!r:.100}")
    given = dict(options or {})
    chosen = _chosen(given.pop("reset_mask", None), num_envs)
    named = {name: given.pop(name) for name in ("task", "task_id") if name in given}
    each = [
        given | {name: _of_slot(name, value, i, num_envs) for name, value in named.items()} for i in range(num_envs)
    ]
    return chosen, each


def _of_slot(name: str, value: Any, index: int, num_envs: int) -> Any:
    if not isinstance(value, _MANY):
        return value
    if len(value) != num_envs:
        raise VectorError(f"there are {len(value)} values of {name!r} for {num_envs} slots")
    return value[index]


def _chosen(mask: Any, num_envs: int) -> list[int]:
    if mask is None:
        return list(range(num_envs))
    flags = np.asarray(mask)
    if flags.shape != (num_envs,) or flags.dtype != np.bool_ or not flags.any():
        raise VectorError(f"reset_mask must hold {num_envs} booleans, at least one of them true; it is {mask!r:.200}")
    return np.flatnonzero(flags).tolist()


def settle_task(env: AnyToolEnv, options: dict[str, Any]) -> dict[str, Any]:
    """Options of a slot with the task itself in place of its id, once all is there that a reset needs.

    Raises:
        TaskError: An option, the task or the split is unknown.
        ConfigError: A role has no model.
    """
    core: Any = env.unwrapped
    check_roles(type(core).__name__, env.roles, env.models)
    rest = dict(options)
    known = reset_options(type(core).setup) if rest.keys() - {"task", "task_id"} else ()
    task = take_task(rest, known, env.tasks)
    if task is None:
        env.tasks.check_split(core.split)
        return rest
    return rest | {"task": task}


def read_ids(env_ids: Any, num_envs: int) -> list[int]:
    """Slots by their numbers.

    Raises:
        VectorError: One is no slot.
        AlreadyPendingCallError: One is there twice.
    """
    if not isinstance(env_ids, Sequence | np.ndarray) or isinstance(env_ids, str):
        raise VectorError(f"env_ids must be a list of slots; it is {env_ids!r:.100}")
    ids: list[Any] = list(env_ids)
    for i in ids:
        if not is_whole(i) or not 0 <= i < num_envs:
            raise VectorError(f"there is no slot {i!r:.100}; there are {num_envs}, from 0")
    if len(set(ids)) < len(ids):
        raise AlreadyPendingCallError(f"send() names a slot twice: {ids}", "send")
    return [int(i) for i in ids]


def check_number(actions: Any, number: int) -> None:
    """See that there is one action for each slot.

    Raises:
        VectorError: There is not.
    """
    if not isinstance(actions, _MANY) or len(actions) != number:
        raise VectorError(f"there must be one action for each of {number} slots, in a list; got {actions!r:.200}")
