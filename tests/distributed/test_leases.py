"""Who has which tasks, whatever becomes of workers."""

from __future__ import annotations

import random
from typing import Any

from llmgym.distributed.leases import Lease, LeaseBook


def book(tasks: int, most: int = 4, size: int | None = -1) -> LeaseBook:
    source: Any = None
    visits = iter([(source, index, 0) for index in range(tasks)])
    return LeaseBook(visits, tasks if size == -1 else size, most)


def fill(leases: LeaseBook, worker: str, workers: int = 1) -> list[int]:
    """Give a worker all that it should have; the tasks."""
    given: list[int] = []
    for _ in range(leases.room(worker, workers)):
        lease = leases.draw(worker)
        if lease is None:
            break
        given.append(leases.grant(worker, lease).visit[1])
    return given


def test_each_task_is_granted_once_while_nobody_is_lost() -> None:
    leases = book(10)
    assert fill(leases, "a", 2) == [0, 1, 2, 3]
    assert fill(leases, "b", 2) == [4, 5, 6, 7]
    assert fill(leases, "a", 2) == []
    leases.held["a"].clear()
    assert fill(leases, "a", 2) == [8, 9]
    assert not leases.is_over
    leases.held.clear()
    assert fill(leases, "a", 2) == []
    assert leases.is_over


def test_towards_the_end_each_has_its_share() -> None:
    leases = book(6, most=100)
    assert fill(leases, "a", 3) == [0, 1]
    assert fill(leases, "b", 3) == [2, 3]
    assert fill(leases, "c", 3) == [4, 5]
    endless = book(100, most=5, size=None)
    assert len(fill(endless, "a", 3)) == 5


def test_what_was_lost_comes_first_and_under_another_number() -> None:
    leases = book(8)
    fill(leases, "a")
    before = list(leases.held["a"])
    assert [lease.visit[1] for lease in leases.lose("a")] == [0, 1, 2, 3]
    assert fill(leases, "b") == [0, 1, 2, 3]
    assert not set(before) & set(leases.held["b"])
    assert leases.lose("nobody") == []


def test_a_task_whose_workers_die_is_run_alone_and_then_given_up() -> None:
    leases = book(3, most=3)
    deaths = alone = 0
    done: list[int] = []
    hopeless: list[Lease] = []
    while not leases.is_over:
        fill(leases, "a")
        held = leases.held.get("a", {})
        if any(lease.visit[1] == 1 for lease in held.values()):  # the worker dies of it
            alone += len(held) == 1
            hopeless += [lease for lease in leases.lose("a") if lease.is_hopeless]
            deaths += 1
        else:
            done += [lease.visit[1] for lease in held.values()]
            held.clear()
    assert sorted(done) == [0, 2]
    assert [lease.visit[1] for lease in hopeless] == [1]
    assert (deaths, alone) == (5, 2)


def test_after_its_end_nothing_is_granted() -> None:
    leases = book(8)
    fill(leases, "a")
    leases.close()
    leases.lose("a")
    assert leases.draw("a") is None
    assert leases.is_over


def test_whoever_is_lost_whenever_all_tasks_are_done_once() -> None:
    rng = random.Random(0)
    for _ in range(50):
        leases, done = book(40, most=rng.randrange(1, 6)), list[int]()
        while not leases.is_over:
            worker = rng.choice("abc")
            fill(leases, worker, 3)
            held = leases.held.get(worker, {})
            if held and rng.random() < 0.1:
                assert not any(lease.is_hopeless for lease in leases.lose(worker) if lease.losses < 5)
            elif held:
                number = rng.choice(list(held))
                done.append(held.pop(number).visit[1])
        assert len(set(done)) == len(done)
        assert len(done) >= 38  # a task that is lost five times is given up, here by chance
