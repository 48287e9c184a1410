"""Servers for the tests of this folder."""

from __future__ import annotations

from tests.serving import process, serve

__all__ = ["process", "serve"]
