"""A comparison as a document for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from llmgym.data.comparison.comparing import FEW, Comparison, Contrast, Flip, RunScore
from llmgym.data.comparison.document import Document, Interval, Table
from llmgym.data.comparison.measures import Estimate, Measure
from llmgym.rollout.figures import figure

_FLIPS = 50  # that are listed
_SETTINGS = 20


def document_of(comparison: Comparison) -> Document:
    """A table of the runs; then for each but the first how it differs, by environment, and the flips."""
    parts: list[str | Table] = [_runs(comparison.runs), *_notes_on(comparison.runs)]
    for contrast in comparison.contrasts:
        parts += _contrast(contrast)
    return Document(" and ".join(run.name for run in comparison.runs), parts)


def _runs(runs: Sequence[RunScore]) -> Table:
    columns = ["run", "tasks", "episodes", "unscored", "failed", "reward", "95%", "pass@1", "95%"]
    return Table(columns, [
        [run.name, str(run.tasks), str(run.episodes), str(run.unscored), "-" if run.failed is None else str(run.failed),
         *_estimate(run.reward), *_estimate(run.pass_at_1)]
        for run in runs
    ])  # fmt: skip


def _notes_on(runs: Sequence[RunScore]) -> Iterator[str]:
    yield (
        "Means are over tasks, of which each counts once by the mean of its scored episodes. Intervals are from "
        "drawing tasks again (BCa). Unscored and failed episodes are in no mean, and are not taken for 0."
    )
    repeats = [f"{run.name} {_range(run.repeats)}" for run in runs]
    if len({run.repeats for run in runs}) > 1 or any(least != most for least, most in (run.repeats for run in runs)):
        yield f"Scored episodes of a task are not as many everywhere: {', '.join(repeats)}."


def _contrast(contrast: Contrast) -> Iterator[str | Table]:
    first, second = contrast.first, contrast.second
    yield f"# {second} against {first}"
    yield _coverage(contrast)
    scopes = [contrast.measures, *(scope.measures for scope in contrast.environments.values())]
    reach = {
        each.name: max(_reach(own) for scope in scopes for own in scope if own.name == each.name) for each in scopes[0]
    }
    columns = [first, second, "difference", "95%"]
    if contrast.measures:
        yield Table(["in all", *columns], [_measure(each.name, each, reach) for each in contrast.measures])
    for name in reach if contrast.environments else ():
        rows = [
            _measure(f"{env_id} ({scope.tasks})", measure, reach)
            for env_id, scope in contrast.environments.items() for measure in scope.measures if measure.name == name
        ]  # fmt: skip
        yield Table([f"{name} (tasks)", *columns], rows)
    if contrast.measures:
        yield from _flips(f"Only {second} solved", contrast.won, contrast)
        yield from _flips(f"Only {first} solved", contrast.lost, contrast)
    if contrast.settings:
        yield "## What was not the same"
        more = len(contrast.settings) - _SETTINGS
        yield Table(["setting"], [[text] for text in contrast.settings[:_SETTINGS]])
        if more > 0:
            yield f"And {more} more."


def _coverage(contrast: Contrast) -> str:
    text = [f"{contrast.tasks} tasks that both have scored."]
    for number, name in ((contrast.only_first, contrast.first), (contrast.only_second, contrast.second)):
        if number:
            text.append(f"{number} that only {name} has are left out.")
    if contrast.unscored:
        text.append(f"{contrast.unscored} of both without a reward in one of them are left out.")
    if not contrast.tasks:
        text.append("There is nothing to compare: were the tasks drawn with the same environments, split and seed?")
    elif contrast.tasks < FEW:
        text.append(f"Intervals of fewer than {FEW} tasks are too narrow.")
    return " ".join(text)


def _reach(measure: Measure) -> float:
    """How far from 0 the interval reaches."""
    difference = measure.difference
    return max(abs(bound) for bound in (difference.low or 0.0, difference.high or 0.0)) or 1e-9


def _measure(title: str, measure: Measure, reach: Mapping[str, float]) -> list[str | Interval]:
    difference = measure.difference
    assert difference.mean is not None
    cell = Interval(difference.mean, difference.low, difference.high, reach[measure.name])
    return [title, figure(measure.first), figure(measure.second), cell, _bounds(difference, "+")]


def _flips(title: str, flips: Sequence[Flip], contrast: Contrast) -> Iterator[str | Table]:
    yield f"## {title}: {len(flips)}"
    if not flips:
        return
    several = len({flip.agent for flip in flips}) > 1
    yield Table(["task", "environment", contrast.first, contrast.second], [
        [flip.task + (f" ({flip.agent})" if several else ""), flip.env_id, "/".join(map(str, flip.first)),
         "/".join(map(str, flip.second))]
        for flip in flips[:_FLIPS]
    ])  # fmt: skip
    if len(flips) > _FLIPS:
        yield f"And {len(flips) - _FLIPS} more."


def _estimate(estimate: Estimate) -> tuple[str, str]:
    return "-" if estimate.mean is None else figure(estimate.mean), _bounds(estimate)


def _bounds(estimate: Estimate, sign: str = "") -> str:
    if estimate.low is None or estimate.high is None:
        return "-"
    return f"{estimate.low:{sign}.3f} .. {estimate.high:{sign}.3f}"


def _range(repeats: tuple[int, int]) -> str:
    least, most = repeats
    return str(most) if least == most else f"{least} to {most}"
