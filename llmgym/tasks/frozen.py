"""The data of tasks as their sets hold it: dicts and lists that refuse to be changed.

Episodes get copies of it, by `llmgym.tasks.copies`. What takes such a copy apart behind its back, in C, comes upon what
the set holds, which all episodes share: to change that is an error.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn, SupportsIndex

_MUTABLE = frozenset({dict, list})


def frozen(value: Any) -> Any:
    """The same JSON data in dicts and lists that refuse to be changed."""
    kind = type(value)
    if kind is dict:
        return _frozen_dict(value)
    return _frozen_list(value) if kind is list else value


def _frozen_dict(value: dict[Any, Any]) -> FrozenDict:
    made = FrozenDict(value)
    for key, item in value.items():
        if type(item) in _MUTABLE:
            dict.__setitem__(made, key, frozen(item))
    return made


def _frozen_list(value: list[Any]) -> FrozenList:
    made = FrozenList(value)
    for index, item in enumerate(value):
        if type(item) in _MUTABLE:
            list.__setitem__(made, index, frozen(item))
    return made


def _refuse(self: Any, *args: Any, **options: Any) -> NoReturn:
    raise TypeError(
        f"this {type(self).__bases__[0].__name__} belongs to all episodes of its task: change a copy.deepcopy; heapq, "
        "msgspec.convert, pydantic and an object's __dict__ need one of what they are given"
    )


_REFUSED: Callable[..., Any] = _refuse


class FrozenDict(dict[Any, Any]):
    """A dict that refuses to be changed; copies of it are plain."""

    __slots__ = ()
    __setitem__ = __delitem__ = __ior__ = clear = pop = popitem = setdefault = update = _REFUSED

    def __reduce_ex__(self, protocol: SupportsIndex) -> tuple[Any, ...]:
        return dict, (), None, None, iter(self.items())


class FrozenList(list[Any]):
    """A list that refuses to be changed; copies of it are plain."""

    __slots__ = ()
    __setitem__ = __delitem__ = __iadd__ = __imul__ = append = clear = extend = insert = pop = remove = _REFUSED
    reverse = sort = _REFUSED

    def __reduce_ex__(self, protocol: SupportsIndex) -> tuple[Any, ...]:
        return list, (), None, iter(self)
