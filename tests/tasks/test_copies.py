"""Copies that are made when they are read: all that Python can do with them, against deep copies."""

from __future__ import annotations

import bisect
import copy
import heapq
import json
import pickle
import pprint
import random
import threading
import types
from collections import ChainMap, Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

import msgspec
import numpy as np
import orjson
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from llmgym.tasks import frozen
from llmgym.tasks.copies import LazyDict, LazyList, lazy_value

ATOMS = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["a", "b", "", "é"]) | st.just(0.5)
KEYS = st.sampled_from("abcde")
JSON = st.recursive(
    ATOMS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=25,
)
TREES = st.dictionaries(KEYS, JSON, min_size=1, max_size=4) | st.lists(JSON, min_size=1, max_size=5)

Operation = Callable[[Any, Any, int, str], Any]  # on a container, with a value, a number and a key


def keywords(**items: Any) -> dict[str, Any]:
    return items


def arguments(*items: Any) -> tuple[Any, ...]:
    return items


def setting(x: Any, key: Any, value: Any) -> None:
    x[key] = value


def deleting(x: Any, key: Any) -> None:
    del x[key]


def ior(x: Any, other: Any) -> Any:
    x |= other
    return x


def iadd(x: Any, other: Any) -> Any:
    x += other
    return x


def imul(x: Any, times: int) -> Any:
    x *= times
    return x


def matched(x: Any) -> Any:
    match x:
        case {"a": found, **rest}:
            return [found, rest]
        case {"b": found}:
            return found
        case [first, *rest]:
            return [first, rest]
        case _:
            return None


def unpacked(x: Any) -> Any:
    first, *rest = x
    return [first, rest]


def shuffled(x: Any, number: int) -> Any:
    random.Random(number).shuffle(x)
    return x


def text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


BOTH: list[Operation] = [
    lambda x, v, n, k: len(x),
    lambda x, v, n, k: list(x),
    lambda x, v, n, k: tuple(x),
    lambda x, v, n, k: [*x],
    lambda x, v, n, k: list(reversed(x)),
    lambda x, v, n, k: sorted(x, key=text),
    lambda x, v, n, k: list(enumerate(x)),
    lambda x, v, n, k: list(zip(x, x, strict=True)),
    lambda x, v, n, k: deque(x),
    lambda x, v, n, k: max(x, key=text),
    lambda x, v, n, k: x.copy(),
    lambda x, v, n, k: copy.copy(x),
    lambda x, v, n, k: copy.deepcopy(x),
    lambda x, v, n, k: pickle.loads(pickle.dumps(x, n % 6)),
    lambda x, v, n, k: json.loads(json.dumps(x)),
    lambda x, v, n, k: json.loads(json.dumps(x, indent=1)),
    lambda x, v, n, k: orjson.loads(orjson.dumps(x)),
    lambda x, v, n, k: msgspec.json.decode(msgspec.json.encode(x)),
    lambda x, v, n, k: msgspec.msgpack.decode(msgspec.msgpack.encode(x)),
    lambda x, v, n, k: repr(x),
    lambda x, v, n, k: pprint.pformat(x),
    lambda x, v, n, k: x == v,
    lambda x, v, n, k: v == x,
    lambda x, v, n, k: bool(x),
    lambda x, v, n, k: matched(x),
    lambda x, v, n, k: unpacked(x),
    lambda x, v, n, k: x.clear(),
    lambda x, v, n, k: x.pop(),
    lambda x, v, n, k: x == copy.deepcopy(x),
    lambda x, v, n, k: isinstance(x, dict | list),
]
DICTS: list[Operation] = [
    lambda x, v, n, k: x[k],
    lambda x, v, n, k: itemgetter(k)(x),
    lambda x, v, n, k: x.get(k),
    lambda x, v, n, k: x.get(k, v),
    lambda x, v, n, k: k in x,
    lambda x, v, n, k: list(x.keys()),
    lambda x, v, n, k: list(x.values()),
    lambda x, v, n, k: list(x.items()),
    lambda x, v, n, k: list(reversed(x.items())),
    lambda x, v, n, k: x.keys().mapping[k],
    lambda x, v, n, k: dict(x),
    lambda x, v, n, k: dict(x, z=v),
    lambda x, v, n, k: {**x},
    lambda x, v, n, k: keywords(**x),
    lambda x, v, n, k: keywords(**x, z=v),
    lambda x, v, n, k: {key: value for key, value in x.items()},  # noqa: C416
    lambda x, v, n, k: OrderedDict(x),
    lambda x, v, n, k: dict(ChainMap({}, x)),
    lambda x, v, n, k: dict(Counter(x.keys())),
    lambda x, v, n, k: x | {k: v},
    lambda x, v, n, k: {k: v} | x,
    lambda x, v, n, k: x | x,
    lambda x, v, n, k: ior(x, {k: v}),
    lambda x, v, n, k: ior({k: v}, x),
    lambda x, v, n, k: ior(x, x),
    lambda x, v, n, k: {}.update(x),
    lambda x, v, n, k: setting(x, k, v),
    lambda x, v, n, k: deleting(x, k),
    lambda x, v, n, k: x.pop(k),
    lambda x, v, n, k: x.pop(k, v),
    lambda x, v, n, k: x.popitem(),
    lambda x, v, n, k: x.setdefault(k, v),
    lambda x, v, n, k: x.update({k: v}),
    lambda x, v, n, k: x.update(z=v),
    lambda x, v, n, k: x.update(x),
    lambda x, v, n, k: x.update([(k, v)]),
    lambda x, v, n, k: x.fromkeys([k], v),
    lambda x, v, n, k: setting(x, k, x[sorted(x)[0]]),
    lambda x, v, n, k: "{[a]}".format(x),  # noqa: UP032
    lambda x, v, n, k: "%(a)s" % x,  # noqa: UP031
]
LISTS: list[Operation] = [
    lambda x, v, n, k: x[n],
    lambda x, v, n, k: x[n:],
    lambda x, v, n, k: x[::-1],
    lambda x, v, n, k: x[:n:2],
    lambda x, v, n, k: x[np.int64(n)],
    lambda x, v, n, k: setting(x, n, v),
    lambda x, v, n, k: setting(x, n, x[0]),
    lambda x, v, n, k: setting(x, slice(n, n + 2), [v, v]),
    lambda x, v, n, k: setting(x, slice(n, None), x),
    lambda x, v, n, k: deleting(x, n),
    lambda x, v, n, k: deleting(x, slice(n, None, 2)),
    lambda x, v, n, k: x.append(v),
    lambda x, v, n, k: x.extend([v, v]),
    lambda x, v, n, k: x.extend(x[:3]),
    lambda x, v, n, k: x.extend(x) if len(x) < 20 else None,
    lambda x, v, n, k: iadd(x, [v]),
    lambda x, v, n, k: iadd(x, x) if len(x) < 20 else None,
    lambda x, v, n, k: iadd(x, (v,)),
    lambda x, v, n, k: x.insert(n, v),
    lambda x, v, n, k: x.pop(n),
    lambda x, v, n, k: x.remove(v),
    lambda x, v, n, k: x.remove(x[n]),
    lambda x, v, n, k: x.reverse(),
    lambda x, v, n, k: x.sort(key=text),
    lambda x, v, n, k: x.sort(key=text, reverse=True),
    lambda x, v, n, k: x + [v],  # noqa: RUF005
    lambda x, v, n, k: [v] + x,  # noqa: RUF005
    lambda x, v, n, k: x + x,
    lambda x, v, n, k: iadd([v], x),
    lambda x, v, n, k: x * 2,
    lambda x, v, n, k: 2 * x,
    lambda x, v, n, k: imul(x, n) if len(x) < 20 else None,
    lambda x, v, n, k: v in x,
    lambda x, v, n, k: x.count(v),
    lambda x, v, n, k: x.index(v),
    lambda x, v, n, k: arguments(*x),
    lambda x, v, n, k: list(map(text, x)),
    lambda x, v, n, k: sum((y for y in x if isinstance(y, list)), []),  # noqa: RUF017
    lambda x, v, n, k: shuffled(x, n),
    lambda x, v, n, k: random.Random(n).choice(x),
    lambda x, v, n, k: random.Random(n).sample(x, min(2, len(x))),
    lambda x, v, n, k: x + (v,),  # noqa: RUF005 -- a TypeError
    lambda x, v, n, k: x < [v],
]


def outcome(operation: Operation, *args: Any) -> tuple[str, Any]:
    try:
        return "gives", operation(*args)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        return "raises", type(error)


def containers(value: Any, depth: int = 3) -> list[Any]:
    """What can be taken out of a value, at any level near its top."""
    if isinstance(value, tuple | deque):
        return [inside for item in value for inside in containers(item, depth)]
    return [value] if isinstance(value, dict | list) else []


def spoil(value: Any, seen: set[int]) -> None:
    """Change every list and dict that can be reached."""
    if not isinstance(value, dict | list) or id(value) in seen:
        return
    seen.add(id(value))
    for item in list(value.values()) if isinstance(value, dict) else list(value):
        spoil(item, seen)
    if isinstance(value, dict):
        value["spoilt"] = True
    else:
        value.append("spoilt")


@given(TREES, st.data())
def test_a_copy_does_all_that_a_deep_copy_does_and_leaves_the_original_alone(
    original: Any, data: st.DataObject
) -> None:
    before = pickle.dumps(original)
    nodes = [(lazy_value(original), copy.deepcopy(original))]
    roots = list(nodes)
    for _ in range(data.draw(st.integers(1, 25))):
        ours, theirs = nodes[data.draw(st.integers(0, len(nodes) - 1))]
        lazy = isinstance(ours, LazyDict | LazyList)
        if lazy and data.draw(st.integers(0, 9)) == 0:  # a copy of a copy, whatever was done to it
            nodes.append((lazy_value(ours), copy.deepcopy(theirs)))
            roots.append(nodes[-1])
            continue
        operation = data.draw(st.sampled_from(BOTH + (DICTS if isinstance(theirs, dict) else LISTS)))
        value, number, key = data.draw(JSON), data.draw(st.integers(-3, 5)), data.draw(KEYS)
        found = outcome(operation, ours, copy.deepcopy(value), number, key)
        expected = outcome(operation, theirs, copy.deepcopy(value), number, key)
        assert found == expected
        assert type(found[1]) is type(expected[1]) or isinstance(found[1], LazyDict | LazyList)
        pairs = list(zip(containers(found[1]), containers(expected[1]), strict=True))
        nodes += pairs[:6]
        assert [ours for ours, _ in nodes] == [theirs for _, theirs in nodes]
    assert text([ours for ours, _ in roots]) == text([theirs for _, theirs in roots])
    for ours, _ in nodes:
        spoil(ours, set())
    assert pickle.dumps(original) == before


@given(TREES)
def test_nothing_that_can_be_reached_is_the_originals(original: Any) -> None:
    own: set[int] = set()

    def note(value: Any) -> None:
        if isinstance(value, dict | list):
            own.add(id(value))
            for item in value.values() if isinstance(value, dict) else value:
                note(item)

    def expect_other(value: Any) -> None:
        if isinstance(value, dict | list):
            assert id(value) not in own
            for item in [value[key] for key in value] if isinstance(value, dict) else [*value]:
                expect_other(item)

    note(original)
    first = lazy_value(original)
    for made in (first, lazy_value(first), copy.copy(first), copy.deepcopy(first), pickle.loads(pickle.dumps(first))):
        expect_other(made)


def test_a_level_is_copied_when_it_is_read_and_no_other() -> None:
    original = {"docs": [{"id": n, "tags": ["a"]} for n in range(100)], "other": [[1], [2]]}
    made = lazy_value(original)
    made["docs"][17]["tags"].append("b")
    raw = dict.__getitem__(made, "docs")
    assert dict.__getitem__(made, "other") is original["other"]
    assert [n for n in range(100) if list.__getitem__(raw, n) is not original["docs"][n]] == [17]
    assert original["docs"][17] == {"id": 17, "tags": ["a"]}
    assert made["docs"][17] == {"id": 17, "tags": ["a", "b"]}


def test_what_is_read_twice_is_the_same() -> None:
    made = lazy_value({"a": [{"b": []}], "c": {}})
    assert made["a"] is made["a"] is made.get("a") is next(iter(made.values())) is dict(made)["a"]
    assert made["a"][0] is made["a"][-1] is next(iter(made["a"])) is made["a"][:][0]
    mine: dict[str, Any] = {}
    made["mine"] = mine
    assert made["mine"] is mine
    assert type(mine) is dict


def test_a_copy_of_a_changed_copy_keeps_what_is_in_it_twice() -> None:
    made = lazy_value({"a": [1], "b": [2]})
    made["again"] = made["a"]
    other = lazy_value(made)
    other["a"].append(3)
    assert other == {"a": [1, 3], "b": [2], "again": [1, 3]}
    assert made == {"a": [1], "b": [2], "again": [1]}


def test_what_is_no_json_is_copied_when_it_is_read() -> None:
    @dataclass
    class Board:
        cells: list[int]

    original = {"board": Board([1]), "set": {1}, "pair": ([1], 2), "array": np.zeros(2), "counts": Counter("aab")}
    made = lazy_value(original)
    made["board"].cells.append(2)
    made["set"].add(2)
    made["pair"][0].append(2)
    made["array"][0] = 1
    made["counts"]["a"] = 0
    assert original["board"].cells == [1]
    assert original["set"] == {1}
    assert original["pair"] == ([1], 2)
    assert original["array"][0] == 0
    assert original["counts"]["a"] == 2
    assert made["set"] is made["set"]


def test_a_deep_copy_is_plain() -> None:
    """So that it can be given to what takes dicts apart in C."""
    made = lazy_value({"a": [{"b": [1]}], "c": 1})
    assert made["a"]

    def kinds(value: Any) -> set[type]:
        inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        return {type(value)}.union(*map(kinds, inside))

    for found in (copy.deepcopy(made), pickle.loads(pickle.dumps(made))):
        assert kinds(found) == {dict, list, int}
        assert found == made


def test_threads_that_read_at_once_get_one_copy() -> None:
    for _ in range(50):
        made = lazy_value({"list": [[n] for n in range(20)]})
        barrier = threading.Barrier(4)

        def work(made: Any = made, barrier: threading.Barrier = barrier) -> None:
            barrier.wait()
            for n in range(20):
                made["list"][n].append(0)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert made["list"] == [[n, 0, 0, 0, 0] for n in range(20)]


@pytest.mark.parametrize("value", [1, 0.5, True, None, "text"])
def test_values_that_do_not_change_are_themselves(value: Any) -> None:
    assert lazy_value(value) is value


# --- libraries ----------------------------------------------------------------------------------

STATE = {
    "jobs": [[3, {"to": [1]}], [1, {"to": [2]}], [2, {"to": [3]}]],
    "people": [{"name": "a", "tags": ["x"]}, {"name": "b", "tags": ["y"]}],
    "deep": {"a": {"b": [1]}},
}


class State(msgspec.Struct):
    people: list[Any]
    deep: dict[str, Any]


class Holder:
    people: list[Any]


def taken_as_attributes(x: Any) -> Any:
    holder = Holder()
    holder.__dict__ = x
    return holder.people[0]


def validated(x: Any) -> Any:
    pydantic = pytest.importorskip("pydantic")
    model = pydantic.create_model("Model", people=(list, ...), deep=(dict, ...))
    return model(**x).people[0]


def popped(x: Any) -> Any:
    heapq.heapify(x["jobs"])
    return heapq.heappop(x["jobs"])[1]


def inserted(x: Any) -> Any:
    bisect.insort(x["jobs"], [2, {"to": []}], key=itemgetter(0))
    return x["jobs"][0][1]


def mixed(x: Any) -> Any:
    np.random.default_rng(0).shuffle(x["people"])
    return x["people"][0]


def in_an_array(x: Any) -> Any:
    array = np.empty(2, dtype=object)
    array[:] = x["people"]
    return array[0]


# What they give of a copy is the copy's own.
ORDINARY: list[Callable[[Any], Any]] = [
    lambda x: copy.copy(x)["deep"]["a"],
    lambda x: copy.deepcopy(x)["deep"]["a"],
    lambda x: pickle.loads(pickle.dumps(x))["deep"]["a"],
    lambda x: json.loads(json.dumps(x))["deep"]["a"],
    lambda x: yaml.safe_load(yaml.safe_dump(x))["deep"]["a"],
    lambda x: msgspec.to_builtins(x)["deep"]["a"],
    lambda x: types.MappingProxyType(x)["deep"]["a"],
    lambda x: types.SimpleNamespace(**x).deep["a"],
    lambda x: defaultdict(list, x)["deep"]["a"],
    lambda x: np.array(x["people"])[0],
    lambda x: np.asarray(x["jobs"], dtype=object)[0][1],
    lambda x: np.random.default_rng(0).choice(x["people"]),
    lambda x: np.random.default_rng(0).permutation(x["people"])[0],
    lambda x: heapq.nlargest(1, x["people"], key=itemgetter("name"))[0],
    lambda x: heapq.nsmallest(2, x["jobs"])[0][1],
    lambda x: next(heapq.merge(x["jobs"], [[0, {}]], key=itemgetter(0)))[1],
    mixed, in_an_array, inserted,
]  # fmt: skip
# What they give is the original itself, which they find in C.
SEEING_THROUGH: list[Callable[[Any], Any]] = [
    popped, taken_as_attributes, validated, lambda x: msgspec.convert(x, State).deep["a"],
]  # fmt: skip


@pytest.mark.parametrize("take", ORDINARY)
def test_what_libraries_take_out_of_a_copy_is_its_own(take: Callable[[Any], Any]) -> None:
    original = copy.deepcopy(STATE)
    take(lazy_value(original))["mine"] = 1
    assert original == STATE
    shared = frozen(STATE)
    take(lazy_value(shared))["mine"] = 1
    assert shared == STATE


@pytest.mark.parametrize("take", SEEING_THROUGH)
def test_what_sees_through_a_copy_can_change_nothing_that_a_set_of_rows_holds(take: Callable[[Any], Any]) -> None:
    shared = frozen(STATE)
    with pytest.raises(TypeError, match=r"belongs to all episodes of its task: .*heapq, msgspec.convert, pydantic"):
        take(lazy_value(shared))["mine"] = 1
    assert shared == STATE
    take(copy.deepcopy(lazy_value(shared)))["mine"] = 1  # as the error says
    assert shared == STATE


@given(TREES)
def test_yaml_is_that_of_a_plain_one(original: Any) -> None:
    made = lazy_value(frozen(original))
    expected = copy.deepcopy(original)
    for dump in (yaml.safe_dump, yaml.dump, lambda value: yaml.dump(value, Dumper=yaml.CSafeDumper)):
        assert dump(made) == dump(expected)
