"""Environments that another process serves, by URL."""

from __future__ import annotations

from llmgym.adapters.remote.env import Remote

__all__ = ["Remote"]
