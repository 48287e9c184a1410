"""Servers for the tests of this folder."""

from __future__ import annotations

from tests.serving import serve

__all__ = ["serve"]
