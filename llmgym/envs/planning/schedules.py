"""Schedules: jobs with durations and an order, done by people one at a time, and the earliest end of all."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np

from llmgym.envs.vocabulary import GIVEN_NAMES, listed

Rng = np.random.Generator
Problem = Mapping[str, Any]
Plan = list[dict[str, Any]]

_THEMES = (
    ("renovate a flat", "wiring plumbing plaster floor tiles paint doors kitchen lamps curtains"),
    ("put on a play", "script casting costumes scenery lights music rehearsal posters tickets seating"),
    ("open a cafe", "lease permits ovens counter menu suppliers sign training tasting website"),
    ("publish a magazine", "interviews photos columns editing layout proofs cover adverts print delivery"),
    ("hold a street fair", "permits stalls stage fences power sound food signs bins lanterns"),
    ("move an office", "inventory boxes desks servers cables phones shelves cleaning keys labels"),
)


def draw(rng: Rng, count: int, people: int) -> dict[str, Any]:
    """Jobs of which some come after others, each for some of the people."""
    theme, words = _THEMES[rng.integers(len(_THEMES))]
    names = words.split()
    chosen = [names[i] for i in rng.permutation(len(names))[:count]]
    workers = [GIVEN_NAMES[i] for i in rng.choice(len(GIVEN_NAMES), people, replace=False)]
    order = rng.permutation(count)  # in which jobs may depend on each other; they are told in another one
    jobs: list[dict[str, Any]] = [{} for _ in range(count)]
    for place, index in enumerate(order.tolist()):
        before = order[:place].tolist()
        after = [chosen[i] for i in before if rng.random() < 1.4 / (place + 1)][:2]
        able = [worker for worker in workers if rng.random() < 0.55] or [workers[rng.integers(people)]]
        jobs[index] = {
            "name": chosen[index],
            "hours": int(rng.integers(1, 8)),
            "by": able,
            "after": after,
            "from": int(rng.integers(1, 6)) if rng.random() < 0.2 else 0,
        }
    return {"theme": theme, "workers": workers, "jobs": jobs}


def judge(problem: Problem, plan: Plan) -> tuple[int | None, str]:
    """When everything is done by a plan, or None and what is wrong with it."""
    jobs = {job["name"]: job for job in problem["jobs"]}
    placed: dict[str, tuple[int, int]] = {}
    busy: dict[str, list[tuple[int, int, str]]] = {worker: [] for worker in problem["workers"]}
    for step in plan:
        name, worker, start = step["job"], step["worker"], step["start"]
        if name in placed:
            return None, f"{name} is in it twice"
        job = jobs[name]
        if worker not in job["by"]:
            return None, f"{worker} cannot do {name}"
        if start < job["from"]:
            return None, f"{name} cannot start before hour {job['from']}"
        placed[name] = (start, start + job["hours"])
        busy[worker].append((*placed[name], name))
    if missing := [name for name in jobs if name not in placed]:
        return None, f"{missing[0]} is missing"
    for name, job in jobs.items():
        for earlier in job["after"]:
            if placed[name][0] < placed[earlier][1]:
                return None, f"{name} starts before {earlier} is done"
    for worker, spans in busy.items():
        spans.sort()
        for (_, end, one), (start, _, other) in pairwise(spans):
            if start < end:
                return None, f"{worker} does {one} and {other} at the same time"
    return max(end for _, end in placed.values()), ""


def search(problem: Problem) -> tuple[int, Plan]:
    """The earliest end of all, and a plan that has it: branch and bound over the orders in which jobs start."""
    return _Search(problem).best


class _Search:
    """Goes through the orders in which jobs can start, without those that cannot end earlier than the best one."""

    def __init__(self, problem: Problem) -> None:
        jobs = problem["jobs"]
        places = {job["name"]: i for i, job in enumerate(jobs)}
        self.jobs, self.workers = jobs, problem["workers"]
        self.hours: list[int] = [job["hours"] for job in jobs]
        self.after = [[places[name] for name in job["after"]] for job in jobs]
        self.able = [[self.workers.index(name) for name in job["by"]] for job in jobs]
        self.tail = [0] * len(jobs)  # hours from the start of a job to the end of all that comes after it
        for _ in jobs:
            for i, earlier in enumerate(self.after):
                for j in earlier:
                    self.tail[j] = max(self.tail[j], self.hours[i] + self.tail[i])
        self.seen: dict[tuple[Any, ...], int] = {}
        self.best: tuple[int, Plan] = (10**9, [])
        self._extend((), [0] * len(self.workers), [-1] * len(jobs), 0)

    def _extend(self, steps: tuple[tuple[int, int, int], ...], free: list[int], ends: list[int], last: int) -> None:
        if len(steps) == len(self.jobs):
            latest = max(ends)
            if latest < self.best[0]:
                self.best = (
                    latest,
                    [{"job": self.jobs[i]["name"], "worker": self.workers[w], "start": start} for i, w, start in steps],
                )
            return
        key = (tuple(free), tuple(ends))
        if key in self.seen and self.seen[key] <= last:
            return
        self.seen[key] = last
        for i, worker, start in self._moves(free, ends, last):
            if start + self.hours[i] + self.tail[i] >= self.best[0]:
                continue
            was = free[worker]
            free[worker] = ends[i] = start + self.hours[i]
            if self._bound(free, ends, start) < self.best[0]:
                self._extend((*steps, (i, worker, start)), free, ends, start)
            free[worker], ends[i] = was, -1

    def _moves(self, free: list[int], ends: list[int], last: int) -> list[tuple[int, int, int]]:
        """The jobs that can come next, by whom and when; none starts before the one that came last."""
        found: list[tuple[int, int, int]] = []
        for i, job in enumerate(self.jobs):
            if ends[i] >= 0 or any(ends[j] < 0 for j in self.after[i]):
                continue
            ready = max((ends[j] for j in self.after[i]), default=0)
            found += [(i, w, max(ready, job["from"], free[w], last)) for w in self.able[i]]
        return sorted(found, key=lambda move: move[2])

    def _bound(self, free: list[int], ends: list[int], last: int) -> int:
        """An hour before which not all can be done."""
        load, latest = sum(max(time, last) for time in free), max(ends)
        for i, end in enumerate(ends):
            if end < 0:
                load += self.hours[i]
                ready = max((ends[j] for j in self.after[i]), default=0)
                latest = max(latest, max(ready, last) + self.hours[i] + self.tail[i])
        return max(latest, -(-load // len(free)))


def careless(problem: Problem) -> list[Plan]:
    """Plans that a careless planner makes: one job after another, or each as early as can be in the order told."""
    jobs = {job["name"]: job for job in problem["jobs"]}
    one_by_one: Plan = []
    greedy: Plan = []
    clock = 0
    free = dict.fromkeys(problem["workers"], 0)
    ends: dict[str, int] = {}
    todo = list(jobs)
    while todo:
        name = next(name for name in todo if all(earlier in ends for earlier in jobs[name]["after"]))
        todo.remove(name)
        job = jobs[name]
        clock = max(clock, job["from"])
        one_by_one.append({"job": name, "worker": job["by"][0], "start": clock})
        clock += job["hours"]
        ready = max([job["from"], *(ends[earlier] for earlier in job["after"])])
        worker = min(job["by"], key=lambda each: max(free[each], ready))
        start = max(free[worker], ready)
        greedy.append({"job": name, "worker": worker, "start": start})
        free[worker] = ends[name] = start + job["hours"]
    return [one_by_one, greedy]


def describe(problem: Problem) -> str:
    """The jobs and the people in words."""
    lines = [
        f"{listed(problem['workers'])} {'has' if len(problem['workers']) == 1 else 'have'} to {problem['theme']}. "
        "Each job is done by one person without a break, and nobody does two jobs at a time. Time is counted in whole "
        "hours from hour 0.",
        "",
    ]
    for job in problem["jobs"]:
        rules = [f"{job['hours']} {'hour' if job['hours'] == 1 else 'hours'}", f"by {' or '.join(job['by'])}"]
        if job["after"]:
            rules.append(f"after {listed(job['after'])} {'is' if len(job['after']) == 1 else 'are'} done")
        if job["from"]:
            rules.append(f"not before hour {job['from']}")
        lines.append(f"- {job['name']}: {', '.join(rules)}")
    return "\n".join(lines)
