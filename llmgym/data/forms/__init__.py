"""Forms that rows are converted to, and back, which are no lines."""

from __future__ import annotations
