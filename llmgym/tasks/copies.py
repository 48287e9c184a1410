"""Copies of tasks that cost what is read of them.

An episode may change its task, and no other episode may see that. Rows can be large, though, and most of what they
hold is never looked at: a copy of all of it was the greatest cost of starting an episode. So a copy is made of dicts
and lists that are copied level by level. One level holds what the original holds; a dict or list in it is replaced by a
copy of its own when it is first read. What changes a level changes the copy, and the original must not be changed as
long as copies of it are in use.

They are dicts and lists to all code, and are written by any encoder, which sees what is in them and only reads. Every
way by which Python hands out what is in them is overridden. What takes a dict or list apart behind its back, in C, and
keeps the parts, cannot be: `heapq`, `msgspec.convert`, models of pydantic, an object whose `__dict__` it becomes. They
come upon the original, which in a set of rows is `frozen` and refuses to be changed; a `copy.deepcopy`, which is plain,
is what they are to be given.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from copy import deepcopy
from typing import Any, SupportsIndex, cast

import yaml

from llmgym.tasks.frozen import FrozenDict, FrozenList

_ATOMS = frozenset({str, int, float, bool, type(None)})
_lock = threading.RLock()  # two tools in threads may read a level for the first time at once


def lazy_value(value: Any) -> Any:
    """A copy of JSON data that copies level by level; of anything else, a deep copy.

    Args:
        value: It must not be changed while the copy is in use, unless it is such a copy itself.
    """
    kind = type(value)
    if kind in _ATOMS:
        return value
    if kind is dict or kind is FrozenDict:
        return LazyDict(value)
    if kind is list or kind is FrozenList:
        return LazyList(value)
    if kind is LazyDict or kind is LazyList:
        return value.again({})
    return deepcopy(value)


def _again(value: Any, memo: dict[int, Any]) -> Any:
    """A copy of what is in a copy; what is in it twice is in that twice."""
    kind = type(value)
    if kind is LazyDict or kind is LazyList:
        known = memo.get(id(value))
        return value.again(memo) if known is None else known
    return value if kind in _ATOMS else deepcopy(value, memo)


class LazyDict(dict[Any, Any]):
    """A copy of a dict; what is in it is copied when it is read."""

    # `_source` is the original; an item that is its very item is shared, and must be copied before it is handed out.
    # `_shares` tells whether there may be such items, `_fresh` whether there are no others.
    __slots__ = ("_fresh", "_shares", "_source")

    def __init__(self, source: dict[Any, Any]) -> None:
        super().__init__(source)
        self._source = source
        self._shares = self._fresh = True

    def _own(self) -> None:
        """Copy all that is shared."""
        if self._shares:
            with _lock:
                for key, value in super().items():
                    if type(value) not in _ATOMS and self._source.get(key) is value:
                        super().__setitem__(key, lazy_value(value))
                        self._fresh = False
                self._shares = False

    # --- reading ----------------------------------------------------------------------------------

    def __getitem__(self, key: Any) -> Any:
        value = super().__getitem__(key)
        if type(value) in _ATOMS or not self._shares:
            return value
        with _lock:
            value = super().__getitem__(key)
            if self._source.get(key) is value:
                value = lazy_value(value)
                super().__setitem__(key, value)
                self._fresh = False
        return value

    def get(self, key: Any, default: Any = None) -> Any:
        """See `dict.get`."""
        try:
            return self[key]
        except KeyError:
            return default

    def __iter__(self) -> Iterator[Any]:
        # That it is overridden makes `dict(x)`, `{**x}` and `f(**x)` ask `__getitem__` for the values.
        return super().__iter__()

    def values(self) -> Any:
        """See `dict.values`."""
        self._own()
        return super().values()

    def items(self) -> Any:
        """See `dict.items`."""
        self._own()
        return super().items()

    # --- writing ----------------------------------------------------------------------------------

    def __setitem__(self, key: Any, value: Any) -> None:
        self._fresh = False
        super().__setitem__(key, value)

    def __delitem__(self, key: Any) -> None:
        self._fresh = False
        super().__delitem__(key)

    def clear(self) -> None:
        """See `dict.clear`."""
        self._fresh = False
        super().clear()

    def pop(self, key: Any, *default: Any) -> Any:
        """See `dict.pop`."""
        if key in self:
            _ = self[key]
        self._fresh = False
        return super().pop(key, *default)

    def popitem(self) -> tuple[Any, Any]:
        """See `dict.popitem`."""
        for key in reversed(self):
            _ = self[key]
            break
        self._fresh = False
        return super().popitem()

    def setdefault(self, key: Any, default: Any = None) -> Any:
        """See `dict.setdefault`."""
        if key in self:
            return self[key]
        self[key] = default
        return default

    def update(self, *args: Any, **items: Any) -> None:
        """See `dict.update`."""
        self._fresh = False
        super().update(*args, **items)

    def __ior__(self, other: Any) -> LazyDict:  # type: ignore[override, misc]
        self.update(other)
        return self

    # --- copying ----------------------------------------------------------------------------------

    @classmethod
    def fromkeys(cls, iterable: Iterable[Any], value: Any = None, /) -> dict[Any, Any]:
        """See `dict.fromkeys`."""
        return dict.fromkeys(iterable, value)

    def copy(self) -> dict[Any, Any]:
        """See `dict.copy`."""
        return dict(self.items())

    __copy__ = copy

    def __or__(self, other: Any) -> Any:
        return self.copy() | other

    def __ror__(self, other: Any) -> Any:
        return other | self.copy()

    def again(self, memo: dict[int, Any]) -> dict[Any, Any]:
        """Another copy, of this one as it is now, which may change; `memo` knows what was copied already."""
        copied = memo[id(self)] = LazyDict(self._source) if self._fresh else dict[Any, Any]()
        if not self._fresh:
            for key, value in super().items():
                shared = self._shares and self._source.get(key) is value
                copied[key] = lazy_value(value) if shared else _again(value, memo)
        return copied

    def __reduce_ex__(self, protocol: SupportsIndex) -> tuple[Any, ...]:
        # What pickles and deep copies are made of; both are plain.
        return dict, (), None, None, iter(super().items())


class LazyList(list[Any]):
    """A copy of a list; what is in it is copied when it is read."""

    # As in LazyDict. Items stay where they were in the original as long as any is shared.
    __slots__ = ("_fresh", "_shares", "_source")

    def __init__(self, source: list[Any]) -> None:
        super().__init__(source)
        self._source = source
        self._shares = self._fresh = True

    def _own(self) -> None:
        """Copy all that is shared."""
        if self._shares:
            with _lock:
                for index, (value, original) in enumerate(zip(super().__iter__(), self._source, strict=False)):
                    if type(value) not in _ATOMS and value is original:
                        super().__setitem__(index, lazy_value(value))
                        self._fresh = False
                self._shares = False

    def _move(self) -> None:
        """Prepare for a change that moves items."""
        self._own()
        self._fresh = False

    # --- reading ----------------------------------------------------------------------------------

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            self._own()
            return super().__getitem__(cast("slice[Any, Any, Any]", index))
        value = super().__getitem__(index)
        if type(value) in _ATOMS or not self._shares:
            return value
        with _lock:
            value = super().__getitem__(index)
            place = index.__index__()
            place += len(self) if place < 0 else 0
            if place < len(self._source) and self._source[place] is value:
                value = lazy_value(value)
                super().__setitem__(place, value)
                self._fresh = False
        return value

    def __iter__(self) -> Iterator[Any]:
        self._own()
        return super().__iter__()

    def __reversed__(self) -> Iterator[Any]:
        self._own()
        return super().__reversed__()

    # --- writing ----------------------------------------------------------------------------------

    def __setitem__(self, index: Any, value: Any) -> None:
        if isinstance(index, slice):
            self._own()
        self._fresh = False
        super().__setitem__(index, value)

    def __delitem__(self, index: Any) -> None:
        self._move()
        super().__delitem__(index)

    def append(self, value: Any) -> None:
        """See `list.append`."""
        self._fresh = False
        super().append(value)

    def extend(self, values: Iterable[Any]) -> None:
        """See `list.extend`."""
        if values is self:
            self._own()
        self._fresh = False
        super().extend(values)

    def __iadd__(self, values: Iterable[Any]) -> LazyList:  # type: ignore[override, misc]
        self.extend(values)
        return self

    def insert(self, index: SupportsIndex, value: Any) -> None:
        """See `list.insert`."""
        self._move()
        super().insert(index, value)

    def pop(self, index: SupportsIndex = -1) -> Any:
        """See `list.pop`."""
        if index == -1:  # moves no other
            if self:
                _ = self[-1]
            self._fresh = False
        else:
            self._move()
        return super().pop(index)

    def remove(self, value: Any) -> None:
        """See `list.remove`."""
        self._move()
        super().remove(value)

    def clear(self) -> None:
        """See `list.clear`."""
        self._fresh = self._shares = False
        super().clear()

    def reverse(self) -> None:
        """See `list.reverse`."""
        self._move()
        super().reverse()

    def sort(self, **options: Any) -> None:
        """See `list.sort`."""
        self._move()
        super().sort(**options)

    def __imul__(self, times: SupportsIndex) -> LazyList:
        self._move()
        return super().__imul__(times)

    # --- copying ----------------------------------------------------------------------------------

    def copy(self) -> list[Any]:
        """See `list.copy`."""
        self._own()
        return super().copy()

    __copy__ = copy

    def __add__(self, other: Any) -> Any:
        return self.copy() + other

    def __radd__(self, other: Any) -> Any:
        # Not the sum: `x += self` asks here before it extends x. Once nothing is shared, the list may add it itself.
        self._own()
        return NotImplemented

    def __mul__(self, times: SupportsIndex) -> list[Any]:
        return self.copy() * times

    __rmul__ = __mul__

    def again(self, memo: dict[int, Any]) -> list[Any]:
        """Another copy, as `LazyDict.again` makes it."""
        copied = memo[id(self)] = LazyList(self._source) if self._fresh else list[Any]()
        if not self._fresh:
            size = len(self._source) if self._shares else 0
            for index, value in enumerate(super().__iter__()):
                shared = index < size and self._source[index] is value
                copied.append(lazy_value(value) if shared else _again(value, memo))
        return copied

    def __reduce_ex__(self, protocol: SupportsIndex) -> tuple[Any, ...]:
        return list, (), None, iter(super().__iter__())


# PyYAML goes by the very type.
for _representer in (yaml.representer.SafeRepresenter, yaml.representer.Representer):
    for _kind in (LazyDict, FrozenDict):
        _representer.add_representer(_kind, yaml.representer.SafeRepresenter.represent_dict)
    for _kind in (LazyList, FrozenList):
        _representer.add_representer(_kind, yaml.representer.SafeRepresenter.represent_list)
