"""The infos of all slots in one dict, in Gymnasium's layout, with every value as its slot gave it.

Gymnasium types a column after the first slot that has the key: beside an integer 0, 0.8 becomes 0, and None ends the
step of all slots. Here all values of a column decide.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

_PLAIN = frozenset({int, float})
_BOOLS = frozenset({bool, np.bool_})


def merge_infos(slots: Sequence[int], infos: Sequence[Mapping[Any, Any]], num_envs: int) -> dict[Any, Any]:
    """Merge infos by key.

    A column of numbers is an array of numbers, integers beside others included; of booleans, one of booleans; of arrays
    of one shape and type, their stack; of dicts, such a dict of columns again. Any other mix, and a number that no type
    holds exactly, makes an array of objects. Slots without the key have zero, False or None.

    Args:
        slots: Slots.
        infos: The info of each.
        num_envs: How many slots there are.

    Returns:
        For each key its column, and under `_key` the mask of slots that have it. A key that is the name of such a mask
        is left out.
    """
    if len(slots) == num_envs and all(len(info) == 1 and "task_id" in info for info in infos):  # most steps
        ids = np.empty(num_envs, dtype=object)
        ids[:] = [info["task_id"] for info in infos]
        return {"task_id": ids, "_task_id": np.ones(num_envs, dtype=np.bool_)}
    columns: dict[Any, tuple[list[int], list[Any]]] = {}
    for slot, info in zip(slots, infos, strict=True):
        for key, value in info.items():
            column = columns.get(key)
            if column is None:
                columns[key] = column = ([], [])
            column[0].append(slot)
            column[1].append(value)
    merged: dict[Any, Any] = {}
    masks = {f"_{key}" for key in columns}
    for key, (having, values) in columns.items():
        if key not in masks:
            merged[key] = (
                _objects(having, values, num_envs) if key == "final_obs" else _column(having, values, num_envs)
            )
            mask = merged[f"_{key}"] = np.zeros(num_envs, dtype=np.bool_)
            mask[having] = True
    return merged


def _column(slots: Sequence[int], values: Sequence[Any], num_envs: int) -> Any:
    types = set(map(type, values))
    if all(issubclass(kind, dict) for kind in types):
        return merge_infos(slots, values, num_envs)
    if types == {np.ndarray}:
        return _stack(slots, values, num_envs)
    dtype = _number_type(types)
    if dtype is None:
        return _objects(slots, values, num_envs)
    array = np.zeros(num_envs, dtype=dtype)
    try:
        array[slots] = np.array(values, dtype=dtype)
    except OverflowError:  # an integer beyond 64 bits
        return _objects(slots, values, num_envs)
    if len(types) > 1 and dtype.kind in "fc" and not _holds_integers(array, slots, values):
        return _objects(slots, values, num_envs)
    return array


def _number_type(types: set[type]) -> np.dtype[Any] | None:
    """The type that numbers of these types have in common; None where some are no numbers, or would turn into others.

    Booleans are no numbers, and integers of types that only floats have in common stay what they are.
    """
    if types <= _BOOLS:
        return np.dtype(np.bool_)
    if not all(kind in _PLAIN or issubclass(kind, np.number) for kind in types):
        return None
    dtypes = [np.dtype(kind) for kind in types]
    if any(dtype.kind not in "iufc" for dtype in dtypes):  # spans of time are np.number too
        return None
    common = np.result_type(*dtypes)
    return common if common.kind in {dtype.kind for dtype in dtypes} else None


def _holds_integers(array: NDArray[Any], slots: Sequence[int], values: Sequence[Any]) -> bool:
    """Whether the integers among the values are in an array of floats unchanged."""
    whole = [
        (slot, int(value)) for slot, value in zip(slots, values, strict=True) if isinstance(value, int | np.integer)
    ]
    return all(array[slot].item() == value for slot, value in whole)


def _stack(slots: Sequence[int], values: Sequence[NDArray[Any]], num_envs: int) -> NDArray[Any]:
    first = values[0]
    if any(value.shape != first.shape or value.dtype != first.dtype for value in values):
        return _objects(slots, values, num_envs)
    array = np.zeros((num_envs, *first.shape), dtype=first.dtype)
    for slot, value in zip(slots, values, strict=True):
        array[slot] = value
    return array


def _objects(slots: Sequence[int], values: Sequence[Any], num_envs: int) -> NDArray[np.object_]:
    array = np.full(num_envs, None, dtype=object)
    for slot, value in zip(slots, values, strict=True):  # one by one: NumPy would take a list of lists for a table
        array[slot] = value
    return array
