"""Numbers that options take."""

from __future__ import annotations

import math

import typer


def finite(value: float | None) -> float | None:
    """A number that an option was given: neither NaN, which nothing is compared with, nor without bounds.

    Raises:
        BadParameter: It is.
    """
    if value is not None and not math.isfinite(value):
        raise typer.BadParameter(f"{value} is no finite number")
    return value
