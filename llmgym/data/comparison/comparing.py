"""The first run beside each other one: paired by task, with what only one of them solved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from llmgym.data.comparison.measures import Estimate, Measure, Pair, estimate, measures
from llmgym.data.comparison.results import TaskKey, TaskResult, results_of
from llmgym.data.dataset import Dataset
from llmgym.data.engine import ROLLOUTS
from llmgym.rollout.description import Description, differences, read_description
from llmgym.rollout.folder import FAILURES, read_failures

FEW = 30  # tasks below which intervals are too narrow

Results = Mapping[TaskKey, TaskResult]


@dataclass(frozen=True)
class RunScore:
    """A run by itself.

    Attributes:
        name: What it is called here.
        path: Where it is.
        tasks: How many tasks it has.
        episodes: How many episodes.
        scored: How many of them have a reward.
        unscored: How many have none.
        failed: How many have failed for good, which are in none of these; None where that is not known.
        repeats: Least and greatest number of scored episodes of a task.
        reward: Mean reward over tasks.
        pass_at_1: Mean share of solved episodes over tasks.
    """

    name: str
    path: str
    tasks: int
    episodes: int
    scored: int
    unscored: int
    failed: int | None
    repeats: tuple[int, int]
    reward: Estimate
    pass_at_1: Estimate


@dataclass(frozen=True)
class Flip:
    """A task that one of two runs solved, and the other never.

    Attributes:
        env_id: Its environment.
        task: What a run that solved it calls it.
        agent: Whose episodes.
        first: Solved and scored episodes of the first run.
        second: The same of the second.
    """

    env_id: str
    task: str
    agent: str
    first: tuple[int, int]
    second: tuple[int, int]


@dataclass(frozen=True)
class Scope:
    """An environment in two runs.

    Attributes:
        tasks: Tasks of it that both have scored.
        measures: Over these.
    """

    tasks: int
    measures: list[Measure]


@dataclass(frozen=True)
class Contrast:
    """A run against the first one.

    Attributes:
        first: Name of the first.
        second: Name of the other.
        tasks: Tasks that both have scored, which all numbers are of.
        only_first: Tasks that the other does not have.
        only_second: Tasks that the first does not have.
        unscored: Tasks of both that one of them has no reward for.
        measures: In all.
        environments: The same by environment, where there are several.
        won: Tasks that only the other solved.
        lost: Tasks that only the first solved.
        settings: What is not the same in how they were made.
    """

    first: str
    second: str
    tasks: int
    only_first: int
    only_second: int
    unscored: int
    measures: list[Measure]
    environments: dict[str, Scope]
    won: list[Flip]
    lost: list[Flip]
    settings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Comparison:
    """Runs beside each other.

    Attributes:
        threshold: Reward from which an episode is solved.
        runs: Each by itself.
        contrasts: All but the first against the first.
    """

    threshold: float
    runs: list[RunScore]
    contrasts: list[Contrast]


def compare(data: Dataset) -> Comparison:
    """Compare the files of a set, the first with each other one."""
    paths = [index.path.parent if index.path.name == ROLLOUTS else index.path for index in data.indexes]
    runs = [read_description(path) if path.is_dir() else None for path in paths]
    failed = [None if run is None else _failed(data, source, paths[source]) for source, run in enumerate(runs)]
    names, results = _names(paths), results_of(data)
    scores = [_score(*each) for each in zip(names, paths, results, failed, strict=True)]
    contrasts = [
        _contrast(names[0], names[other], results[0], results[other], _settings(runs[0], runs[other]))
        for other in range(1, len(names))
    ]
    return Comparison(data.threshold, scores, contrasts)


def _names(paths: Sequence[Path]) -> list[str]:
    """What distinguishes the runs: the last part of their paths, or as many as it takes."""
    parts = [path.absolute().parts for path in paths]
    for depth in range(1, max(map(len, parts))):
        names = ["/".join(part[-depth:]) for part in parts]
        if len({*names}) == len(names):
            return names
    return list(map(str, paths))


def _failed(data: Dataset, source: int, folder: Path) -> int:
    """How many episodes of a run have failed, and not finished since."""
    failures = read_failures(folder / FAILURES)
    query = "select distinct episode_id from rows where source = $source"
    finished = {name for (name,) in data.query(query, source=source)} if failures else set[str]()
    return len(failures.keys() - finished)


def _score(name: str, path: Path, results: Results, failed: int | None) -> RunScore:
    found = list(results.values())
    scored = [result for result in found if result.reward is not None]
    rewards = [result.reward for result in scored if result.reward is not None]
    share = all(0.0 <= reward <= 1.0 for reward in rewards)
    counts = [result.scored for result in scored] or [0]
    episodes, number = sum(result.episodes for result in found), sum(counts)
    return RunScore(
        name, str(path), len(found), episodes, number, episodes - number, failed,
        (min(counts), max(counts)), estimate(rewards, share=share),
        estimate([result.solved / result.scored for result in scored], share=True),
    )  # fmt: skip


def _contrast(first: str, second: str, one: Results, other: Results, settings: list[str]) -> Contrast:
    shared = [key for key in one if key in other]
    pairs = {key: (one[key], other[key]) for key in shared if one[key].scored and other[key].scored}
    most = min((result.scored for pair in pairs.values() for result in pair), default=1)
    by_env: dict[str, list[Pair]] = {}
    for key, pair in pairs.items():
        by_env.setdefault(key.env_id, []).append(pair)
    return Contrast(
        first, second, len(pairs), len(one) - len(shared), len(other) - len(shared), len(shared) - len(pairs),
        measures(list(pairs.values()), most),
        {env_id: Scope(len(own), measures(own, most)) for env_id, own in sorted(by_env.items())}
        if len(by_env) > 1 else {},
        won=[_flip(key, pair) for key, pair in pairs.items() if not pair[0].solved and pair[1].solved],
        lost=[_flip(key, pair) for key, pair in pairs.items() if pair[0].solved and not pair[1].solved],
        settings=settings,
    )  # fmt: skip


def _flip(key: TaskKey, pair: Pair) -> Flip:
    one, other = pair
    name = (one if one.solved else other).group_id.removeprefix(f"{key.env_id}/")
    return Flip(key.env_id, name, key.agent, (one.solved, one.scored), (other.solved, other.scored))


def _settings(before: Description | None, after: Description | None) -> list[str]:
    """What is not the same in how two runs were made, as far as it is known."""
    if before is None or after is None:
        return []
    found = list(differences("", before.identity, after.identity))
    if before.confirmed is not None and after.confirmed is not None:
        found += differences("", before.confirmed, after.confirmed)
    return found
