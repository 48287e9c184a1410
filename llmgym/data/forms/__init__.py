"""The forms that rows are converted to, and back: Parquet, compressed lines, ATIF trajectories."""

from __future__ import annotations
