"""How rewards and shares are written for people: alike in every table."""

from __future__ import annotations


def figure(value: float) -> str:
    """Three decimals, and a power of ten where a number is too large for a column."""
    return f"{value:.3f}" if abs(value) < 1e6 else f"{value:.3e}"
