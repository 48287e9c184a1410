"""Bounds that the figures of a report have to keep, in a file that is kept with a data set."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import msgspec

from llmgym.data.dataset import Dataset
from llmgym.errors import ConfigError
from llmgym.files import read_yaml
from llmgym.rollout.thresholds import TOLERANCE

_HINT = "a list of gates such as {figure: groups.mixed.share, min: 0.2} or {where: num_turns > 20, max: 0.01}"


class Gate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A bound.

    Attributes:
        figure: A number of the report, by the names on the way to it, such as "texts.looping.share"; or
        where: a condition in SQL, whose share of the rows is bounded; or
        group_where: one whose share of the groups is.
        min: The least that it may be.
        max: The most.
    """

    figure: str | None = None
    where: str | None = None
    group_where: str | None = None
    min: float | None = None
    max: float | None = None

    def __post_init__(self) -> None:
        """Refuse what bounds nothing."""
        if sum(one is not None for one in (self.figure, self.where, self.group_where)) != 1:
            raise ValueError("a gate has one of figure, where and group_where")
        if self.min is None and self.max is None:
            raise ValueError("a gate has min, max or both")
        for name, value in (("min", self.min), ("max", self.max)):
            if value is not None and not math.isfinite(value):
                raise ValueError(f"{name} is {value}, which is no finite number")

    @property
    def name(self) -> str:
        """What it bounds."""
        if self.figure is not None:
            return self.figure
        return f"share of groups with {self.group_where}" if self.where is None else f"share of rows with {self.where}"


class Verdict(msgspec.Struct, frozen=True):
    """How a gate came out.

    Attributes:
        name: What it bounds.
        value: What that is; None where it is not known, and then it does not pass.
        min: The least that it may be.
        max: The most.
        passed: Whether it is within.
    """

    name: str
    value: float | None
    min: float | None
    max: float | None
    passed: bool

    def __str__(self) -> str:
        """All of it in a line."""
        bounds = [f"at least {self.min:g}"] if self.min is not None else []
        bounds += [f"at most {self.max:g}"] if self.max is not None else []
        value = "not known" if self.value is None else f"{self.value:.4g}"
        return f"{'passed' if self.passed else 'FAILED'}  {self.name} is {value}, {' and '.join(bounds)}"


def read_gates(path: Path) -> list[Gate]:
    """Read gates from a YAML file: a list of them, or one under `gates`.

    Raises:
        ConfigError: It cannot be read, or a gate is none; says which and why.
    """
    found, _ = read_yaml(path)
    if isinstance(found, Mapping):
        found = cast("Mapping[str, Any]", found).get("gates")
    if not isinstance(found, list) or not found:
        raise ConfigError(f"{path} has no gates; it is {_HINT}")
    gates: list[Gate] = []
    for number, one in enumerate(cast("list[Any]", found), 1):
        try:
            gates.append(msgspec.convert(one, Gate))
        except msgspec.ValidationError as error:
            raise ConfigError(f"{path}: gate {number}: {error}; it is {_HINT}") from None
    return gates


def check_gates(
    gates: Sequence[Gate], data: Dataset, report: Mapping[str, Any], source: str = "gates"
) -> list[Verdict]:
    """See which bounds are kept.

    Args:
        gates: The bounds.
        data: The rows.
        report: What was measured of them.
        source: Where the bounds are from, for errors.

    Raises:
        ConfigError: The report has no such figure, or a condition is none.
    """
    figures = _figures(report)
    verdicts: list[Verdict] = []
    for number, gate in enumerate(gates, 1):
        try:
            value = _value(gate, data, figures)
        except ConfigError as error:
            raise ConfigError(f"{source}: gate {number}: {error}") from None
        passed = value is not None and (
            (gate.min is None or value >= gate.min - TOLERANCE) and (gate.max is None or value <= gate.max + TOLERANCE)
        )
        verdicts.append(Verdict(gate.name, value, gate.min, gate.max, passed))
    return verdicts


def _value(gate: Gate, data: Dataset, figures: Mapping[str, float | None]) -> float | None:
    if gate.figure is not None:
        if gate.figure in figures:
            return figures[gate.figure]
        if any(value is None and gate.figure.startswith(f"{name}.") for name, value in figures.items()):
            return None  # of a part that there is not, such as the entropy without tokens
        near = difflib.get_close_matches(gate.figure, figures, n=3, cutoff=0.4)
        meant = f"did you mean {' or '.join(near)}? " if near else ""
        raise ConfigError(f"there is no figure {gate.figure!r}; {meant}--json shows all")
    try:
        return data.share(where=gate.where, group_where=gate.group_where)
    except ConfigError as error:
        condition = gate.group_where if gate.where is None else gate.where
        raise ConfigError(f"the condition {condition!r}: {error}") from None


def _figures(value: Any, path: str = "") -> dict[str, float | None]:
    """The numbers in JSON data, by the names on the way to them; of pass@k by k."""
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return {path: value}
    named: Mapping[Any, Any] = {}
    if isinstance(value, Mapping):
        named = cast("Mapping[Any, Any]", value)
    elif isinstance(value, list):
        named = {one["k"]: one for one in cast("list[Any]", value) if isinstance(one, dict) and "k" in one}
    found: dict[str, float | None] = {}
    for name, one in named.items():
        found |= _figures(one, f"{path}.{name}" if path else str(name))
    return found
